//! Messages of every format: no panic, every message comes to something, what comes is sound, and the same again.
//!
//! An input is a byte that chooses the table, then up to eight messages separated by `0xFE`; a message is its value,
//! its key and a header, separated by `0xFF`. A part that is empty is absent. What a claim check is exchanged for is the
//! last part of the input.

use std::sync::{Arc, LazyLock};

use millpond::change::{Offset, PartitionId};
use millpond::decode::{Decoded, Decoder, Message};
use millpond::definition::{Definition, Format, Table};

use super::changes::check_change;
use super::dataflows::{SEPARATOR, formats};

static FORMATS: LazyLock<Vec<Arc<Definition>>> = LazyLock::new(formats);

pub fn run(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let choice = usize::from(choice);
    let table = &FORMATS[choice % FORMATS.len()].tables[0];
    // Every third of the byte's range another topic.
    let topic = ["", "server.d.t", "t"][choice / FORMATS.len() % 3];
    let messages: Vec<Parts<'_>> = rest
        .split(|byte| *byte == SEPARATOR[0])
        .take(8)
        .map(Parts::of)
        .collect();
    let claimed = rest
        .rsplit(|byte| SEPARATOR.contains(byte))
        .next()
        .unwrap_or_default();

    let first = decode(table, topic, claimed, &messages);
    let second = decode(table, topic, claimed, &messages);
    assert_eq!(first.changes, second.changes);
    assert_eq!(first.refusals, second.refusals);
    assert_eq!(first.skipped, second.skipped);
}

struct Parts<'a> {
    value: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    headers: Vec<(String, Vec<u8>)>,
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Parts<'a> {
        let mut parts = bytes
            .splitn(3, |byte| *byte == SEPARATOR[1])
            .map(|part| Some(part).filter(|part| !part.is_empty()));
        let (value, key) = (parts.next().flatten(), parts.next().flatten());
        let header = parts.next().flatten();
        let headers = header.map(|value| ("__debezium.oldkey".to_owned(), value.to_vec()));
        Parts {
            value,
            key,
            headers: headers.into_iter().collect(),
        }
    }
}

/// Decodes them as one partition, and checks what comes of each.
fn decode(table: &Table, topic: &str, claimed: &[u8], messages: &[Parts<'_>]) -> Decoded {
    let claimed = claimed.to_vec();
    let mut decoder = Decoder::with_claim_check(table, Box::new(move |_| Ok(claimed.clone())));
    let mut all = Decoded::default();
    for (parts, offset) in messages.iter().zip(7..) {
        let message = Message {
            topic,
            partition: PartitionId(3),
            offset: Offset(offset),
            key: parts.key,
            value: parts.value,
            headers: &parts.headers,
            timestamp_ms: Some(1_700_000_000_000),
        };
        let mut out = Decoded::default();
        decoder.decode(&message, &mut out);
        // Only a canal message may hold an empty list of rows.
        let came = out.changes.len() + out.refusals.len() + out.skipped as usize;
        assert!(
            came > 0 || table.format == Format::CanalJson,
            "it came to nothing"
        );
        for change in &out.changes {
            check_change(table, &message, change);
        }
        for refusal in &out.refusals {
            assert_eq!(
                (refusal.partition, refusal.offset),
                (message.partition, message.offset)
            );
            assert!(!refusal.reason.trim().is_empty());
        }
        all.changes.append(&mut out.changes);
        all.refusals.append(&mut out.refusals);
        all.skipped += out.skipped;
    }
    all
}
