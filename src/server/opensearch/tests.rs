//! Bodies of searches as they are read, and what is refused, by name.

use std::time::Duration;

use serde_json::{Value, json};

use super::body::{self, Search};
use super::test_index;
use crate::change::{Datum, Float};
use crate::definition::{Fusion, LegAmounts};
use crate::index::keyword::{BoolQuery, KeywordQuery, MinimumMatch, TextFields, Typos, WordsQuery};
use crate::query::{Asked, TotalBound, TotalRequest};

fn read(body: Value) -> Result<Search, String> {
    body::read(&test_index(), &body, Duration::from_secs(30)).map_err(|refusal| refusal.reason)
}

fn asked(body: Value) -> Asked {
    *read(body).unwrap().request.asked.unwrap()
}

fn words(query: Value) -> KeywordQuery {
    asked(json!({ "query": query })).words.unwrap()
}

fn in_fields(text: &str, fields: TextFields, minimum: MinimumMatch) -> KeywordQuery {
    KeywordQuery::Words(WordsQuery {
        text: text.to_owned(),
        fields,
        minimum,
        typos: Typos::Off,
    })
}

/// A query of words: where the analyser leaves none of them, it finds nothing.
fn of_words(text: &str, fields: TextFields, minimum: MinimumMatch) -> KeywordQuery {
    KeywordQuery::OrNone(Box::new(in_fields(text, fields, minimum)))
}

/// The condition of a query on values, as SQL.
fn condition(query: Value) -> String {
    match words(query) {
        KeywordQuery::Matching(condition) => condition.to_string(),
        other => panic!("{other:?} is no condition"),
    }
}

#[test]
fn what_a_body_leaves_out_is_as_opensearch_has_it() {
    let search = read(json!({})).unwrap();
    assert_eq!((search.from, search.request.limit), (0, 10));
    let total = TotalRequest::UpTo(TotalBound { up_to: 10_000 });
    assert_eq!(search.request.total, Some(total));
    assert_eq!(search.request.asked.unwrap().words, Some(KeywordQuery::All));
    let name = || Some(vec![(0, 2.0)]);
    assert_eq!(
        words(json!({"match": {"name": "red shoe"}})),
        of_words("red shoe", name(), MinimumMatch::Any),
        "any of the words, without typing errors"
    );
    assert_eq!(
        words(json!({"match": {"name": {"query": "red shoe", "operator": "AND"}}})),
        of_words("red shoe", name(), MinimumMatch::All)
    );
}

#[test]
fn a_condition_on_values_is_the_expression_of_a_filter() {
    for (query, sql) in [
        (json!({"term": {"category": "home"}}), "category IN ('home')"),
        (
            json!({"term": {"category.keyword": {"value": 5}}}),
            "category IN ('5')",
        ),
        (json!({"terms": {"price": [1, 2.5]}}), "price IN (1, 2.5e0)"),
        (json!({"match": {"price": "7"}}), "price IN ('7')"),
        (json!({"range": {"price": {"gte": 1, "lt": null}}}), "price >= 1"),
        (json!({"prefix": {"category": "50%"}}), "category LIKE '50\\%%'"),
        (json!({"ids": {"values": ["7"]}}), "CAST(id AS TEXT) IN ('7')"),
        (json!({"match_none": {}}), "FALSE"),
    ] {
        assert_eq!(condition(query.clone()), sql, "{query}");
    }
    let day = condition(json!({"range": {"made": {"gt": "2026-01-31"}}}));
    assert_eq!(day, "made > '2026-01-31T23:59:59.999999Z'", "the day is over");
}

#[test]
fn a_filter_matches_and_does_not_score() {
    let query = json!({"bool": {
        "must": {"match": {"name": "red"}},
        "filter": [{"match": {"description": "soft"}}],
        "must_not": [{"match_all": {}}],
        "minimum_should_match": 1,
    }});
    let soft = of_words("soft", Some(vec![(1, 1.0)]), MinimumMatch::Any);
    let expected = BoolQuery {
        must: vec![
            of_words("red", Some(vec![(0, 2.0)]), MinimumMatch::Any),
            KeywordQuery::Boost(Box::new(soft), 0.0),
        ],
        should: vec![],
        must_not: vec![KeywordQuery::All],
        minimum_should_match: Some(1),
    };
    assert_eq!(words(query), KeywordQuery::Bool(expected));
}

#[test]
fn words_that_all_must_be_there_must_be_in_one_field_unless_fields_are_crossed() {
    let query = |kind: &str| {
        words(json!({"multi_match": {
            "query": "red shoe", "fields": ["name", "desc*^3"], "operator": "and", "type": kind,
        }}))
    };
    let one = |field| in_fields("red shoe", Some(vec![field]), MinimumMatch::All);
    let either = BoolQuery {
        should: vec![one((0, 2.0)), one((1, 3.0))],
        minimum_should_match: Some(1),
        ..BoolQuery::default()
    };
    let either = KeywordQuery::OrNone(Box::new(KeywordQuery::Bool(either)));
    assert_eq!(query("best_fields"), either);
    let both = Some(vec![(0, 2.0), (1, 3.0)]);
    assert_eq!(
        query("cross_fields"),
        of_words("red shoe", both, MinimumMatch::All)
    );
}

#[test]
fn a_hybrid_query_asks_each_leg_by_itself() {
    let pipeline = json!({"phase_results_processors": [{"normalization-processor": {
        "normalization": {"technique": "min_max"},
        "combination": {"technique": "arithmetic_mean", "parameters": {"weights": [0.25, 0.75]}},
    }}]});
    let asked = asked(json!({
        "query": {"hybrid": {"queries": [
            {"match": {"name": "red"}},
            {"knn": {"embedding": {"vector": [1, 0, 0.5], "k": 5, "filter": {"match_all": {}}}}},
        ]}},
        "search_pipeline": pipeline,
    }));
    assert_eq!(
        asked.words,
        Some(of_words("red", Some(vec![(0, 2.0)]), MinimumMatch::Any))
    );
    let near = asked.nearest.unwrap();
    assert_eq!(
        (near.vector, near.k, near.among),
        (vec![1.0, 0.0, 0.5], 5, Some(KeywordQuery::All))
    );
    let weights = LegAmounts {
        keyword: 0.25,
        vector: 0.75,
    };
    assert_eq!(asked.fusion, Some(Fusion::Mean(weights)));
}

#[test]
fn only_words_that_were_looked_for_are_highlighted_and_only_there() {
    let body = |highlight: Value| {
        read(json!({
            "query": {"bool": {
                "must": {"match": {"name": "red"}},
                "must_not": {"match": {"name": "soft"}},
                "filter": {"term": {"category": "home"}},
            }},
            "highlight": highlight,
        }))
    };
    let fields = json!({"fields": {"*": {}}});
    let search = body(fields).unwrap();
    assert_eq!(
        search.request.highlight.unwrap().fields,
        Some(vec!["name".to_owned()])
    );
    assert_eq!(search.request.asked.unwrap().highlighted.as_deref(), Some("red"));
    let everywhere = body(json!({"fields": {"*": {}}, "require_field_match": false})).unwrap();
    let shown = everywhere.request.highlight.unwrap().fields.unwrap();
    assert_eq!(shown, ["name", "description"]);
}

#[test]
fn a_page_goes_on_behind_numbers_and_dates_to_their_last_digit() {
    let after = |by: &str, value: &str| {
        let body = format!(r#"{{"sort": ["{by}"], "search_after": [{value}]}}"#);
        let after = asked(serde_json::from_str(&body).unwrap()).after.unwrap();
        after.into_iter().next().unwrap().unwrap()
    };
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..10_000 {
        bits = bits.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        let number = f64::from_bits(bits);
        if number.is_finite() {
            let written = serde_json::to_string(&number).unwrap();
            assert_eq!(after("price", &written), Datum::Float(Float(number)), "{written}");
        }
    }
    for (written, micros) in [
        ("1767225600000000001", 1_767_225_600_000_000),
        ("-1", -1),
        (r#""9999-12-31T23:59:59.999999Z""#, 253_402_300_799_999_999),
        (r#""0001-01-01T00:00:00Z""#, -62_135_596_800_000_000),
    ] {
        assert_eq!(after("made", written), Datum::Int(micros), "{written}");
    }
}

#[test]
fn whatever_is_not_known_is_refused_by_its_name() {
    let near = json!({"vector": [1, 2, 3], "k": 5});
    for (body, named) in [
        (json!({"nonsense": 1}), "nonsense"),
        (json!({"query": {"wildcard": {"name": "a*"}}}), "wildcard"),
        (json!({"query": {"match": {}, "term": {}}}), "[match] and [term]"),
        (
            json!({"query": {"match": {"name": {"query": "a", "fuzziness": 1}}}}),
            "fuzziness",
        ),
        (
            json!({"query": {"match": {"name": {"query": "a", "minimum_should_match": "2<75%"}}}}),
            "minimum_should_match",
        ),
        (json!({"query": {"match": {"name": ["a"]}}}), "name"),
        (
            json!({"query": {"multi_match": {"query": "a", "type": "bool_prefix"}}}),
            "bool_prefix",
        ),
        (
            json!({"query": {"multi_match": {"query": "a", "tie_breaker": 0.3}}}),
            "tie_breaker",
        ),
        (
            json!({"query": {"multi_match": {"query": "a", "fields": ["category"]}}}),
            "category",
        ),
        (json!({"query": {"term": {"name": "Two words"}}}), "[match]"),
        (json!({"query": {"term": {"colour": "a"}}}), "colour"),
        (json!({"query": {"terms": {"price": ["cheap"]}}}), "cheap"),
        (json!({"query": {"range": {"name": {"gt": "a"}}}}), "name"),
        (json!({"query": {"range": {"price": {"above": 1}}}}), "above"),
        (json!({"query": {"range": {"made": {"gt": "now-7d"}}}}), "now-7d"),
        (
            json!({"query": {"range": {"made": {"gt": "01/02/2026", "format": "dd/MM/yyyy"}}}}),
            "format",
        ),
        (json!({"query": {"prefix": {"price": "1"}}}), "price"),
        (json!({"query": {"bool": {"mustnot": []}}}), "mustnot"),
        (json!({"query": {"bool": {"must": {"hybrid": {}}}}}), "hybrid"),
        (json!({"query": {"knn": {"title": near}}}), "title"),
        (
            json!({"query": {"knn": {"embedding": {"vector": [1], "k": 5, "max_distance": 1}}}}),
            "max_distance",
        ),
        (
            json!({"query": {"hybrid": {"queries": [{"knn": {"embedding": near}}, {"knn": {"embedding": near}}]}}}),
            "more than one",
        ),
        (json!({"search_pipeline": "mine"}), "by name"),
        (
            json!({"search_pipeline": {"phase_results_processors": [{"normalization-processor": {"normalization": {"technique": "l2"}}}]}}),
            "l2",
        ),
        (
            json!({"search_pipeline": {"phase_results_processors": [{"normalization-processor": {"combination": {"technique": "geometric_mean"}}}]}}),
            "geometric_mean",
        ),
        (json!({"sort": "name"}), "name"),
        (json!({"sort": [{"price": {"mode": "avg"}}]}), "avg"),
        (
            json!({"sort": [{"price": {"unmapped_type": "long"}}]}),
            "unmapped_type",
        ),
        (json!({"sort": ["price"], "search_after": [1, 2]}), "search_after"),
        (json!({"sort": ["price"], "search_after": ["a"]}), "search_after"),
        (json!({"search_after": [1]}), "search_after"),
        (json!({"_source": "embedding.x"}), "embedding.x"),
        (
            json!({"highlight": {"fields": {"name": {"boundary_scanner": "word"}}}}),
            "boundary_scanner",
        ),
        (
            json!({"aggs": {"a": {"terms": {"field": "category", "missing": "x"}}}}),
            "missing",
        ),
        (json!({"aggs": {"a": {"terms": {"field": "name"}}}}), "name"),
        (json!({"aggs": {"a": {"filter": {"term": {}}}}}), "a"),
        (
            json!({"min_score": 1, "aggs": {"a": {"terms": {"field": "category"}}}}),
            "min_score",
        ),
        (json!({"track_scores": true}), "track_scores"),
        (json!({"timeout": "soon"}), "soon"),
        (json!({"from": -1}), "from"),
    ] {
        let reason = read(body.clone()).expect_err(&body.to_string());
        assert!(reason.contains(named), "{body}: {reason}");
    }
}

#[test]
fn depth_and_number_of_queries_are_bounded() {
    let mut deep = json!({"match_all": {}});
    for _ in 0..40 {
        deep = json!({"bool": {"must": deep}});
    }
    assert!(read(json!({"query": deep})).unwrap_err().contains("deep"));
    let many = vec![json!({"match_all": {}}); 1_100];
    assert!(
        read(json!({"query": {"bool": {"should": many}}}))
            .unwrap_err()
            .contains("clauses")
    );
}
