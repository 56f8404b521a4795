//! `millpond replay`

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{Failure, search};
use crate::change::{PartitionId, TableId, write_json_object};
use crate::definition::{Definition, FileSettings, Framing, SourceSettings};
use crate::intake::DeadLetters;
use crate::node::open_embedders;
use crate::query::SearchRequest;
use crate::replay::Replay;
use crate::source::OwnedMessage;
use crate::source::file::Reader;

/// How often a long replay says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct ReplayArgs {
    /// The dataflow file.
    dataflow: PathBuf,
    /// Read a table from a file instead of from its source; lines are values or records, the first one tells.
    #[arg(long, value_name = "TABLE=FILE", value_parser = parse_input)]
    input: Vec<(String, PathBuf)>,
    /// Print the final rows of a table, ordered by key, one {"key":{..},"row":{..}} a line.
    #[arg(long, value_name = "TABLE")]
    state: Option<String>,
    /// Print the hits for a text.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Print the answer to --search as JSON.
    #[arg(long)]
    json: bool,
    /// Keep what cannot be decoded.
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Messages in one tick.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    tick_messages: u64,
}

fn parse_input(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((table, file)) if !table.is_empty() && !file.is_empty() => Ok((table.to_owned(), file.into())),
        _ => Err("expected TABLE=FILE".into()),
    }
}

pub fn run(arguments: &ReplayArgs) -> Result<ExitCode, Failure> {
    // Dead letters are in the summary and in their file; a replay's log would only repeat them.
    let filter = EnvFilter::try_from_env("MILLPOND_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let started = Instant::now();
    let definition = Arc::new(super::load(&arguments.dataflow)?);
    let inputs = inputs(&definition, &arguments.input)?;
    let state = match &arguments.state {
        Some(table) => Some(table_named(&definition, table)?),
        None => None,
    };
    if arguments.search.is_some() && definition.index.is_none() {
        return Err("--search needs an [index] in the dataflow file".into());
    }
    let dead_letters = match &arguments.dead_letters {
        Some(path) => DeadLetters::append_to(path)
            .map_err(|cause| format!("cannot write dead letters to {}: {cause}", path.display()))?,
        None => DeadLetters::discard(),
    };
    let embedders = open_embedders(&definition)?;
    let mut replay = Replay::new(definition.clone(), embedders, dead_letters);
    let mut reading = Reading {
        tick_messages: arguments.tick_messages,
        in_tick: 0,
        read: 0,
        told: Instant::now(),
    };
    for (table, mut reader) in inputs {
        reading.read_all(&mut replay, table, &mut reader)?;
    }
    replay.tick();
    let mut out = BufWriter::new(io::stdout().lock());
    if let Some(table) = state {
        print_state(&replay, &definition, table, &mut out)?;
    }
    if let (Some(text), Some(searcher)) = (&arguments.search, replay.searcher()) {
        let request = SearchRequest {
            query: Some(text.clone()),
            ..SearchRequest::default()
        };
        let answer = searcher
            .seen_by_operator()
            .search_in(&replay.snapshot(), &request)?;
        let json = serde_json::to_vec(&answer)?;
        match arguments.json {
            true => out.write_all(&json).and_then(|()| out.write_all(b"\n"))?,
            false => search::print(&mut out, &serde_json::from_slice(&json)?, search::width())?,
        }
    }
    out.flush()?;
    Ok(summarise(&replay, started.elapsed()))
}

/// The tables with something to read, and their readers.
fn inputs(definition: &Definition, given: &[(String, PathBuf)]) -> Result<Vec<(TableId, Reader)>, Failure> {
    for (table, _) in given {
        table_named(definition, table)?;
    }
    let mut inputs = Vec::new();
    for (number, table) in definition.tables.iter().enumerate() {
        let files: Vec<(PathBuf, Option<Framing>)> = match &table.source {
            _ if given.iter().any(|(name, _)| *name == table.name) => given
                .iter()
                .filter(|(name, _)| *name == table.name)
                .map(|(_, file)| (file.clone(), None))
                .collect(),
            SourceSettings::File(FileSettings { path, framing, .. }) => vec![(path.clone(), Some(*framing))],
            SourceSettings::Kafka(_) | SourceSettings::Http => Vec::new(),
        };
        for (path, framing) in files {
            inputs.push((TableId(number as u16), Reader::open(path, framing)?));
        }
    }
    if inputs.is_empty() {
        let table = definition.tables.first().map_or("TABLE", |table| &table.name);
        return Err(
            format!("nothing to read: no table has a file as its source; give --input {table}=FILE").into(),
        );
    }
    Ok(inputs)
}

fn table_named(definition: &Definition, name: &str) -> Result<TableId, Failure> {
    definition.table(name).map(|(id, _)| id).ok_or_else(|| {
        let names: Vec<&str> = definition
            .tables
            .iter()
            .map(|table| table.name.as_str())
            .collect();
        format!(
            "there is no table `{name}` in the dataflow file; it has {}",
            names.join(", ")
        )
        .into()
    })
}

/// How far the inputs have been read, and into which tick.
struct Reading {
    tick_messages: u64,
    in_tick: u64,
    read: u64,
    told: Instant,
}

impl Reading {
    fn read_all(&mut self, replay: &mut Replay, table: TableId, reader: &mut Reader) -> Result<(), Failure> {
        let mut waiting: Vec<OwnedMessage> = Vec::new();
        while let Some(message) = reader.next()? {
            if waiting
                .first()
                .is_some_and(|first| first.partition_name() != message.partition_name())
            {
                feed(replay, table, &mut waiting);
            }
            waiting.push(message);
            self.read += 1;
            self.in_tick += 1;
            if self.in_tick == self.tick_messages {
                feed(replay, table, &mut waiting);
                replay.tick();
                self.in_tick = 0;
                self.tell();
            }
        }
        feed(replay, table, &mut waiting);
        Ok(())
    }

    fn tell(&mut self) {
        if self.told.elapsed() >= PROGRESS && io::stderr().is_terminal() {
            eprintln!("{} messages ...", self.read);
            self.told = Instant::now();
        }
    }
}

/// Gives neighbouring messages of one partition to the tick.
fn feed(replay: &mut Replay, table: TableId, waiting: &mut Vec<OwnedMessage>) {
    if let Some(first) = waiting.first() {
        let messages: Vec<_> = waiting
            .iter()
            .map(|message| message.as_message(PartitionId(0)))
            .collect();
        replay.feed(table, &first.partition_name(), &messages);
    }
    waiting.clear();
}

fn print_state(
    replay: &Replay,
    definition: &Definition,
    table: TableId,
    out: &mut impl Write,
) -> io::Result<()> {
    let columns = &definition.tables[usize::from(table.0)].key;
    let mut line = Vec::new();
    for (key, row) in replay.rows(table) {
        line.extend_from_slice(b"{\"key\":");
        write_json_object(columns.iter().map(String::as_str).zip(key.0.iter()), &mut line);
        line.extend_from_slice(b",\"row\":");
        row.write_json(&mut line);
        line.extend_from_slice(b"}\n");
        out.write_all(&line)?;
        line.clear();
    }
    Ok(())
}

/// The counts on stderr, and the exit code that they mean.
fn summarise(replay: &Replay, took: Duration) -> ExitCode {
    let counters = replay.snapshot().counters;
    eprintln!(
        "messages {}  changes {}  rows {}  collapsed {}  texts embedded {}  dead letters {}  seconds {:.3}",
        counters.messages,
        counters.changes,
        replay.row_count(),
        counters.collapsed,
        counters.texts_embedded,
        counters.dead_letters,
        took.as_secs_f64()
    );
    if counters.dead_letters == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    }
}
