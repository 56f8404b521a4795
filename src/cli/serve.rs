//! `millpond serve`

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::node::{self, ServeOptions};

#[derive(Args)]
pub struct ServeArgs {
    /// The dataflow file.
    dataflow: PathBuf,
    /// Where to answer requests. Anything but a loopback address is reachable by others, without a password.
    #[arg(long, default_value = "127.0.0.1:7700", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the node keeps what it writes.
    #[arg(long, default_value = "millpond-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Dataflow workers [default: 1 up to 4 cores, else half the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Where messages go that cannot be decoded [default: dead-letters.ndjson in the data directory]
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
}

pub fn run(arguments: &ServeArgs) -> Result<ExitCode, Failure> {
    let filter = EnvFilter::try_from_env("MILLPOND_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let definition = super::load(&arguments.dataflow)?;
    node::serve(
        definition,
        &ServeOptions {
            listen: arguments.listen,
            data_dir: arguments.data_dir.clone(),
            workers: arguments.workers.map(usize::from),
            dead_letters: arguments.dead_letters.clone(),
        },
    )?;
    Ok(ExitCode::SUCCESS)
}
