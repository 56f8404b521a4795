//! A topic as a consumer recorded it: one `{"topic","partition","offset",...}` a line.

use std::collections::BTreeMap;

use crate::clock::Moment;
use crate::json;

/// What a decoder should find in a message.
#[derive(Clone, Copy, PartialEq)]
pub enum Holds {
    /// So many row changes.
    Changes(usize),
    /// A watermark, DDL, another table.
    Nothing,
    /// It becomes a dead letter.
    Rubbish,
}

#[derive(Clone)]
pub struct Message {
    pub partition: u32,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    pub at: Moment,
    pub holds: Holds,
}

pub struct Log {
    topic: &'static str,
    messages: Vec<Message>,
}

impl Log {
    pub fn new(topic: &'static str) -> Log {
        Log {
            topic,
            messages: Vec::new(),
        }
    }

    pub fn send(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Delivers the latest messages of a partition once more, in their order, at new offsets.
    pub fn resend(&mut self, partition: u32, count: usize) {
        let mut again: Vec<Message> = self
            .messages
            .iter()
            .rev()
            .filter(|message| message.partition == partition)
            .take(count)
            .cloned()
            .collect();
        again.reverse();
        self.messages.extend(again);
    }

    pub fn to_text(&self) -> String {
        let mut next = BTreeMap::new();
        let mut out = String::new();
        for message in &self.messages {
            let offset = next.entry(message.partition).or_insert(0_u64);
            let header = |(name, value): &(&str, String)| {
                json::array([json::text(Some(name)), json::text(Some(value))])
            };
            out += &json::object([
                ("topic", json::text(Some(self.topic))),
                ("partition", message.partition.to_string()),
                ("offset", offset.to_string()),
                ("key", json::text(message.key.as_deref())),
                ("value", json::text(message.value.as_deref())),
                ("headers", json::array(message.headers.iter().map(header))),
                ("timestamp", message.at.0.to_string()),
            ]);
            out.push('\n');
            *offset += 1;
        }
        out
    }

    /// Messages, row changes, dead letters.
    pub fn counts(&self) -> (usize, usize, usize) {
        let changes = self.messages.iter().map(|message| match message.holds {
            Holds::Changes(count) => count,
            Holds::Nothing | Holds::Rubbish => 0,
        });
        let rubbish = self
            .messages
            .iter()
            .filter(|message| message.holds == Holds::Rubbish);
        (self.messages.len(), changes.sum(), rubbish.count())
    }
}

/// A replay's input, and what the source's tables hold at its end.
pub struct Replay {
    pub log: Log,
    /// Lines of `{"key":{...},"row":{...}}`, ordered by key.
    pub rows: Vec<String>,
    pub published: usize,
}

/// A line of the expectation; the members are JSON already, the first `key` of them are the key.
pub fn expected(key: usize, members: &[(&str, String)]) -> String {
    let object =
        |members: &[(&str, String)]| json::object(members.iter().map(|(name, value)| (*name, value.clone())));
    json::object([("key", object(&members[..key])), ("row", object(members))])
}
