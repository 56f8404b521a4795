//! Resident bytes per vector, beside hnswlib: each index in a process of its own that holds nothing else.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::Goal;
use crate::data::{Clustered, Vectors};
use crate::engine::Engine;
use crate::leg::Leg;
use crate::{CLUSTERS, DIMENSIONS, Size, common, figure, judged, peers};

/// The argument with which this program starts itself.
pub const CHILD: &str = "memory-of-a-leg";

/// Vectors of a tick. They are read one tick at a time, so that none but the leg's own are in memory.
const TICK_ROWS: usize = 1_000;

/// The allocator gives memory back after about ten seconds of quiet.
const QUIET: Duration = Duration::from_secs(12);

pub fn run(size: &Size) {
    let set = Clustered::new(DIMENSIONS, CLUSTERS, 1).set(size.rows, size.queries);
    figure("a vector itself, f32", (4 * DIMENSIONS) as f64, "bytes");
    let Some(own) = own(&set.base) else { return };
    figure("millpond, resident", own, "bytes/vector");
    let changes: Vec<(u32, &[f32])> = (0..).zip(set.base.iter()).collect();
    for mut peer in peers::start(&peers::ALL, &set.queries) {
        if let Err(reason) = peer.write(&changes) {
            println!("{}: {reason}", peer.name());
            continue;
        }
        let bytes = peer.resident_bytes / size.rows as f64;
        figure(&format!("{}, resident", peer.name()), bytes, "bytes/vector");
        if peer.name() == "hnswlib" {
            judged("resident bytes against hnswlib", own / bytes, Goal::AtMost(0.6));
        }
    }
}

/// Bytes per vector of a leg in another process.
fn own(base: &Vectors) -> Option<f64> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("vectors");
    base.write(&path).expect("room for the vectors");
    let program = std::env::current_exe().expect("this program has a path");
    let run = Command::new(program)
        .arg(CHILD)
        .arg(&path)
        .arg(base.dimensions.to_string())
        .output();
    let bytes = run
        .ok()
        .and_then(|run| String::from_utf8_lossy(&run.stdout).trim().parse::<f64>().ok());
    if bytes.is_none() {
        println!("the process with the leg did not answer");
    }
    Some(bytes? / base.len() as f64)
}

/// In a process of its own: loads the vectors of a file, and prints by how much the resident memory has grown.
pub fn child(path: &Path, dimensions: usize) {
    use std::io::Read;

    let mut file = std::fs::File::open(path).expect("the file of vectors");
    let mut bytes = vec![0; TICK_ROWS * dimensions * 4];
    let before = common::resident_bytes();
    let mut leg = Leg::new(dimensions);
    let mut slot = 0;
    while file.read_exact(&mut bytes).is_ok() {
        let floats = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let rows = Vectors {
            dimensions,
            floats: floats.collect(),
        };
        leg.tick((slot..).zip(rows.iter().map(Some)));
        slot += TICK_ROWS as u32;
    }
    leg.settle();
    let mut least = f64::INFINITY;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(100));
        let resident = common::resident_bytes();
        if resident < least {
            (least, since) = (resident, Instant::now());
        }
    }
    println!("{}", least - before);
}
