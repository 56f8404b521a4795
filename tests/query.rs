//! Searches through `Searcher`: what a request may say, what is wrong with it, what an answer looks like.

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use millpond::change::{TableId, Tick};
use millpond::definition::template::{Piece, Template};
use millpond::definition::{
    Analyzer, CheckpointSettings, Definition, EmbedderSettings, Field, FieldKind, Fusion, Index,
    LaneSettings, Metric, Model, Plan, ReadyMade, TextField, Tuning, VectorField, VectorSource, plan,
};
use millpond::embed::{EmbedError, Embedder};
use millpond::index::snapshot::{Counters, TextCounters};
use millpond::index::{Published, Snapshot};
use millpond::query::{
    Consistency, ErrorKind, FusionRequest, Fuzzy, LegWeights, MinimumMatchRequest, Mode, Operator,
    QueryError, SearchRequest, Searcher, VectorsWanted,
};

// ---- requests -----------------------------------------------------------------------------------------

fn parse(json: &str) -> Result<SearchRequest, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn a_request_with_everything_is_read() {
    let request = parse(
        r#"{"query":"red shoe","vector":[1,0.5],"mode":"keyword","filter":"price < 5","limit":3,"offset":7,
            "fields":["id"],"fusion":{"method":"rrf","k":10,"weights":{"vector":0.3}},"ef":200,"accuracy":0.5,"exact":true,
            "vectors":"current","operator":"and","minimum_match":"75%","fuzzy":"off","text_fields":["name^2"],
            "consistency":{"at_least":{"products/0":7,"commit_ts":1795000000000}},"wait_ms":100,
            "timeout_ms":250,"keep_alive_ms":1000,"cursor":"x","origin":true,"model":"m"}"#,
    );
    let expected = SearchRequest {
        query: Some("red shoe".to_owned()),
        vector: Some(vec![1.0, 0.5]),
        model: Some("m".to_owned()),
        using: None,
        mode: Mode::Keyword,
        filter: Some("price < 5".into()),
        limit: 3,
        offset: 7,
        fields: Some(vec!["id".to_owned()]),
        fusion: Some(FusionRequest::Rrf {
            k: 10.0,
            weights: LegWeights {
                keyword: 1.0,
                vector: 0.3,
            },
            window: None,
        }),
        ef: Some(200),
        accuracy: Some(0.5),
        timeout_ms: Some(250),
        exact: true,
        vectors: VectorsWanted::Current,
        operator: Some(Operator::And),
        minimum_match: Some(MinimumMatchRequest::Share("75%".to_owned())),
        fuzzy: Some(Fuzzy::Off),
        text_fields: Some(vec!["name^2".to_owned()]),
        consistency: Consistency::AtLeast(BTreeMap::from([
            ("products/0".to_owned(), 7),
            ("commit_ts".to_owned(), 1_795_000_000_000),
        ])),
        wait_ms: Some(100),
        keep_alive_ms: Some(1_000),
        cursor: Some("x".to_owned()),
        origin: true,
        ..SearchRequest::default()
    };
    assert_eq!(request, Ok(expected.clone()));
    assert_eq!(
        parse(&serde_json::to_string(&expected).unwrap()),
        Ok(expected),
        "as a client writes it"
    );
}

#[test]
fn what_a_request_leaves_out_has_its_default() {
    assert_eq!(parse("{}"), Ok(SearchRequest::default()));
    assert_eq!(SearchRequest::default().limit, 10);
    assert_eq!(SearchRequest::default().mode, Mode::Hybrid);
    let fusion = parse(r#"{"fusion":{"method":"rrf"}}"#).unwrap().fusion;
    let everyday = FusionRequest::Rrf {
        k: 60.0,
        weights: LegWeights {
            keyword: 1.0,
            vector: 1.0,
        },
        window: None,
    };
    assert_eq!(fusion, Some(everyday));
}

#[test]
fn unknown_keys_and_values_of_a_request_are_named() {
    let requests = [
        r#"{"querry":"shoe"}"#,
        r#"{"mode":"both"}"#,
        r#"{"limit":-1}"#,
        r#"{"vector":[1,null]}"#,
        r#"{"fusion":{"method":"sum"}}"#,
        r#"{"fusion":{"method":"relative"}}"#,
        r#"{"fusion":{"method":"relative","weight":0.5,"k":60}}"#,
        r#"{"fusion":{"method":"rrf","weights":{"text":1}}}"#,
    ];
    let errors: Vec<String> = requests
        .iter()
        .map(|json| format!("{json}\n  {}", parse(json).unwrap_err()))
        .collect();
    expect![[r#"
        {"querry":"shoe"}
          unknown field `querry`, expected one of `query`, `vector`, `like`, `model`, `using`, `mode`, `operator`, `minimum_match`, `fuzzy`, `text_fields`, `filter`, `limit`, `offset`, `fields`, `fusion`, `min_score`, `mmr`, `rerank`, `explain`, `ef`, `accuracy`, `timeout_ms`, `vectors`, `consistency`, `wait_ms`, `keep_alive_ms`, `cursor`, `origin`, `exact`, `total`, `facets`, `sort`, `search_after`, `group_by`, `distinct`, `highlight` at line 1 column 9
        {"mode":"both"}
          unknown variant `both`, expected one of `hybrid`, `keyword`, `vector` at line 1 column 14
        {"limit":-1}
          invalid value: integer `-1`, expected usize at line 1 column 11
        {"vector":[1,null]}
          invalid type: null, expected f64 at line 1 column 17
        {"fusion":{"method":"sum"}}
          unknown variant `sum`, expected one of `relative`, `distribution`, `linear`, `rrf` at line 1 column 25
        {"fusion":{"method":"relative"}}
          missing field `weight` at line 1 column 32
        {"fusion":{"method":"relative","weight":0.5,"k":60}}
          unknown field `k`, expected `weight` at line 1 column 52
        {"fusion":{"method":"rrf","weights":{"text":1}}}
          unknown field `text`, expected `keyword` or `vector` at line 1 column 48"#]].assert_eq(&errors.join("\n"));
}

// ---- faults -------------------------------------------------------------------------------------------

/// An index over `id, name, price, embedding`.
fn index(source: Option<VectorSource>) -> Index {
    let field = |source| VectorField {
        name: VectorField::DEFAULT.to_owned(),
        source,
        metric: Metric::Cosine,
        tuning: Tuning::default(),
    };
    Index {
        plan: Plan {
            root: plan::Node::Table(TableId(0)),
            columns: ["id", "name", "price", "embedding"].map(str::to_owned).to_vec(),
        },
        key: vec![0],
        vocabulary: Default::default(),
        text: vec![TextField {
            name: "name".to_owned(),
            column: 1,
            boost: 1.0,
            analyzer: Analyzer::ENGLISH,
        }],
        fields: vec![Field {
            name: "price".to_owned(),
            column: 2,
            kind: FieldKind::F64,
        }],
        tenant: None,
        vectors: source.map(field).into_iter().collect(),
        freshness: Default::default(),
        fusion: Fusion::Relative { weight: 0.2 },
    }
}

fn embedding() -> Option<VectorSource> {
    Some(VectorSource::Embed {
        template: Template {
            pieces: vec![Piece::Column(1)],
        },
        embedder: EmbedderSettings {
            model: Model::Hash { dimensions: 2 },
            batch: 1,
            parallel: 1,
            lane: LaneSettings::default(),
        },
        chunk: None,
    })
}

fn ready_made() -> Option<VectorSource> {
    Some(VectorSource::Column(ReadyMade {
        column: 3,
        dimensions: 2,
        model: None,
    }))
}

/// Gives what its function gives, for whatever text.
struct Stub(fn() -> Result<Vec<Vec<f32>>, EmbedError>);

impl Embedder for Stub {
    fn model(&self) -> &str {
        "stub"
    }
    fn dimensions(&self) -> usize {
        2
    }
    fn embed(&self, _texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        (self.0)()
    }
}

/// A searcher over a snapshot without documents.
fn searcher(index: Index, embedder: Option<Stub>) -> Searcher {
    let definition = Definition {
        name: "products".to_owned(),
        tables: vec![],
        index: Some(index),
        reranker: None,
        checkpoint: CheckpointSettings::default(),
        dead_letters: None,
        server: Default::default(),
        kept: Default::default(),
        folder: Default::default(),
    };
    let snapshot = Snapshot {
        commits: Arc::default(),
        tick: Tick(9),
        positions: Arc::new(BTreeMap::from([("products/0".to_owned(), 120)])),
        counters: Counters {
            messages: 6,
            changes: 5,
            collapsed: 4,
            texts_embedded: 3,
            texts_saved: 2,
            dead_letters: 1,
        },
        sets: Default::default(),
        held_back: None,
        texts: TextCounters {
            needed: 9,
            embedded: 3,
            saved_shared: 1,
            saved_unchanged: 1,
            saved_cached: 0,
            withdrawn: 2,
            failed: 1,
            micros: 1_500_000,
            tokens: 600,
        },
        shards: vec![],
    };
    let fields = definition.index.as_ref().map_or(0, |index| index.vectors.len());
    let embedder = embedder.map(|stub| Arc::new(stub) as Arc<dyn Embedder>);
    Searcher::new(
        Arc::new(definition),
        Arc::new(Published::new(snapshot)),
        vec![embedder; fields],
    )
}

fn embedding_searcher() -> Searcher {
    searcher(index(embedding()), Some(Stub(|| Ok(vec![vec![1.0, 0.0]]))))
}

fn fault(searcher: &Searcher, json: &str) -> QueryError {
    searcher.search(&parse(json).unwrap()).expect_err(json)
}

/// Every request is refused, by its own fault; shows each with code, message and hint.
fn refused(searcher: &Searcher, requests: &[&str], expected: Expect) {
    let mut shown = String::new();
    for json in requests {
        let QueryError {
            code,
            message,
            hint,
            kind,
        } = fault(searcher, json);
        assert_eq!(kind, ErrorKind::Request, "{json}");
        shown += &format!("{json}\n  {code}: {message}\n  {}\n", hint.unwrap_or_default());
    }
    expected.assert_eq(&shown);
}

#[test]
fn a_search_for_nothing_is_refused() {
    let requests = [
        "{}",
        r#"{"mode":"vector"}"#,
        r#"{"mode":"keyword","vector":[1,0]}"#,
    ];
    refused(
        &embedding_searcher(),
        &requests,
        expect![[r#"
            {}
              missing_query: mode `hybrid` has nothing to search for
              give `query`, `vector`, `like` or several; to list documents, a `filter`, `sort`, `facets` or `total`
            {"mode":"vector"}
              missing_query: mode `vector` has nothing to search for
              give `query`, `vector`, `like` or several; to list documents, a `filter`, `sort`, `facets` or `total`
            {"mode":"keyword","vector":[1,0]}
              missing_query: mode `keyword` searches for words
              give `query`
        "#]],
    );
}

#[test]
fn a_leg_that_the_index_lacks_is_refused() {
    let words_only = searcher(index(None), None);
    let requests = [
        r#"{"mode":"vector","query":"shoe"}"#,
        r#"{"query":"shoe","vector":[1,0]}"#,
    ];
    refused(
        &words_only,
        &requests,
        expect![[r#"
        {"mode":"vector","query":"shoe"}
          no_vectors: the index has no vectors
          search by `query` with mode `keyword` or `hybrid`, or give the index `embed` or `vector`
        {"query":"shoe","vector":[1,0]}
          no_vectors: the index has no vectors
          search by `query` with mode `keyword` or `hybrid`, or give the index `embed` or `vector`
    "#]],
    );
    let vectors_only = searcher(
        Index {
            text: vec![],
            ..index(ready_made())
        },
        None,
    );
    refused(
        &vectors_only,
        &[r#"{"mode":"keyword","query":"shoe"}"#, r#"{"query":"shoe"}"#],
        expect![[r#"
            {"mode":"keyword","query":"shoe"}
              no_text: the index has no text columns to search for words
              use mode `vector`, or name columns in `[index] text`
            {"query":"shoe"}
              missing_vector: the index has ready-made vectors, and no model that embeds `query`
              give `vector`, 2 numbers
        "#]],
    );
    let both = searcher(index(ready_made()), None);
    refused(
        &both,
        &[r#"{"mode":"vector","query":"shoe"}"#],
        expect![[r#"
        {"mode":"vector","query":"shoe"}
          missing_vector: the index has ready-made vectors, and no model that embeds `query`
          give `vector`, 2 numbers
    "#]],
    );
}

#[test]
fn a_vector_that_cannot_be_compared_is_refused() {
    let requests = [
        r#"{"vector":[1,0,0]}"#,
        r#"{"vector":[0,1e300]}"#,
        r#"{"vector":[0,-0.0]}"#,
    ];
    refused(
        &embedding_searcher(),
        &requests,
        expect![[r#"
        {"vector":[1,0,0]}
          wrong_dimensions: `vector` has 3 numbers, the vectors of the index have 2
          embed queries with the model that embedded the documents
        {"vector":[0,1e300]}
          bad_vector: `vector[1]` is out of the range of a 32-bit float
          give finite numbers
        {"vector":[0,-0.0]}
          bad_vector: `vector` is all zeros: it has no direction, and the index compares directions
          give a vector with a number that is not zero
    "#]],
    );
}

#[test]
fn a_vector_of_zeros_is_a_place_where_distance_or_product_is_compared() {
    for metric in [Metric::Dot, Metric::L2] {
        let mut index = index(ready_made());
        index.vectors[0].metric = metric;
        let searcher = self::searcher(index, None);
        let request = parse(r#"{"mode":"vector","vector":[0,0]}"#).unwrap();
        assert!(searcher.search(&request).is_ok(), "{metric:?}");
    }
}

#[test]
fn numbers_out_of_bounds_are_refused() {
    let requests = [
        r#"{"query":"shoe","limit":10001}"#,
        r#"{"query":"shoe","limit":1,"offset":18446744073709551615}"#,
        r#"{"query":"shoe","ef":0}"#,
        r#"{"query":"shoe","ef":10001}"#,
        r#"{"query":"shoe","accuracy":0}"#,
        r#"{"query":"shoe","accuracy":1}"#,
        r#"{"query":"shoe","accuracy":0.99,"ef":100}"#,
        r#"{"query":"shoe","ef":100,"exact":true}"#,
        r#"{"query":"shoe","accuracy":0.99,"exact":true}"#,
        r#"{"query":"shoe","fusion":{"method":"relative","weight":1.5}}"#,
        r#"{"query":"shoe","fusion":{"method":"rrf","k":-1}}"#,
        r#"{"query":"shoe","fusion":{"method":"rrf","weights":{"keyword":0,"vector":0}}}"#,
        r#"{"query":"shoe","fusion":{"method":"rrf","weights":{"keyword":1e300}}}"#,
        // Finite, and with `k` 0 the sum of both is not.
        r#"{"query":"shoe","fusion":{"method":"rrf","k":0,"weights":{"keyword":3e38,"vector":3e38}}}"#,
    ];
    refused(
        &embedding_searcher(),
        &requests,
        expect![[r#"
        {"query":"shoe","limit":10001}
          bad_limit: `offset` 0 and `limit` 10001 add up to more than 10000
          narrow the search by a `filter` instead of paging that far
        {"query":"shoe","limit":1,"offset":18446744073709551615}
          bad_limit: `offset` 18446744073709551615 and `limit` 1 add up to more than 10000
          narrow the search by a `filter` instead of paging that far
        {"query":"shoe","ef":0}
          bad_ef: `ef` is 0
          give 1 to 10000, or leave it out
        {"query":"shoe","ef":10001}
          bad_ef: `ef` is 10001
          give 1 to 10000, or leave it out
        {"query":"shoe","accuracy":0}
          bad_accuracy: `accuracy` is 0
          give the share of the nearest to be found, such as 0.99, or `exact` for all of them
        {"query":"shoe","accuracy":1}
          bad_accuracy: `accuracy` is 1
          give the share of the nearest to be found, such as 0.99, or `exact` for all of them
        {"query":"shoe","accuracy":0.99,"ef":100}
          bad_effort: more than one of `ef`, `accuracy` and `exact` says how hard to search
          give one of them, or none
        {"query":"shoe","ef":100,"exact":true}
          bad_effort: more than one of `ef`, `accuracy` and `exact` says how hard to search
          give one of them, or none
        {"query":"shoe","accuracy":0.99,"exact":true}
          bad_effort: more than one of `ef`, `accuracy` and `exact` says how hard to search
          give one of them, or none
        {"query":"shoe","fusion":{"method":"relative","weight":1.5}}
          bad_fusion: `fusion.weight` is 1.5
          give 0 (keyword leg only) to 1 (vector leg only)
        {"query":"shoe","fusion":{"method":"rrf","k":-1}}
          bad_fusion: `fusion.k` is -1
          give 0 to 1000000; 60 is usual
        {"query":"shoe","fusion":{"method":"rrf","weights":{"keyword":0,"vector":0}}}
          bad_fusion: `fusion.weights` are 0 for `keyword` and 0 for `vector`
          give 0 to 1000000, and more than 0 for one of them
        {"query":"shoe","fusion":{"method":"rrf","weights":{"keyword":1e300}}}
          bad_fusion: `fusion.weights` are inf for `keyword` and 1 for `vector`
          give 0 to 1000000, and more than 0 for one of them
        {"query":"shoe","fusion":{"method":"rrf","k":0,"weights":{"keyword":3e38,"vector":3e38}}}
          bad_fusion: `fusion.weights` are 300000000000000000000000000000000000000 for `keyword` and 300000000000000000000000000000000000000 for `vector`
          give 0 to 1000000, and more than 0 for one of them
    "#]],
    );
}

#[test]
fn columns_that_the_query_does_not_select_are_refused() {
    refused(
        &embedding_searcher(),
        &[r#"{"query":"shoe","fields":["id","nmae"]}"#],
        expect![[r#"
            {"query":"shoe","fields":["id","nmae"]}
              unknown_column: `fields` names `nmae`, which is not a column of the index
              the columns are `id`, `name`, `price`, `embedding`
        "#]],
    );
}

#[test]
fn a_filter_that_the_index_cannot_answer_is_refused() {
    let searcher = embedding_searcher();
    refused(
        &searcher,
        &[r#"{"query":"shoe","filter":"price < 5 AND name = 'x'"}"#],
        expect![[r#"
        {"query":"shoe","filter":"price < 5 AND name = 'x'"}
          unknown_field: `filter` names `name`, which is not a field of the index
          the fields are `price`
    "#]],
    );
    for filter in [
        "price <",
        "",
        "DROP TABLE products",
        "price < 5; price > 3",
        &"price < 5 OR ".repeat(9_000),
    ] {
        let request = SearchRequest {
            query: Some("shoe".to_owned()),
            filter: Some(filter.into()),
            ..SearchRequest::default()
        };
        let error = searcher.search(&request).expect_err(filter);
        assert_eq!(
            (error.code, error.kind),
            ("bad_filter", ErrorKind::Request),
            "{error}"
        );
    }
}

// ---- answers ------------------------------------------------------------------------------------------

fn answer(searcher: &Searcher, json: &str) -> String {
    let request = parse(json).unwrap();
    let snapshot = empty_snapshot();
    serde_json::to_string(&searcher.search_in(&snapshot, &request).unwrap()).unwrap()
}

fn empty_snapshot() -> Snapshot {
    Snapshot {
        commits: Arc::default(),
        held_back: None,
        texts: Default::default(),
        sets: Default::default(),
        tick: Tick(4),
        positions: Arc::default(),
        counters: Counters::default(),
        shards: vec![],
    }
}

const NOTHING: &str = r#"{"hits":[],"as_of":{"tick":4,"positions":{}}}"#;

#[test]
fn an_answer_names_the_snapshot_it_was_read_from() {
    let searcher = embedding_searcher();
    assert_eq!(answer(&searcher, r#"{"mode":"vector","query":"shoe"}"#), NOTHING);
    let newest = searcher
        .search(&parse(r#"{"vector":[1,0],"mode":"vector","limit":0}"#).unwrap())
        .unwrap();
    assert_eq!(newest.as_of.tick, Tick(9));
    assert_eq!(newest.as_of.positions["products/0"], 120);
    assert!(
        newest.took_ms.is_some_and(|ms| (0.0..10_000.0).contains(&ms)),
        "{:?}",
        newest.took_ms
    );
}

#[test]
fn hybrid_asks_only_the_legs_that_the_request_and_the_index_have() {
    let vectors_only = searcher(
        Index {
            text: vec![],
            ..index(ready_made())
        },
        None,
    );
    assert_eq!(
        answer(&vectors_only, r#"{"query":"shoe","vector":[1,0]}"#),
        NOTHING
    );
    assert_eq!(
        answer(&searcher(index(ready_made()), None), r#"{"vector":[1,0]}"#),
        NOTHING
    );
}

#[test]
fn a_text_without_a_direction_is_near_to_nothing() {
    assert_eq!(
        answer(&embedding_searcher(), r#"{"mode":"vector","query":" \n"}"#),
        NOTHING
    );
    let knows_no_word = searcher(index(embedding()), Some(Stub(|| Ok(vec![vec![0.0, 0.0]]))));
    assert_eq!(
        answer(&knows_no_word, r#"{"mode":"vector","query":"🦆"}"#),
        NOTHING
    );
}

#[test]
fn a_search_that_no_leg_can_answer_is_the_nodes_fault() {
    let cases: [(Stub, &str); 4] = [
        (
            Stub(|| {
                Err(EmbedError {
                    model: "stub".to_owned(),
                    reason: "refused".to_owned(),
                    retry: true,
                })
            }),
            "no leg could answer: vector leg: embed with model stub: refused",
        ),
        (
            Stub(|| panic!("an embedder's own mistake")),
            "no leg could answer: vector leg: it panicked; the log says where",
        ),
        (
            Stub(|| Ok(vec![vec![1.0, 0.0, 0.0]])),
            "no leg could answer: vector leg: model stub did not give one vector of the index's dimensions",
        ),
        (
            Stub(|| Ok(vec![])),
            "no leg could answer: vector leg: embed with model stub: not one vector for one text",
        ),
    ];
    for (stub, message) in cases {
        let error = fault(
            &searcher(index(embedding()), Some(stub)),
            r#"{"mode":"vector","query":"shoe"}"#,
        );
        assert_eq!(
            (error.code, error.kind, &*error.message),
            ("unavailable", ErrorKind::Unavailable, message)
        );
    }
}

#[test]
fn a_leg_that_fails_leaves_the_answer_to_the_other() {
    let broken = searcher(
        index(embedding()),
        Some(Stub(|| panic!("an embedder's own mistake"))),
    );
    let no_embedder = searcher(index(ready_made()), None);
    for (searcher, reason) in [
        (broken, "panicked"),
        (no_embedder, "no model that embeds `query`"),
    ] {
        let answer = searcher.search(&parse(r#"{"query":"shoe"}"#).unwrap()).unwrap();
        let failed = serde_json::to_value(&answer.failed).unwrap();
        assert_eq!(failed[0]["leg"], "vector");
        assert!(failed[0]["reason"].as_str().unwrap().contains(reason), "{failed}");
        assert_eq!(answer.failed.len(), 1);
    }
}

#[test]
fn stats_are_those_of_the_newest_snapshot() {
    let stats = serde_json::to_string_pretty(&embedding_searcher().stats()).unwrap();
    expect![[r#"
        {
          "documents": 0,
          "vectors": 0,
          "vectors_pending": 0,
          "vectors_stale": 0,
          "vectors_missing": 0,
          "vectors_failed": 0,
          "rows_held": 0,
          "vectors_unbuilt": 0,
          "tick": 9,
          "positions": {
            "products/0": 120
          },
          "messages": 6,
          "changes": 5,
          "collapsed": 4,
          "texts_needed": 9,
          "texts_embedded": 3,
          "texts_saved": 2,
          "texts_saved_shared": 1,
          "texts_saved_unchanged": 1,
          "texts_saved_cached": 0,
          "texts_withdrawn": 2,
          "texts_failed": 1,
          "embedding_seconds": 1.5,
          "embedding_seconds_saved": 1.0,
          "embedding_tokens": 600,
          "dead_letters": 1
        }"#]]
    .assert_eq(&stats);
}

#[test]
fn a_key_without_a_document_has_none() {
    assert!(embedding_searcher().document("28").is_none());
}
