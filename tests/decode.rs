//! Messages -> changes: special cases by their golden decodes, whole captures by their final rows.

pub mod compare;
mod fold;
mod golden;
mod replay;

use std::collections::BTreeMap;

use millpond::change::{Offset, PartitionId};
use millpond::decode::{Decoded, Decoder, Message};
use millpond::definition::{ColumnType, Format, SourceSettings, Table};

/// A table with the settings that decoding looks at.
fn table(format: Format, key: &[&str]) -> Table {
    Table {
        name: "table".to_owned(),
        source: SourceSettings::Http,
        format,
        key: key.iter().map(|name| name.to_string()).collect(),
        select: Vec::new(),
        columns: BTreeMap::new(),
        claim_check: None,
        vectors: Vec::new(),
        needs: Vec::new(),
    }
}

fn columns(types: &[(&str, &str)]) -> BTreeMap<String, ColumnType> {
    let parse = |text: &str| ColumnType::parse(text).unwrap_or_else(|| panic!("the test's type `{text}`"));
    types
        .iter()
        .map(|(name, text)| (name.to_string(), parse(text)))
        .collect()
}

/// A message as a record of a replay file has it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Record {
    topic: String,
    partition: u32,
    offset: u64,
    key: Option<String>,
    value: Option<String>,
    headers: Option<Vec<(String, String)>>,
}

impl Record {
    fn value(value: &str) -> Record {
        Record {
            value: Some(value.to_owned()),
            ..Record::default()
        }
    }

    fn keyed(key: &str, value: &str) -> Record {
        Record {
            key: Some(key.to_owned()),
            ..Record::value(value)
        }
    }

    fn tombstone(key: &str) -> Record {
        Record {
            key: Some(key.to_owned()),
            ..Record::default()
        }
    }

    fn topic(self, topic: &str) -> Record {
        Record {
            topic: topic.to_owned(),
            ..self
        }
    }

    fn header(self, name: &str, value: &str) -> Record {
        Record {
            headers: Some(vec![(name.to_owned(), value.to_owned())]),
            ..self
        }
    }

    fn decode(&self, decoder: &mut Decoder, out: &mut Decoded) {
        let headers = self.headers.iter().flatten();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect();
        let message = Message {
            topic: &self.topic,
            partition: PartitionId(self.partition),
            offset: Offset(self.offset),
            key: self.key.as_deref().map(str::as_bytes),
            value: self.value.as_deref().map(str::as_bytes),
            headers: &headers,
            timestamp_ms: None,
        };
        decoder.decode(&message, out);
    }
}

/// Decodes records of one partition, which stand at offsets 0, 1, 2 ...
fn decode(table: &Table, records: &[Record]) -> Decoded {
    let mut decoder = Decoder::new(table);
    let mut out = Decoded::default();
    for (offset, record) in (0..).zip(records) {
        Record {
            offset,
            ..record.clone()
        }
        .decode(&mut decoder, &mut out);
    }
    out
}
