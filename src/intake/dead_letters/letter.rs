//! One dead letter: what a decoder refuses, and the line of JSON that is kept of it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use xxhash_rust::xxh3::xxh3_64;

use crate::change::{Offset, PartitionId, Row, TextHash, write_json_object};
use crate::decode::{Cause, Message};

/// A message that could not be decoded, or not as a whole.
pub struct DeadLetter<'m> {
    pub reason: String,
    pub cause: Cause,
    pub table: String,
    /// `table/partition`.
    pub partition: Arc<str>,
    /// Which row of the message, counted from 0.
    pub row: u32,
    pub message: Message<'m>,
}

/// A text that its embedder refuses for good, and a document that has it.
pub struct UnembeddedText<'a> {
    pub index: &'a str,
    pub hash: TextHash,
    pub text: &'a str,
    pub key: String,
    pub row: &'a Row,
    pub reason: &'a str,
}

/// A dead letter as it is kept: a line of its file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Letter {
    /// The same whenever the message is delivered: `table/partition/offset`, and the row's number after the first.
    #[serde(default)]
    pub id: String,
    /// When it was first kept, in milliseconds since 1970.
    #[serde(default)]
    pub at: u64,
    pub reason: String,
    pub table: String,
    /// Without the table's name.
    pub partition: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Which row of the message, counted from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub row: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// The message's key, in base64.
    pub key: Option<String>,
    /// The message's value, in base64; of a document, the text to embed.
    pub value: Option<String>,
    /// Names, and values in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// When the message was produced, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
    /// The document whose text could not be embedded; absent where the letter is a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<LetterDocument>,
}

/// A document whose text could not be embedded.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LetterDocument {
    pub key: String,
    #[schema(value_type = Object)]
    pub columns: Box<RawValue>,
}

fn is_first(row: &u32) -> bool {
    *row == 0
}

impl Letter {
    pub(super) fn of_message(letter: &DeadLetter<'_>) -> Letter {
        let message = &letter.message;
        let partition = letter.partition.split_once('/');
        let partition = partition.map_or(&*letter.partition, |(_, partition)| partition);
        let headers = message.headers.iter();
        Letter {
            id: id(&letter.table, partition, message.offset.0, letter.row),
            at: now_ms(),
            reason: letter.reason.clone(),
            table: letter.table.clone(),
            partition: partition.to_owned(),
            offset: Some(message.offset.0),
            row: letter.row,
            topic: message.topic.to_owned(),
            key: message.key.map(|bytes| STANDARD.encode(bytes)),
            value: message.value.map(|bytes| STANDARD.encode(bytes)),
            headers: headers
                .map(|(name, value)| (name.clone(), STANDARD.encode(value)))
                .collect(),
            timestamp_ms: message.timestamp_ms,
            document: None,
        }
    }

    pub(super) fn of_text(unembedded: &UnembeddedText<'_>) -> Letter {
        const PARTITION: &str = "embedding";
        let mut columns = Vec::new();
        write_json_object(unembedded.row.iter(), &mut columns);
        let columns = String::from_utf8(columns)
            .ok()
            .and_then(|json| RawValue::from_string(json).ok());
        Letter {
            id: format!("{}/{PARTITION}/{:032x}", unembedded.index, unembedded.hash.0),
            at: now_ms(),
            reason: unembedded.reason.to_owned(),
            table: unembedded.index.to_owned(),
            partition: PARTITION.to_owned(),
            offset: None,
            row: 0,
            topic: String::new(),
            key: None,
            value: Some(STANDARD.encode(unembedded.text)),
            headers: Vec::new(),
            timestamp_ms: None,
            document: Some(LetterDocument {
                key: unembedded.key.clone(),
                columns: columns.unwrap_or_default(),
            }),
        }
    }

    /// The letter of a line. One that an earlier version kept has no id of its own.
    pub(super) fn parse(line: &[u8]) -> serde_json::Result<Letter> {
        let mut letter: Letter = serde_json::from_slice(line)?;
        if letter.id.is_empty() {
            letter.id = id(
                &letter.table,
                &letter.partition,
                letter.offset.unwrap_or_default(),
                letter.row,
            );
        }
        Ok(letter)
    }

    /// Its line, with the end of the line.
    pub(super) fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a letter serialises into memory");
        line.push(b'\n');
        line
    }

    pub(super) fn content(&self) -> u64 {
        content(self.key.as_deref(), self.value.as_deref())
    }

    /// The message's raw bytes; `None` where somebody has edited the file.
    pub fn raw(&self) -> Option<RawMessage> {
        let decode = |part: &Option<String>| match part {
            None => Some(None),
            Some(text) => STANDARD.decode(text).ok().map(Some),
        };
        let headers = self.headers.iter();
        Some(RawMessage {
            key: decode(&self.key)?,
            value: decode(&self.value)?,
            headers: headers
                .map(|(name, value)| Some((name.clone(), STANDARD.decode(value).ok()?)))
                .collect::<Option<_>>()?,
        })
    }
}

/// The bytes of a message.
#[derive(Default)]
pub struct RawMessage {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl RawMessage {
    /// The message as it was delivered.
    pub fn as_message<'a>(&'a self, letter: &'a Letter, partition: PartitionId) -> Message<'a> {
        Message {
            topic: &letter.topic,
            partition,
            offset: Offset(letter.offset.unwrap_or_default()),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
            timestamp_ms: letter.timestamp_ms,
        }
    }
}

pub(super) fn id(table: &str, partition: &str, offset: u64, row: u32) -> String {
    match row {
        0 => format!("{table}/{partition}/{offset}"),
        row => format!("{table}/{partition}/{offset}/{row}"),
    }
}

/// Tells messages apart that came at one place, as after a topic was made anew.
pub(super) fn content(key: Option<&str>, value: Option<&str>) -> u64 {
    let [key, value] = [key, value].map(|part| part.map_or(0, |part| xxh3_64(part.as_bytes()) | 1));
    key.rotate_left(32) ^ value
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_millis() as u64)
}
