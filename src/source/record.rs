//! One line of a file -> one message.
//!
//! A line that claims to be a record and is none is passed on raw: the decoder refuses it, and the dead letter shows
//! the line. It has no partition of its own, so it comes in partition `lines`, at its line number.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::change::{Offset, PartitionId};
use crate::decode::Message;

/// Partition number of lines that are not records. Brokers count from 0.
const NO_PARTITION: i32 = -1;

/// A message of a file, with its own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedMessage {
    /// Empty where the source has no topics.
    pub topic: String,
    pub partition: i32,
    pub offset: u64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// When it was produced, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

impl OwnedMessage {
    /// The message as decoders take it; the node numbers partitions.
    pub fn as_message(&self, partition: PartitionId) -> Message<'_> {
        Message {
            topic: &self.topic,
            partition,
            offset: Offset(self.offset),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
            timestamp_ms: self.timestamp_ms,
        }
    }

    /// `topic:partition`, or the partition alone where there is no topic; `lines` for lines that are not records.
    pub fn partition_name(&self) -> String {
        match (self.topic.as_str(), self.partition) {
            ("", NO_PARTITION) => "lines".to_owned(),
            ("", partition) => partition.to_string(),
            (topic, partition) => format!("{topic}:{partition}"),
        }
    }

    /// Bytes of its contents, for bounds.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        let bytes = |field: &Option<Vec<u8>>| field.as_ref().map_or(0, Vec::len);
        bytes(&self.key) + bytes(&self.value) + headers.sum::<usize>()
    }

    /// A line that is a message's value, at its line number.
    pub(super) fn from_value(line: &[u8], number: u64) -> OwnedMessage {
        OwnedMessage {
            topic: String::new(),
            partition: 0,
            offset: number,
            key: None,
            value: Some(line.to_vec()),
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// A line that is a record; the raw line at its number where it is none.
    pub(super) fn from_record(line: &[u8], number: u64) -> OwnedMessage {
        match serde_json::from_slice::<Record<'_>>(line) {
            Ok(record) if record.partition >= 0 => record.into_message(),
            _ => OwnedMessage {
                partition: NO_PARTITION,
                ..OwnedMessage::from_value(line, number)
            },
        }
    }
}

/// A record as it is written; names that are not listed are ignored.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(default)]
    partition: i32,
    offset: u64,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(default)]
    headers: Option<Vec<(String, String)>>,
    #[serde(default)]
    timestamp: Option<i64>,
}

impl Record<'_> {
    fn into_message(self) -> OwnedMessage {
        let headers = self.headers.unwrap_or_default();
        OwnedMessage {
            topic: self.topic.into_owned(),
            partition: self.partition,
            offset: self.offset,
            key: self.key.map(|key| key.into_owned().into_bytes()),
            value: self.value.map(|value| value.into_owned().into_bytes()),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name, value.into_bytes()))
                .collect(),
            timestamp_ms: self.timestamp,
        }
    }
}

/// Whether a line looks like a record: an object with a topic, an offset, and a key or a value.
pub(super) fn is_record(line: &[u8]) -> bool {
    let Ok(fields) = serde_json::from_slice::<HashMap<Cow<'_, str>, IgnoredAny>>(line) else {
        return false;
    };
    let has = |name: &str| fields.contains_key(name);
    has("topic") && has("offset") && (has("value") || has("key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_all_its_fields() {
        let line = br#"{"topic":"t","partition":3,"offset":7,"key":"{\"id\":1}","value":null,
            "headers":[["a","\"b\""]],"timestamp":5,"more":{}}"#;
        let message = OwnedMessage::from_record(line, 0);
        let expected = OwnedMessage {
            topic: "t".into(),
            partition: 3,
            offset: 7,
            key: Some(br#"{"id":1}"#.to_vec()),
            value: None,
            headers: vec![("a".into(), b"\"b\"".to_vec())],
            timestamp_ms: Some(5),
        };
        assert_eq!(message, expected);
        assert_eq!(message.partition_name(), "t:3");
    }

    #[test]
    fn headers_and_timestamp_may_be_missing_or_null() {
        for line in [
            r#"{"topic":"","offset":1,"value":"v"}"#,
            r#"{"topic":"","partition":0,"offset":1,"key":null,"value":"v","headers":null,"timestamp":null}"#,
        ] {
            let message = OwnedMessage::from_record(line.as_bytes(), 9);
            assert_eq!(message, OwnedMessage::from_value(b"v", 1), "{line}");
            assert_eq!(message.partition_name(), "0");
        }
    }

    #[test]
    fn what_is_no_record_is_passed_on_raw_at_its_line_number() {
        for line in [
            "{\"topic\":\"t\",\"offset\":1,\"val",
            "[]",
            r#"{"topic":"t","offset":-1,"value":"v"}"#,
            r#"{"topic":"t","partition":-1,"offset":1,"value":"v"}"#,
            r#"{"topic":"t","offset":1,"value":{"id":1}}"#,
            "\u{0}",
        ] {
            let message = OwnedMessage::from_record(line.as_bytes(), 9);
            assert_eq!(message.value.as_deref(), Some(line.as_bytes()));
            assert_eq!(
                (message.partition_name().as_str(), message.offset),
                ("lines", 9),
                "{line}"
            );
        }
    }

    #[test]
    fn records_are_told_from_rows_by_their_fields() {
        assert!(is_record(br#"{"topic":"t","offset":0,"key":null,"value":null}"#));
        assert!(is_record(br#"{"topic":"t","offset":0,"key":"k"}"#));
        assert!(!is_record(br#"{"topic":"t","value":"v"}"#));
        assert!(!is_record(br#"{"id":1,"offset":2,"topic":"t"}"#));
        assert!(!is_record(b"topic offset value"));
    }
}
