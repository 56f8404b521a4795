//! An index of products in shards, written by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond::change::{Columns, Datum, Key, Row, TableId};
use millpond::definition::plan::Node;
use millpond::definition::{Analyzer, Expression, Field, FieldKind, Fusion, Index, Plan, TextField};
use millpond::index::keyword::{
    Compaction, KeywordChange, KeywordSchema, KeywordState, KeywordWriter, search,
};
use millpond::index::{Document, Slot};
use roaring::RoaringBitmap;

/// Columns in the order of their rows: texts first, then fields.
pub fn index(texts: &[(&str, f32, Analyzer)], fields: &[(&str, FieldKind)]) -> Index {
    let names = texts
        .iter()
        .map(|(name, ..)| *name)
        .chain(fields.iter().map(|(name, _)| *name));
    let text = texts
        .iter()
        .enumerate()
        .map(|(column, (name, boost, analyzer))| TextField {
            name: (*name).to_owned(),
            column,
            boost: *boost,
            analyzer: *analyzer,
        });
    let field = fields.iter().enumerate().map(|(i, (name, kind))| Field {
        name: (*name).to_owned(),
        column: texts.len() + i,
        kind: *kind,
    });
    Index {
        plan: Plan {
            root: Node::Table(TableId(0)),
            columns: names.map(str::to_owned).collect(),
        },
        key: vec![0],
        text: text.collect(),
        fields: field.collect(),
        tenant: None,
        vectors: Vec::new(),
        freshness: Default::default(),
        fusion: Fusion::Relative { weight: 0.2 },
    }
}

/// A key, and the row that shall be there.
pub type KeyRow = (String, Option<Row>);

pub struct Shards {
    shards: Vec<Shard>,
    columns: Arc<Columns>,
    pub rows: BTreeMap<String, Row>,
    /// How often a compaction has called.
    pub calls: Arc<AtomicUsize>,
}

struct Shard {
    writer: KeywordWriter,
    documents: Vec<Option<Arc<Document>>>,
    slots: BTreeMap<String, Slot>,
    free: Vec<Slot>,
}

impl Shards {
    pub fn new(index: &Index, shards: usize, compaction: Compaction) -> Shards {
        let schema = KeywordSchema::new(index);
        let calls = Arc::new(AtomicUsize::new(0));
        let shards = (0..shards).map(|_| {
            let calls = calls.clone();
            let wake = Arc::new(move || {
                calls.fetch_add(1, Ordering::SeqCst);
            });
            Shard {
                writer: KeywordWriter::new(schema.clone(), compaction, wake),
                documents: Vec::new(),
                slots: BTreeMap::new(),
                free: Vec::new(),
            }
        });
        Shards {
            shards: shards.collect(),
            columns: Columns::new(&index.plan.columns),
            rows: BTreeMap::new(),
            calls,
        }
    }

    pub fn row(&self, values: Vec<Datum>) -> Row {
        Row::new(self.columns.clone(), values)
    }

    /// Applies one tick to every shard. A key may be deleted that is not there.
    pub fn tick(&mut self, changes: Vec<KeyRow>) {
        let mut parts: Vec<BTreeMap<Slot, KeywordChange>> =
            self.shards.iter().map(|_| BTreeMap::new()).collect();
        let mut freed = Vec::new();
        for (key, row) in changes {
            let at = key.bytes().map(usize::from).sum::<usize>() % self.shards.len();
            let shard = &mut self.shards[at];
            match &row {
                Some(row) => self.rows.insert(key.clone(), row.clone()),
                None => self.rows.remove(&key),
            };
            let slot = match (shard.slots.get(&key), &row) {
                (Some(slot), _) => *slot,
                (None, None) => continue,
                (None, Some(_)) => {
                    let next = Slot(shard.documents.len() as u32);
                    let slot = shard.free.pop().unwrap_or(next);
                    if slot == next {
                        shard.documents.push(None);
                    }
                    shard.slots.insert(key.clone(), slot);
                    slot
                }
            };
            if row.is_none() {
                shard.slots.remove(&key);
                freed.push((at, slot));
            }
            let new = row.map(|row| {
                Arc::new(Document {
                    key: Key::new([Datum::text(&key)]),
                    row,
                })
            });
            let old = std::mem::replace(&mut shard.documents[slot.0 as usize], new.clone());
            // Several changes of a key in a tick have been collapsed before they come here.
            parts[at]
                .entry(slot)
                .and_modify(|change| change.2 = new.clone())
                .or_insert((slot, old, new));
        }
        // A slot is free for others from the next tick on.
        freed
            .into_iter()
            .filter(|(at, slot)| self.shards[*at].documents[slot.0 as usize].is_none())
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|(at, slot)| {
                if !self.shards[at].free.contains(&slot) {
                    self.shards[at].free.push(slot)
                }
            });
        for (shard, part) in self.shards.iter_mut().zip(parts) {
            shard
                .writer
                .apply(&part.into_values().collect::<Vec<_>>())
                .unwrap();
        }
    }

    /// Whether a finished compaction waits for a tick.
    pub fn has_finished_work(&self) -> bool {
        self.shards.iter().any(|shard| shard.writer.has_finished_work())
    }

    pub fn states(&self) -> Vec<Arc<KeywordState>> {
        self.shards.iter().map(|shard| shard.writer.state()).collect()
    }

    /// Keys and scores.
    pub fn search(&self, query: &str, limit: usize) -> Vec<(String, f32)> {
        self.search_within(query, None, limit)
    }

    pub fn search_within(
        &self,
        query: &str,
        filters: Option<&[RoaringBitmap]>,
        limit: usize,
    ) -> Vec<(String, f32)> {
        let document = |shard: usize, slot: Slot| self.shards[shard].documents[slot.0 as usize].as_deref();
        let states = self.states();
        let states: Vec<&KeywordState> = states.iter().map(|state| &**state).collect();
        let hits = search(&states, query, filters, limit, &document).unwrap();
        hits.into_iter()
            .map(|hit| {
                let document = document(hit.shard, hit.slot).expect("a hit is there");
                (document.key.to_string(), hit.score)
            })
            .collect()
    }

    /// One bitmap per shard.
    pub fn filter(&self, filter: &Expression) -> Vec<RoaringBitmap> {
        let shards = self.shards.iter();
        shards
            .map(|shard| {
                let document = |slot: Slot| shard.documents[slot.0 as usize].clone();
                shard.writer.state().filter(filter, &document).unwrap()
            })
            .collect()
    }

    /// The keys of what a filter gives.
    pub fn keys(&self, filters: &[RoaringBitmap]) -> Vec<String> {
        let keys = self.shards.iter().zip(filters).flat_map(|(shard, filter)| {
            filter.iter().map(|slot| {
                shard.documents[slot as usize]
                    .as_ref()
                    .expect("a filter gives living documents")
                    .key
                    .to_string()
            })
        });
        let mut keys: Vec<String> = keys.collect();
        keys.sort();
        keys
    }
}

/// A small generator of pseudo-random numbers (xorshift64*), the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}
