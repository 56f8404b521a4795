//! The dataflow file as written: TOML -> [`Definition`].
//!
//! Every part is read as far as it can be, and what is wrong is noted on the way: a user sees all faults at once.

mod embedder;
mod graph;
mod index;
mod kafka;
mod kept;
mod lane;
mod place;
mod model;
mod reranker;
mod server;
mod source;
mod table;
mod text;
mod vectors;
mod written;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use self::embedder::Embedder;
use self::written::{Entry, Report, Section};
use super::fault::{Fault, Faults, quoted};
use super::{CheckpointSettings, Definition, EmbedderSettings, KeptFile, ServerSettings, Table};

/// Far more than a person writes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file is read in.
struct World<'a> {
    /// Relative paths are relative to it.
    base: &'a Path,
    /// An environment variable.
    variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Reads and checks a dataflow file.
///
/// # Errors
/// All faults of the file at once, or the one that it cannot be read.
pub fn load(path: &Path) -> Result<Definition, Faults> {
    let origin = path.display().to_string();
    match read(path) {
        Ok(text) => parse(&text, &origin, path.parent().unwrap_or(Path::new(""))),
        Err(message) => Err(Faults {
            origin,
            faults: vec![Fault {
                line: None,
                message,
                hint: None,
            }],
        }),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is longer than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// Checks the text of a dataflow file. `origin` names it in faults; relative paths in it are relative to `base`.
///
/// # Errors
/// All faults of the text at once, in the order of its lines.
pub fn parse(text: &str, origin: &str, base: &Path) -> Result<Definition, Faults> {
    parse_in(
        text,
        origin,
        &World {
            base,
            variable: &|name| std::env::var(name).ok(),
        },
    )
}

/// Reads what `[embedder]` would say: the lines of that section.
///
/// # Errors
/// All faults at once; `none`, which makes no vectors, is one.
pub fn parse_embedder(text: &str, base: &Path) -> Result<EmbedderSettings, Faults> {
    let world = World {
        base,
        variable: &|name| std::env::var(name).ok(),
    };
    let file = format!("[embedder]\n{text}");
    let report = Report::new(&file);
    let parsed = DeTable::parse(&file);
    let settings = match &parsed {
        Ok(table) => {
            let mut section = Section::whole_file(&report, table.get_ref());
            let entry = section.optional("embedder");
            let settings = entry.and_then(|entry| match embedder::read(&entry, &world)? {
                Embedder::Model(settings) => Some(settings),
                Embedder::ReadyMade { .. } => {
                    entry.wrong("`none` makes no vectors", "name a model");
                    None
                }
            });
            section.finish();
            settings
        }
        Err(error) => {
            report.add(
                None,
                format!("not TOML: {}", error.message().replace('\n', ", ")),
                "",
            );
            None
        }
    };
    // Its first line is ours.
    let faults: Vec<Fault> = report
        .into_faults()
        .into_iter()
        .map(|fault| Fault {
            line: fault
                .line
                .map(|line| line.saturating_sub(1))
                .filter(|line| *line > 0),
            ..fault
        })
        .collect();
    match settings {
        Some(settings) if faults.is_empty() => Ok(settings),
        _ => Err(Faults {
            origin: "the embedder".to_owned(),
            faults,
        }),
    }
}

fn parse_in(text: &str, origin: &str, world: &World<'_>) -> Result<Definition, Faults> {
    let report = Report::new(text);
    let parsed = DeTable::parse(text);
    let definition = match &parsed {
        Ok(table) => {
            let definition = definition(Section::whole_file(&report, table.get_ref()), world);
            definition.map(|definition| Definition {
                kept: kept::without_sources(table.get_ref(), world.base),
                folder: world.base.to_owned(),
                ..definition
            })
        }
        Err(error) => {
            let line = error.span().map(|span| report.line(span.start));
            report.add(
                line,
                format!("not TOML: {}", error.message().replace('\n', ", ")),
                "",
            );
            None
        }
    };
    let faults = report.into_faults();
    match definition {
        Some(definition) if faults.is_empty() => Ok(definition),
        _ => {
            assert!(!faults.is_empty(), "a definition is absent for a reason");
            Err(Faults {
                origin: origin.to_owned(),
                faults,
            })
        }
    }
}

fn definition(mut file: Section<'_>, world: &World<'_>) -> Option<Definition> {
    let name = file
        .required("name", "a name for the dataflow and its index")
        .and_then(|entry| name(&entry));
    let tables = tables(&mut file, world);
    let embedder = match file.optional("embedder") {
        None => Some(Embedder::default()),
        Some(entry) => embedder::read(&entry, world),
    };
    let index = file
        .optional("index")
        .map(|entry| index::read(&entry, embedder, &tables, world));
    let reranker = match file.optional("reranker") {
        None => Some(None),
        Some(entry) => {
            if index.is_none() {
                entry.wrong(
                    "there is nothing to re-rank without `[index]`",
                    "give one, or leave `[reranker]` out",
                );
            }
            let read = index.as_ref().and_then(|read| read.as_ref());
            let columns = read.map(|read| &*read.index.plan.columns);
            reranker::read(&entry, columns, world).map(Some)
        }
    };
    let checkpoint = match file.optional("checkpoint") {
        None => Some(CheckpointSettings::default()),
        Some(entry) => checkpoint(&entry),
    };
    let dead_letters = match file.optional("dead_letters") {
        None => Some(None),
        Some(entry) => kafka::dead_letters(&entry, world).map(Some),
    };
    let server = match file.optional("server") {
        None => Some(ServerSettings::default()),
        Some(entry) => {
            let read = index.as_ref().and_then(|read| read.as_ref());
            server::read(&entry, read.map(|read| &read.index), world)
        }
    };
    file.finish();

    let mut tables = tables
        .into_iter()
        .map(|(_, table)| table)
        .collect::<Option<Vec<Table>>>()?;
    let index = match index {
        None => None,
        Some(read) => {
            let read = read?;
            let table = tables.get_mut(usize::from(read.table.0))?;
            table.vectors = read.vectors;
            table.needs = read.index.needs();
            Some(read.index)
        }
    };
    Some(Definition {
        name: name?,
        tables,
        index,
        reranker: reranker?,
        checkpoint: checkpoint?,
        dead_letters: dead_letters?,
        server: server?,
        kept: KeptFile::default(),
        folder: PathBuf::new(),
    })
}

/// The tables in the order of the file, each with its name even if the rest of it is wrong.
fn tables(file: &mut Section<'_>, world: &World<'_>) -> Vec<(String, Option<Table>)> {
    /// `TableId` holds more; every table has its own threads.
    const TABLES_MAX: usize = 1_000;
    let expected = "a section `[tables.NAME]` for each change stream";
    let Some((entry, tables)) = file
        .required("tables", expected)
        .and_then(|entry| entry.section(expected).map(|tables| (entry, tables)))
    else {
        return Vec::new();
    };
    let entries = tables.entries();
    if entries.is_empty() {
        entry.wrong("there is no table", format!("it must be {expected}"));
    }
    if entries.len() > TABLES_MAX {
        entry.wrong(
            format!("there are more than {TABLES_MAX} tables"),
            "several dataflows can share the work",
        );
    }
    entries
        .iter()
        .map(|entry| (entry.name.to_owned(), table::read(entry, world)))
        .collect()
}

/// The name of a dataflow: it stands in the paths of the query port.
fn name(entry: &Entry<'_>) -> Option<String> {
    let name = entry.text("a name for the dataflow and its index")?;
    checked_name(name, entry)
}

/// Names stand in paths of the query port and of the data directory, unescaped.
fn checked_name(name: &str, entry: &Entry<'_>) -> Option<String> {
    const BYTES_MAX: usize = 100;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() <= BYTES_MAX
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        return Some(name.to_owned());
    }
    entry.wrong(
        format!("the name {} cannot stand in a path", quoted(name)),
        format!("letters, digits, `_`, `-` and `.`, beginning with a letter or digit, at most {BYTES_MAX}"),
    );
    None
}

fn checkpoint(entry: &Entry<'_>) -> Option<CheckpointSettings> {
    let default = CheckpointSettings::default();
    let mut section = entry.section("a section with `interval = \"5s\"` or `bytes = \"256MiB\"`")?;
    let interval = section.optional("interval");
    let bytes = section.optional("bytes");
    section.finish();
    let interval = interval.map_or(Some(default.interval), |entry| duration(&entry));
    let bytes = bytes.map_or(Some(default.bytes), |entry| size(&entry));
    Some(CheckpointSettings {
        interval: interval?,
        bytes: bytes?,
    })
}

/// `"64KiB"`, `"256MiB"`, `"1GiB"`.
fn size(entry: &Entry<'_>) -> Option<u64> {
    const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let expected = "a size with its unit, such as `\"64KiB\"`, `\"256MiB\"` or `\"1GiB\"`, from 1KiB";
    let text = entry.text(expected)?;
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(number.len()..).unwrap_or_default();
    let bytes = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, scale)| number.trim_end().parse::<u64>().ok()?.checked_mul(*scale))
        .filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        entry.wrong(
            format!("{} is no size for `{}`", quoted(text), entry.path),
            format!("it must be {expected}"),
        );
    }
    bytes
}

/// `"500ms"`, `"5s"`, `"1.5m"`.
fn duration(entry: &Entry<'_>) -> Option<Duration> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    /// Less would only sync; more would only lose.
    const SECONDS: std::ops::RangeInclusive<f64> = 0.01..=86_400.0;
    let expected = "a time with its unit, such as `\"500ms\"`, `\"5s\"` or `\"1m\"`, from 10ms to 24h";
    let text = entry.text(expected)?;
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(number.len()..).unwrap_or_default();
    let seconds = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, scale)| Some(number.trim_end().parse::<f64>().ok()? * scale))
        .filter(|seconds| SECONDS.contains(seconds));
    if seconds.is_none() {
        entry.wrong(
            format!("{} is no time for `{}`", quoted(text), entry.path),
            format!("it must be {expected}"),
        );
    }
    seconds.map(Duration::from_secs_f64)
}
