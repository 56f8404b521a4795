//! Writes `products.ndjson.zst`, the change stream of the quick start.
//!
//!     cargo run --example make_products [-- FOLDER]
//!
//! A shop's database takes in two thousand products, then lives through a few days: prices change, things are sold
//! out, withdrawn and rewritten, and a flash sale hammers twenty of them. Each line is a message as TiCDC sends it.
//! Everything comes from a seed: the same program writes the same bytes.

#[path = "make/canal.rs"]
mod canal;
#[path = "make/catalogue.rs"]
mod catalogue;
#[path = "make/clock.rs"]
mod clock;
#[path = "make/json.rs"]
mod json;
#[path = "make/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::path::PathBuf;

use canal::{Row, Table};
use catalogue::{Catalogue, Product};
use clock::{Moment, OPENING};
use random::Random;

const SEED: u64 = 2026;
const PRODUCTS: usize = 2_000;
const DRAFTS_AT_FIRST: usize = 50;

const PRICE_UPDATES: usize = 700;
/// Campaigns change several prices in one message.
const CAMPAIGNS: usize = 60;
const DELETES: usize = 60;
const WITHDRAWALS: usize = 40;
const PUBLICATIONS: usize = 30;
const REWRITES: usize = 25;
const STORM_UPDATES: usize = 4_000;
const STORM_PRODUCTS: usize = 20;

const MESSAGES_PER_WATERMARK: usize = 100;
/// After a restart the changefeed sends its latest messages again.
const MESSAGES_RESENT: usize = 40;

const TABLE: Table = Table {
    database: "shop",
    name: "products",
    key: &["id"],
    columns: &[
        ("id", "bigint", -5),
        ("name", "varchar", 12),
        ("brand", "varchar", 12),
        ("description", "text", 2005),
        ("category", "varchar", 12),
        ("price", "decimal", 3),
        ("stock_quantity", "int", 4),
        ("status", "varchar", 12),
        ("updated_at", "datetime", 93),
    ],
    create: "CREATE TABLE `products` (`id` BIGINT PRIMARY KEY, `name` VARCHAR(255) NOT NULL, `brand` VARCHAR(64) NOT NULL, \
             `description` TEXT, `category` VARCHAR(64) NOT NULL, `price` DECIMAL(10,2) NOT NULL, \
             `stock_quantity` INT NOT NULL, `status` VARCHAR(16) NOT NULL, `updated_at` DATETIME NOT NULL)",
};

/// What happens in the shop; `choose` says to which products it can happen.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Reprice,
    Campaign,
    Delete,
    Withdraw,
    Publish,
    Rewrite,
    Storm,
}

#[derive(Clone)]
struct Stored {
    product: Product,
    stock: u64,
    published: bool,
    updated: Moment,
}

impl Stored {
    fn row(&self, id: u64) -> Row {
        let status = if self.published { "published" } else { "draft" };
        let price = self.product.price_cents;
        vec![
            Some(id.to_string()),
            Some(self.product.name.clone()),
            Some(self.product.brand.to_string()),
            Some(self.product.description.clone()),
            Some(self.product.category.to_string()),
            Some(format!("{}.{:02}", price / 100, price % 100)),
            Some(self.stock.to_string()),
            Some(status.to_string()),
            Some(self.updated.format("%Y-%m-%d %H:%M:%S")),
        ]
    }
}

struct Shop {
    random: Random,
    catalogue: Catalogue,
    now: Moment,
    products: BTreeMap<u64, Stored>,
    /// The products of the flash sale; they stay published.
    storm: Vec<u64>,
    /// Each with the number of row changes it holds.
    messages: Vec<(String, usize)>,
}

impl Shop {
    fn open() -> Shop {
        let (random, products) = (Random::new(SEED), BTreeMap::new());
        let (storm, messages) = (Vec::new(), Vec::new());
        Shop {
            random,
            catalogue: Catalogue::new(),
            now: OPENING,
            products,
            storm,
            messages,
        }
    }

    fn send(&mut self, message: String, changes: usize) {
        self.messages.push((message, changes));
        if self.messages.len().is_multiple_of(MESSAGES_PER_WATERMARK) {
            self.messages.push((canal::watermark(self.now), 0));
        }
    }

    fn stock_up(&mut self) {
        let created = TABLE.created(self.now);
        self.send(created, 0);
        for (i, product) in self
            .catalogue
            .products(PRODUCTS, &mut self.random)
            .into_iter()
            .enumerate()
        {
            self.now = self.now.later(self.random.range(5, 60));
            let stock = self.random.range(0, 400);
            let published = !i.is_multiple_of(PRODUCTS / DRAFTS_AT_FIRST);
            let stored = Stored {
                product,
                stock,
                published,
                updated: self.now,
            };
            let id = i as u64 + 1;
            let message = TABLE.insert(&[stored.row(id)], self.now);
            self.products.insert(id, stored);
            self.send(message, 1);
        }
        while self.storm.len() < STORM_PRODUCTS {
            let id = self.choose(|stored| stored.published);
            if !self.storm.contains(&id) {
                self.storm.push(id);
            }
        }
    }

    fn choose(&mut self, fits: impl Fn(&Stored) -> bool) -> u64 {
        let ids: Vec<u64> = self
            .products
            .iter()
            .filter(|(id, stored)| !self.storm.contains(id) && fits(stored))
            .map(|(id, _)| *id)
            .collect();
        self.random.pick(&ids)
    }

    fn live_through(&mut self, event: Event) {
        self.now = self.now.later(if event == Event::Storm {
            self.random.range(1, 15)
        } else {
            self.random.range(2_000, 300_000)
        });
        match event {
            Event::Reprice => {
                let id = self.choose(|_| true);
                self.update(&[id], |product, random| product.reprice(random));
            }
            Event::Campaign => {
                let mut ids: Vec<u64> = (0..self.random.range(2, 7))
                    .map(|_| self.choose(|_| true))
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                self.update(&ids, |product, random| product.reprice(random));
            }
            Event::Withdraw => {
                let id = self.choose(|stored| stored.published);
                self.update(&[id], |stored, _| stored.published = false);
            }
            Event::Publish => {
                let id = self.choose(|stored| !stored.published);
                self.update(&[id], |stored, _| stored.published = true);
            }
            Event::Rewrite => {
                let id = self.choose(|stored| stored.published);
                let description = self
                    .catalogue
                    .rewrite(&self.products[&id].product, &mut self.random);
                self.update(&[id], |stored, _| {
                    stored.product.description = description.clone()
                });
            }
            Event::Storm => {
                let id = self.random.pick(&self.storm);
                self.update(&[id], |stored, random| {
                    if random.chance(20) {
                        stored.reprice(random);
                    }
                    stored.stock = if stored.stock < 3 {
                        250
                    } else {
                        stored.stock - random.range(1, 4)
                    };
                });
            }
            Event::Delete => {
                let id = self.choose(|_| true);
                if let Some(stored) = self.products.remove(&id) {
                    self.send(TABLE.delete(&[stored.row(id)], self.now), 1);
                }
            }
        }
    }

    fn update(&mut self, ids: &[u64], change: impl Fn(&mut Stored, &mut Random)) {
        let mut rows = Vec::new();
        for id in ids {
            if let Some(stored) = self.products.get_mut(id) {
                let before = stored.row(*id);
                change(stored, &mut self.random);
                stored.updated = self.now;
                rows.push((before, stored.row(*id)));
            }
        }
        self.send(TABLE.update(&rows, self.now), rows.len());
    }

    /// Sends the latest messages once more, as they were.
    fn resend(&mut self) {
        let from = self.messages.len() - MESSAGES_RESENT;
        self.messages.extend_from_within(from..);
    }
}

impl Stored {
    /// Up to thirty percent up or down.
    fn reprice(&mut self, random: &mut Random) {
        let cents = self.product.price_cents * random.range(70, 131) / 100;
        self.product.price_cents = cents.max(99);
    }
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data"),
        PathBuf::from,
    );

    let mut shop = Shop::open();
    shop.stock_up();

    let ordinary = [
        (Event::Reprice, PRICE_UPDATES),
        (Event::Campaign, CAMPAIGNS),
        (Event::Delete, DELETES),
        (Event::Withdraw, WITHDRAWALS),
        (Event::Publish, PUBLICATIONS),
        (Event::Rewrite, REWRITES),
    ];
    let mut before: Vec<Event> = ordinary
        .iter()
        .flat_map(|&(event, count)| vec![event; count])
        .collect();
    shop.random.shuffle(&mut before);
    let after = before.split_off(before.len() / 2);
    // The flash sale: the storm, and now and then something else in between.
    let mut sale = before.split_off(before.len() / 2);
    sale.extend(vec![Event::Storm; STORM_UPDATES]);
    shop.random.shuffle(&mut sale);

    before.into_iter().for_each(|event| shop.live_through(event));
    // In the midst of ordinary life, where single rows changed.
    shop.resend();
    sale.into_iter()
        .chain(after)
        .for_each(|event| shop.live_through(event));

    let text: String = shop
        .messages
        .iter()
        .flat_map(|(message, _)| [message, "\n"])
        .collect();
    let path = folder.join("products.ndjson.zst");
    std::fs::write(&path, zstd::encode_all(text.as_bytes(), 19)?)?;
    println!(
        "{}: {} messages, {} row changes, {} rows, {} of them published",
        path.display(),
        shop.messages.len(),
        shop.messages.iter().map(|(_, changes)| changes).sum::<usize>(),
        shop.products.len(),
        shop.products.values().filter(|stored| stored.published).count(),
    );
    Ok(())
}
