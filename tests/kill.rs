//! A node that is killed at random moments while changes arrive shows, in the end, what a plain map shows.
//!
//! Two nodes run at the same time, 2,000 changes/s together: one reads librdkafka's mock cluster, which lives here and
//! survives; the other is pushed to with `?wait=durable`, and a push that was not answered is sent again with its
//! `Idempotency-Key`. Each is killed with SIGKILL while it recovers, catches up, answers or writes a checkpoint, and
//! started again on the same data directory. What the pushes' answers acknowledged, and all that Kafka has, is the
//! truth that both legs are compared with, document by document.

mod changes;
mod compare;
mod kafka;
mod push;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use self::changes::Truth;
use self::compare::compare;
use self::kafka::Kafka;
use self::push::Pushes;
use crate::binary::{Served, new_data_dir, sample};
use crate::shared::Random;

/// The name of both dataflows.
const INDEX: &str = "kill";

/// A node lives so long after it has recovered, in milliseconds.
const LIFE_MS: std::ops::Range<usize> = 50..600;

/// So many of a hundred are killed before or around the end of their recovery instead.
const EARLY_PERCENT: usize = 20;
const EARLY_MS: usize = 80;

#[test]
#[ignore = "takes minutes: .ci/run runs it"]
fn a_node_that_is_killed_a_hundred_times_loses_nothing() {
    let kills = std::env::var("MILLPOND_KILLS").ok();
    prove(kills.map_or(100, |kills| kills.parse().expect("MILLPOND_KILLS is a number")));
}

#[test]
fn a_node_that_is_killed_a_few_times_loses_nothing() {
    prove(3);
}

/// Kills both nodes so many times, each at its own moments, and compares what they show at last.
fn prove(kills: usize) {
    for seed in Random::seeds(1) {
        let cluster = kafka::cluster();
        let brokers = cluster.bootstrap_servers();
        thread::scope(|scope| {
            scope.spawn(move || prove_with(&Kafka::new(brokers, seed), kills, seed));
            scope.spawn(|| prove_with(&Pushes::new(seed), kills, seed + 1000));
        });
    }
}

/// Where changes come from, and where they are sent to while nodes come and go.
trait Feed: Sync {
    fn name(&self) -> &'static str;

    /// The table's `source` and `format`.
    fn table(&self) -> String;

    /// Sends changes until it is told to stop, and returns when all of them are acknowledged.
    fn run(&self, node: &Address, stop: &AtomicBool) -> Sent;
}

/// What a feed has sent.
struct Sent {
    truth: Truth,
    changes: usize,
    /// Messages that were sent once more, for whatever reason.
    repeated: usize,
    /// The last position of each partition.
    positions: Value,
}

/// Where the node of now listens, if there is one.
#[derive(Default)]
struct Address(Mutex<Option<String>>);

impl Address {
    fn set(&self, url: Option<&str>) {
        *self.0.lock().unwrap() = url.map(str::to_owned);
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap().clone()
    }
}

/// What became of the nodes that were killed.
#[derive(Debug, Default)]
struct Deaths {
    kills: usize,
    recovering: usize,
    in_a_checkpoint: usize,
    fallbacks: usize,
    slowest_recovery: Duration,
}

fn prove_with(feed: &dyn Feed, kills: usize, seed: u64) {
    let (data, folder) = (new_data_dir(), tempfile::tempdir().unwrap());
    let dataflow = written(feed, &folder);
    let (node, stop) = (Address::default(), AtomicBool::new(false));
    let began = Instant::now();
    let (sent, deaths, last) = thread::scope(|scope| {
        let feeding = scope.spawn(|| feed.run(&node, &stop));
        let deaths = {
            // A failure here must not leave the feed running for ever.
            let _stops = StopAtTheEnd(&stop);
            kill_often(&dataflow, &data, &node, kills, seed)
        };
        let last = Served::start_in(&data, &dataflow);
        node.set(Some(last.url()));
        (feeding.join().expect("the feed ends"), deaths, last)
    });
    let took = began.elapsed();
    println!(
        "{}: seed {seed}, {} changes ({:.0}/s), {} sent again, {deaths:?}",
        feed.name(),
        sent.changes,
        sent.changes as f64 / took.as_secs_f64(),
        sent.repeated,
    );

    let stats = format!("/v1/indexes/{INDEX}/stats");
    let caught_up = |node: &Served| {
        node.until(
            &stats,
            "everything that was sent is searchable",
            |(status, stats)| {
                *status == 200 && stats["positions"] == sent.positions && stats["vectors_pending"] == 0
            },
        )
    };
    let found = caught_up(&last);
    assert_eq!(found["dead_letters"], 0, "{found}");
    let words = compare(&last, &sent.truth, feed.name(), seed);
    let (code, log) = last.stop(Signal::TERM);
    assert_eq!(code, 0, "{log}");
    check_log(&log);

    // After a clean stop the same is there, without a look at the source.
    let again = Served::start_in(&data, &dataflow);
    let found = caught_up(&again);
    for count in ["messages", "texts_embedded", "dead_letters"] {
        assert_eq!(found[count], 0, "{count}: {found}");
    }
    let corrected = sample(
        &again.get_text("/metrics").1,
        "millpond_documents_corrected_total",
    );
    assert_eq!(
        corrected, 0.0,
        "documents that were stored otherwise than their rows"
    );
    compare(&again, &sent.truth, feed.name(), seed);
    check_log(&again.kill());
    println!(
        "{}: {words} words and vectors compared, twice: 0 missing, 0 extra, 0 old, after {:.0?}",
        feed.name(),
        began.elapsed()
    );
}

fn written(feed: &dyn Feed, folder: &TempDir) -> PathBuf {
    let path = folder.path().join("kill.toml");
    let dataflow = format!(
        r#"
name = "{INDEX}"
[tables.notes]
{}
key = ["id"]
[index]
query = "SELECT id, text, rank FROM notes WHERE state <> 'draft'"
key = "id"
text = {{ text = {{}} }}
fields = {{ id = "i64", rank = "i64" }}
embed = "{{text}}"
[checkpoint]
interval = "200ms"
"#,
        feed.table()
    );
    fs::write(&path, dataflow).unwrap();
    path
}

/// Starts nodes one after the other, and kills each.
fn kill_often(dataflow: &Path, data: &Arc<TempDir>, address: &Address, kills: usize, seed: u64) -> Deaths {
    let mut random = Random::new(seed);
    let mut deaths = Deaths::default();
    for _ in 0..kills {
        let started = Instant::now();
        let node = Served::launch(dataflow, data, &[]);
        address.set(Some(node.url()));
        if random.percent(EARLY_PERCENT) {
            thread::sleep(Duration::from_millis(random.below(EARLY_MS) as u64));
            deaths.recovering += usize::from(node.get("/readyz").0 == 503);
        } else {
            node.recovered();
            deaths.slowest_recovery = deaths.slowest_recovery.max(started.elapsed());
            let life = LIFE_MS.start + random.below(LIFE_MS.len());
            thread::sleep(Duration::from_millis(life as u64));
        }
        let log = node.kill();
        address.set(None);
        check_log(&log);
        deaths.kills += 1;
        deaths.fallbacks += usize::from(log.contains("going back to the one before"));
        deaths.in_a_checkpoint += usize::from(has_unnamed_files(data.path()));
    }
    deaths
}

/// A node that is killed has nothing to complain of before.
#[track_caller]
fn check_log(log: &str) {
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

/// Whether a file of a checkpoint is younger than the newest manifest.
fn has_unnamed_files(data: &Path) -> bool {
    let newest = |folder: &Path, prefix: &str| -> Option<SystemTime> {
        let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let named = files.filter(|file| file.file_name().to_string_lossy().starts_with(prefix));
        named
            .filter_map(|file| file.metadata().ok()?.modified().ok())
            .max()
    };
    newest(&data.join("parts"), "") > newest(data, "manifest-")
}

struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
