//! Ready-made vectors, as a pipeline that embeds elsewhere publishes them: 64 dimensions around eight centres, four
//! partitions, `meta` beside them. One is sent again unchanged, some come as an array instead of base64, one has too
//! few dimensions: a dead letter. Nothing but the offset orders these messages.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::log::{Holds, Log, Message, Replay, expected};
use crate::clock::{Moment, OPENING};
use crate::json;
use crate::random::Random;

const DIMENSIONS: usize = 64;
const PARTITIONS: u64 = 4;
const CHUNKS: u64 = 120;
/// The chunk of the storm.
const STORM: u64 = 1;

/// What the centres stand for, with titles of pages about it.
const TOPICS: &[(&str, &[&str])] = &[
    (
        "billing",
        &[
            "How an invoice is corrected",
            "Paying by instalments",
            "When a card is declined",
        ],
    ),
    (
        "shipping",
        &[
            "Tracking a parcel",
            "Delivery to a neighbour",
            "Customs outside the union",
        ],
    ),
    (
        "returns",
        &[
            "Sending something back",
            "Refunds and how long they take",
            "Exchanging a size",
        ],
    ),
    (
        "accounts",
        &[
            "Changing your address",
            "Merging two accounts",
            "Forgotten passwords",
        ],
    ),
    (
        "security",
        &[
            "Signing in with a second factor",
            "Suspicious mails",
            "Lost devices",
        ],
    ),
    (
        "warranty",
        &[
            "What the guarantee covers",
            "Registering a serial number",
            "Repairs on site",
        ],
    ),
    (
        "assembly",
        &[
            "Missing screws",
            "Mounting on plasterboard",
            "Tools you will need",
        ],
    ),
    (
        "sustainability",
        &[
            "Packaging and waste",
            "Old appliances",
            "Where our wood comes from",
        ],
    ),
];
const LANGUAGES: &[&str] = &["en", "de", "pt"];

#[derive(Clone)]
struct Chunk {
    vector: Vec<f32>,
    title: &'static str,
    topic: &'static str,
    language: &'static str,
    page: u64,
    status: &'static str,
}

impl Chunk {
    fn meta(&self) -> [(&'static str, String); 5] {
        [
            ("title", json::text(Some(self.title))),
            ("topic", json::text(Some(self.topic))),
            ("language", json::text(Some(self.language))),
            ("page", self.page.to_string()),
            ("status", json::text(Some(self.status))),
        ]
    }

    fn array(&self) -> String {
        json::array(
            self.vector
                .iter()
                .map(|component| serde_json::to_string(component).expect("a finite number")),
        )
    }

    /// Little-endian `f32`, then base64.
    fn base64(&self) -> String {
        let bytes: Vec<u8> = self
            .vector
            .iter()
            .flat_map(|component| component.to_le_bytes())
            .collect();
        json::text(Some(&STANDARD.encode(bytes)))
    }

    fn message(&self, id: u64, as_array: bool) -> String {
        let vector = if as_array {
            ("vector", self.array())
        } else {
            ("vector_b64", self.base64())
        };
        json::object([
            ("id", json::text(Some(&name(id)))),
            vector,
            ("meta", json::object(self.meta())),
        ])
    }

    fn expected(&self, id: u64) -> String {
        let mut members = vec![("id", json::text(Some(&name(id)))), ("vector", self.array())];
        members.push(("meta", json::object(self.meta())));
        members.extend(self.meta());
        expected(1, &members)
    }
}

#[derive(Clone, Copy)]
enum Event {
    Embed,
    Again,
    Storm,
    Withdraw,
    Delete,
}

struct Pipeline {
    random: Random,
    now: Moment,
    log: Log,
    centres: Vec<Vec<f32>>,
    chunks: BTreeMap<u64, Chunk>,
}

pub fn replay() -> Replay {
    let mut random = Random::new(73);
    let centres = TOPICS
        .iter()
        .map(|_| (0..DIMENSIONS).map(|_| component(&mut random)).collect())
        .collect();
    let mut pipeline = Pipeline {
        random,
        now: OPENING,
        log: Log::new("embeddings"),
        centres,
        chunks: BTreeMap::new(),
    };
    for id in 1..=CHUNKS {
        pipeline.embed(id);
    }
    let counts = [
        (Event::Embed, 30),
        (Event::Again, 1),
        (Event::Storm, 60),
        (Event::Withdraw, 6),
        (Event::Delete, 8),
    ];
    let mut events: Vec<Event> = counts
        .iter()
        .flat_map(|&(event, count)| vec![event; count])
        .collect();
    pipeline.random.shuffle(&mut events);
    for (i, event) in events.into_iter().enumerate() {
        pipeline.live_through(event);
        match i {
            40 => pipeline.too_short(),
            // In their order and up to the end: the last state of each key comes last again.
            70 => pipeline.log.resend(2, 10),
            _ => {}
        }
    }
    Replay {
        rows: pipeline
            .chunks
            .iter()
            .map(|(id, chunk)| chunk.expected(*id))
            .collect(),
        published: pipeline
            .chunks
            .values()
            .filter(|chunk| chunk.status == "published")
            .count(),
        log: pipeline.log,
    }
}

impl Pipeline {
    fn embed(&mut self, id: u64) {
        self.now = self.now.later(self.random.range(5, 900));
        let centre = self.random.range(0, TOPICS.len() as u64) as usize;
        let (topic, titles) = TOPICS[centre];
        let near = |value: &f32, random: &mut Random| value + component(random) * 0.5;
        let chunk = Chunk {
            vector: self.centres[centre]
                .iter()
                .map(|value| near(value, &mut self.random))
                .collect(),
            title: self.random.pick(titles),
            topic,
            language: self.random.pick(LANGUAGES),
            page: self.random.range(1, 80),
            status: "published",
        };
        self.chunks.insert(id, chunk);
        self.publish(id);
    }

    fn live_through(&mut self, event: Event) {
        self.now = self.now.later(self.random.range(5, 900));
        let ids: Vec<u64> = self.chunks.keys().copied().filter(|id| *id != STORM).collect();
        let id = self.random.pick(&ids);
        match event {
            Event::Embed => self.embed(id),
            Event::Again => self.publish(id),
            // The page count of a long document is corrected over and over; its vector stays.
            Event::Storm => {
                let page = self.random.range(1, 80);
                self.set(STORM, |chunk| chunk.page = page);
            }
            Event::Withdraw => self.set(id, |chunk| chunk.status = "draft"),
            Event::Delete => {
                self.chunks.remove(&id);
                self.send(id, None, Holds::Changes(1));
            }
        }
    }

    fn set(&mut self, id: u64, change: impl FnOnce(&mut Chunk)) {
        if let Some(chunk) = self.chunks.get_mut(&id) {
            change(chunk);
        }
        self.publish(id);
    }

    fn publish(&mut self, id: u64) {
        let as_array = self.random.chance(4);
        if let Some(chunk) = self.chunks.get(&id) {
            let value = chunk.message(id, as_array);
            self.send(id, Some(value), Holds::Changes(1));
        }
    }

    /// A vector of another model, published by mistake: the row stays as it was.
    fn too_short(&mut self) {
        let mut chunk = self.chunks[&STORM].clone();
        chunk.vector.truncate(DIMENSIONS - 1);
        self.send(STORM, Some(chunk.message(STORM, false)), Holds::Rubbish);
    }

    fn send(&mut self, id: u64, value: Option<String>, holds: Holds) {
        let partition = (id % PARTITIONS) as u32;
        let key = Some(name(id));
        self.log.send(Message {
            partition,
            key,
            value,
            headers: vec![],
            at: self.now,
            holds,
        });
    }
}

fn name(id: u64) -> String {
    format!("chunk-{id:04}")
}

/// Between -1 and 1, in steps that `f32` holds exactly.
fn component(random: &mut Random) -> f32 {
    random.range(0, 1 << 12) as f32 / 2048.0 - 1.0
}
