//! `source = { kind = "kafka", ... }` -> [`KafkaSettings`], and `[dead_letters]` -> [`DeadLetterTopic`].

use std::collections::BTreeMap;
use std::ops::Range;

use super::World;
use super::written::{Entry, Section};
use crate::definition::fault::quoted;
use crate::definition::{DeadLetterTopic, KafkaSettings, KafkaStart, OnGap};

/// Offsets of Kafka are signed.
const OFFSETS: Range<u64> = 0..1 << 63;

pub(super) fn source(source: &mut Section<'_>, world: &World<'_>) -> Option<KafkaSettings> {
    let expected = "the brokers as `\"host:port,host:port\"`";
    let brokers = source
        .required("brokers", expected)
        .and_then(|entry| brokers(&entry, expected));
    let topics = topics(source);
    let group = match source.optional("group") {
        None => Some("millpond".to_owned()),
        Some(entry) => entry
            .text("the group that offsets are committed to")
            .map(str::to_owned),
    };
    let start = match source.optional("start") {
        None => Some(KafkaStart::Earliest),
        Some(entry) => start(&entry),
    };
    let on_gap = match source.optional("on_gap") {
        None => Some(OnGap::Stop),
        Some(entry) => entry.choice("on_gap", &[("stop", OnGap::Stop), ("continue", OnGap::Continue)]),
    };
    let options = match source.optional("options") {
        None => Some(BTreeMap::new()),
        Some(entry) => options(&entry, world),
    };
    Some(KafkaSettings {
        brokers: brokers?,
        topics: topics?,
        group: group?,
        start: start?,
        on_gap: on_gap?,
        options: options?,
    })
}

/// `dead_letters = { kafka = { brokers, topic, options } }`.
pub(super) fn dead_letters(entry: &Entry<'_>, world: &World<'_>) -> Option<DeadLetterTopic> {
    let expected = "a table such as `{ brokers = \"host:port\", topic = \"dead-letters\" }`";
    let mut dead_letters =
        entry.section("a section with `kafka`, the topic that dead letters are produced to")?;
    let kafka = dead_letters.required("kafka", expected);
    dead_letters.finish();
    let mut kafka = kafka?.section(expected)?;
    let (hosts, name) = ("the brokers as `\"host:port,host:port\"`", "the name of a topic");
    let brokers = kafka
        .required("brokers", hosts)
        .and_then(|entry| brokers(&entry, hosts));
    let topic = kafka
        .required("topic", name)
        .and_then(|entry| topic(&entry, name));
    let options = match kafka.optional("options") {
        None => Some(BTreeMap::new()),
        Some(entry) => options(&entry, world),
    };
    kafka.finish_with("; librdkafka's settings stand in `options`");
    Some(DeadLetterTopic {
        brokers: brokers?,
        topic: topic?,
        options: options?,
    })
}

/// A topic that is written to: a broker that makes topics by itself would make one of any name that it allows.
fn topic(entry: &Entry<'_>, expected: &str) -> Option<String> {
    const BYTES_MAX: usize = 249;
    let topic = entry.text(expected)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if topic.len() <= BYTES_MAX && topic.chars().all(plain) {
        return Some(topic.to_owned());
    }
    entry.wrong(
        format!("{} is no name of a topic", quoted(topic)),
        format!("letters, digits, `_`, `-` and `.`, at most {BYTES_MAX}"),
    );
    None
}

fn brokers(entry: &Entry<'_>, expected: &str) -> Option<String> {
    let text = entry.text(expected)?;
    if text.split(',').any(|broker| broker.trim().is_empty()) {
        entry.wrong(
            format!("`{}` names an empty broker", entry.path),
            format!("it must be {expected}"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn topics(source: &mut Section<'_>) -> Option<Vec<String>> {
    let expected = "the name of a topic, or with `topics` a list of names";
    let entry = match (source.optional("topic"), source.optional("topics")) {
        (Some(entry), None) => {
            return Some(vec![
                entry.text("a topic's name; `topics` takes a list")?.to_owned(),
            ]);
        }
        (None, Some(entry)) => entry,
        (Some(_), Some(entry)) => {
            entry.wrong(
                format!("`{}` has `topic` and `topics`", source.path),
                "one of them is enough",
            );
            return None;
        }
        (None, None) => source.required("topic", expected)?,
    };
    Some(
        entry
            .texts("a list of topics")?
            .into_iter()
            .map(|(_, topic)| topic.to_owned())
            .collect(),
    )
}

fn start(entry: &Entry<'_>) -> Option<KafkaStart> {
    let expected = "`\"earliest\"`, `\"latest\"`, an offset, or offsets by partition: `{ 0 = 120, 1 = 80 }`";
    if entry.is_text() {
        return entry.choice(
            "start",
            &[("earliest", KafkaStart::Earliest), ("latest", KafkaStart::Latest)],
        );
    }
    if entry.is_integer() {
        return entry.integer(OFFSETS, expected).map(KafkaStart::Offset);
    }
    let mut offsets = BTreeMap::new();
    let mut complete = true;
    for partition in entry.section(expected)?.entries() {
        let number = partition.name.parse::<i32>().ok().filter(|number| *number >= 0);
        if number.is_none() {
            partition.wrong(
                format!("{} is no partition", quoted(partition.name)),
                "partitions are numbers from 0: `{ 0 = 120, 1 = 80 }`",
            );
        }
        match (number, partition.integer(OFFSETS, "an offset, from 0")) {
            (Some(number), Some(offset)) => {
                offsets.insert(number, offset);
            }
            _ => complete = false,
        }
    }
    complete.then_some(KafkaStart::Offsets(offsets))
}

/// librdkafka's settings, by their dotted names: quoted, or as TOML's dotted keys.
fn options(entry: &Entry<'_>, world: &World<'_>) -> Option<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    let mut complete = true;
    let mut waiting = entry
        .section("a table of librdkafka settings: `{ \"security.protocol\" = \"SSL\" }`")?
        .entries()
        .into_iter()
        .map(|entry| (entry.name.to_owned(), entry))
        .collect::<Vec<_>>();
    while let Some((name, entry)) = waiting.pop() {
        if entry.is_section() {
            let inner = entry
                .section("")
                .map(|section| section.entries())
                .unwrap_or_default();
            waiting.extend(
                inner
                    .into_iter()
                    .map(|entry| (format!("{name}.{}", entry.name), entry)),
            );
            continue;
        }
        match option(&name, &entry, world) {
            Some(value) => {
                options.insert(name, value);
            }
            None => complete = false,
        }
    }
    complete.then_some(options)
}

fn option(name: &str, entry: &Entry<'_>, world: &World<'_>) -> Option<String> {
    let instead = match name {
        "bootstrap.servers" | "metadata.broker.list" => Some("`brokers` names them"),
        "group.id" => Some("`group` names it"),
        "auto.offset.reset" => Some("`start` says where reading begins, and `on_gap` what follows a gap"),
        "enable.auto.commit" | "enable.auto.offset.store" => {
            Some("offsets are committed after the checkpoint that contains them")
        }
        _ => None,
    };
    if let Some(hint) = instead {
        entry.wrong(format!("the option `{name}` is set by the node"), hint);
        return None;
    }
    let value = entry.scalar()?;
    let Some(variable) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Some(value);
    };
    let substituted = (world.variable)(variable);
    if substituted.is_none() {
        entry.wrong(
            format!("the environment variable {} is not set", quoted(variable)),
            format!("the option {} takes its value from it", quoted(name)),
        );
    }
    substituted
}
