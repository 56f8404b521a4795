//! `millpond serve`

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::node::{self, ModelHost, ServeOptions};

#[derive(Args)]
pub struct ServeArgs {
    /// The dataflow file.
    dataflow: PathBuf,
    /// Where to answer requests. Anything but a loopback address is reachable by others, and needs keys in the dataflow file.
    #[arg(long, default_value = "127.0.0.1:7700", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the node keeps what it writes [default: millpond-data/NAME, after the name in the dataflow file]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Dataflow workers [default: 1 up to 4 cores, else half the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Where messages go that cannot be decoded [default: dead-letters.ndjson in the data directory]
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Make the index anew where what is stored does not fit the dataflow file any more; the one before answers meanwhile
    #[arg(long)]
    rebuild: bool,
    /// Hosts of embedding services that `millpond model upgrade` may name, besides those in the dataflow file; each with the
    /// environment variable of its key, if it has one
    #[arg(long, value_name = "URL[=KEY_ENV]", value_delimiter = ',')]
    model_hosts: Vec<ModelHost>,
}

pub fn run(arguments: &ServeArgs) -> Result<ExitCode, Failure> {
    let filter = EnvFilter::try_from_env("MILLPOND_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let definition = super::load(&arguments.dataflow)?;
    let data_dir = arguments.data_dir.clone();
    let options = ServeOptions {
        listen: arguments.listen,
        data_dir: data_dir.unwrap_or_else(|| Path::new("millpond-data").join(&definition.name)),
        workers: arguments.workers.map(usize::from),
        dead_letters: arguments.dead_letters.clone(),
        rebuild: arguments.rebuild,
        model_hosts: arguments.model_hosts.clone(),
    };
    node::serve(definition, &options)?;
    Ok(ExitCode::SUCCESS)
}
