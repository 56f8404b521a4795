//! Files that are right: what comes of them, and their pictures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::{Expect, expect};
use millpond::change::{Columns, Datum, Row, TableId};
use millpond::definition::{
    Analyzer, Api, Builder, ColumnType, Effort, FieldKind, Format, Framing, Fusion, Index, KafkaStart,
    LegAmounts, LocalModel, Metric, Model, OnGap, Originals, Quantization, ReadyMade, Reduce, ServiceModel,
    SourceSettings, Tuning, VectorColumn, VectorSource, load,
};

use super::{read, with_index};

/// The file that the design shows, comments and all.
const DESIGN: &str = r#"
name = "products"

[tables.products]
source = { kind = "kafka", brokers = "127.0.0.1:9092", topic = "tidb-products-cdc", group = "millpond" }
format = "canal-json"          # canal-json | debezium-json | maxwell-json | upsert-json | embedding-json
key    = ["id"]

# A topic that mixes tables, a replay file, types that the messages do not carry:
# select  = "mystore.products"  # or a list: database.table or schema.table as the messages name it; messages of other tables are skipped, not
#           dead-lettered. Flattened Debezium and plain upserts name none (`__table` is metadata): there it is the topic's last two segments, or the one it has.
#           Without `select` everything is taken.
# columns = { price = "decimal(10,2)", made = "date", status = "enum('draft','published')" }
# claim_check = "DIR"           # where TiCDC's claim-check files lie
# source  = { kind = "file", path = "changes.ndjson", framing = "records" }   # "values" (default): a message a line;
#           "records": {"topic","partition","offset","key","value","headers","timestamp"} a line, key and value as wire text or null;
#           headers (a list of [name, text]) and timestamp may be missing

[index]                        # may be left out: then only the tables are kept
query  = "SELECT id, name, description, category, price, stock_quantity FROM products WHERE status = 'published'"
key    = "id"
text   = { name = { boost = 2.0 }, description = {} }         # may be left out: vector search only
fields = { category = "keyword", price = "f64", stock_quantity = "i64" }   # filter, sort, facet
embed  = "{name}\n{description}"       # or, for ready-made vectors: vector = "embedding", a column with an array of numbers or base64 (standard alphabet, padded) of little-endian f32
#                                        neither: keyword search only
[embedder]                     # may be left out: the default
model = "default"              # built in; or { path = ... }, { url = ... }; "none" with dimensions = 384 for ready-made vectors
batch = 16                     # texts a request, and
parallel = 4                   # requests at once (defaults for a url)

[checkpoint]
interval = "5s"
"#;

#[test]
fn the_file_of_the_design_is_right() {
    let definition = read(DESIGN).unwrap();
    assert_eq!(definition.name, "products");
    assert_eq!(definition.checkpoint.interval, Duration::from_secs(5));
    let (id, table) = definition.table("products").unwrap();
    assert_eq!(
        (id, table.format, &table.key),
        (TableId(0), Format::CanalJson, &vec!["id".to_owned()])
    );
    let SourceSettings::Kafka(kafka) = &table.source else {
        panic!("not Kafka")
    };
    assert_eq!((&*kafka.brokers, &*kafka.group), ("127.0.0.1:9092", "millpond"));
    assert_eq!(
        (&kafka.topics, &kafka.start),
        (&vec!["tidb-products-cdc".to_owned()], &KafkaStart::Earliest)
    );

    let index = definition.index.unwrap();
    assert_eq!(
        index.plan.columns,
        ["id", "name", "description", "category", "price", "stock_quantity"]
    );
    assert_eq!((index.key, index.vectors[0].metric), (vec![0], Metric::Cosine));
    let text: Vec<_> = index
        .text
        .iter()
        .map(|text| (&*text.name, text.column, text.boost, text.analyzer))
        .collect();
    assert_eq!(
        text,
        [
            ("name", 1, 2.0, Analyzer::ENGLISH),
            ("description", 2, 1.0, Analyzer::ENGLISH)
        ]
    );
    let fields: Vec<_> = index
        .fields
        .iter()
        .map(|field| (&*field.name, field.column, field.kind))
        .collect();
    assert_eq!(
        fields,
        [
            ("category", 3, FieldKind::Keyword),
            ("price", 4, FieldKind::F64),
            ("stock_quantity", 5, FieldKind::I64)
        ]
    );
    assert_eq!(index.fusion, Fusion::Relative { weight: 0.2 });
    let VectorSource::Embed {
        template, embedder, ..
    } = &index.vectors[0].source
    else {
        panic!("not embedded")
    };
    assert_eq!(
        (embedder.model.clone(), embedder.batch, embedder.parallel),
        (Model::Default, 16, 4)
    );
    let values = ["1", " shoe ", "red\n", "", "", ""].map(Datum::text);
    let row = Row::new(Columns::new(["a", "b", "c", "d", "e", "f"]), values);
    assert_eq!(template.render(&row).as_deref(), Some("shoe \nred"));
}

#[test]
fn every_key_of_a_table_is_read() {
    let definition = read(
        r#"
name = "all"
[tables.one]
source = { kind = "file", path = "changes.ndjson.gz", framing = "records", follow = true, rate = 2.5 }
format = "canal-json"
key = ["tenant", "id"]
select = ["a.one", "b.one"]
columns = { price = "decimal(10,2)", status = "enum('draft','published')" }
claim_check = "claims"
[tables.two]
source = { kind = "http" }
format = "upsert-json"
key = "id"
select = "a.two"
[checkpoint]
interval = "1.5m"
"#,
    )
    .unwrap();
    let one = &definition.tables[0];
    let SourceSettings::File(file) = &one.source else {
        panic!("not a file")
    };
    assert_eq!(file.path, Path::new("/flows/changes.ndjson.gz"));
    assert_eq!(
        (file.framing, file.follow, file.rate),
        (Framing::Records, true, Some(2.5))
    );
    assert_eq!(
        (one.key.join("+"), one.select.join("+")),
        ("tenant+id".to_owned(), "a.one+b.one".to_owned())
    );
    assert_eq!(one.columns["price"], ColumnType::Decimal { scale: Some(2) });
    assert_eq!(
        one.columns["status"],
        ColumnType::Enum(vec!["draft".to_owned(), "published".to_owned()])
    );
    assert_eq!(one.claim_check, Some(PathBuf::from("/flows/claims")));
    let two = &definition.tables[1];
    assert!(matches!(two.source, SourceSettings::Http));
    assert_eq!(
        (two.key.join("+"), two.select.join("+")),
        ("id".to_owned(), "a.two".to_owned())
    );
    assert_eq!(definition.checkpoint.interval, Duration::from_secs(90));
    assert!(definition.index.is_none());
}

/// Kafka's settings from what stands in its source beside kind, brokers and topic.
fn kafka(rest: &str) -> millpond::definition::KafkaSettings {
    let text = format!(
        "name = 'k'\n[tables.t]\nformat = 'maxwell-json'\nkey = 'id'\n[tables.t.source]\nkind = 'kafka'\nbrokers = 'a:1,b:2'\n{rest}"
    );
    match read(&text).unwrap().tables.remove(0).source {
        SourceSettings::Kafka(kafka) => kafka,
        other => panic!("{other:?}"),
    }
}

#[test]
fn kafka_starts_where_the_file_says() {
    let start = |start: &str| kafka(&format!("topic = 't'\nstart = {start}")).start;
    assert_eq!(start("'earliest'"), KafkaStart::Earliest);
    assert_eq!(start("'latest'"), KafkaStart::Latest);
    assert_eq!(start("1_000"), KafkaStart::Offset(1000));
    assert_eq!(
        start("{ 0 = 120, 1 = 80 }"),
        KafkaStart::Offsets([(0, 120), (1, 80)].into())
    );
    assert_eq!(kafka("topics = ['a', 'b']").topics, ["a", "b"]);
    assert_eq!(kafka("topics = 'a'").group, "millpond");
}

#[test]
fn a_gap_stops_a_partition_unless_the_file_says_otherwise() {
    assert_eq!(kafka("topic = 't'").on_gap, OnGap::Stop);
    assert_eq!(kafka("topic = 't'\non_gap = 'stop'").on_gap, OnGap::Stop);
    assert_eq!(kafka("topic = 't'\non_gap = 'continue'").on_gap, OnGap::Continue);
}

#[test]
fn dead_letters_may_go_to_a_topic() {
    let text = "name = 'k'\n[tables.t]\nformat = 'maxwell-json'\nkey = 'id'\nsource = { kind = 'http' }\n";
    assert!(read(text).unwrap().dead_letters.is_none());
    let section = "[dead_letters]\nkafka = { brokers = 'a:1', topic = 'dead', options = { sasl.password = 'hunter2' } }\n";
    let definition = read(&format!("{text}{section}")).unwrap();
    let topic = definition.dead_letters.as_ref().unwrap();
    assert_eq!((&*topic.brokers, &*topic.topic), ("a:1", "dead"));
    assert_eq!(topic.options["sasl.password"], "hunter2");
    let shown = format!("{definition:?}{}", definition.picture());
    assert!(
        shown.contains("dead letters also to kafka dead at a:1") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn kafka_options_may_be_dotted_or_quoted_and_come_from_the_environment() {
    let options = kafka(
        r#"topic = "t"
[tables.t.source.options]
"security.protocol" = "SASL_SSL"
sasl.password = "${PATH}"
sasl.username = "$PATH"
"fetch.wait.max.ms" = 50
"socket.keepalive.enable" = true
"#,
    )
    .options;
    let path = std::env::var("PATH").unwrap();
    let expected = [
        ("fetch.wait.max.ms", "50"),
        ("sasl.password", &path),
        ("sasl.username", "$PATH"),
        ("security.protocol", "SASL_SSL"),
        ("socket.keepalive.enable", "true"),
    ];
    assert!(
        options
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .eq(expected)
    );
}

#[test]
fn ready_made_vectors_reach_the_table_by_its_own_name_for_the_column() {
    let definition = read(&with_index(
        r#"[index]
query = "SELECT p.id AS doc, p.v AS embedding FROM products p"
key = ["doc"]
vector = "embedding"
metric = "l2"
[embedder]
model = "none"
dimensions = 384
"#,
    ))
    .unwrap();
    let expected = VectorColumn {
        name: "v".to_owned(),
        dimensions: 384,
        metric: Metric::L2,
        is_mixed: false,
    };
    assert_eq!(definition.tables[0].vectors, [expected]);
    let index = definition.index.unwrap();
    assert!(matches!(
        index.vectors[0].source,
        VectorSource::Column(ReadyMade {
            column: 1,
            dimensions: 384,
            model: None
        })
    ));
    assert_eq!(
        (index.key, index.fusion),
        (vec![0], Fusion::Relative { weight: 0.5 })
    );
}

/// The tuning that these lines of `[index.graph]` give an index of so many dimensions, and its picture.
fn tuning(dimensions: usize, lines: &str) -> (Tuning, String) {
    let definition = read(&with_index(&format!(
        "[index]\nquery = 'SELECT id, v FROM products'\nkey = 'id'\nvector = 'v'\n[index.graph]\n{lines}\n\
         [embedder]\nmodel = 'none'\ndimensions = {dimensions}"
    )))
    .unwrap();
    let picture = definition.picture();
    let leg = picture.lines().find(|line| line.contains("+----- vector"));
    let leg = leg.unwrap_or_default().trim_start().to_owned();
    (definition.index.unwrap().vectors.remove(0).tuning, leg)
}

#[test]
fn the_graph_is_tuned_by_names_that_the_field_knows() {
    let usual = Tuning::default();
    assert_eq!(
        (usual.links, usual.build_width, usual.effort),
        (16, 128, Effort::Usual)
    );
    assert_eq!(
        tuning(384, ""),
        (
            usual,
            "+----- vector   cosine, 384 dimensions, ready-made in v".to_owned()
        )
    );
    let (all, picture) = tuning(
        384,
        "m = 64\nef_construction = 64\naccuracy = 0.99\nbuilder = 'hnsw_rs'\nquantization = 'int8'\noriginals = 'memory'\nreduce = { pca = 383 }",
    );
    let expected = Tuning {
        links: 64,
        build_width: 64,
        effort: Effort::Accuracy(0.99),
        builder: Builder::HnswRs,
        quantization: Quantization::Int8,
        originals: Some(Originals::Memory),
        reduce: Some(Reduce::Pca(383)),
    };
    assert_eq!(all, expected);
    assert!(
        picture
            .ends_with(", m 64, ef_construction 64, accuracy 0.99, vectors in memory, reduced to 383 by pca, built by hnsw_rs"),
        "{picture}"
    );
    let (some, picture) = tuning(
        4096,
        "m = 2\nef = 10000\nquantization = 'f16'\noriginals = 'disk'\nreduce = { truncate = 2 }",
    );
    let expected = Tuning {
        links: 2,
        effort: Effort::Width(10_000),
        quantization: Quantization::F16,
        originals: Some(Originals::Disk),
        reduce: Some(Reduce::Truncate(2)),
        ..usual
    };
    assert_eq!(some, expected);
    assert!(
        picture.ends_with(", m 2, ef 10000, rows of f16, vectors on disk, cut to 2"),
        "{picture}"
    );
}

#[test]
fn vectors_have_2_to_4096_dimensions() {
    for dimensions in [2, 4_096] {
        let embedded = read(&with_index(&format!(
            "[index]\nquery = 'SELECT id, name FROM products'\nkey = 'id'\nembed = '{{name}}'\n\
             [embedder]\nmodel = 'hash'\ndimensions = {dimensions}"
        )));
        let VectorSource::Embed { embedder, .. } = embedded.unwrap().index.unwrap().vectors.remove(0).source
        else {
            panic!("not embedded")
        };
        assert_eq!(embedder.model, Model::Hash { dimensions });
        assert!(
            tuning(dimensions, "")
                .1
                .contains(&format!("{dimensions} dimensions"))
        );
    }
}

#[test]
fn a_composite_key_keeps_its_order() {
    let definition = read(
        r#"
name = "documents"
[tables.documents]
source = { kind = "http" }
format = "debezium-json"
key = ["tenant", "id"]
[index]
query = '''
SELECT title, id AS document, tenant
FROM documents
'''
key = ["tenant", "document"]
text = { title = { analyzer = "simple" } }
"#,
    )
    .unwrap();
    let index = definition.index.unwrap();
    assert_eq!(index.key, [2, 1]);
    assert_eq!(index.text[0].analyzer, Analyzer::SIMPLE);
    assert!(index.vectors.is_empty());
}

#[test]
fn fusion_and_embedder_have_defaults_that_fit_each_other() {
    let index = |rest: &str| {
        let head = "[index]\nquery = 'SELECT id, name FROM products'\nkey = 'id'\ntext.name = {}\nembed = '{name}'\n";
        read(&with_index(&format!("{head}{rest}")))
            .unwrap()
            .index
            .unwrap()
    };
    let embedder = |rest: &str| match index(rest).vectors.remove(0).source {
        VectorSource::Embed { embedder, .. } => embedder,
        other => panic!("{other:?}"),
    };
    assert_eq!(index("").fusion, Fusion::Relative { weight: 0.2 });
    assert_eq!(
        index("[embedder]\nmodel = 'hash'").fusion,
        Fusion::Relative { weight: 0.35 }
    );
    assert_eq!(
        index("fusion = { method = 'relative', weight = 0.75 }").fusion,
        Fusion::Relative { weight: 0.75 }
    );
    assert_eq!(
        index("fusion = { method = 'rrf' }").fusion,
        Fusion::Rrf {
            k: 60.0,
            weights: LegAmounts {
                keyword: 1.0,
                vector: 1.0
            },
            window: None,
        }
    );
    assert_eq!(
        index("fusion = { method = 'rrf', k = 10, weights = { vector = 0 } }").fusion,
        Fusion::Rrf {
            k: 10.0,
            weights: LegAmounts {
                keyword: 1.0,
                vector: 0.0
            },
            window: None,
        }
    );
    for model in [
        "{ path = '/m' }",
        "{ url = 'http://x', api = 'tei', name = 'm', dimensions = 8 }",
    ] {
        let fusion = index(&format!("[embedder]\nmodel = {model}")).fusion;
        assert_eq!(fusion, Fusion::Relative { weight: 0.35 });
    }
    let default = embedder("");
    assert_eq!(
        (default.model, default.batch, default.parallel),
        (Model::Default, 16, 1)
    );
    assert_eq!(embedder("[embedder]\ndimensions = 256").model, Model::Default);
    assert_eq!(
        embedder("[embedder]\nmodel = 'hash'").model,
        Model::Hash { dimensions: 256 }
    );
    assert_eq!(
        embedder("[embedder]\nmodel = 'hash'\ndimensions = 2").model,
        Model::Hash { dimensions: 2 }
    );
}

#[test]
fn a_file_is_loaded_from_disk_beside_its_paths() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    let text = "name = 'x'\n[tables.t]\nsource = { kind = 'file', path = 'a/b.ndjson' }\nformat = 'upsert-json'\nkey = 'id'\n";
    std::fs::write(&path, text).unwrap();
    let definition = load(&path).unwrap();
    let SourceSettings::File(file) = &definition.tables[0].source else {
        panic!("not a file")
    };
    assert_eq!(file.path, directory.path().join("a/b.ndjson"));

    let missing = load(&directory.path().join("y.toml")).unwrap_err().to_string();
    assert!(
        missing.contains("y.toml: the file cannot be read: No such file"),
        "{missing}"
    );
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    let long = load(&path).unwrap_err().to_string();
    assert!(long.contains("the file is longer than 1048576 bytes"), "{long}");
}

fn check_picture(text: &str, expected: Expect) {
    expected.assert_eq(&read(text).unwrap().picture());
}

#[test]
fn the_picture_shows_the_way_of_the_data() {
    check_picture(
        DESIGN,
        expect![[r#"
            dataflow products

            source    kafka tidb-products-cdc at 127.0.0.1:9092, group millpond, from the earliest
               |
            decode    canal-json
               |
            collapse  table products: the latest row of each (id)
               |
            filter    status = 'published'
               |
            project   id, name, description, category, price, stock_quantity
               |
            embed     "{name}\n{description}" by the model in the binary
               |
               +----- keyword  name (english, boost 2), description (english, boost 1)
               |
               +----- vector   cosine
               |
               +----- filters  category (keyword), price (f64), stock_quantity (i64)
               |
            answer    index products, key (id), legs fused by score, vector 0.2

            checkpoint every 5s
        "#]],
    );
}

#[test]
fn the_picture_shows_every_table_and_no_secret() {
    check_picture(
        r#"
name = "mixed"
[tables.vectors]
source = { kind = "file", path = "vectors.ndjson", follow = true, rate = 100 }
format = "embedding-json"
key = ["tenant", "id"]
[tables.orders]
source = { kind = "kafka", brokers = "b:9092", topics = ["o1", "o2"], start = { 0 = 5 }, options = { "sasl.password" = "hush" } }
format = "canal-json"
key = ["id"]
select = "shop.orders"
columns = { total = "decimal(10,2)" }
claim_check = "claims"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = """
SELECT tenant, id, embedding AS v, LOWER(title) AS title, price * 1.19 AS gross
FROM vectors
WHERE NOT deleted AND (lang IN ('de', 'en') OR lang IS NULL) AND title LIKE 'a%'
"""
key = ["tenant", "id"]
text = { title = { boost = 0.5, analyzer = "simple" } }
vector = "v"
metric = "dot"
fusion = { method = "rrf", weights = { keyword = 2 } }
fields = { gross = "f64" }
[embedder]
model = "none"
dimensions = 8
[checkpoint]
interval = "250ms"
"#,
        expect![[r#"
            dataflow mixed

            source    file /flows/vectors.ndjson, a message a line, followed as it grows, 100 messages a second
               |
            decode    embedding-json
               |
            collapse  table vectors: the latest row of each (tenant, id)
               |
            filter    (NOT deleted) AND (lang IN ('de', 'en') OR lang IS NULL) AND title LIKE 'a%'
               |
            project   tenant, id, embedding AS v, LOWER(title) AS title, price * 1.19 AS gross
               |
               +----- keyword  title (simple, boost 0.5)
               |
               +----- vector   dot product, 8 dimensions, ready-made in v
               |
               +----- filters  gross (f64)
               |
            answer    index mixed, key (tenant, id), legs fused by rank, k 60, keyword 2, vector 1

            source    kafka o1, o2 at b:9092, group millpond, from offsets 0@5
               |      with sasl.password
               |
            decode    canal-json, only shop.orders, types given for total, claim checks in /flows/claims
               |
            collapse  table orders: the latest row of each (id)
               |
            keep      the rows; no index reads them

            source    http POST /v1/tables/notes/changes
               |
            decode    upsert-json
               |
            collapse  table notes: the latest row of each (id)
               |
            keep      the rows; no index reads them

            checkpoint every 250ms
        "#]],
    );
}

#[test]
fn models_lie_beside_the_file_or_behind_a_url() {
    let embedder = |model: &str| {
        let head =
            "[index]\nquery = 'SELECT id, name FROM products'\nkey = 'id'\nembed = '{name}'\n[embedder]\n";
        let definition = read(&with_index(&format!("{head}model = {model}"))).unwrap();
        // What is kept lies nowhere, and still finds the model.
        let again = definition.kept.parse().unwrap().index.unwrap();
        let embedder = |mut index: Index| match index.vectors.remove(0).source {
            VectorSource::Embed { embedder, .. } => embedder,
            other => panic!("{other:?}"),
        };
        let (found, again) = (embedder(definition.index.unwrap()), embedder(again));
        assert_eq!(found, again);
        found
    };
    let local = |path: &str| LocalModel {
        path: path.into(),
        query_prefix: None,
        document_prefix: None,
        tokens_max: None,
    };
    let found = embedder("{ path = 'models/m' }");
    assert_eq!(found.model, Model::Local(local("/flows/models/m")));
    assert_eq!(found.batch, 32);
    let found = embedder("{ path = '/m', query_prefix = 'query: ', document_prefix = '', max_tokens = 128 }");
    let expected = LocalModel {
        query_prefix: Some("query: ".into()),
        document_prefix: Some(String::new()),
        tokens_max: Some(128),
        ..local("/m")
    };
    assert_eq!(found.model, Model::Local(expected));

    let usual = ServiceModel {
        url: "https://x:8443/v1/embeddings".into(),
        api: Api::OpenAi,
        name: "m".into(),
        dimensions: 768,
        query_prefix: None,
        document_prefix: None,
        key_variable: None,
        timeout: Duration::from_secs(30),
        batch_tokens: 8_192,
    };
    let found =
        embedder("{ url = 'https://x:8443/v1/embeddings', api = 'openai', name = 'm', dimensions = 768 }");
    assert_eq!(
        (&found.model, found.batch, found.parallel),
        (&Model::Service(usual.clone()), 16, 4)
    );
    let found = embedder(
        "{ url = 'http://x/api/embed', api = 'ollama', name = 'm', dimensions = 768, key_env = 'A_KEY', timeout = '1.5s', batch_tokens = 7, document_prefix = 'passage: ' }\nbatch = 64\nparallel = 9",
    );
    let expected = ServiceModel {
        url: "http://x/api/embed".into(),
        api: Api::Ollama,
        key_variable: Some("A_KEY".into()),
        timeout: Duration::from_millis(1_500),
        batch_tokens: 7,
        document_prefix: Some("passage: ".into()),
        ..usual
    };
    assert_eq!(
        (found.model, found.batch, found.parallel),
        (Model::Service(expected), 64, 9)
    );
}
