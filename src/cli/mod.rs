//! The commands: what a person types, and what comes back.

mod access;
mod client;
mod dead_letters;
mod key;
mod model;
mod replay;
pub mod search;
mod serve;
mod snapshot;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::definition::{self, Definition};

/// A search node fed by change streams.
///
/// Reads a database's changes, keeps the latest row per key, embeds only what is new, and answers keyword,
/// vector and hybrid searches from one snapshot.
#[derive(Parser)]
#[command(name = "millpond", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Follow the change streams of a dataflow file and answer searches.
    Serve(serve::ServeArgs),
    /// Read inputs to their end without a server, and print what came of them.
    Replay(replay::ReplayArgs),
    /// Say everything that is wrong with a dataflow file, or show its plan.
    Check {
        /// The dataflow file.
        dataflow: PathBuf,
    },
    /// Search a running node.
    Search(search::SearchArgs),
    /// See to what a running node could not decode or embed.
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Change the embedding model of a running index, without a pause.
    Model(model::ModelArgs),
    /// Make a key for the port of a node.
    Key(key::KeyArgs),
    /// Keep, list and bring back checkpoints for backups.
    Snapshot(snapshot::SnapshotArgs),
}

/// What ends a command early: printed once, in full.
type Failure = Box<dyn Error>;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Check { dataflow } => check(&dataflow),
        Command::Model(arguments) => model::run(&arguments),
        Command::Key(arguments) => key::run(&arguments),
        Command::Snapshot(arguments) => snapshot::run(&arguments),
        Command::Search(arguments) => search::run(&arguments)
            .map(|()| ExitCode::SUCCESS)
            .map_err(Failure::from),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {}", with_causes(&*failure));
        ExitCode::FAILURE
    })
}

/// An error and what caused it, on one line.
fn with_causes(failure: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(failure), |&error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // Some libraries repeat a cause in their own text.
    texts.dedup_by(|cause, error| error.ends_with(cause.as_str()));
    texts.join(": ")
}

fn load(dataflow: &Path) -> Result<Definition, Failure> {
    Ok(definition::load(dataflow)?)
}

fn check(dataflow: &Path) -> Result<ExitCode, Failure> {
    println!("{}", load(dataflow)?.picture());
    Ok(ExitCode::SUCCESS)
}
