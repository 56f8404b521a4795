//! Messages -> changes: pure, on the source's thread.
//!
//! A decoder reads no clock, no disk and no network (claim-check files are read through a function handed in).
//! What it cannot decode becomes a [`Refusal`]; it never stops the stream and never panics.

mod canal;
mod debezium;
mod maxwell;
mod upsert;
mod embedding;
mod declared;
mod claim_check;
mod outcome;
mod target;
mod needed;
mod row;
mod message_key;
mod json;
mod value;
mod connect;
mod number;
mod temporal;
mod vector;

pub use claim_check::ClaimCheck;

use crate::change::{Change, DatumRef, Key, Offset, PartitionId, Row};
use crate::definition::{Format, Table};
use outcome::Outcome;
use target::Target;

/// One message as a source gives it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Empty where the source has no topics.
    pub topic: &'a str,
    pub partition: PartitionId,
    pub offset: Offset,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(String, Vec<u8>)],
    /// When it was produced, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

/// What came of some messages.
#[derive(Debug, Default)]
pub struct Decoded {
    /// In the order of the messages, and within a message in its own.
    pub changes: Vec<Change>,
    /// Messages, or rows of a message, that are dead letters.
    pub refusals: Vec<Refusal>,
    /// Messages without row changes: DDL, watermarks, heartbeats, other tables, unknown types.
    pub skipped: u64,
}

/// Why a message, or a row of it, could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub partition: PartitionId,
    pub offset: Offset,
    /// Which row of the message, or which message of several in one, counted from 0.
    ///
    /// [`Refusal::OTHERS`] stands for all further rows of the message that are refused.
    pub row: u32,
    pub cause: Cause,
    /// Names the field and what would be right.
    pub reason: String,
}

impl Refusal {
    /// In the place of a row's number: further rows than are told of one by one.
    pub const OTHERS: u32 = u32::MAX;
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is not what the format says.
    Malformed,
    /// The source table is not any more what the index needs.
    SchemaChange,
}

/// Decodes the messages of one partition of one table.
pub struct Decoder {
    format: FormatDecoder,
}

enum FormatDecoder {
    Canal(canal::Canal),
    Debezium(Box<debezium::Debezium>),
    Maxwell(maxwell::Maxwell),
    Upsert(upsert::Upsert),
    Embedding(embedding::Embedding),
}

/// The key of a table's row: for rows that were decoded under another key.
///
/// # Errors
/// Names the column that is missing or cannot be in a key.
pub fn key_of(table: &Table, row: &Row) -> Result<Key, String> {
    Target::new(table).key(|_, name| Ok(row.get(name).map(DatumRef::to_datum)))
}

impl Decoder {
    /// A decoder that reads claim-check files from the directory that the table names.
    pub fn new(table: &Table) -> Decoder {
        Decoder::with_claim_check(table, claim_check::directory(table.claim_check.clone()))
    }

    /// A decoder that asks `claim_check` for the bytes of claim-check files, by their names without directories.
    pub fn with_claim_check(table: &Table, claim_check: ClaimCheck) -> Decoder {
        let target = Target::new(table);
        let format = match table.format {
            Format::CanalJson => FormatDecoder::Canal(canal::Canal::new(target, claim_check)),
            Format::DebeziumJson => FormatDecoder::Debezium(Box::new(debezium::Debezium::new(target))),
            Format::MaxwellJson => FormatDecoder::Maxwell(maxwell::Maxwell::new(target)),
            Format::UpsertJson => FormatDecoder::Upsert(upsert::Upsert::new(target)),
            Format::EmbeddingJson => FormatDecoder::Embedding(embedding::Embedding::new(target)),
        };
        Decoder { format }
    }

    /// Says that rows of the table had these columns before: one that is missing from now on has been dropped.
    ///
    /// Without, a column counts as dropped after a row of this decoder had it; before, it may not have been added yet.
    pub fn expect_columns<'a>(&self, columns: impl IntoIterator<Item = &'a str>) {
        let target = match &self.format {
            FormatDecoder::Canal(format) => &format.target,
            FormatDecoder::Debezium(format) => format.target(),
            FormatDecoder::Maxwell(format) => &format.target,
            // Their rows may have any columns.
            FormatDecoder::Upsert(_) | FormatDecoder::Embedding(_) => return,
        };
        target.needed.expect(columns);
    }

    /// Appends to `out` what the message holds. Messages of a partition come in its order.
    pub fn decode(&mut self, message: &Message<'_>, out: &mut Decoded) {
        let outcome = &mut Outcome::new(message, out);
        match &mut self.format {
            FormatDecoder::Canal(format) => format.decode(outcome),
            FormatDecoder::Debezium(format) => format.decode(outcome),
            FormatDecoder::Maxwell(format) => format.decode(outcome),
            FormatDecoder::Upsert(format) => format.decode(outcome),
            FormatDecoder::Embedding(format) => format.decode(outcome),
        }
    }
}
