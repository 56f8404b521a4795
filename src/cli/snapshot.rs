//! `millpond snapshot create | list | restore`: works on the files, whether a node runs on them or not.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use crate::checkpoint::snapshots::{self, SnapshotInfo};
use crate::storage::Disk;

#[derive(Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Subcommand)]
enum SnapshotCommand {
    /// Keep the newest checkpoint under a name, by hard links.
    Create {
        name: String,
        /// Where the node keeps what it writes: its --data-dir, or millpond-data/NAME.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Say which snapshots there are.
    List {
        /// Where the node keeps what it writes: its --data-dir, or millpond-data/NAME.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
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

pub fn run(arguments: &SnapshotArgs) -> Result<ExitCode, Failure> {
    match &arguments.command {
        SnapshotCommand::Create { name, data_dir } => show(&snapshots::create(&Disk::new(data_dir), name)?),
        SnapshotCommand::List { data_dir } => snapshots::list(&Disk::new(data_dir))?.iter().for_each(show),
        SnapshotCommand::Restore { from, data_dir } => {
            show(&snapshots::restore(&Disk::new(from), &Disk::lock(data_dir)?)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(snapshot: &SnapshotInfo) {
    let SnapshotInfo { name, tick, bytes } = snapshot;
    println!("{name}\ttick {tick}\t{bytes} bytes");
}
