//! A dataflow file that has changed: what is stored stays, is indexed again, or needs the user's word.

use std::path::Path;
use std::sync::Arc;

use millpond::change::{Columns, Datum, Key, Row, Tick};
use millpond::checkpoint::{
    Change, Cut, OpenError, Recovered, Shape, Store, StoredKey, StoredState, TableCut, TextVector,
};
use millpond::definition::parse;
use millpond::storage::Memory;

use super::support::{Random, version};

const FILE: &str = r#"
name = "shop"
[tables.orders]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[tables.products]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, name, price FROM products WHERE price > 1"
key = "id"
text = { name = { boost = 2.0 } }
fields = { price = "f64" }
embed = "{name}"
"#;

fn shape(file: &str) -> Shape {
    shape_with(file, ("model@1", 256), 1)
}

/// All vector fields of the file are embedded by this model.
fn shape_with(file: &str, model: (&str, usize), shards: usize) -> Shape {
    let definition = parse(file, "shop.toml", Path::new("")).unwrap();
    let fields = definition.index.as_ref().map_or(0, |index| index.vectors.len());
    Shape::of(&definition, &vec![Some(model); fields], shards)
}

/// What follows from replacing text in the file.
fn change(from: &str, to: &str) -> Change {
    let file = FILE.replace(from, to);
    assert_ne!(file, FILE, "{from}");
    shape(FILE).compare(&shape(&file))
}

#[test]
fn additive_changes_are_applied_and_others_need_a_rebuild() {
    let reindex = |from: &str, to: &str, reason: &str| match change(from, to) {
        Change::Reindex { reason: found } => assert_eq!(found, reason),
        other => panic!("{to}: {other:?}"),
    };
    let rebuild = |from: &str, to: &str, reason: &str| match change(from, to) {
        Change::Rebuild { reason: found } => assert_eq!(found, reason),
        other => panic!("{to}: {other:?}"),
    };
    assert_eq!(shape(FILE).compare(&shape(FILE)), Change::Same);
    assert_eq!(
        change("shop", "other"),
        Change::Same,
        "the index's name is not stored"
    );
    let more =
        "[tables.more]\nsource = { kind = \"http\" }\nformat = \"upsert-json\"\nkey = [\"id\"]\n[index]";
    assert_eq!(change("[index]", more), Change::Same, "a new table begins empty");

    let tuned = "embed = \"{name}\"\n[index.graph]\nm = 8\nef_construction = 64\naccuracy = 0.9\n\
                 builder = \"hnsw_rs\"\nreduce = { pca = 8 }";
    assert_eq!(
        change("embed = \"{name}\"", tuned),
        Change::Same,
        "a graph is tuned by and by, or made again by the vector leg alone"
    );

    reindex(
        "boost = 2.0",
        "boost = 3.0",
        "text field name was name english, boost 2 and is name english, boost 3",
    );
    reindex(
        "boost = 2.0",
        "boost = 2.0, analyzer = \"edge_ngram\", max = 9, ascii_folding = true",
        "text field name was name english, boost 2 and is name edge_ngram 1 to 9 with ASCII folding, boost 2",
    );
    reindex(
        "embed = ",
        "stop_words = [\"sale\"]\nembed = ",
        "text field name was name english, boost 2 and is name english, boost 2, stop words [\"sale\"]",
    );
    assert_eq!(
        change("embed = ", "synonyms = [[\"tv\", \"telly\"]]\nembed = "),
        Change::Same,
        "synonyms are looked up when a query comes"
    );
    reindex(
        "price = \"f64\"",
        "price = \"f64\", name = \"keyword\"",
        "filter field name is new",
    );
    reindex("price = \"f64\"", "", "filter field price is gone");
    reindex(
        "price = \"f64\"",
        "price = { kind = \"geo\", lat = \"price\", lon = \"id\" }",
        "filter field price was price f64 and is price geo with id",
    );
    // Segments know fields by their place.
    let two = FILE.replace("{ name = { boost = 2.0 } }", "{ name = {}, price = {} }");
    let swapped = two.replace("{ name = {}, price = {} }", "{ price = {}, name = {} }");
    assert_eq!(
        shape(&two).compare(&shape(&swapped)),
        Change::Reindex {
            reason: "the order of fields was name, price, price and is price, name, price".into()
        }
    );
    reindex(
        "> 1",
        "> 2",
        "the query was SELECT id AS id, name AS name, price AS price FROM products WHERE price > 1 \
         and is SELECT id AS id, name AS name, price AS price FROM products WHERE price > 2",
    );
    reindex("embed = \"{name}\"", "", "the vectors default are gone");

    let rekeyed = FILE
        .replace("key = [\"id\"]\n[index]", "key = [\"id\", \"name\"]\n[index]")
        .replace("key = \"id\"", "key = [\"id\", \"name\"]");
    assert_eq!(
        shape(FILE).compare(&shape(&rekeyed)),
        Change::Rebuild {
            reason: "the key of table products was id and is id, name".into()
        }
    );
    rebuild("tables.orders", "tables.invoices", "table orders is gone");
    rebuild(
        "embed = \"{name}\"",
        "embed = \"{name} {price}\"",
        "where vectors come from was \"{name}\" by model model@1, 256 dimensions \
         and is \"{name} {price}\" by model model@1, 256 dimensions",
    );

    let now = |model, dimensions, shards| shape(FILE).compare(&shape_with(FILE, (model, dimensions), shards));
    assert!(matches!(now("model@2", 256, 1), Change::Rebuild { .. }));
    assert!(matches!(now("model@1", 384, 1), Change::Rebuild { .. }));
    assert!(matches!(now("model@1", 256, 2), Change::Reindex { .. }));
}

fn row(id: i64, sku: &str) -> Option<StoredKey> {
    let columns = Columns::new(["id", "sku"]);
    Some(StoredKey {
        version: version(&mut Random::new(id as u64 + 1)),
        state: StoredState::Row(Row::new(columns, [Datum::Int(id), Datum::text(sku)])),
    })
}

/// Two tables of some rows, a deleted key and a text.
fn stored() -> Memory {
    let memory = Memory::new();
    let (mut store, _) = Store::open(Arc::new(memory.clone()), shape(FILE), None).unwrap();
    let table = |keys| TableCut {
        truncated: None,
        keys,
    };
    let id = |id: i64| Key::new([Datum::Int(id)]);
    let deleted = StoredKey {
        version: version(&mut Random::new(1)),
        state: StoredState::Deleted { before: None },
    };
    let products = vec![(id(3), row(3, "a")), (id(1), row(1, "c")), (id(2), Some(deleted))];
    let positions = [("orders/0", 4), ("products/0", 9)];
    store
        .write(Cut {
            tick: Tick(7),
            positions: positions.map(|(name, at)| (name.to_owned(), at)).into(),
            partitions: Default::default(),
            tables: vec![table(vec![(id(1), row(1, "o"))]), table(products)],
            texts: [(millpond::change::TextHash(1), Some(TextVector::Failed))].into(),
            shards: Vec::new(),
            sets: Default::default(),
            forgotten: Vec::new(),
        })
        .unwrap();
    memory
}

fn texts(recovered: &Recovered, table: &str) -> String {
    let keys = recovered.tables[table].keys.iter();
    let keys: Vec<String> = keys.map(|(key, _)| key.to_string()).collect();
    keys.join(" ")
}

#[test]
fn rows_and_vectors_of_texts_outlive_an_additive_change() {
    let memory = stored();
    let now = shape(&FILE.replace("boost = 2.0", "boost = 5.0"));
    let (_, recovered) = Store::open(Arc::new(memory), now, None).unwrap();
    let recovered = recovered.unwrap();
    assert!(matches!(recovered.change, Change::Reindex { .. }));
    assert_eq!(texts(&recovered, "products"), "1 2 3");
    assert_eq!(recovered.texts.len(), 1);
}

#[test]
fn a_rebuild_is_refused_with_its_reason_unless_it_is_asked_for() {
    let memory = stored();
    let now = shape(
        &FILE
            .replace("tables.orders", "tables.invoices")
            .replace("key = [\"id\"]\n[index]", "key = [\"sku\"]\n[index]")
            .replace("SELECT id,", "SELECT id, sku,")
            .replace("key = \"id\"", "key = \"sku\""),
    );
    let open = |rebuild| Store::open(Arc::new(memory.clone()), now.clone(), rebuild);
    let error = open(None).err().unwrap();
    assert!(matches!(error, OpenError::NeedsRebuild { .. }));
    for expected in [
        "table orders is gone",
        "the key of table products was id and is sku",
        "--rebuild",
    ] {
        assert!(error.to_string().contains(expected), "{error}");
    }

    let rekey = |table: &str, row: &Row| {
        assert_eq!(table, "products");
        row.get("sku").map(|sku| Key::new([sku.to_datum()]))
    };
    let (mut store, recovered) = open(Some(&rekey)).unwrap();
    let recovered = recovered.unwrap();
    assert_eq!(texts(&recovered, "products"), "a c");
    assert!(!recovered.tables.contains_key("orders"));
    assert!(recovered.texts.is_empty());
    assert!(
        recovered.before.is_none(),
        "the index before cannot be read without its file"
    );
    assert_eq!(
        recovered.positions.keys().collect::<Vec<_>>(),
        ["products/0"],
        "orders, should they come again, begin anew"
    );

    // Until a checkpoint is written the old state is there.
    assert!(matches!(
        open(None).err().unwrap(),
        OpenError::NeedsRebuild { .. }
    ));
    let key = Key::new([Datum::text("b")]);
    let products = TableCut {
        truncated: None,
        keys: vec![(key, row(2, "b"))],
    };
    store
        .write(Cut {
            tick: Tick(8),
            positions: recovered.positions,
            partitions: recovered.partitions,
            tables: vec![TableCut::default(), products],
            texts: Default::default(),
            shards: Vec::new(),
            sets: Default::default(),
            forgotten: Vec::new(),
        })
        .unwrap();
    let (_, recovered) = open(None).unwrap();
    let recovered = recovered.unwrap();
    assert_eq!(recovered.change, Change::Same);
    assert_eq!(texts(&recovered, "products"), "a b c");
}

#[test]
fn a_rebuild_has_the_index_before_with_its_file_its_rows_and_its_vectors() {
    let memory = stored();
    let open = |shape, rebuild| Store::open(Arc::new(memory.clone()), shape, rebuild).unwrap();
    let file = parse(FILE, "shop.toml", Path::new("")).unwrap().kept;
    let (mut store, recovered) = open(shape(FILE), None);
    store.keep_file(file.clone());
    let recovered = recovered.unwrap();
    assert!(recovered.before.is_none(), "it is the one of now");
    store
        .write(Cut {
            tick: Tick(8),
            positions: recovered.positions,
            partitions: recovered.partitions,
            tables: vec![TableCut::default(), TableCut::default()],
            texts: Default::default(),
            shards: Vec::new(),
            sets: Default::default(),
            forgotten: Vec::new(),
        })
        .unwrap();

    let rekeyed = FILE
        .replace("key = [\"id\"]\n[index]", "key = [\"sku\"]\n[index]")
        .replace("SELECT id,", "SELECT id, sku,")
        .replace("key = \"id\"", "key = \"sku\"");
    let rekey = |_: &str, row: &Row| row.get("sku").map(|sku| Key::new([sku.to_datum()]));
    let (_, recovered) = open(shape(&rekeyed), Some(&rekey));
    let mut recovered = recovered.unwrap();
    assert_eq!(texts(&recovered, "products"), "a c");
    let before = recovered.before.take().unwrap();
    assert_eq!((before.tick, &before.file), (Tick(8), &file));
    assert_eq!(before.shape, shape(FILE));
    assert_eq!(before.texts.len(), 1);
    recovered.tables = before.tables;
    assert_eq!(texts(&recovered, "products"), "1 2 3", "under the keys of then");
}
