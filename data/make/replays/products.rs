//! Products from TiCDC as it sends them by default: bare `mysqlType` (an enum is a number that the dataflow file has to
//! explain), a moved key split into a delete and an insert. Two partitions, another table in the topic, a change that
//! arrives late, and one message that was cut off: a dead letter.

use std::collections::BTreeMap;

use super::log::{Holds, Log, Message, Replay, expected};
use crate::canal::{self, Row, Table};
use crate::catalogue::{Catalogue, Product};
use crate::clock::{Moment, OPENING};
use crate::json;
use crate::random::Random;

const TABLE: Table = Table {
    database: "mystore",
    name: "products",
    key: &["id"],
    columns: &[
        ("id", "int", 4),
        ("name", "varchar", 12),
        ("description", "text", 2005),
        ("category", "varchar", 12),
        ("brand", "varchar", 12),
        ("price", "decimal", 3),
        ("rating", "double", 8),
        ("stock_quantity", "int", 4),
        ("status", "enum", 4),
        ("available_from", "date", 91),
    ],
    create: "CREATE TABLE `products` (`id` INT PRIMARY KEY, `name` VARCHAR(255), `description` TEXT, \
             `category` VARCHAR(64), `brand` VARCHAR(64), `price` DECIMAL(10,2), `rating` DOUBLE, \
             `stock_quantity` INT, `status` ENUM('draft','published'), `available_from` DATE)",
};

const ORDERS: Table = Table {
    database: "mystore",
    name: "orders",
    key: &["id"],
    columns: &[
        ("id", "bigint", -5),
        ("product_id", "int", 4),
        ("quantity", "int", 4),
    ],
    create: "",
};

const PRODUCTS: usize = 70;
/// The products of the storm: nothing else happens to them.
const STORM: u64 = 2;

#[derive(Clone)]
struct Stored {
    product: Product,
    rating_tenths: Option<u64>,
    stock: u64,
    published: bool,
    available: Option<Moment>,
}

impl Stored {
    fn row(&self, id: u64) -> Row {
        let status = if self.published { "2" } else { "1" };
        vec![
            Some(id.to_string()),
            Some(self.product.name.clone()),
            Some(self.product.description.clone()),
            Some(self.product.category.to_string()),
            Some(self.product.brand.to_string()),
            Some(self.price()),
            self.rating(),
            Some(self.stock.to_string()),
            Some(status.to_string()),
            self.available(),
        ]
    }

    fn expected(&self, id: u64) -> String {
        let status = if self.published { "published" } else { "draft" };
        expected(
            1,
            &[
                ("id", id.to_string()),
                ("name", json::text(Some(&self.product.name))),
                ("description", json::text(Some(&self.product.description))),
                ("category", json::text(Some(self.product.category))),
                ("brand", json::text(Some(self.product.brand))),
                ("price", json::text(Some(&self.price()))),
                ("rating", self.rating().unwrap_or_else(|| "null".into())),
                ("stock_quantity", self.stock.to_string()),
                ("status", json::text(Some(status))),
                ("available_from", json::text(self.available().as_deref())),
            ],
        )
    }

    fn price(&self) -> String {
        format!(
            "{}.{:02}",
            self.product.price_cents / 100,
            self.product.price_cents % 100
        )
    }

    fn rating(&self) -> Option<String> {
        self.rating_tenths
            .map(|tenths| format!("{}.{}", tenths / 10, tenths % 10))
    }

    fn available(&self) -> Option<String> {
        self.available.map(|moment| moment.format("%Y-%m-%d"))
    }
}

#[derive(Clone, Copy)]
enum Event {
    Reprice,
    Rewrite,
    Storm,
    Withdraw,
    Delete,
    Renumber,
    Late,
    Order,
}

struct Store {
    random: Random,
    catalogue: Catalogue,
    now: Moment,
    log: Log,
    products: BTreeMap<u64, Stored>,
    next_id: u64,
}

pub fn replay() -> Replay {
    let mut store = Store {
        random: Random::new(47),
        catalogue: Catalogue::new(),
        now: OPENING,
        log: Log::new("tidb-products-cdc"),
        products: BTreeMap::new(),
        next_id: 9_001,
    };
    store.send(0, TABLE.created(OPENING), Holds::Nothing);
    for (i, product) in store
        .catalogue
        .products(PRODUCTS, &mut store.random)
        .into_iter()
        .enumerate()
    {
        store.stock(i as u64 + 1, product);
    }
    let counts = [
        (Event::Reprice, 40),
        (Event::Rewrite, 6),
        (Event::Storm, 100),
        (Event::Withdraw, 7),
        (Event::Delete, 6),
        (Event::Renumber, 3),
        (Event::Late, 3),
        (Event::Order, 5),
    ];
    let mut events: Vec<Event> = counts
        .iter()
        .flat_map(|&(event, count)| vec![event; count])
        .collect();
    store.random.shuffle(&mut events);
    for (i, event) in events.into_iter().enumerate() {
        store.live_through(event);
        match i {
            50 => store.cut_off(),
            90 => store.log.resend(0, 20),
            _ if i.is_multiple_of(50) => store.watermark(),
            _ => {}
        }
    }
    store.watermark();
    Replay {
        rows: store
            .products
            .iter()
            .map(|(id, stored)| stored.expected(*id))
            .collect(),
        published: store.products.values().filter(|stored| stored.published).count(),
        log: store.log,
    }
}

impl Store {
    fn stock(&mut self, id: u64, product: Product) {
        self.now = self.now.later(self.random.range(50, 2_000));
        let stored = Stored {
            product,
            // Never a whole number: TiDB writes 4.0 as 4.
            rating_tenths: self
                .random
                .chance(85)
                .then(|| self.random.range(2, 5) * 10 + self.random.range(1, 10)),
            stock: self.random.range(0, 300),
            published: id <= STORM || self.random.chance(92),
            available: self
                .random
                .chance(70)
                .then(|| OPENING.later(self.random.range(0, 90) * 86_400_000)),
        };
        self.send(
            partition(id),
            TABLE.insert(&[stored.row(id)], self.now),
            Holds::Changes(1),
        );
        self.products.insert(id, stored);
    }

    fn live_through(&mut self, event: Event) {
        self.now = self.now.later(self.random.range(20, 5_000));
        let id = self.choose();
        match event {
            Event::Reprice => {
                let message = self.update(id, |stored, random| {
                    stored.product.price_cents += random.range(1, 900)
                });
                self.send(partition(id), message, Holds::Changes(1));
            }
            Event::Rewrite => {
                let description = self
                    .catalogue
                    .rewrite(&self.products[&id].product, &mut self.random);
                let message = self.update(id, |stored, _| stored.product.description = description);
                self.send(partition(id), message, Holds::Changes(1));
            }
            Event::Storm => {
                let id = self.random.range(1, STORM + 1);
                let message = self.update(id, |stored, random| {
                    stored.stock = random.range(0, 300);
                    stored.product.price_cents += random.range(0, 2);
                });
                self.send(partition(id), message, Holds::Changes(1));
            }
            Event::Withdraw => {
                let message = self.update(id, |stored, _| stored.published = false);
                self.send(partition(id), message, Holds::Changes(1));
            }
            Event::Delete => {
                if let Some(stored) = self.products.remove(&id) {
                    self.send(
                        partition(id),
                        TABLE.delete(&[stored.row(id)], self.now),
                        Holds::Changes(1),
                    );
                }
            }
            Event::Renumber => {
                if let Some(stored) = self.products.remove(&id) {
                    let new = self.next_id;
                    self.next_id += 1;
                    self.send(
                        partition(id),
                        TABLE.delete(&[stored.row(id)], self.now),
                        Holds::Changes(1),
                    );
                    self.send(
                        partition(new),
                        TABLE.insert(&[stored.row(new)], self.now),
                        Holds::Changes(1),
                    );
                    self.products.insert(new, stored);
                }
            }
            // Two changes of a row through two partitions: the second arrives first.
            Event::Late => {
                let first = self.update(id, |stored, _| stored.stock = 0);
                self.now = self.now.later(500);
                let second = self.update(id, |stored, random| stored.stock = random.range(1, 300));
                self.send(partition(id), second, Holds::Changes(1));
                self.send(1 - partition(id), first, Holds::Changes(1));
            }
            Event::Order => {
                let order = [self.now.0, id, 1].map(|number| Some(number.to_string()));
                self.send(
                    partition(id),
                    ORDERS.insert(&[order.to_vec()], self.now),
                    Holds::Nothing,
                );
            }
        }
    }

    /// A product that is not in the storm.
    fn choose(&mut self) -> u64 {
        let ids: Vec<u64> = self.products.keys().copied().filter(|id| *id > STORM).collect();
        self.random.pick(&ids)
    }

    fn update(&mut self, id: u64, change: impl FnOnce(&mut Stored, &mut Random)) -> String {
        let stored = self
            .products
            .get_mut(&id)
            .expect("the product was chosen among those that are there");
        let before = stored.row(id);
        change(stored, &mut self.random);
        TABLE.update(&[(before, stored.row(id))], self.now)
    }

    /// A producer died while it wrote.
    fn cut_off(&mut self) {
        let id = self.choose();
        let whole = TABLE.delete(&[self.products[&id].row(id)], self.now);
        let half: String = whole.chars().take(whole.chars().count() / 2).collect();
        self.send(partition(id), half, Holds::Rubbish);
    }

    fn watermark(&mut self) {
        for partition in [0, 1] {
            self.send(partition, canal::watermark(self.now), Holds::Nothing);
        }
    }

    fn send(&mut self, partition: u32, value: String, holds: Holds) {
        let at = self.now;
        self.log.send(Message {
            partition,
            key: None,
            value: Some(value),
            headers: vec![],
            at,
            holds,
        });
    }
}

fn partition(id: u64) -> u32 {
    id as u32 % 2
}
