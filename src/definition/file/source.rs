//! `source = { kind = ... }` -> [`SourceSettings`].

use super::World;
use super::kafka;
use super::written::{Entry, Section};
use crate::definition::fault::{quoted, suggestion};
use crate::definition::{FileSettings, Framing, SourceSettings};

const KINDS: [&str; 3] = ["kafka", "file", "http"];

pub(super) fn read(entry: &Entry<'_>, world: &World<'_>) -> Option<SourceSettings> {
    let mut source = entry.section("a table such as `{ kind = \"file\", path = \"changes.ndjson\" }`")?;
    let expected = format!("one of `{}`", KINDS.join("`, `"));
    let kind = source.required("kind", &expected)?;
    let settings = match kind.text(&expected)? {
        "kafka" => {
            let settings = kafka::source(&mut source, world).map(SourceSettings::Kafka);
            source.finish_with("; librdkafka's settings stand in `options`");
            return settings;
        }
        "file" => file(&mut source, world).map(SourceSettings::File),
        "http" => Some(SourceSettings::Http),
        other => {
            match other {
                "nats" => kind.wrong(
                    "the source kind `nats` comes in a later version",
                    format!("this one has `{}`", KINDS.join("`, `")),
                ),
                other => kind.wrong(
                    format!("unknown source kind {}", quoted(other)),
                    suggestion(other, &KINDS).unwrap_or_default(),
                ),
            }
            // Which keys would be right is unknown, so the others are not judged.
            return None;
        }
    };
    source.finish();
    settings
}

fn file(source: &mut Section<'_>, world: &World<'_>) -> Option<FileSettings> {
    let expected = "the path of a file of changes";
    let path = source
        .required("path", expected)
        .and_then(|entry| entry.text(expected));
    let framing = match source.optional("framing") {
        None => Some(Framing::Values),
        Some(entry) => entry.choice(
            "framing",
            &[("values", Framing::Values), ("records", Framing::Records)],
        ),
    };
    let follow = match source.optional("follow") {
        None => Some(false),
        Some(entry) => entry.boolean(),
    };
    let rate = match source.optional("rate") {
        None => Some(None),
        Some(entry) => entry
            .number(|rate| rate > 0.0, "a number of messages a second, more than 0")
            .map(Some),
    };
    Some(FileSettings {
        path: world.base.join(path?),
        framing: framing?,
        follow: follow?,
        rate: rate?,
    })
}
