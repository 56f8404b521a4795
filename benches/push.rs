//! Pushes that wait until they are durable: how many a second one client gets through, and sixteen together.
//!
//! On the disk of the temporary directory, and on the same with syncs that take 5 ms longer, as a disk without a
//! cache of its own has them. Straight into the table, and over HTTP. Each push is one row of 600 bytes. Run with
//! `cargo bench --bench push`.

mod common;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Random, Served, Words, figure};
use millpond::change::{Offset, PartitionId};
use millpond::decode::Message;
use millpond::source::http::PushTable;
use millpond::source::{Closed, NotTaken, Partition, Receiver, Receivers, Room, Taken};
use millpond::storage::{Disk, File, Storage};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CLIENTS: usize = 16;
const SECONDS: f64 = 3.0;
const SLOW_SYNC: Duration = Duration::from_millis(5);

const DATAFLOW: &str = r#"
name = "bench"
[tables.products]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
"#;

fn main() {
    for (name, delay) in [("this disk", Duration::ZERO), ("syncs 5 ms longer", SLOW_SYNC)] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let storage = Arc::new(Slow {
            disk: Disk::new(directory.path()),
            delay,
        });
        let table = PushTable::open(storage, "products", &Nowhere).expect("the log opens");
        compare(&format!("table, {name}"), &|| {
            let (table, runtime) = (table.clone(), runtime());
            Box::new(move |row| {
                let pushed = table.push(row.as_bytes(), None).expect("the push is taken");
                let waiting = table.durable(pushed.position.expect("a position"));
                runtime.block_on(waiting).expect("it is durable");
            })
        });
    }

    let directory = tempfile::tempdir().expect("a temporary directory");
    let Served {
        node,
        address,
        runtime: _running,
    } = common::serve(DATAFLOW, &directory);
    let url = format!("http://{address}/v1/tables/products/changes?wait=durable");
    compare("HTTP, this disk", &|| {
        // Each with a connection of its own, which is used again when an answer has been read.
        let (agent, url) = (ureq::Agent::new_with_defaults(), url.clone());
        Box::new(move |row| {
            let mut answer = agent.post(&url).send(row).expect("the push is durable");
            answer.body_mut().read_to_string().expect("a body");
        })
    });
    node.stop().expect("the node stops");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("a runtime")
}

/// Pushes a row, and returns when it is durable.
type Client = Box<dyn FnMut(&str)>;

/// One client, then all of them.
fn compare(name: &str, client: &(dyn Fn() -> Client + Sync)) {
    let one = rate(1, client);
    let all = rate(CLIENTS, client);
    figure("push", &format!("{name}: 1 client"), one, "durable pushes/s");
    figure(
        "push",
        &format!("{name}: {CLIENTS} clients"),
        all,
        "durable pushes/s",
    );
    figure("push", &format!("{name}: times the rate of one"), all / one, "");
}

fn rate(clients: usize, client: &(dyn Fn() -> Client + Sync)) -> f64 {
    let words = Words::new(20_000);
    let began = Instant::now();
    let pushed: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|number| {
                let words = &words;
                scope.spawn(move || {
                    let mut push = client();
                    let text = words.text(&mut Random(number as u64), 70);
                    let row = format!(r#"{{"id":{number},"description":"{text}"}}"#);
                    let mut pushed = 0;
                    while began.elapsed().as_secs_f64() < SECONDS {
                        push(&row);
                        pushed += 1;
                    }
                    pushed
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a client"))
            .sum()
    });
    pushed as f64 / began.elapsed().as_secs_f64()
}

/// A dataflow that takes everything at once.
struct Nowhere;

impl Receivers for Nowhere {
    fn partition(&self, _: &str) -> Partition {
        Partition {
            id: PartitionId(0),
            resume_after: None::<Offset>,
            receiver: Box::new(Nowhere),
        }
    }
}

impl Receiver for Nowhere {
    fn receive(&mut self, _: &[Message<'_>]) -> Result<(), Closed> {
        Ok(())
    }

    fn reserve<'a>(&'a mut self, _: &[Message<'a>]) -> Result<Box<dyn Room + 'a>, NotTaken> {
        Ok(Box::new(Nowhere))
    }
}

impl Room for Nowhere {
    fn taken(&self) -> Taken {
        Taken::default()
    }

    fn take(self: Box<Self>) {}
}

/// A disk whose syncs take longer.
struct Slow {
    disk: Disk,
    delay: Duration,
}

struct SlowFile(Box<dyn File>, Duration);

impl io::Write for SlowFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl File for SlowFile {
    fn sync(&mut self) -> io::Result<()> {
        std::thread::sleep(self.1);
        self.0.sync()
    }
}

impl Storage for Slow {
    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(SlowFile(self.disk.create(path)?, self.delay)))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(SlowFile(self.disk.append(path)?, self.delay)))
    }

    fn read(&self, path: &str) -> io::Result<Bytes> {
        self.disk.read(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.folders(folder)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }
}
