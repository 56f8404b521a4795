//! A timely job of your own that keeps a search index beside its other work.
//!
//! The job's own stream of changes goes through Millpond's operators on the job's own worker; another thread
//! searches what each tick publishes. Run it with `cargo run --example embedded_job`.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use millpond::change::{Change, Columns, Datum, Key, Offset, Operation, PartitionId, Row, Tick, Version};
use millpond::dataflow::collapse::collapse;
use millpond::dataflow::embed::{documents, embed};
use millpond::dataflow::lane::{Beside, Lane, Shown, Texts};
use millpond::dataflow::latest::{Keep, Latest};
use millpond::dataflow::maintain::maintain;
use millpond::dataflow::publish::Publisher;
use millpond::dataflow::view::view;
use millpond::definition;
use millpond::index::shard::{Shard, ShardSettings};
use millpond::index::{Published, Snapshot};
use millpond::metrics::Metrics;
use millpond::node::open_embedders;
use millpond::query::{SearchRequest, Searcher};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::{InputHandle, ProbeHandle};

const INDEX: &str = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = { text = {} }
embed = "{text}"
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let definition = Arc::new(definition::parse(INDEX, "notes", Path::new("."))?);
    let embedders = open_embedders(&definition)?;
    let embedder = embedders[0].clone().ok_or("the index embeds texts")?;
    let published = Arc::new(Published::new(Snapshot::empty()));
    let publisher = Arc::new(Publisher::new(published.clone(), Metrics::default()));
    let searcher = Searcher::new(definition.clone(), published.clone(), embedders);

    timely::execute_directly(move |worker| {
        let index = definition
            .index
            .as_ref()
            .expect("the definition above has an index");
        let settings = ShardSettings {
            repeatable: false,
            wake: Arc::new(|| {}),
            folder: None,
        };
        let shard = Rc::new(RefCell::new(Shard::new(
            index,
            &[embedder.dimensions()],
            &settings,
        )));
        let texts = Texts::new(&index.vectors[0], &*embedder).expect("it embeds texts");
        let shown = Shown {
            published: publisher.published().clone(),
            field: 0,
        };
        let lane = Lane::new(embedder, texts, Beside::Nothing, shown).shared();
        let keep = Keep {
            unavailable_values: false,
            forget_tombstones: true,
        };

        let mut input = InputHandle::new();
        let probe = ProbeHandle::new();
        worker.dataflow::<Tick, _, _>(|scope| {
            let changes = scope.input_from(&mut input);
            let latest = Latest::shared(keep);
            let rows = collapse(changes, latest.clone(), publisher.clone());
            let documents = documents(view(&[rows], &index.plan), latest);
            let embedded = embed(documents, 0, empty(scope), lane, publisher.clone());
            maintain(embedded, shard, publisher.clone(), &probe);
        });

        let texts = [
            "the cat sleeps on the sofa",
            "quarterly revenue grew",
            "a kitten naps in the armchair",
        ];
        for (id, text) in (1..).zip(texts) {
            input.advance_to(Tick(id));
            input.send(note(id, text));
            input.advance_to(Tick(id + 1));
            input.flush();
            worker.step_while(|| probe.less_than(&Tick(id + 1)));
            publisher.publish(Tick(id));
        }
    });

    let searching = std::thread::spawn(move || {
        let request = SearchRequest {
            query: Some("sleeping pets".into()),
            ..SearchRequest::default()
        };
        searcher.search(&request)
    });
    let answer = searching.join().map_err(|_| "the search panicked")??;
    for hit in answer.hits {
        println!("{:.3}  {}  {}", hit.score, hit.key, hit.document);
    }
    Ok(())
}

/// What the job would make of its own data.
fn note(id: u64, text: &str) -> Change {
    let row = Row::new(
        Columns::new(["id", "text"]),
        vec![Datum::Int(id as i64), Datum::text(text)],
    );
    Change {
        key: Key::new(vec![Datum::Int(id as i64)]),
        operation: Operation::Upsert(row),
        version: Version {
            source: None,
            partition: PartitionId(0),
            offset: Offset(id),
        },
        moved_from: None,
        committed_ms: None,
    }
}
