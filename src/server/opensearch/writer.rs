//! Actions -> one push, and what became of each.
//!
//! A line is decoded before it is pushed, so what cannot be a row is known before the actions behind it are judged. Whether a document is
//! there is told by the actions before in the same request, then by those that searches do not see yet, then by the newest snapshot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::bulk::{Action, Kind, TableKey};
use super::in_flight::InFlight;
use super::refusal::{Read, Refusal};
use crate::change::{Change, Offset, Operation, PartitionId};
use crate::decode::{Decoded, Decoder, Message};
use crate::definition::{ColumnType, FieldKind, Format, SourceSettings, Table};
use crate::index::Snapshot;
use crate::query::Searcher;
use crate::server::App;
use crate::server::changes::not_taken;
use crate::source::http::PushTable;

/// What became of an action.
pub struct Outcome {
    pub kind: Kind,
    pub id: Option<String>,
    pub done: Read<Done>,
}

#[derive(Clone, Copy)]
pub struct Done {
    pub result: &'static str,
    pub status: u16,
    /// Of its line in the log of the table.
    pub offset: u64,
}

/// What actions become a push with.
pub struct Writer {
    pub app: Arc<App>,
    pub pushes: Arc<PushTable>,
    pub index: Searcher,
    pub in_flight: Arc<Mutex<InFlight>>,
}

/// An action that can be taken.
struct Line {
    kind: Kind,
    id: String,
    json: String,
}

impl Writer {
    /// Takes actions, all in one push, and names its last position, where there was anything to push.
    pub fn push(&self, actions: &[Action<'_>]) -> Read<(Vec<Outcome>, Option<u64>)> {
        let table = written_to(&self.app)?;
        let lines = Lines::new(&self.app, table).read(actions);
        // Held until the push is taken: of two that create a document, one is the second.
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.index.snapshot();
        in_flight.forget(shown(&snapshot, &format!("{}/0", table.name)));
        // What the actions so far have left.
        let mut left: HashMap<String, bool> = HashMap::new();
        let (mut body, mut pushed) = (String::new(), 0);
        let mut judge = |line: Line| -> Read<Done> {
            let Line { kind, id, json } = line;
            let known = left.get(&id).copied().or_else(|| in_flight.is_there(&id));
            let is_there = known.unwrap_or_else(|| self.index.document_in(&snapshot, &id).is_some());
            let (result, status) = match (kind, is_there) {
                (Kind::Create, true) => {
                    let reason = format!("[{id}]: version conflict, document already exists");
                    return Err(Refusal::new(409, "version_conflict_engine_exception", reason));
                }
                (Kind::Delete, true) => ("deleted", 200),
                (Kind::Delete, false) => ("not_found", 404),
                (_, true) => ("updated", 200),
                (_, false) => ("created", 201),
            };
            left.insert(id, kind != Kind::Delete);
            body.push_str(&json);
            body.push('\n');
            pushed += 1;
            Ok(Done {
                result,
                status,
                // Its place in the push, so far.
                offset: pushed - 1,
            })
        };
        let outcome = |(action, line): (&Action<'_>, Read<Line>)| Outcome {
            kind: action.kind,
            id: match &line {
                Ok(line) => Some(line.id.clone()),
                Err(_) => action.id.clone(),
            },
            done: line.and_then(&mut judge),
        };
        let mut outcomes: Vec<Outcome> = actions.iter().zip(lines).map(outcome).collect();
        if pushed == 0 {
            return Ok((outcomes, None));
        }
        let taken = self.pushes.push(body.as_bytes(), None);
        let taken = taken.map_err(|error| not_taken(&table.name, error))?;
        let last = taken.position.map_or(0, |Offset(last)| last);
        for done in outcomes
            .iter_mut()
            .filter_map(|outcome| outcome.done.as_mut().ok())
        {
            done.offset += (last + 1).saturating_sub(pushed);
        }
        in_flight.note(left, last);
        Ok((outcomes, Some(last)))
    }
}

/// Up to where searches see a partition: rows that are held back for their vectors have been read, and are not seen.
fn shown(snapshot: &Snapshot, partition: &str) -> Option<u64> {
    let positions = match &snapshot.held_back {
        Some(held) => &held.positions,
        None => &snapshot.positions,
    };
    positions.get(partition).copied()
}

/// Makes lines of actions, as the table's decoder will read them.
struct Lines<'a> {
    table: &'a Table,
    key: TableKey,
    decoder: Decoder,
}

impl<'a> Lines<'a> {
    fn new(app: &App, table: &'a Table) -> Lines<'a> {
        Lines {
            key: key_of(app, table),
            decoder: Decoder::new(table),
            table,
        }
    }

    fn read(mut self, actions: &[Action<'_>]) -> Vec<Read<Line>> {
        actions.iter().map(|action| self.line(action)).collect()
    }

    fn line(&mut self, action: &Action<'_>) -> Read<Line> {
        let json = self.key.line(action, new_id)?;
        let unfit = |reason| Refusal::new(400, "mapper_parsing_exception", reason);
        let change = self.decoded(&json).map_err(unfit)?;
        if let Some(reason) = self.unfit(&change) {
            return Err(unfit(reason));
        }
        Ok(Line {
            kind: action.kind,
            id: change.key.text().into_owned(),
            json,
        })
    }

    /// # Errors
    /// Why it cannot be a row.
    fn decoded(&mut self, json: &str) -> Result<Change, String> {
        let message = Message {
            topic: "",
            partition: PartitionId(0),
            offset: Offset(0),
            key: None,
            value: Some(json.as_bytes()),
            headers: &[],
            timestamp_ms: None,
        };
        let mut decoded = Decoded::default();
        self.decoder.decode(&message, &mut decoded);
        match (decoded.refusals.pop(), decoded.changes.pop()) {
            (Some(refusal), _) => Err(refusal.reason),
            (None, Some(change)) => Ok(change),
            (None, None) => Err("the document is no row of the table".to_owned()),
        }
    }

    /// Why a document cannot be, by a value that its field cannot hold.
    fn unfit(&self, change: &Change) -> Option<String> {
        let Operation::Upsert(row) = &change.operation else {
            return None;
        };
        self.table.needs.iter().find_map(|need| {
            let kind = need.unfit(&row.get(&need.column)?.to_datum())?;
            Some(format!(
                "failed to parse field [{}] of type [{}]",
                need.column,
                kind.name()
            ))
        })
    }
}

/// The table of the index, if it takes writes.
pub fn written_to(app: &App) -> Read<&Table> {
    let index = app.definition.index.as_ref();
    let table = index.and_then(|index| app.definition.tables.get(usize::from(index.plan.table().0)));
    let table = table.ok_or_else(|| Refusal::illegal("there is no index to write to"))?;
    match (&table.source, table.format) {
        (SourceSettings::Http, Format::UpsertJson) => Ok(table),
        (SourceSettings::Http, format) => Err(Refusal::illegal(format!(
            "the table [{}] takes pushes of the format {}, and writes need upsert-json",
            table.name,
            format.name()
        ))),
        _ => Err(Refusal::illegal(format!(
            "the table [{}] is read from its source and takes no writes",
            table.name
        ))),
    }
}

/// The key of a table, with what is known of its columns.
fn key_of(app: &App, table: &Table) -> TableKey {
    let is_text = |name: &String| match table.columns.get(name) {
        Some(ColumnType::Text) => Some(true),
        Some(_) => Some(false),
        None => {
            let mut fields = app.definition.index.iter().flat_map(|index| &index.fields);
            let field = fields.find(|field| field.name == *name)?;
            Some(field.kind == FieldKind::Keyword)
        }
    };
    TableKey {
        columns: table
            .key
            .iter()
            .map(|name| (name.clone(), is_text(name)))
            .collect(),
    }
}

/// A random UUID.
fn new_id() -> Read<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::new(503, "exception", format!("no key can be made: {error}")))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.map(|byte| format!("{byte:02x}")).concat();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
