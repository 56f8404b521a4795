//! The slot table on disk: which document each slot has, so that recovery can tell that it is the same.
//!
//! Documents and vectors are not in it, but their hashes: they come again through the dataflow, out of the stored
//! rows. Only a vector that nothing brings back, because its text is gone, is kept here itself.

use std::io::{self, Read, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::Slot;
use super::keyword::AliveWords;
use super::snapshot::{LegState, ShardState, VectorStatus};
use crate::change::{Row, Span};

/// Hashes hardly compress, and the rest does at any level.
const COMPRESSION: i32 = 1;

const BUFFER_BYTES: usize = 64 << 10;

/// What slots hold.
#[derive(Serialize, Deserialize)]
pub struct SlotTable {
    /// Of the keyword leg's stored segments, in their order.
    pub alive: AliveWords,
    /// `None`: free.
    pub slots: Vec<Option<StoredDocument>>,
    /// How many places each vector field has, by its number.
    places: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
pub struct StoredDocument {
    pub key: Arc<str>,
    pub row: u128,
    /// By vector field.
    pub vectors: Vec<StoredVector>,
    /// The row itself, where a newer one is held back: then nothing else brings it back.
    pub former: Option<Row>,
}

/// How a document stands with a vector, and what the vector leg shows.
#[derive(Default, Serialize, Deserialize)]
pub struct StoredVector {
    pub status: VectorStatus,
    pub shown: Option<ShownVector>,
    /// In its stead, where texts are embedded in pieces.
    pub pieces: Vec<ShownPiece>,
}

#[derive(Serialize, Deserialize)]
pub struct ShownPiece {
    pub place: u32,
    pub span: Span,
    pub vector: ShownVector,
}

#[derive(Serialize, Deserialize)]
pub struct ShownVector {
    pub stamp: u64,
    pub hash: u128,
    /// Where the document's text has another vector, or will have, or the row is a former one.
    pub values: Option<Vec<f32>>,
}

impl SlotTable {
    pub fn of(state: &ShardState, alive: AliveWords) -> SlotTable {
        let mut slots = Vec::new();
        slots.resize_with(state.documents.slots(), || None);
        let mut room = Vec::new();
        for (slot, document) in state.documents.iter() {
            if let Some(place) = slots.get_mut(slot.0 as usize) {
                let key: Arc<str> = document.key.text().into();
                let is_former = state.held.keys.contains(&key);
                let legs = state.legs.iter();
                *place = Some(StoredDocument {
                    row: row_hash(&document.row),
                    vectors: legs
                        .map(|leg| StoredVector::of(leg, slot, is_former, &mut room))
                        .collect(),
                    former: is_former.then(|| document.row.clone()),
                    key,
                });
            }
        }
        let places = state.legs.iter().map(|leg| match &leg.pieces {
            None => slots.len() as u32,
            Some(pieces) => pieces.places() as u32,
        });
        let places = places.collect();
        SlotTable { alive, slots, places }
    }

    /// How many bytes it has before compression: what [`SlotTable::read`] is to be told.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        let compressed = zstd::Encoder::new(out, COMPRESSION)?;
        let counted = Counted {
            out: io::BufWriter::with_capacity(BUFFER_BYTES, compressed),
            bytes: 0,
        };
        let Counted { out, bytes } = postcard::to_io(self, counted).map_err(io::Error::other)?;
        let compressed = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        compressed.finish()?;
        Ok(bytes)
    }

    /// `None` if these bytes are none that [`SlotTable::write`] writes, or become more than `bytes_max` before that shows.
    pub fn read(bytes: &[u8], bytes_max: u64) -> Option<SlotTable> {
        let mut whole = Vec::new();
        let decoder = zstd::Decoder::new(bytes).ok()?;
        // One more than there should be: only then is the end of the compressed bytes looked at.
        let bytes_max = bytes_max.checked_add(1)?;
        decoder.take(bytes_max).read_to_end(&mut whole).ok()?;
        if whole.len() as u64 == bytes_max {
            return None;
        }
        match postcard::take_from_bytes(&whole) {
            Ok((table, [])) => Some(table),
            _ => None,
        }
    }

    /// How many places the field has: more than the number of any.
    pub fn places(&self, field: usize) -> usize {
        self.places.get(field).map_or(0, |places| *places as usize)
    }

    /// Larger than the stamp of any vector of the field.
    pub fn next_stamp(&self, field: usize) -> u64 {
        let vectors = self
            .iter()
            .filter_map(|(slot, document)| Some((slot, document.vectors.get(field)?)));
        vectors
            .flat_map(|(slot, vector)| vector.all(slot))
            .map(|(_, shown)| shown.stamp)
            .max()
            .map_or(0, |newest| newest.saturating_add(1))
    }

    /// The documents by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &StoredDocument)> {
        (0..)
            .map(Slot)
            .zip(&self.slots)
            .filter_map(|(slot, stored)| Some((slot, stored.as_ref()?)))
    }
}

impl StoredVector {
    /// `room` is used to read vectors.
    fn of(leg: &LegState, slot: Slot, is_former: bool, room: &mut Vec<f32>) -> StoredVector {
        let status = leg.status(slot);
        let mut shown = |place| {
            let (stamp, vector) = leg.vectors.get(place)?;
            let floats = vector.read(room);
            Some(ShownVector {
                stamp,
                hash: vector_hash(floats),
                values: (is_former || status != VectorStatus::Current).then(|| floats.to_vec()),
            })
        };
        let Some(pieces) = &leg.pieces else {
            return StoredVector {
                status,
                shown: shown(slot),
                pieces: Vec::new(),
            };
        };
        let piece = |place: &Slot| {
            Some(ShownPiece {
                place: place.0,
                span: pieces.at(*place)?.span,
                vector: shown(*place)?,
            })
        };
        StoredVector {
            status,
            shown: None,
            pieces: pieces.of(slot).iter().filter_map(piece).collect(),
        }
    }

    /// Every vector that is shown, with its place: of a whole document, that is its slot.
    pub fn all(&self, slot: Slot) -> impl Iterator<Item = (Slot, &ShownVector)> {
        let pieces = self.pieces.iter().map(|piece| (Slot(piece.place), &piece.vector));
        self.shown.iter().map(move |shown| (slot, shown)).chain(pieces)
    }
}

/// Counts what is written.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What tells a document's row from every other.
pub fn row_hash(row: &Row) -> u128 {
    // Serialised into memory, which cannot fail.
    let bytes = postcard::to_stdvec(row).unwrap_or_default();
    xxh3_128(&bytes)
}

/// What tells a vector from every other, by its bits.
pub fn vector_hash(vector: &[f32]) -> u128 {
    let mut bytes = vec![0; size_of_val(vector)];
    for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(vector) {
        *bytes = value.to_le_bytes();
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Columns, Datum, Vector};

    #[test]
    fn rows_and_vectors_that_differ_have_different_hashes() {
        let names = ["a", "b"].map(|name| Columns::new([name]));
        let values = [
            Datum::Null,
            Datum::Int(1),
            Datum::text("1"),
            Datum::Decimal("1".into()),
            Datum::Json("1".into()),
            Datum::Bool(true),
            Datum::Vector(Vector::from(vec![0.0])),
            Datum::Vector(Vector::from(vec![-0.0])),
        ];
        let rows = names.iter().flat_map(|columns| {
            let values = values.iter();
            values.map(|value| Row::new(columns.clone(), [value.clone()]))
        });
        let hashes: std::collections::BTreeSet<u128> = rows.map(|row| row_hash(&row)).collect();
        assert_eq!(hashes.len(), 16);
        assert_ne!(vector_hash(&[0.0, 1.0]), vector_hash(&[-0.0, 1.0]));
        assert_ne!(vector_hash(&[0.0]), vector_hash(&[0.0, 0.0]));
    }

    #[test]
    fn a_table_comes_back_whole_or_not_at_all() {
        let table = SlotTable {
            alive: vec![None, Some(vec![5, u64::MAX])],
            slots: vec![
                None,
                Some(StoredDocument {
                    key: "k".into(),
                    row: 1 << 100,
                    vectors: vec![StoredVector {
                        status: VectorStatus::Stale,
                        shown: Some(ShownVector {
                            stamp: 7,
                            hash: 3,
                            values: Some(vec![0.5]),
                        }),
                        pieces: Vec::new(),
                    }],
                    former: Some(Row::new(Columns::new(["a"]), [Datum::Int(1)])),
                }),
            ],
            places: vec![2],
        };
        let mut bytes = Vec::new();
        let plain = table.write(&mut bytes).unwrap();
        let again = SlotTable::read(&bytes, plain).unwrap();
        assert_eq!(again.alive, table.alive);
        let mut rewritten = Vec::new();
        again.write(&mut rewritten).unwrap();
        assert_eq!(rewritten, bytes);
        for length in 0..bytes.len() {
            assert!(
                SlotTable::read(&bytes[..length], plain).is_none(),
                "cut to {length} bytes"
            );
        }
        assert!(
            SlotTable::read(&bytes, plain - 1).is_none(),
            "it is larger than it was"
        );
    }
}
