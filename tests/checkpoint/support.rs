//! A node's stored state as plain maps, random cuts of it, and a store that is compared with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond::change::{
    Columns, Datum, Key, Offset, PartitionId, Row, SourceOrder, TextHash, Tick, Vector, Version,
};
use millpond::checkpoint::{
    Change, Checkpointed, Cut, OpenError, Recovered, Shape, Store, StoredKey, StoredState, TableCut,
    TableShape, TextVector,
};
use millpond::storage::{Memory, Storage};

pub use crate::shared::Random;

pub fn shape() -> Shape {
    let table = |name: &str| TableShape {
        name: name.into(),
        key: vec!["id".into()],
        format: "canal-json".into(),
    };
    Shape {
        tables: vec![table("orders"), table("products")],
        index: None,
        shards: 0,
    }
}

/// Everything that a checkpoint holds, as plain maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub tick: Tick,
    pub positions: BTreeMap<String, u64>,
    pub partitions: BTreeMap<String, PartitionId>,
    pub tables: [(Option<Version>, BTreeMap<Key, StoredKey>); 2],
    pub texts: BTreeMap<TextHash, TextVector>,
}

impl Model {
    pub fn of(recovered: Recovered) -> Model {
        assert_eq!(recovered.change, Change::Same);
        let mut tables = recovered.tables;
        let mut table = |name: &str| {
            let table = tables.remove(name).unwrap_or_default();
            let keys = table.keys.into_iter();
            let keys = keys.map(|(key, stored)| (key, stored.expect("a key that is recovered is known")));
            (table.truncated, keys.collect())
        };
        Model {
            tick: recovered.tick,
            positions: recovered.positions,
            partitions: recovered.partitions,
            tables: [table("orders"), table("products")],
            texts: recovered.texts,
        }
    }

    /// The model after some random changes, and the cut that says so.
    pub fn step(&mut self, random: &mut Random, changes: usize) -> Cut {
        self.tick.0 += 1 + random.below(5_000) as u64;
        let partition = random.below(3);
        let name = format!("products/{partition}");
        self.partitions
            .insert(name.clone(), PartitionId(partition as u32));
        self.positions.insert(name, self.tick.0);
        let mut tables = vec![TableCut::default(), TableCut::default()];
        for (cut, (truncated, keys)) in tables.iter_mut().zip(&mut self.tables) {
            let mut changed = BTreeMap::new();
            for _ in 0..random.below(changes + 1) {
                let (key, stored) = (key(random), stored(random));
                changed.insert(key.clone(), stored.clone());
                match stored {
                    Some(stored) => keys.insert(key, stored),
                    None => keys.remove(&key),
                };
            }
            if random.below(10) == 0 {
                cut.truncated = Some(version(random));
                *truncated = cut.truncated;
            }
            cut.keys = changed.into_iter().collect();
            cut.keys.reverse();
        }
        let mut texts = BTreeMap::new();
        for _ in 0..random.below(changes + 1) {
            let hash = TextHash((random.below(40) as u128) << 100 | 7);
            let vector = match random.below(4) {
                0 => None,
                1 => Some(TextVector::Failed),
                _ => Some(TextVector::Known(vector(random))),
            };
            texts.insert(hash, vector.clone());
            match vector {
                Some(vector) => self.texts.insert(hash, vector),
                None => self.texts.remove(&hash),
            };
        }
        Cut {
            tick: self.tick,
            positions: self.positions.clone(),
            partitions: self.partitions.clone(),
            tables,
            texts,
            shards: Vec::new(),
            sets: Default::default(),
            forgotten: Vec::new(),
        }
    }

    pub fn checkpointed(&self) -> Checkpointed {
        Checkpointed {
            tick: self.tick,
            positions: Arc::new(self.positions.clone()),
        }
    }
}

pub fn version(random: &mut Random) -> Version {
    Version {
        source: (random.below(2) == 0).then(|| SourceOrder {
            origin: random.next(),
            order: (random.next(), random.below(9) as u64, 3),
        }),
        partition: PartitionId(random.below(3) as u32),
        offset: Offset(random.next() >> 10),
    }
}

fn vector(random: &mut Random) -> Vector {
    let floats: Vec<f32> = (0..1 + random.below(5))
        .map(|_| random.below(100) as f32 / 7.0)
        .collect();
    Vector::from(floats)
}

fn key(random: &mut Random) -> Key {
    let number = random.below(30);
    match random.below(3) {
        0 => Key::new([Datum::text(&number.to_string())]),
        1 => Key::new([Datum::Int(number as i64), Datum::Null]),
        _ => Key::new([Datum::Int(number as i64)]),
    }
}

/// A row of one of several shapes, with values of all kinds.
fn row(random: &mut Random) -> Row {
    let columns = 1 + random.below(4);
    let names = (0..columns).map(|column| format!("column {column}"));
    let values: Vec<Datum> = (0..columns)
        .map(|_| match random.below(9) {
            0 => Datum::Null,
            1 => Datum::Bool(true),
            2 => Datum::Int(-(random.below(1 << 40) as i64)),
            3 => Datum::Float(millpond::change::Float(-0.0)),
            4 => Datum::Decimal("12345678901234567890.50".into()),
            5 => Datum::Bytes(Arc::from([0, 255, random.below(256) as u8])),
            6 => Datum::Vector(vector(random)),
            7 => Datum::Json("{\"a\":[1]}".into()),
            _ => Datum::text(&"täxt ".repeat(random.below(20))),
        })
        .collect();
    Row::new(Columns::new(names), values)
}

fn stored(random: &mut Random) -> Option<StoredKey> {
    let state = match random.below(5) {
        0 => return None,
        1 => StoredState::Deleted { before: None },
        2 => StoredState::Deleted {
            before: Some(row(random)),
        },
        _ => StoredState::Row(row(random)),
    };
    Some(StoredKey {
        version: version(random),
        state,
    })
}

pub fn open(memory: &Memory) -> Result<(Store, Option<Model>), OpenError> {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let (store, recovered) = Store::open(storage, shape(), None)?;
    Ok((store, recovered.map(Model::of)))
}

/// The parts in a storage.
pub fn parts(memory: &Memory) -> Vec<String> {
    let paths = memory.paths().into_iter();
    paths.filter(|path| path.starts_with("parts/")).collect()
}
