//! Bodies of searches and pushes, behind HTTP itself: the first byte of an input chooses, the rest is the body.
//!
//! A search goes over an index that stays as it is. Pushes, two where `0xFE` separates them, go through a table's
//! push and, where they change something, through a whole dataflow, each into its own tick.

use std::sync::{Arc, LazyLock};

use millpond::change::{Offset, TableId};
use millpond::definition::Definition;
use millpond::intake::{DeadLetters, Intake};
use millpond::metrics::Metrics;
use millpond::query::SearchRequest;
use millpond::replay::Replay;
use millpond::source::http::PushTable;
use millpond::storage::Memory;

use super::changes::check_json;
use super::dataflows::{SEPARATOR, definition, filled, formats};

thread_local! {
    static EMBEDDED: Replay = filled(definition(&shop("hash")), ROWS);
    static READY_MADE: Replay = filled(definition(&shop("none")), ROWS);
    static PORTS: Vec<Port> = FORMATS.iter().map(port).collect();
}

static FORMATS: LazyLock<Vec<Arc<Definition>>> = LazyLock::new(formats);

/// Both legs, and fields of every kind.
fn shop(model: &str) -> String {
    let vectors = match model {
        "none" => "vector = 'v'",
        _ => "embed = '{name}'",
    };
    format!(
        r#"
name = "shop"
tables.shop = {{ source = {{ kind = "http" }}, format = "upsert-json", key = ["id"] }}
embedder = {{ model = "{model}", dimensions = 4 }}
[index]
query = "SELECT id, name, text, price, stock, sold, brand, v FROM shop"
key = "id"
text = {{ name = {{ boost = 2.0 }}, text = {{ analyzer = "simple" }} }}
fields = {{ price = "f64", stock = "i64", sold = "bool", brand = "keyword" }}
{vectors}
"#
    )
}

const ROWS: &[&str] = &[
    r#"{"id":"1","name":"red running shoes","text":"light","price":"19.99","stock":5,"sold":false,"brand":"acme","v":[1,0,0,0]}"#,
    r#"{"id":"a/2","name":"blue shoe","text":"don't <b>C++</b>","price":1e3,"stock":-1,"sold":true,"brand":"Zeta","v":[0,1,0,0]}"#,
    r#"{"id":"é","name":"Ünder wear","text":"","price":null,"stock":null,"sold":null,"brand":null,"v":null}"#,
    r#"{"id":"4","name":null,"text":"shoes shoes shoes","price":0,"stock":9223372036854775807,"sold":1,"brand":"","v":[0.5,0.5,0,0]}"#,
];

pub fn run(data: &[u8]) {
    let Some((&choice, body)) = data.split_first() else {
        return;
    };
    match usize::from(choice) % (FORMATS.len() + 6) {
        0..3 => EMBEDDED.with(|shop| search(shop, body)),
        3..6 => READY_MADE.with(|shop| search(shop, body)),
        choice => push(choice - 6, body),
    }
}

fn search(shop: &Replay, body: &[u8]) {
    let Ok(request) = serde_json::from_slice::<SearchRequest>(body) else {
        return;
    };
    let searcher = shop.searcher().expect("the dataflow has an index");
    let snapshot = shop.snapshot();
    let answer = match searcher.search_in(&snapshot, &request) {
        Ok(answer) => answer,
        Err(error) => {
            assert!(error.kind == millpond::query::ErrorKind::Request, "{error:?}");
            assert!(
                !error.message.trim().is_empty() && !error.code.is_empty(),
                "{error:?}"
            );
            return;
        }
    };
    assert!(answer.hits.len() <= request.limit);
    assert!(
        answer.hits.iter().all(|hit| hit.score.is_finite()),
        "{:?}",
        answer.hits
    );
    assert!(
        answer.hits.is_sorted_by(|a, b| a.score >= b.score),
        "{:?}",
        answer.hits
    );
    for hit in &answer.hits {
        assert!(snapshot.document(&hit.key).is_some());
        check_json(hit.document.get().as_bytes());
    }
    let written = serde_json::to_vec(&answer).expect("an answer is JSON");
    let again = searcher
        .search_in(&snapshot, &request)
        .expect("it was answered before");
    assert_eq!(serde_json::to_vec(&again).expect("an answer is JSON"), written);
}

fn push(table: usize, data: &[u8]) {
    let bodies: Vec<&[u8]> = data.split(|byte| *byte == SEPARATOR[0]).take(2).collect();
    // A dataflow costs milliseconds: only what changes something goes through one.
    if PORTS.with(|ports| ports[table](&bodies)) > 0 {
        flow(&FORMATS[table], &bodies);
    }
}

/// What a table says of each push: all lines, in order, at offsets without gaps. Gives the number of changes.
type Port = Box<dyn Fn(&[&[u8]]) -> usize>;

fn port(definition: &Arc<Definition>) -> Port {
    let (intake, queue) = Intake::new(
        definition.clone(),
        DeadLetters::discard(),
        Metrics::default(),
        Arc::new(|| {}),
    );
    Box::new(move |bodies| {
        let storage = Arc::new(Memory::default());
        let table = PushTable::open(storage, "t", &*intake.receivers(TableId(0))).expect("it opens");
        let mut taken = 0;
        for body in bodies {
            let count = lines(body).len() as u64;
            let pushed = table.push(body, None).expect("there is room");
            taken += count;
            assert_eq!(pushed.position, taken.checked_sub(1).map(Offset));
            assert!(pushed.accepted <= count);
            // A line of several rows may be dead-lettered more than once, and no line is lost.
            assert!(pushed.accepted + pushed.dead_letters >= count);
        }
        let batches = queue.try_iter().inspect(|batch| intake.taken(batch));
        batches.map(|batch| batch.changes.len()).sum()
    })
}

/// Each body in its own tick.
fn flow(definition: &Arc<Definition>, bodies: &[&[u8]]) {
    let mut replay = filled(definition.clone(), &[]);
    let mut first = 0;
    for body in bodies {
        let lines = lines(body);
        replay.feed_values(TableId(0), first, &lines);
        first += lines.len() as u64;
        replay.tick();
    }
    let snapshot = replay.snapshot();
    for (key, row) in replay.rows(TableId(0)) {
        assert!(
            !row.has_unavailable(),
            "{key}: an unavailable value left collapse"
        );
        let mut json = Vec::new();
        row.write_json(&mut json);
        check_json(&json);
    }
    if let Some(searcher) = replay.searcher() {
        assert!(snapshot.documents() <= replay.row_count());
        check_json(&serde_json::to_vec(&searcher.stats()).expect("stats are JSON"));
    }
}

/// The lines of a body, by other means than the product's.
fn lines(body: &[u8]) -> Vec<&[u8]> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).collect()
}
