//! Resident bytes per vector, beside hnswlib: each index in a process of its own that holds nothing else. Beside them what
//! they are worth: recall and queries a second, of one thread.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use millpond::definition::Quantization;
use serde_json::{Value, json};

use crate::common::{Goal, median};
use crate::data::{Clustered, Set, Vectors};
use crate::engine::{Engine, Filter, Own, Question};
use crate::leg::{Kept, Leg};
use crate::truth::{Contents, Grades};
use crate::{CLUSTERS, DIMENSIONS, ROUNDS, Size, figure, judged, peers};

/// The argument with which this program starts itself.
pub const CHILD: &str = "memory-of-a-leg";

/// What the leg keeps, each with its name and its goal.
const KINDS: [(&str, Kept, Option<f64>); 4] = [
    ("int16, vectors on disk: the default", Kept::USUAL, Some(0.6)),
    (
        "int8, vectors on disk",
        Kept {
            quantization: Quantization::Int8,
            ..Kept::USUAL
        },
        Some(0.35),
    ),
    (
        "int8, vectors in memory",
        Kept {
            quantization: Quantization::Int8,
            on_disk: false,
        },
        None,
    ),
    (
        "f16, vectors on disk",
        Kept {
            quantization: Quantization::F16,
            ..Kept::USUAL
        },
        None,
    ),
];

/// The width of the peers' searches; ours choose theirs.
const PEER_WIDTH: usize = 100;

/// Vectors of a tick. They are read one tick at a time, so that none but the leg's own are in memory.
const TICK_ROWS: usize = 1_000;

/// The allocator gives memory back after about ten seconds of quiet.
const QUIET: Duration = Duration::from_secs(12);

pub fn run(size: &Size) {
    let set = Clustered::new(DIMENSIONS, CLUSTERS, 1).set(size.rows, size.queries);
    let contents = Contents::all(&set.base);
    let grades = Grades::new(&contents, &set.queries);
    figure("a vector itself, f32", (4 * DIMENSIONS) as f64, "bytes");
    let mut own = Vec::new();
    for (name, _, goal) in KINDS {
        let Some(found) = own_of(&set, name) else { return };
        let hits: Vec<u32> = serde_json::from_value(found["hits"].clone()).unwrap_or_default();
        let number = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
        let bytes = number("resident") / size.rows as f64;
        report(
            &format!("millpond, {name}"),
            bytes,
            grades.recall(&hits),
            number("per_second"),
        );
        let searched = number("resident after searches") / size.rows as f64;
        figure(
            &format!("millpond, {name}: resident after searches"),
            searched,
            "bytes/vector",
        );
        own.push((name, bytes, goal));
    }
    let changes: Vec<(u32, &[f32])> = contents.iter().collect();
    for mut peer in peers::start(&peers::ALL, &set.queries) {
        if let Err(reason) = peer.write(&changes) {
            println!("{}: {reason}", peer.name());
            continue;
        }
        let bytes = peer.resident_bytes / size.rows as f64;
        let (recall, per_second) = match answers(&mut peer, Some(PEER_WIDTH), &set.queries) {
            Ok((hits, per_second)) => (grades.recall(&hits), per_second),
            Err(_) => (f64::NAN, f64::NAN),
        };
        report(peer.name(), bytes, recall, per_second);
        if peer.name() == "hnswlib" {
            for (name, own, goal) in &own {
                let name = format!("resident bytes against hnswlib: {name}");
                match goal {
                    Some(goal) => judged(&name, own / bytes, Goal::AtMost(*goal)),
                    None => figure(&name, own / bytes, "times"),
                }
            }
        }
    }
}

fn report(name: &str, bytes: f64, recall: f64, per_second: f64) {
    figure(&format!("{name}, resident"), bytes, "bytes/vector");
    figure(&format!("{name}: recall"), recall, "");
    figure(&format!("{name}: queries"), per_second, "queries/s");
}

/// The hits of all queries, and how many a second one thread answers.
fn answers(engine: &mut dyn Engine, ef: Option<usize>, queries: &Vectors) -> Result<(Vec<u32>, f64), String> {
    let question = Question {
        ef,
        threads: 1,
        filter: Filter::None,
    };
    let rounds = (0..ROUNDS).map(|_| engine.answer(&question));
    let mut rounds = rounds.collect::<Result<Vec<_>, String>>()?;
    let seconds: Vec<f64> = rounds.iter().map(|round| round.seconds).collect();
    let hits = rounds.swap_remove(0).hits;
    Ok((hits, queries.len() as f64 / median(&seconds)))
}

/// What a leg of this kind says in another process.
fn own_of(set: &Set, kind: &str) -> Option<Value> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    set.base
        .write(&folder.path().join("vectors"))
        .expect("room for the vectors");
    set.queries
        .write(&folder.path().join("queries"))
        .expect("room for the queries");
    let program = std::env::current_exe().expect("this program has a path");
    let run = Command::new(program)
        .arg(CHILD)
        .arg(folder.path())
        .arg(kind)
        .output();
    let found = run.ok().and_then(|run| serde_json::from_slice(&run.stdout).ok());
    if found.is_none() {
        println!("the process with the leg did not answer");
    }
    found
}

/// Resident memory that is not the program's own: what is anonymous, and what is mapped of files without a name. Of peers
/// it is what is anonymous.
fn resident_bytes() -> f64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("the system tells");
    let (mut is_program, mut kilobytes) = (false, 0.0);
    for line in maps.lines() {
        if let Some(resident) = line.strip_prefix("Rss:") {
            let resident = resident
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .unwrap_or(f64::NAN);
            kilobytes += if is_program { 0.0 } else { resident };
        } else if line.split(' ').next().is_some_and(|range| range.contains('-')) {
            is_program = line.contains('/') && !line.ends_with("(deleted)");
        }
    }
    1024.0 * kilobytes
}

/// In a process of its own: loads the vectors of a folder, and prints by how much the resident memory has grown, and how
/// the queries are answered.
pub fn child(folder: &Path, kind: &str) {
    use std::io::Read;

    let (_, kept, _) = KINDS
        .into_iter()
        .find(|(name, ..)| *name == kind)
        .expect("a kind");
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let floats = bytes.as_chunks().0.iter();
        floats.map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let rows = |bytes: &[u8]| Vectors {
        dimensions: DIMENSIONS,
        floats: floats(bytes),
    };
    let queries = rows(&std::fs::read(folder.join("queries")).expect("the file of queries"));
    let mut file = std::fs::File::open(folder.join("vectors")).expect("the file of vectors");
    let mut bytes = vec![0; TICK_ROWS * DIMENSIONS * 4];
    let before = resident_bytes();
    let mut own = Own {
        leg: Leg::kept(DIMENSIONS, kept),
        queries: &queries,
    };
    let mut slot = 0;
    while file.read_exact(&mut bytes).is_ok() {
        own.leg.tick((slot..).zip(rows(&bytes).iter().map(Some)));
        slot += TICK_ROWS as u32;
    }
    drop((file, bytes));
    own.leg.settle();
    let mut least = f64::INFINITY;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(100));
        let resident = resident_bytes();
        if resident < least {
            (least, since) = (resident, Instant::now());
        }
    }
    let (hits, per_second) = answers(&mut own, None, &queries).expect("ours answers");
    let found = json!({
        "resident": least - before,
        "resident after searches": resident_bytes() - before,
        "per_second": per_second,
        "hits": hits,
    });
    println!("{found}");
}
