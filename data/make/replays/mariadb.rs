//! Products from MariaDB through Debezium, without schemas: a snapshot, then the binlog. Decimals are base64 of a
//! big-endian integer and dates are days since 1970, which only the dataflow file can know. Two partitions; a
//! tombstone after each delete; a restart of the connector that delivers old changes again, a delete of a row that is
//! back meanwhile among them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::log::{Holds, Log, Message, Replay, expected};
use crate::catalogue::{Catalogue, Product};
use crate::clock::{Moment, OPENING};
use crate::json;
use crate::random::Random;

const PRODUCTS: usize = 40;
const STORM: u64 = 3;
const SERVER: u64 = 184_054;
const DAY_MS: u64 = 86_400_000;

#[derive(Clone)]
struct Stored {
    product: Product,
    weight_grams: u64,
    stock: u64,
    status: &'static str,
    made: Option<Moment>,
    updated: Moment,
}

impl Stored {
    /// The row as it stands in `before` and `after`.
    fn wire(&self, id: u64) -> String {
        let made = self
            .made
            .map_or("null".to_string(), |made| (made.0 / DAY_MS).to_string());
        self.object(id, json::text(Some(&decimal(self.product.price_cents))), made)
    }

    fn expected(&self, id: u64) -> String {
        let cents = self.product.price_cents;
        let made = self.made.map(|made| made.format("%Y-%m-%d"));
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        expected(
            1,
            &self.members(id, json::text(Some(&price)), json::text(made.as_deref())),
        )
    }

    fn object(&self, id: u64, price: String, made: String) -> String {
        json::object(self.members(id, price, made))
    }

    fn members(&self, id: u64, price: String, made: String) -> [(&'static str, String); 10] {
        [
            ("id", id.to_string()),
            ("name", json::text(Some(&self.product.name))),
            ("description", json::text(Some(&self.product.description))),
            ("category", json::text(Some(self.product.category))),
            ("price", price),
            // Kilograms; an odd number of grams keeps a fraction.
            (
                "weight",
                format!("{}.{:03}", self.weight_grams / 1_000, self.weight_grams % 1_000),
            ),
            ("stock", self.stock.to_string()),
            ("status", json::text(Some(self.status))),
            ("made", made),
            (
                "updated_at",
                json::text(Some(&self.updated.format("%Y-%m-%dT%H:%M:%SZ"))),
            ),
        ]
    }
}

/// The bytes of a decimal's unscaled value: big-endian two's complement, as few as possible.
fn decimal(unscaled: u64) -> String {
    let bytes = unscaled.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    // The highest bit is the sign.
    let start = if bytes[first] >= 0x80 { first - 1 } else { first };
    STANDARD.encode(&bytes[start..])
}

#[derive(Clone, Copy)]
enum Event {
    Create,
    Reprice,
    Rewrite,
    Storm,
    Withdraw,
    Delete,
    Return,
    Renumber,
}

struct Store {
    random: Random,
    catalogue: Catalogue,
    now: Moment,
    /// Where the binlog stands.
    pos: u64,
    log: Log,
    products: BTreeMap<u64, Stored>,
    deleted: Vec<(u64, Stored)>,
    next_id: u64,
}

pub fn replay() -> Replay {
    let mut store = Store {
        random: Random::new(59),
        catalogue: Catalogue::new(),
        now: OPENING,
        pos: 342,
        log: Log::new("shopdb.inventory.products"),
        products: BTreeMap::new(),
        deleted: Vec::new(),
        next_id: 101,
    };
    for _ in 0..PRODUCTS {
        store.create("r");
    }
    let counts = [
        (Event::Create, 8),
        (Event::Reprice, 20),
        (Event::Rewrite, 5),
        (Event::Storm, 110),
        (Event::Withdraw, 5),
        (Event::Delete, 6),
        (Event::Return, 2),
        (Event::Renumber, 2),
    ];
    let mut events: Vec<Event> = counts
        .iter()
        .flat_map(|&(event, count)| vec![event; count])
        .collect();
    store.random.shuffle(&mut events);
    let half = events.len() / 2;
    for (i, event) in events.into_iter().enumerate() {
        store.live_through(event);
        if i == half {
            store.delete_and_return();
            // The connector restarts from an offset that it had noted a while ago.
            store.log.resend(0, 25);
            store.log.resend(1, 25);
        }
    }
    Replay {
        rows: store
            .products
            .iter()
            .map(|(id, stored)| stored.expected(*id))
            .collect(),
        published: store
            .products
            .values()
            .filter(|stored| stored.status == "published")
            .count(),
        log: store.log,
    }
}

impl Store {
    fn create(&mut self, op: &str) {
        let id = self.next_id;
        self.next_id += 1;
        let product = self.catalogue.products(1, &mut self.random).swap_remove(0);
        self.now = self.now.later(if op == "r" {
            0
        } else {
            self.random.range(1_000, 20_000)
        });
        let stored = Stored {
            product,
            weight_grams: self.random.range(40, 9_000) * 2 + 1,
            stock: self.random.range(0, 250),
            status: if self.random.chance(90) {
                "published"
            } else {
                "draft"
            },
            made: self
                .random
                .chance(80)
                .then(|| Moment(OPENING.0 - self.random.range(1, 900) * DAY_MS)),
            updated: self.now,
        };
        self.change(id, op, None, Some(&stored), vec![]);
        self.products.insert(id, stored);
    }

    fn live_through(&mut self, event: Event) {
        self.now = self.now.later(self.random.range(5, 6_000));
        match event {
            Event::Create => self.create("c"),
            Event::Reprice => {
                let id = self.choose();
                self.update(id, |stored, random| {
                    stored.product.price_cents += random.range(1, 900)
                });
            }
            Event::Rewrite => {
                let id = self.choose();
                let description = self
                    .catalogue
                    .rewrite(&self.products[&id].product, &mut self.random);
                self.update(id, |stored, _| stored.product.description = description);
            }
            Event::Storm => {
                let id = self.random.range(101, 101 + STORM);
                self.update(id, |stored, random| stored.stock = random.range(0, 250));
            }
            Event::Withdraw => {
                let id = self.choose();
                self.update(id, |stored, _| stored.status = "draft");
            }
            Event::Delete => {
                let id = self.choose();
                self.delete(id);
            }
            Event::Return => self.delete_and_return(),
            // Debezium deletes the old key and creates the new one; headers say that they belong together.
            Event::Renumber => {
                let old = self.choose();
                let new = self.next_id;
                self.next_id += 1;
                if let Some(mut stored) = self.products.remove(&old) {
                    let header = |name, id: u64| vec![(name, key(id))];
                    self.change(old, "d", Some(&stored), None, header("__debezium.newkey", new));
                    self.tombstone(old, header("__debezium.newkey", new));
                    stored.updated = self.now;
                    self.change(new, "c", None, Some(&stored), header("__debezium.oldkey", old));
                    self.products.insert(new, stored);
                }
            }
        }
    }

    /// A product that is not in the storm.
    fn choose(&mut self) -> u64 {
        let ids: Vec<u64> = self
            .products
            .keys()
            .copied()
            .filter(|id| *id >= 101 + STORM)
            .collect();
        self.random.pick(&ids)
    }

    fn update(&mut self, id: u64, change: impl FnOnce(&mut Stored, &mut Random)) {
        if let Some(before) = self.products.get(&id).cloned() {
            let mut after = before.clone();
            change(&mut after, &mut self.random);
            after.updated = self.now;
            self.change(id, "u", Some(&before), Some(&after), vec![]);
            self.products.insert(id, after);
        }
    }

    fn delete(&mut self, id: u64) {
        if let Some(stored) = self.products.remove(&id) {
            self.change(id, "d", Some(&stored), None, vec![]);
            self.tombstone(id, vec![]);
            self.deleted.push((id, stored));
        }
    }

    /// A row is deleted, and the same key is inserted again.
    fn delete_and_return(&mut self) {
        let id = self.choose();
        self.delete(id);
        self.now = self.now.later(self.random.range(1_000, 3_000));
        if let Some((id, mut stored)) = self.deleted.pop() {
            stored.stock = 1;
            stored.updated = self.now;
            self.change(id, "c", None, Some(&stored), vec![]);
            self.products.insert(id, stored);
        }
    }

    fn change(
        &mut self,
        id: u64,
        op: &str,
        before: Option<&Stored>,
        after: Option<&Stored>,
        headers: Vec<(&'static str, String)>,
    ) {
        let snapshot = op == "r";
        if !snapshot {
            self.pos += self.random.range(300, 900);
        }
        let row = |stored: Option<&Stored>| stored.map_or("null".to_string(), |stored| stored.wire(id));
        // The binlog counts seconds.
        let committed = self.now.0 / 1_000 * 1_000;
        let source = json::object([
            ("version", json::text(Some("3.6.3.Final"))),
            ("connector", json::text(Some("mariadb"))),
            ("name", json::text(Some("shopdb"))),
            ("ts_ms", committed.to_string()),
            (
                "snapshot",
                json::text(Some(if snapshot { "true" } else { "false" })),
            ),
            ("db", json::text(Some("inventory"))),
            ("sequence", "null".into()),
            ("ts_us", (committed * 1_000).to_string()),
            ("ts_ns", (committed * 1_000_000).to_string()),
            ("table", json::text(Some("products"))),
            ("server_id", if snapshot { 0 } else { SERVER }.to_string()),
            ("gtid", "null".into()),
            ("file", json::text(Some("mariadb-bin.000007"))),
            ("pos", self.pos.to_string()),
            ("row", "0".into()),
            ("thread", "null".into()),
            ("query", "null".into()),
        ]);
        let value = json::object([
            ("before", row(before)),
            ("after", row(after)),
            ("source", source),
            ("transaction", "null".into()),
            ("op", json::text(Some(op))),
            ("ts_ms", self.now.later(120).0.to_string()),
        ]);
        self.send(id, Some(value), headers);
    }

    /// Tells Kafka's compaction that the key is gone; for a reader it is the delete once more.
    fn tombstone(&mut self, id: u64, headers: Vec<(&'static str, String)>) {
        self.send(id, None, headers);
    }

    fn send(&mut self, id: u64, value: Option<String>, headers: Vec<(&'static str, String)>) {
        let (partition, at) = (id as u32 % 2, self.now.later(150));
        self.log.send(Message {
            partition,
            key: Some(key(id)),
            value,
            headers,
            at,
            holds: Holds::Changes(1),
        });
    }
}

fn key(id: u64) -> String {
    json::object([("id", id.to_string())])
}
