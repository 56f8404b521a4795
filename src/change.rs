//! The words all other modules speak: datum, row, key, change, version, position, tick.
//!
//! Nothing here reads a clock, a disk or a socket. Values are immutable and cheap to clone: a row's values and
//! vectors are reference counted, so its texts are held once by collapse, views and documents.

mod datum_ref;
mod packed;
mod row;
mod vector;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use datum_ref::{DatumRef, write_json_object};
pub use row::{Columns, Projection, Row};
pub use vector::Vector;

/// One value of a row.
///
/// Dates and times are ISO 8601 [`Datum::Text`]: they order as text and print as they came. The order of
/// variants and values is total and only for collections; SQL comparison is `definition::expression`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Datum {
    Null,
    Bool(bool),
    Int(i64),
    Float(Float),
    /// A number that neither `i64` nor `f64` holds exactly, as plain text: no exponent, no `+`, no superfluous leading zeros.
    Decimal(Arc<str>),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Vector(Vector),
    /// An array or object, as compact JSON text.
    Json(Arc<str>),
    /// The source did not send the value; the row before it has it. Never leaves collapse.
    Unavailable,
}

/// An `f64` with a total order (`f64::total_cmp`).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Float(pub f64);

impl Datum {
    pub fn text(text: &str) -> Datum {
        Datum::Text(Arc::from(text))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// Appends the value as JSON, as [`DatumRef::write_json`] does.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        DatumRef::from(self).write_json(out);
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Float {}
impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl std::hash::Hash for Float {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// The values of a row's key columns, in the order of the definition, in canonical form: equal keys are equal values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(pub Arc<[Datum]>);

impl Key {
    pub fn new(parts: impl Into<Arc<[Datum]>>) -> Key {
        Key(parts.into())
    }

    /// The key as a user writes it: `28`, or `acme/28` for a composite key.
    ///
    /// `%` and `/` inside the parts of a composite key are percent-escaped, so different keys have different texts.
    pub fn text(&self) -> Cow<'_, str> {
        match &*self.0 {
            [part] => plain_text(part),
            parts => parts
                .iter()
                .map(|part| plain_text(part).replace('%', "%25").replace('/', "%2F"))
                .collect::<Vec<_>>()
                .join("/")
                .into(),
        }
    }

    /// The order of the keys' texts: `10` comes before `9`. Makes no text of numbers: searches settle ties by it.
    pub fn cmp_text(&self, other: &Key) -> Ordering {
        match (&*self.0, &*other.0) {
            ([Datum::Int(mine)], [Datum::Int(theirs)]) => cmp_digits(*mine, *theirs),
            _ => self.text().cmp(&other.text()),
        }
    }
}

/// The order of two numbers' decimal texts.
fn cmp_digits(a: i64, b: i64) -> Ordering {
    let zeros_to = |digits: u32, number: u64| {
        let missing = digits - number.checked_ilog10().unwrap_or(0);
        u128::from(number) * 10_u128.pow(missing)
    };
    let (number_a, number_b) = (a.unsigned_abs(), b.unsigned_abs());
    let digits = number_a.max(number_b).checked_ilog10().unwrap_or(0);
    // A minus comes before all digits, and a text before those that it begins.
    let by_sign = (a >= 0).cmp(&(b >= 0));
    let by_digits = zeros_to(digits, number_a).cmp(&zeros_to(digits, number_b));
    by_sign.then(by_digits).then(number_a.cmp(&number_b))
}

fn plain_text(datum: &Datum) -> Cow<'_, str> {
    match datum {
        Datum::Text(text) | Datum::Decimal(text) => Cow::Borrowed(text),
        Datum::Int(value) => value.to_string().into(),
        other => {
            let mut out = Vec::new();
            other.write_json(&mut out);
            String::from_utf8_lossy(&out).trim_matches('"').to_owned().into()
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A table of the definition, by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(pub u16);

/// A partition that a source reads, numbered by the node as it appears; unique over all tables of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(pub u32);

/// Where a message stands in its partition. Grows strictly; says nothing across partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offset(pub u64);

/// The order that the source database gives to its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceOrder {
    /// Who numbers: a hash of server id or timeline. Zero matches all (a snapshot's rows).
    pub origin: u64,
    /// TiCDC: (commitTs, 0, 0). Binlog: (file number, position, row). PostgreSQL: (LSN, 0, 0).
    pub order: (u64, u64, u32),
}

/// Which of two rows of one key is the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    pub source: Option<SourceOrder>,
    pub partition: PartitionId,
    pub offset: Offset,
}

impl Version {
    /// Whether this version, arriving after `other`, replaces it.
    ///
    /// By source order where both have one from the same source; else, or where those are equal, by offset
    /// where they share a partition; else the later arrival wins, and that is `self`.
    pub fn replaces(&self, other: &Version) -> bool {
        if let (Some(mine), Some(theirs)) = (&self.source, &other.source) {
            let comparable = mine.origin == theirs.origin || mine.origin == 0 || theirs.origin == 0;
            if comparable && mine.order != theirs.order {
                return mine.order > theirs.order;
            }
        }
        self.partition != other.partition || self.offset >= other.offset
    }

    /// Whether both stand for one change of the source, delivered twice.
    pub fn is_same_change(&self, other: &Version) -> bool {
        match (&self.source, &other.source) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.partition == other.partition && self.offset == other.offset,
        }
    }
}

/// Names a text of one lane: the lane's 32 bits, then 96 bits of the hash of model and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TextHash(pub u128);

impl TextHash {
    const LANE_SHIFT: u32 = 96;

    /// Of a hash, the lower 96 bits are taken.
    pub fn new(lane: u32, hash: u128) -> TextHash {
        TextHash(u128::from(lane) << Self::LANE_SHIFT | hash & (u128::MAX >> 32))
    }

    /// Which vector field, by which model, the text is embedded for.
    pub fn lane(self) -> u32 {
        (self.0 >> Self::LANE_SHIFT) as u32
    }
}

/// A part of a text, in bytes; of the text that it was cut from, its ends are ends of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// All of a text, however long it is.
    pub const WHOLE: Span = Span {
        start: 0,
        end: u32::MAX,
    };

    /// The part of the text, or `None` if it has no such part.
    pub fn of(self, text: &str) -> Option<&str> {
        match self {
            Span::WHOLE => Some(text),
            Span { start, end } => text.get(start as usize..end as usize),
        }
    }
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// The whole row; it may hold [`Datum::Unavailable`].
    Upsert(Row),
    Delete,
    /// Every row of the table is gone. The change's key is empty.
    Truncate,
}

/// One decoded change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change {
    pub key: Key,
    pub operation: Operation,
    pub version: Version,
    /// The former key of an upsert that moved and has unavailable values, which the row under it has.
    pub moved_from: Option<Key>,
    /// When the source committed it, in milliseconds since 1970, where the message says.
    pub committed_ms: Option<i64>,
}

/// A moment of the dataflow: milliseconds of wall clock since 1970, strictly increasing. In a replay, a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tick(pub u64);

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = i64> {
        // Of every length, and often one the beginning of another.
        let shortened = (any::<i64>(), 0_u32..19).prop_map(|(number, by)| number / 10_i64.pow(by));
        let round = (-12_i64..12, 0_u32..17).prop_map(|(number, by)| number * 10_i64.pow(by));
        prop_oneof![shortened, round, Just(i64::MIN), Just(i64::MAX)]
    }

    proptest! {
        #[test]
        fn keys_of_numbers_have_the_order_of_their_texts(a in number(), b in number()) {
            let [key_a, key_b] = [a, b].map(|number| Key::new([Datum::Int(number)]));
            prop_assert_eq!(key_a.cmp_text(&key_b), a.to_string().cmp(&b.to_string()));
            let text_b = Key::new([Datum::text(&b.to_string())]);
            prop_assert_eq!(key_a.cmp_text(&text_b), a.to_string().cmp(&b.to_string()));
        }
    }
}
