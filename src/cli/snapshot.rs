//! `millpond snapshot create | list | restore`: works on the files, whether a node runs on them or not, or asks a node.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Failure;
use super::access::Access;
use super::client::{Node, NodeError};
use crate::checkpoint::snapshots::{self, SnapshotInfo};
use crate::server::SnapshotList;
use crate::storage::Disk;

#[derive(Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
    #[command(flatten)]
    access: Access,
}

#[derive(Subcommand)]
enum SnapshotCommand {
    /// Keep the newest checkpoint under a name, by hard links; with --url one of what is searchable now.
    Create {
        /// Letters, digits, `-`, `_` and `.` [default: the time]
        name: Option<String>,
        #[command(flatten)]
        of: Place,
    },
    /// Say which snapshots there are.
    List {
        #[command(flatten)]
        of: Place,
    },
    /// Copy a snapshot into a new data directory, and check all of it.
    Restore {
        /// The snapshot's folder, or a copy of it: `DIR/snapshots/NAME`.
        from: PathBuf,
        /// A data directory without a checkpoint.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// Whose snapshots.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Where the node keeps what it writes: its --data-dir, or millpond-data/NAME.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A running node, such as http://127.0.0.1:7700
    #[arg(long)]
    url: Option<String>,
}

/// Longer than a node takes to write a checkpoint.
const SNAPSHOT_MAX: Duration = Duration::from_secs(90);

const ROUTE: &str = "/v1/snapshots";

pub fn run(arguments: &SnapshotArgs) -> Result<ExitCode, Failure> {
    match &arguments.command {
        SnapshotCommand::Create { name, of } => show(&create(name.clone(), of, &arguments.access)?),
        SnapshotCommand::List { of } => list(of, &arguments.access)?.iter().for_each(show),
        SnapshotCommand::Restore { from, data_dir } => {
            show(&snapshots::restore(&Disk::new(from), &Disk::lock(data_dir)?)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn create(name: Option<String>, of: &Place, access: &Access) -> Result<SnapshotInfo, Failure> {
    let name = name.unwrap_or_else(snapshots::name_of_now);
    match of.node(access)? {
        Some(node) => {
            let made = node.post(ROUTE, &serde_json::json!({ "name": name }))?;
            Ok(node.read(&made)?)
        }
        None => Ok(snapshots::create(&of.disk(), &name)?),
    }
}

fn list(of: &Place, access: &Access) -> Result<Vec<SnapshotInfo>, Failure> {
    match of.node(access)? {
        Some(node) => Ok(node.read::<SnapshotList>(&node.get(ROUTE)?)?.snapshots),
        None => Ok(snapshots::list(&of.disk())?),
    }
}

impl Place {
    fn node(&self, access: &Access) -> Result<Option<Node>, NodeError> {
        let node = |url: &str| Node::patient(url, access, SNAPSHOT_MAX);
        self.url.as_deref().map(node).transpose()
    }

    /// The data directory; clap asks for one where there is no node.
    fn disk(&self) -> Disk {
        Disk::new(self.data_dir.as_deref().unwrap_or(Path::new(".")))
    }
}

fn show(snapshot: &SnapshotInfo) {
    let SnapshotInfo {
        name,
        tick,
        positions,
        bytes,
    } = snapshot;
    println!("{name}\ttick {tick}\t{bytes} bytes");
    for (partition, position) in positions {
        println!("  {partition} to {position}");
    }
}
