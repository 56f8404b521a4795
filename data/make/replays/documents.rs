//! Knowledge-base articles of several tenants, from TiCDC: three partitions, `content-compatible=true` (so `mysqlType`
//! carries the labels of an enum), `output-raw-change-event=true` (so an update may move the key).

use std::collections::BTreeMap;

use super::log::{Holds, Log, Message, Replay, expected};
use crate::canal::{self, Row, Table};
use crate::clock::{Moment, OPENING};
use crate::json;
use crate::random::Random;

const TABLE: Table = Table {
    database: "docs",
    name: "documents",
    key: &["tenant_id", "doc_id"],
    columns: &[
        ("tenant_id", "varchar(32)", 12),
        ("doc_id", "bigint", -5),
        ("title", "varchar(255)", 12),
        ("body", "text", 2005),
        ("author", "varchar(64)", 12),
        ("status", "enum('draft','published','archived')", 4),
        ("revision", "int", 4),
        ("updated_at", "datetime", 93),
    ],
    create: "CREATE TABLE `documents` (`tenant_id` VARCHAR(32), `doc_id` BIGINT, `title` VARCHAR(255), `body` TEXT, \
             `author` VARCHAR(64), `status` ENUM('draft','published','archived'), `revision` INT, `updated_at` DATETIME, \
             PRIMARY KEY (`tenant_id`, `doc_id`))",
};

const TENANTS: &[&str] = &["acme", "birch", "corvus", "delta/labs"];
const AUTHORS: &[&str] = &["Mara Lind", "Jonas Okafor", "Yuki Tanabe", "Inés Duarte"];
const PARTITIONS: u32 = 3;

/// Tenants share some texts, as they do where everyone starts from the same templates.
const ARTICLES: &[(&str, &str)] = &[
    (
        "Reset a forgotten password",
        "Open the sign-in page, choose \"I cannot log in\" and follow the link in the mail. It is valid for one hour.",
    ),
    (
        "Set up two-factor authentication",
        "Scan the code with an authenticator app and store the recovery codes away from your phone.",
    ),
    (
        "Invite colleagues to a workspace",
        "An administrator sends invitations by mail. Guests see only the folders shared with them.",
    ),
    (
        "Request annual leave",
        "Enter the days in the calendar two weeks ahead. Your manager confirms them, payroll is informed by itself.",
    ),
    (
        "Expense reports",
        "Photograph the receipt, pick a project and submit. Amounts above 200 need a second approval.",
    ),
    (
        "Working from home",
        "Up to three days a week are free to choose. A desk, a chair and a screen are paid for once.",
    ),
    (
        "Printer on the second floor",
        "If paper jams, open tray two and pull gently. The toner stands in the cupboard to the left.",
    ),
    (
        "Connect to the VPN",
        "Install the client, import the profile and sign in. Public hotspots are blocked without it.",
    ),
    (
        "Incident response",
        "Declare early. One person leads, one writes the log, all others fix. The review blames no one.",
    ),
    (
        "Backups and restores",
        "Databases are copied every night and kept for thirty days. A restore is rehearsed each quarter.",
    ),
    (
        "Onboarding checklist",
        "Laptop, badge, accounts, a mentor, and lunch with the team in the first week.",
    ),
    (
        "Travel policy",
        "Take the train below six hours. Hotels are booked through the portal; keep the invoice.",
    ),
    (
        "Handling customer complaints",
        "Answer within a day, say what happens next, and write down what would have prevented it.",
    ),
    (
        "Style guide for release notes",
        "Say what the user notices, in the present tense, without the name of an internal project.",
    ),
    (
        "Fire drill",
        "Leave by the stairs, meet at the flagpole, do not go back for bags. Wardens count heads.",
    ),
    (
        "Parental leave",
        "Tell us eight weeks ahead. The place stays yours, and part-time return is possible.",
    ),
    (
        "Data protection requests",
        "Forward them to the privacy office the same day. The law gives us thirty days.",
    ),
    (
        "Recycling in the kitchen",
        "Paper in blue, glass in green, everything else in the press. Coffee grounds go to the roof garden.",
    ),
];

const REVISED: &[&str] = &[
    "Checked by the legal team.",
    "Translated into plain language.",
    "The old form is no longer accepted.",
];

#[derive(Clone)]
struct Document {
    title: String,
    body: String,
    author: Option<&'static str>,
    status: Status,
    revision: u64,
    updated: Moment,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Draft = 1,
    Published = 2,
    Archived = 3,
}

type Key = (&'static str, u64);

impl Document {
    fn row(&self, (tenant, id): Key) -> Row {
        vec![
            Some(tenant.to_string()),
            Some(id.to_string()),
            Some(self.title.clone()),
            Some(self.body.clone()),
            self.author.map(str::to_string),
            Some((self.status as u8).to_string()),
            Some(self.revision.to_string()),
            Some(self.updated.format("%Y-%m-%d %H:%M:%S")),
        ]
    }

    fn expected(&self, (tenant, id): Key) -> String {
        let status = match self.status {
            Status::Draft => "draft",
            Status::Published => "published",
            Status::Archived => "archived",
        };
        expected(
            2,
            &[
                ("tenant_id", json::text(Some(tenant))),
                ("doc_id", id.to_string()),
                ("title", json::text(Some(&self.title))),
                ("body", json::text(Some(&self.body))),
                ("author", json::text(self.author)),
                ("status", json::text(Some(status))),
                ("revision", self.revision.to_string()),
                (
                    "updated_at",
                    json::text(Some(&self.updated.format("%Y-%m-%dT%H:%M:%S"))),
                ),
            ],
        )
    }
}

#[derive(Clone, Copy)]
enum Event {
    Edit,
    Storm,
    Withdraw,
    Publish,
    Delete,
    Return,
    Move,
}

struct Office {
    random: Random,
    now: Moment,
    log: Log,
    documents: BTreeMap<Key, Document>,
    deleted: Vec<Key>,
    next_id: u64,
}

pub fn replay() -> Replay {
    let mut office = Office {
        random: Random::new(31),
        now: OPENING,
        log: Log::new("tidb-documents-cdc"),
        documents: BTreeMap::new(),
        deleted: Vec::new(),
        next_id: 1_001,
    };
    office.log.send(Message {
        partition: 0,
        key: None,
        value: Some(TABLE.created(OPENING)),
        headers: vec![],
        at: OPENING,
        holds: Holds::Nothing,
    });
    for id in 1..=14 {
        for tenant in TENANTS {
            office.write((tenant, id));
        }
    }
    let counts = [
        (Event::Edit, 40),
        (Event::Storm, 90),
        (Event::Withdraw, 6),
        (Event::Publish, 4),
        (Event::Delete, 8),
        (Event::Return, 3),
        (Event::Move, 3),
    ];
    let mut events: Vec<Event> = counts
        .iter()
        .flat_map(|&(event, count)| vec![event; count])
        .collect();
    office.random.shuffle(&mut events);
    for (i, event) in events.into_iter().enumerate() {
        office.live_through(event);
        match i {
            // The changefeed restarts twice, and sends again what it had not yet noted as sent.
            60 => office.log.resend(1, 15),
            130 => office.log.resend(0, 12),
            _ if i.is_multiple_of(40) => office.watermark(),
            _ => {}
        }
    }
    office.watermark();
    Replay {
        rows: office
            .documents
            .iter()
            .map(|(key, document)| document.expected(*key))
            .collect(),
        published: office
            .documents
            .values()
            .filter(|document| document.status == Status::Published)
            .count(),
        log: office.log,
    }
}

impl Office {
    fn write(&mut self, key: Key) {
        self.now = self.now.later(self.random.range(50, 4_000));
        let (title, body) = self.random.pick(ARTICLES);
        let author = self.random.chance(80).then(|| self.random.pick(AUTHORS));
        let status = if self.random.chance(90) {
            Status::Published
        } else {
            Status::Draft
        };
        let (title, body) = (title.to_string(), body.to_string());
        let document = Document {
            title,
            body,
            author,
            status,
            revision: 1,
            updated: self.now,
        };
        self.send(key, TABLE.insert(&[document.row(key)], self.now), 1);
        self.documents.insert(key, document);
    }

    fn live_through(&mut self, event: Event) {
        self.now = self.now.later(self.random.range(20, 9_000));
        match event {
            Event::Edit => {
                let key = self.choose(|_| true);
                let sentence = self.random.pick(REVISED);
                self.update(key, |document| {
                    document.body = format!("{} {sentence}", document.body)
                });
            }
            // A script counts up the revision and touches nothing that is searched.
            Event::Storm => {
                let key = (self.random.pick(&TENANTS[..2]), 1);
                self.update(key, |_| ());
            }
            Event::Withdraw => {
                let key = self.choose(|document| document.status == Status::Published);
                let status = self.random.pick(&[Status::Draft, Status::Archived]);
                self.update(key, |document| document.status = status);
            }
            Event::Publish => {
                let key = self.choose(|document| document.status != Status::Published);
                self.update(key, |document| document.status = Status::Published);
            }
            Event::Delete => {
                let key = self.choose(|_| true);
                if let Some(document) = self.documents.remove(&key) {
                    self.send(key, TABLE.delete(&[document.row(key)], self.now), 1);
                    self.deleted.push(key);
                }
            }
            Event::Return => {
                if let Some(key) = self.deleted.pop() {
                    self.write(key);
                }
            }
            Event::Move => {
                let key = self.choose(|_| true);
                if let Some(mut document) = self.documents.remove(&key) {
                    let before = document.row(key);
                    let moved = (self.random.pick(TENANTS), self.next_id);
                    self.next_id += 1;
                    document.touch(self.now);
                    self.send(moved, TABLE.update(&[(before, document.row(moved))], self.now), 2);
                    self.documents.insert(moved, document);
                }
            }
        }
    }

    /// A document that is not in the storm.
    fn choose(&mut self, fits: impl Fn(&Document) -> bool) -> Key {
        let fitting = self
            .documents
            .iter()
            .filter(|((_, id), document)| *id != 1 && fits(document));
        let keys: Vec<Key> = fitting.map(|(key, _)| *key).collect();
        self.random.pick(&keys)
    }

    fn update(&mut self, key: Key, change: impl FnOnce(&mut Document)) {
        if let Some(document) = self.documents.get_mut(&key) {
            let before = document.row(key);
            change(document);
            document.touch(self.now);
            let message = TABLE.update(&[(before, document.row(key))], self.now);
            self.send(key, message, 1);
        }
    }

    fn send(&mut self, (tenant, id): Key, value: String, changes: usize) {
        let partition = (tenant.len() as u32 + id as u32) % PARTITIONS;
        let (at, holds) = (self.now, Holds::Changes(changes));
        self.log.send(Message {
            partition,
            key: None,
            value: Some(value),
            headers: vec![],
            at,
            holds,
        });
    }

    fn watermark(&mut self) {
        for partition in 0..PARTITIONS {
            let value = Some(canal::watermark(self.now));
            self.log.send(Message {
                partition,
                key: None,
                value,
                headers: vec![],
                at: self.now,
                holds: Holds::Nothing,
            });
        }
    }
}

impl Document {
    fn touch(&mut self, now: Moment) {
        self.revision += 1;
        self.updated = now;
    }
}
