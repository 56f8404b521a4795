//! Files that are wrong: all their faults at once, each with its line and what would be right.

use expect_test::{Expect, expect};

use super::{read, with_index};

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&read(text).expect_err("the file is at fault"));
}

/// An `[index]` over columns id, name and price of `products`, with its query on line 9.
fn check_index(rest: &str, expected: Expect) {
    let index = "[index]\nquery = \"SELECT id, name, price FROM products\"\n";
    check(&with_index(&format!("{index}{rest}")), expected);
}

fn check_query(query: &str, expected: Expect) {
    let index = format!("[index]\nkey = 'id'\ntext = {{ name = {{}} }}\nquery = \"{query}\"\n");
    check(&with_index(&index), expected);
}

fn check_source(source: &str, expected: Expect) {
    check(
        &format!("name = 'x'\n[tables.t]\nformat = 'canal-json'\nkey = 'id'\nsource = {source}\n"),
        expected,
    );
}

#[test]
fn all_faults_of_a_file_come_at_once() {
    check(
        r#"nmae = "products"

[tables.products]
source = { kind = "kafka", brokers = "", topc = "products", start = "erliest" }
format = "canal"
key = []
selct = "a.b"

[tables."a/b"]
source = { kind = "file", path = "x", framing = "record", follow = "yes", rate = 0 }
format = 5
key = ["id", "id"]

[index]
query = "SELECT id, name, colour, LENGTH(name) AS n FROM prodcts WHERE name REGEXP 'a' AND EXISTS (SELECT 1 FROM x)"
key = ["name"]
text = { naem = {}, name = { boost = 0, analyser = "english" } }
fields = { price = "decimal", colour = "Keyword" }
embed = "{name} {descr}"
metric = "cosinus"
fusion = { method = "rff" }

[embedder]
model = "defualt"
dimensions = 1
batch = 0
parallel = 65

[checkpoint]
interval = "5 sec"
"#,
        expect![[r#"
            x.toml:1: the file lacks `name`
                it must be a name for the dataflow and its index
            x.toml:1: unknown key `nmae`
                did you mean `name`?
            x.toml:4: `tables.products.source.brokers` is empty
                it must be the brokers as `"host:port,host:port"`
            x.toml:4: `tables.products.source` lacks `topic`
                it must be the name of a topic, or with `topics` a list of names
            x.toml:4: unknown start `erliest`
                did you mean `earliest`?
            x.toml:4: unknown key `topc` in `tables.products.source`
                did you mean `topic`?; librdkafka's settings stand in `options`
            x.toml:5: unknown format `canal`
                did you mean `canal-json`?
            x.toml:6: `tables.products.key` is empty
                it must be the list of the key's columns: `["id"]`
            x.toml:7: unknown key `selct` in `tables.products`
                did you mean `select`?
            x.toml:9: the name `a/b` cannot stand in a path
                letters, digits, `_`, `-` and `.`, beginning with a letter or digit, at most 100
            x.toml:10: unknown framing `record`
                did you mean `records`?
            x.toml:10: `tables.a/b.source.follow` is a string
                it must be `true` or `false`
            x.toml:10: `tables.a/b.source.rate` is out of range
                it must be a number of messages a second, more than 0
            x.toml:11: `tables.a/b.format` is an integer
                it must be one of `canal-json`, `debezium-json`, `maxwell-json`, `upsert-json`, `embedding-json`
            x.toml:12: `tables.a/b.key` names `id` twice
                once is enough
            x.toml:15: the table `prodcts` is not in this file
                did you mean `products`?
            x.toml:15: this expression is not supported: `name REGEXP 'a'`
                there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL
            x.toml:15: a subquery is not supported: `EXISTS (SELECT 1 FROM x)`
                a query is one `SELECT ... FROM table WHERE ...`
            x.toml:15: the function `LENGTH` is not supported
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            x.toml:17: `naem` in `index.text.naem` is not a column of the query
                did you mean `name`? it selects `id`, `name`, `colour`, `n`
            x.toml:17: `index.text.name.boost` is out of range
                it must be more than 0, at most 1000000
            x.toml:17: unknown key `analyser` in `index.text.name`
                did you mean `analyzer`?
            x.toml:18: `price` in `index.fields.price` is not a column of the query
                it selects `id`, `name`, `colour`, `n`
            x.toml:18: unknown kind of field `decimal`
                one of `keyword`, `i64`, `f64`, `bool`, `date`, `geo`
            x.toml:18: unknown kind of field `Keyword`
                did you mean `keyword`?
            x.toml:19: `index.embed`: `descr` is not a column of the query
                it selects `id`, `name`, `colour`, `n`
            x.toml:20: unknown metric `cosinus`
                did you mean `cosine`?
            x.toml:21: unknown method `rff`
                one of `relative`, `distribution`, `linear`, `rrf`
            x.toml:24: unknown model `defualt`
                did you mean `default`?
            x.toml:25: `embedder.dimensions` is out of range
                it must be a number from 2 to 4096
            x.toml:26: `embedder.batch` is out of range
                it must be a number of texts from 1 to 4096
            x.toml:27: `embedder.parallel` is out of range
                it must be a number from 1 to 64
            x.toml:30: `5 sec` is no time for `checkpoint.interval`
                it must be a time with its unit, such as `"500ms"`, `"5s"` or `"1m"`, from 10ms to 24h
            33 faults"#]],
    );
}

#[test]
fn an_empty_file_lacks_the_most() {
    check(
        "",
        expect![[r#"
        x.toml:1: the file lacks `name`
            it must be a name for the dataflow and its index
        x.toml:1: the file lacks `tables`
            it must be a section `[tables.NAME]` for each change stream
        2 faults"#]],
    );
    check(
        "name = ' '\ntables = {}\n",
        expect![[r#"
        x.toml:1: `name` is empty
            it must be a name for the dataflow and its index
        x.toml:2: there is no table
            it must be a section `[tables.NAME]` for each change stream
        2 faults"#]],
    );
}

#[test]
fn what_is_not_toml_is_one_fault() {
    check(
        "name = \"a\n[tables]\n",
        expect![[r#"
        x.toml:1: not TOML: invalid basic string, expected `"`
        1 fault"#]],
    );
    check(
        "name = 'a'\nname = 'b'\n",
        expect![[r#"
        x.toml:2: not TOML: duplicate key
        1 fault"#]],
    );
    check(
        "name = 'a'\n[index\n",
        expect![[r#"
        x.toml:2: not TOML: unclosed table, expected `]`
        1 fault"#]],
    );
}

#[test]
fn a_value_of_the_wrong_type_says_which_is_right() {
    check(
        r#"name = 1
tables = { t = { source = "kafka", format = ["canal-json"], key = 1, select = [1], columns = "x", claim_check = true } }
index = 3
embedder = "default"
checkpoint = 1979-05-27
"#,
        expect![[r#"
            x.toml:1: `name` is an integer
                it must be a name for the dataflow and its index
            x.toml:2: `tables.t.source` is a string
                it must be a table such as `{ kind = "file", path = "changes.ndjson" }`
            x.toml:2: `tables.t.format` is an array
                it must be one of `canal-json`, `debezium-json`, `maxwell-json`, `upsert-json`, `embedding-json`
            x.toml:2: `tables.t.key` is an integer
                it must be the list of the key's columns: `["id"]`
            x.toml:2: `tables.t.select` is an integer
                it must be `"database.table"` as the messages name it, or a list of such names
            x.toml:2: `tables.t.columns` is a string
                it must be a table such as `{ price = "decimal(10,2)" }`
            x.toml:2: `tables.t.claim_check` is a boolean
                it must be the directory of TiCDC's claim-check files
            x.toml:3: `index` is an integer
                it must be a section with `query` and `key`
            x.toml:4: `embedder` is a string
                it must be a section such as `model = "default"`
            x.toml:5: `checkpoint` is a date
                it must be a section with `interval = "5s"` or `bytes = "256MiB"`
            10 faults"#]],
    );
}

#[test]
fn a_name_that_cannot_stand_in_a_path_is_refused() {
    check(
        "name = 'a b'\n[tables.'tä']\nsource = { kind = 'http' }\nformat = 'upsert-json'\nkey = 'id'\n",
        expect![[r#"
            x.toml:1: the name `a b` cannot stand in a path
                letters, digits, `_`, `-` and `.`, beginning with a letter or digit, at most 100
            x.toml:2: the name `tä` cannot stand in a path
                letters, digits, `_`, `-` and `.`, beginning with a letter or digit, at most 100
            2 faults"#]],
    );
}

#[test]
fn a_source_says_what_it_needs() {
    check_source(
        "{ path = 'x' }",
        expect![[r#"
        x.toml:5: `tables.t.source` lacks `kind`
            it must be one of `kafka`, `file`, `http`
        1 fault"#]],
    );
    check_source(
        "{ kind = 'nats', subject = 'x' }",
        expect![[r#"
        x.toml:5: the source kind `nats` comes in a later version
            this one has `kafka`, `file`, `http`
        1 fault"#]],
    );
    check_source(
        "{ kind = 'kafak' }",
        expect![[r#"
        x.toml:5: unknown source kind `kafak`
            did you mean `kafka`?
        1 fault"#]],
    );
    check_source(
        "{ kind = 'file', topic = 'x' }",
        expect![[r#"
        x.toml:5: `tables.t.source` lacks `path`
            it must be the path of a file of changes
        x.toml:5: unknown key `topic` in `tables.t.source`
            one of `kind`, `path`, `framing`, `follow`, `rate`
        2 faults"#]],
    );
    check_source(
        "{ kind = 'http', path = 'x' }",
        expect![[r#"
        x.toml:5: unknown key `path` in `tables.t.source`
            there is only `kind`
        1 fault"#]],
    );
    check_source(
        "{ kind = 'kafka', brokers = 'a:1,,b:2', topics = [] }",
        expect![[r#"
            x.toml:5: `tables.t.source.brokers` names an empty broker
                it must be the brokers as `"host:port,host:port"`
            x.toml:5: `tables.t.source.topics` is empty
                it must be a list of topics
            2 faults"#]],
    );
    check_source(
        "{ kind = 'kafka', brokers = 'a:1', topic = 'a', topics = ['b', 'b'] }",
        expect![[r#"
            x.toml:5: `tables.t.source` has `topic` and `topics`
                one of them is enough
            1 fault"#]],
    );
    check_source(
        "{ kind = 'kafka', brokers = 'a:1', topic = 'a', start = -1, group = '' }",
        expect![[r#"
            x.toml:5: `tables.t.source.group` is empty
                it must be the group that offsets are committed to
            x.toml:5: `tables.t.source.start` is out of range
                it must be `"earliest"`, `"latest"`, an offset, or offsets by partition: `{ 0 = 120, 1 = 80 }`
            2 faults"#]],
    );
    check_source(
        "{ kind = 'kafka', brokers = 'a:1', topic = 'a', start = { a = 1, 1 = -1 } }",
        expect![[r#"
            x.toml:5: `a` is no partition
                partitions are numbers from 0: `{ 0 = 120, 1 = 80 }`
            x.toml:5: `tables.t.source.start.1` is out of range
                it must be an offset, from 0
            2 faults"#]],
    );
    check_source(
        "{ kind = 'kafka', brokers = 'a:1', topic = 'a', security.protocol = 'SSL' }",
        expect![[r#"
            x.toml:5: unknown key `security` in `tables.t.source`
                one of `kind`, `brokers`, `topic`, `topics`, `group`, `start`, `on_gap`, `options`; librdkafka's settings stand in `options`
            1 fault"#]],
    );
}

#[test]
fn what_follows_a_gap_is_one_of_two() {
    check_source(
        "{ kind = 'kafka', brokers = 'a:1', topic = 'a', on_gap = 'contniue', options = { 'auto.offset.reset' = 'latest' } }",
        expect![[r#"
            x.toml:5: unknown on_gap `contniue`
                did you mean `continue`?
            x.toml:5: the option `auto.offset.reset` is set by the node
                `start` says where reading begins, and `on_gap` what follows a gap
            2 faults"#]],
    );
}

#[test]
fn a_topic_for_dead_letters_names_all_its_faults() {
    let with = |rest: &str| {
        format!(
            "name = 'x'\n[tables.t]\nsource = {{ kind = 'http' }}\nformat = 'maxwell-json'\nkey = 'id'\n{rest}"
        )
    };
    check(
        &with(
            "[dead_letters]\nkafka = { brokers = 'a:1,', topic = 'dead letters', optoins = {} }\nkeep = 3\n",
        ),
        expect![[r#"
            x.toml:7: `dead_letters.kafka.brokers` names an empty broker
                it must be the brokers as `"host:port,host:port"`
            x.toml:7: `dead letters` is no name of a topic
                letters, digits, `_`, `-` and `.`, at most 249
            x.toml:7: unknown key `optoins` in `dead_letters.kafka`
                did you mean `options`?; librdkafka's settings stand in `options`
            x.toml:8: unknown key `keep` in `dead_letters`
                there is only `kafka`
            4 faults"#]],
    );
    check(
        &with(
            "[dead_letters]\nkafka = { options = { 'bootstrap.servers' = 'secret', 'sasl.password' = '${NO_SUCH_VARIABLE}' } }\n",
        ),
        expect![[r#"
            x.toml:7: `dead_letters.kafka` lacks `brokers`
                it must be the brokers as `"host:port,host:port"`
            x.toml:7: `dead_letters.kafka` lacks `topic`
                it must be the name of a topic
            x.toml:7: the environment variable `NO_SUCH_VARIABLE` is not set
                the option `sasl.password` takes its value from it
            x.toml:7: the option `bootstrap.servers` is set by the node
                `brokers` names them
            4 faults"#]],
    );
    check(
        &with("[dead_letters]\n"),
        expect![[r#"
        x.toml:6: `dead_letters` lacks `kafka`
            it must be a table such as `{ brokers = "host:port", topic = "dead-letters" }`
        1 fault"#]],
    );
}

#[test]
fn options_name_their_faults_and_never_their_values() {
    check_source(
        "{ kind = 'kafka', brokers = 'a:1', topic = 'a', options = { 'group.id' = 'secret', 'sasl.password' = '${NO_SUCH_VARIABLE}', 'ssl.key.password' = ['secret'] } }",
        expect![[r#"
            x.toml:5: `tables.t.source.options.ssl.key.password` is an array
                it must be a string, a number or a boolean
            x.toml:5: the environment variable `NO_SUCH_VARIABLE` is not set
                the option `sasl.password` takes its value from it
            x.toml:5: the option `group.id` is set by the node
                `group` names it
            3 faults"#]],
    );
}

#[test]
fn claim_checks_belong_to_canal() {
    check(
        "name = 'x'\n[tables.t]\nsource = { kind = 'http' }\nformat = 'maxwell-json'\nkey = 'id'\nclaim_check = 'd'\ncolumns = { a = 'strnig' }\n",
        expect![[r#"
            x.toml:6: `tables.t.claim_check` has no effect on `maxwell-json`
                claim-check files belong to TiCDC's `canal-json`
            x.toml:7: unknown type `strnig` of column `a`
                a type as in MySQL or PostgreSQL: `bigint`, `decimal(10,2)`, `datetime`, `enum('a','b')`
            2 faults"#]],
    );
}

#[test]
fn an_index_needs_something_to_search() {
    check_index(
        "key = 'id'",
        expect![[r#"
        x.toml:8: the index has nothing to search
            it must have `text`, `embed` or `vector`; without `[index]` only the tables are kept
        1 fault"#]],
    );
    check_index(
        "key = 'id'\ntext = {}\nfields = { price = 'f64' }",
        expect![[r#"
        x.toml:8: the index has nothing to search
            it must have `text`, `embed` or `vector`; without `[index]` only the tables are kept
        1 fault"#]],
    );
}

#[test]
fn the_key_of_an_index_is_the_key_of_its_table() {
    check_index(
        "text = { name = {} }",
        expect![[r#"
        x.toml:8: `index` lacks `key`
            it must be the key of the query's table: `"id"`, or a list of columns
        1 fault"#]],
    );
    check_index(
        "text = { name = {} }\nkey = ['id', 'name']",
        expect![[r#"
        x.toml:11: `index.key` is not the key of table `products`
            it must be "id"
        1 fault"#]],
    );
    check_index(
        "text = { name = {} }\nkey = 'sku'",
        expect![[r#"
        x.toml:11: `sku` in `index.key` is not a column of the query
            it selects `id`, `name`, `price`
        1 fault"#]],
    );
    check_query(
        "SELECT sku AS id, name, id AS real_id FROM products",
        expect![[r#"
            x.toml:9: `index.key` is not the key of table `products`
                it must be "real_id"
            1 fault"#]],
    );
    check_query(
        "SELECT id + 1 AS id, name FROM products",
        expect![[r#"
        x.toml:9: `index.key` is not the key of table `products`
            the query must select the columns of that key as they are: `id`
        1 fault"#]],
    );
}

#[test]
fn a_graph_that_cannot_be_is_refused_at_every_key() {
    let ready_made =
        "key = 'id'\nvector = 'price'\n[embedder]\nmodel = 'none'\ndimensions = 8\n[index.graph]";
    check_index(
        &format!(
            "{ready_made}\nm = 65\nef_construction = 4097\nef = 0\nbuilder = 'hnsw'\nquantization = 'int4'\noriginals = 'ssd'\n\
             reduce = {{ pca = 8 }}\nefconstruction = 3"
        ),
        expect![[r#"
            x.toml:16: `index.graph.m` is out of range
                it must be links of a row, from 2 to 64
            x.toml:17: `index.graph.ef_construction` is out of range
                it must be candidates for links, from `m` to 4096
            x.toml:18: `index.graph.ef` is out of range
                it must be the width of a search, from 1 to 10000
            x.toml:19: unknown builder `hnsw`
                did you mean `hnsw_rs`?
            x.toml:20: unknown quantization `int4`
                did you mean `int8`?
            x.toml:21: unknown place of the originals `ssd`
                one of `memory`, `disk`
            x.toml:22: `index.graph.reduce.pca` is out of range
                it must be dimensions to keep, from 2, fewer than the 8 of the vectors
            x.toml:23: unknown key `efconstruction` in `index.graph`
                did you mean `ef_construction`?
            8 faults"#]],
    );
    check_index(
        &format!("{ready_made}\nquantization = 'int16'\nreduce = {{ pca = 4 }}"),
        expect![[r#"
            x.toml:16: `int16` keeps whole vectors, and `reduce` cuts them
                leave `quantization` out, or say `int8` or `f16`
            1 fault"#]],
    );
    check_index(
        &format!("{ready_made}\nm = 32\nef_construction = 31\nef = 100\naccuracy = 1"),
        expect![[r#"
            x.toml:17: `index.graph.ef_construction` is out of range
                it must be candidates for links, from `m` (32) to 4096
            x.toml:19: `index.graph.accuracy` is out of range
                it must be the share of the nearest that a search finds, more than 0 and less than 1: `0.99`
            x.toml:19: the graph has `ef` and `accuracy`
                `accuracy` finds the width that `ef` would give: leave one out
            3 faults"#]],
    );
    check_index(
        &format!("{ready_made}\naccuracy = 0\nreduce = {{ pca = 4, truncate = 4 }}"),
        expect![[r#"
            x.toml:16: `index.graph.accuracy` is out of range
                it must be the share of the nearest that a search finds, more than 0 and less than 1: `0.99`
            x.toml:17: `index.graph.reduce` does not name one way to reduce
                it must be `{ pca = 128 }` or `{ truncate = 128 }`
            2 faults"#]],
    );
    check_index(
        &format!("{ready_made}\nm = 1\nreduce = {{ }}\naccuracy = 'high'"),
        expect![[r#"
            x.toml:16: `index.graph.m` is out of range
                it must be links of a row, from 2 to 64
            x.toml:17: `index.graph.reduce` does not name one way to reduce
                it must be `{ pca = 128 }` or `{ truncate = 128 }`
            x.toml:18: `index.graph.accuracy` is a string
                it must be the share of the nearest that a search finds, more than 0 and less than 1: `0.99`
            3 faults"#]],
    );
    check_index(
        &format!("{ready_made}\nreduce = {{ truncate = 1 }}"),
        expect![[r#"
            x.toml:16: `index.graph.reduce.truncate` is out of range
                it must be dimensions to keep, from 2, fewer than the 8 of the vectors
            1 fault"#]],
    );
    check_index(
        "key = 'id'\ntext = { name = {} }\ngraph = { m = 8 }",
        expect![[r#"
            x.toml:12: `index.graph` is for vectors, and `index` has none
                give `embed` or `vector`, or leave this out
            1 fault"#]],
    );
}

#[test]
fn vectors_come_from_one_place() {
    let text = "key = 'id'\ntext = { name = {} }";
    check_index(
        &format!("{text}\nembed = '{{name}}'\nvector = 'price'"),
        expect![[r#"
            x.toml:13: `index` has `embed` and `vector`
                either texts are embedded or vectors are ready-made
            1 fault"#]],
    );
    check_index(
        &format!("{text}\nvector = 'price'"),
        expect![[r#"
        x.toml:12: `vector` needs an embedder that is `none`
            it must be `[embedder] model = "none", dimensions = N`, N the length of the vectors
        1 fault"#]],
    );
    check_index(
        &format!("{text}\nvector = 'price'\n[embedder]\nmodel = 'hash'"),
        expect![[r#"
            x.toml:12: `vector` needs an embedder that is `none`
                it must be `[embedder] model = "none", dimensions = N`, N the length of the vectors
            1 fault"#]],
    );
    check_index(
        &format!("{text}\nvector = 'pirce'\n[embedder]\nmodel = 'none'"),
        expect![[r#"
            x.toml:12: `pirce` in `index.vector` is not a column of the query
                did you mean `price`? it selects `id`, `name`, `price`
            x.toml:13: `model = "none"` lacks `dimensions`
                it must be the length of the ready-made vectors: `dimensions = 384`
            2 faults"#]],
    );
    check_index(
        &format!("{text}\n[embedder]\nmodel = 'none'\ndimensions = 4097"),
        expect![[r#"
            x.toml:14: `embedder.dimensions` is out of range
                it must be a number from 2 to 4096
            1 fault"#]],
    );
    check_index(
        &format!("{text}\n[embedder]\nmodel = 'none'\ndimensions = 8"),
        expect![[r#"
            x.toml:8: `[embedder]` is `none`, and no column has vectors
                ready-made vectors are `vector = COLUMN` with `[embedder] model = "none", dimensions = N`
            1 fault"#]],
    );
    check_index(
        &format!("{text}\nembed = '{{name}}'\n[embedder]\nmodel = 'none'\ndimensions = 8"),
        expect![[r#"
            x.toml:12: `embed` needs a model, and `[embedder]` has `none`
                ready-made vectors are `vector = COLUMN` with `[embedder] model = "none", dimensions = N`
            1 fault"#]],
    );
    check_index(
        &format!("{text}\n[embedder]\ndimensions = 384"),
        expect![[r#"
        x.toml:13: the model in the binary has no 384 dimensions
            it has 256; `dimensions` is for `none` and `hash`
        1 fault"#]],
    );
    check(
        &with_index(
            "[index]\nquery = 'SELECT id, v || v AS v FROM products'\nkey = 'id'\nvector = 'v'\n[embedder]\nmodel = 'none'\ndimensions = 8",
        ),
        expect![[r#"
            x.toml:11: `v` is computed, and a vector is not
                the query must select a column of the table as it is; `AS` may rename it
            1 fault"#]],
    );
}

#[test]
fn a_template_names_columns_between_braces() {
    check_index(
        "key = 'id'\nembed = '{name} {{ {nam} {{{id'",
        expect![[r#"
            x.toml:11: `index.embed`: `nam` is not a column of the query
                it selects `id`, `name`, `price`
            x.toml:11: `index.embed`: `{id` is not closed
                a column is `{name}`; a brace itself is `{{`
            2 faults"#]],
    );
    check_index(
        "key = 'id'\nembed = '{} name }'",
        expect![[r#"
            x.toml:11: `index.embed`: `` is not a column of the query
                it selects `id`, `name`, `price`
            x.toml:11: `index.embed`: `}` closes nothing
                a column is `{name}`; a brace itself is `}}`
            2 faults"#]],
    );
    check_index(
        "key = 'id'\nembed = 'name'",
        expect![[r#"
            x.toml:11: `index.embed`: the template names no column
                a column is `{name}`
            1 fault"#]],
    );
}

#[test]
fn fusion_has_two_methods() {
    let text = "key = 'id'\ntext = { name = {} }\nfusion";
    check_index(
        &format!("{text} = {{ weight = 0.5 }}"),
        expect![[r#"
            x.toml:12: `index.fusion` lacks `method`
                it must be `"relative"`, `"distribution"`, `"linear"` or `"rrf"`
            1 fault"#]],
    );
    check_index(
        &format!("{text} = {{ method = 'relative', weight = 1.5, k = 60 }}"),
        expect![[r#"
            x.toml:12: `index.fusion.weight` is out of range
                it must be the vector leg's part, from 0 to 1
            x.toml:12: unknown key `k` in `index.fusion`
                one of `method`, `weight`
            2 faults"#]],
    );
    check_index(
        &format!("{text} = {{ method = 'rrf', k = 0, weights = {{ keyword = 0, vectr = 1 }} }}"),
        expect![[r#"
            x.toml:12: `index.fusion.k` is out of range
                it must be more than 0, at most 1000000
            x.toml:12: unknown key `vectr` in `index.fusion.weights`
                did you mean `vector`?
            2 faults"#]],
    );
    check_index(
        &format!("{text} = {{ method = 'rrf', weights = {{ keyword = 0, vector = 0 }} }}"),
        expect![[r#"
            x.toml:12: both weights are 0
                one leg at least must count
            1 fault"#]],
    );
}

#[test]
fn a_query_is_one_select_from_one_table() {
    check_query(
        "SELEC id FROM products",
        expect![[r#"
            x.toml:11: SQL: expected SELECT, VALUES, or a subquery in the query body, found: SELEC
                a query is one `SELECT ... FROM table WHERE ...`
            1 fault"#]],
    );
    check_query(
        "SELECT id, name FROM products WHERE",
        expect![[r#"
            x.toml:11: SQL: expected an expression, found: EOF
                a query is one `SELECT ... FROM table WHERE ...`
            1 fault"#]],
    );
    check_query(
        "SELECT id, name FROM products; DROP TABLE products",
        expect![[r#"
            x.toml:11: SQL: `DROP` is not expected here
                a query is one `SELECT ... FROM table WHERE ...`
            1 fault"#]],
    );
    check_query(
        "SELECT id, name FROM products WHERE name = 'a",
        expect![[r#"
            x.toml:11: SQL: Unterminated string literal
                a query is one `SELECT ... FROM table WHERE ...`
            1 fault"#]],
    );
    check_query(
        "DELETE FROM products",
        expect![[r#"
        x.toml:11: anything but `SELECT` is not supported
            a query is one `SELECT ... FROM table WHERE ...`
        1 fault"#]],
    );
    check_query(
        "SELECT * FROM products",
        expect![[r#"
        x.toml:11: `*` is not supported
            SELECT names the columns: the stream may bring new ones at any time
        1 fault"#]],
    );
    check_query(
        "SELECT id, name, price * 2 FROM products",
        expect![[r#"
        x.toml:11: the expression `price * 2` has no name
            `AS` gives it one: `LOWER(name) AS name`
        1 fault"#]],
    );
    check_query(
        "SELECT id, name, NAME, price AS name FROM products",
        expect![[r#"
            x.toml:11: the query has two columns `name`
                `AS` gives one of them another name
            1 fault"#]],
    );
    check_query(
        "SELECT id, name FROM products, orders",
        expect![[r#"
        x.toml:11: several tables in FROM are not supported
            a query is one `SELECT ... FROM table WHERE ...`
        1 fault"#]],
    );
    check_query(
        "SELECT id, name FROM products JOIN orders ON a = b",
        expect![[r#"
            x.toml:11: JOIN is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            1 fault"#]],
    );
    check_query(
        "SELECT id, name FROM (SELECT id, name FROM products) p",
        expect![[r#"
            x.toml:11: a subquery in FROM is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            1 fault"#]],
    );
    check_query(
        "SELECT id, name FROM shop.products",
        expect![[r#"
        x.toml:11: the table `shop.products` has a qualified name
            FROM takes the NAME of `[tables.NAME]`; `select` there takes `database.table`
        1 fault"#]],
    );
    check_query(
        "SELECT o.id, name FROM products AS p",
        expect![[r#"
        x.toml:11: `o` is not the table in FROM
            that is `p`
        1 fault"#]],
    );
    check_query(
        "SELECT id, name",
        expect![[r#"
        x.toml:11: the query has no FROM
            a query is one `SELECT ... FROM table WHERE ...`
        1 fault"#]],
    );
    check_query(
        "WITH x AS (SELECT 1) SELECT DISTINCT id, name FROM products GROUP BY id HAVING id > 1 ORDER BY id LIMIT 3",
        expect![[r#"
            x.toml:11: WITH is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            x.toml:11: ORDER BY is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            x.toml:11: LIMIT is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            x.toml:11: DISTINCT is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            x.toml:11: GROUP BY is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            x.toml:11: HAVING is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            6 faults"#]],
    );
    check_query(
        "SELECT id, name FROM products UNION SELECT id, name FROM products",
        expect![[r#"
            x.toml:11: UNION is not supported
                a query is one `SELECT ... FROM table WHERE ...`
            1 fault"#]],
    );
}

#[test]
fn an_expression_that_is_not_supported_is_named() {
    let check = |condition: &str, expected| {
        check_query(
            &format!("SELECT id, name FROM products WHERE {condition}"),
            expected,
        );
    };
    check(
        "NOW() > made AND COUNT(*) > 1 AND LOWER(a, b) = LOWER(DISTINCT a)",
        expect![[r#"
            x.toml:11: the function `NOW` is for filters
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            x.toml:11: this form of a function is not supported: `COUNT(*)`
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            x.toml:11: LOWER with 2 arguments
                it takes one
            x.toml:11: this form of a function is not supported: `LOWER(DISTINCT a)`
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            4 faults"#]],
    );
    check(
        "id IN (SELECT id FROM products)",
        expect![[r#"
        x.toml:11: a subquery is not supported: `id IN (SELECT id FROM products)`
            a query is one `SELECT ... FROM table WHERE ...`
        1 fault"#]],
    );
    check(
        "made > DATE '2024-01-01'",
        expect![[r#"
        x.toml:11: a literal with a type is not supported: `DATE '2024-01-01'`
            dates and times are text: '2024-05-31'
        1 fault"#]],
    );
    check(
        "made > NOW() - INTERVAL '1' DAY",
        expect![[r#"
            x.toml:11: the function `NOW` is for filters
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            1 fault"#]],
    );
    check(
        "(a, b) = (1, 2)",
        expect![[r#"
        x.toml:11: a list outside of IN is not supported: `(a, b)`
            there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL
        x.toml:11: a list outside of IN is not supported: `(1, 2)`
            there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL
        2 faults"#]],
    );
    check(
        "a::int = 1",
        expect![[r#"
        x.toml:11: this form of CAST is not supported: `a::INT`
            `CAST(price AS TEXT)`
        1 fault"#]],
    );
    check(
        "CAST(a AS DATE) = 1 OR CAST(a AS DECIMAL(300,200)) = 1",
        expect![[r#"
            x.toml:11: CAST to `DATE` is not supported
                CAST makes TEXT, INT, DOUBLE, DECIMAL(p,s), BOOLEAN or TIMESTAMP
            x.toml:11: the scale 200 is out of range
                from 0 to 100
            2 faults"#]],
    );
    check(
        "a IS TRUE",
        expect![[r#"
        x.toml:11: IS TRUE or IS FALSE is not supported: `a IS TRUE`
            there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL
        1 fault"#]],
    );
    check(
        "name ~ 'a' OR a & 1",
        expect![[r#"
        x.toml:11: the operator `~` is not supported
            there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL
        x.toml:11: the operator `&` is not supported
            there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL
        2 faults"#]],
    );
    check(
        "name LIKE 'a' ESCAPE 'ab'",
        expect![[r#"
        x.toml:11: the escape `'ab'` is not a character
            one character in quotes: `ESCAPE '!'`
        1 fault"#]],
    );
    check(
        "a = 1e999 OR a = X'00'",
        expect![[r#"
        x.toml:11: the literal `1e999` is not supported
            literals are numbers, 'text' in single quotes, TRUE, FALSE and NULL
        x.toml:11: the literal `X'00'` is not supported
            literals are numbers, 'text' in single quotes, TRUE, FALSE and NULL
        2 faults"#]],
    );
    check(
        "SUBSTRING(name, 1, 2) = 'a'",
        expect![[r#"
            x.toml:11: this function is not supported: `SUBSTRING(name, 1, 2)`
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            1 fault"#]],
    );
}

#[test]
fn sql_over_several_lines_names_the_line_of_the_file() {
    check(
        &with_index(
            "[index]\nkey = 'id'\ntext = { name = {} }\nquery = \"\"\"\nSELECT id, name\nFROM products\nWHERE NOW() = 1\n  AND LENGTH(name) > 1\"\"\"\n",
        ),
        expect![[r#"
            x.toml:14: the function `NOW` is for filters
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            x.toml:15: the function `LENGTH` is not supported
                there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance and geo_within; in filters also contains_any, contains_all and now
            2 faults"#]],
    );
}

#[test]
fn a_model_by_its_path_or_url_says_what_it_lacks_and_tells_no_secret() {
    let model = |rest: &str, expected: Expect| {
        check_index(
            &format!("key = 'id'\nembed = '{{name}}'\n[embedder]\n{rest}"),
            expected,
        );
    };
    model(
        "model = {}",
        expect![[r#"
        x.toml:13: `embedder.model` has neither `path` nor `url`
            it must be `{ path = "FOLDER" }` or `{ url = "https://...", api = "openai", name = "...", dimensions = N }`
        1 fault"#]],
    );
    model(
        "model = { path = '', max_tokens = 2, query_prefix = 1, url_ = 'x' }",
        expect![[r#"
            x.toml:13: `embedder.model.path` is empty
                it must be the folder of a model, or its ONNX file
            x.toml:13: `embedder.model.query_prefix` is an integer
                it must be a text such as `"query: "`
            x.toml:13: `embedder.model.max_tokens` is out of range
                it must be a number of tokens from 3 to 65536
            x.toml:13: unknown key `url_` in `embedder.model`
                did you mean `url`?
            4 faults"#]],
    );
    model(
        "model = { path = '/m', url = 'https://x' }",
        expect![[r#"
        x.toml:13: the model has `path` and `url`
            it either lies on this machine or is asked for over HTTP
        1 fault"#]],
    );
    model(
        "model = { path = '/m' }\ndimensions = 384",
        expect![[r#"
        x.toml:14: `dimensions` does not belong here
            a model by `path` has those of its files, one by `url` names them beside it
        1 fault"#]],
    );
    model(
        "model = { url = 'https://me:secret@x/y', api = 'open-ai', nmae = 'x', key_env = 'sk-secret', timeout = 5 }",
        expect![[r#"
            x.toml:13: `embedder.model.url` has a name or a password
                a key comes from the environment: `key_env = "NAME_OF_THE_VARIABLE"`
            x.toml:13: unknown api `open-ai`
                did you mean `openai`?
            x.toml:13: `embedder.model` lacks `name`
                it must be the name by which the service knows the model
            x.toml:13: `embedder.model` lacks `dimensions`
                it must be the length of the model's vectors, from 2 to 4096
            x.toml:13: `embedder.model.key_env` is no name of a variable
                it must be the name of the environment variable that has the key, such as `OPENAI_API_KEY`
            x.toml:13: `embedder.model.timeout` is an integer
                it must be a time with its unit, such as `"500ms"`, `"5s"` or `"1m"`, from 10ms to 24h
            x.toml:13: unknown key `nmae` in `embedder.model`
                did you mean `name`?
            7 faults"#]],
    );
    model(
        "model = { url = 'x.org/embed', api = 'tei', name = 'm', dimensions = 1, batch_tokens = 0 }",
        expect![[r#"
            x.toml:13: `embedder.model.url` is no URL
                it must be the URL of the endpoint itself, such as `https://api.openai.com/v1/embeddings`
            x.toml:13: `embedder.model.dimensions` is out of range
                it must be the length of the model's vectors, from 2 to 4096
            x.toml:13: `embedder.model.batch_tokens` is out of range
                it must be a number of tokens from 1 to 10000000
            3 faults"#]],
    );
}
