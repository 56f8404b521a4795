//! The vectors of texts on disk: hashes and lengths first, then the floats as they are in memory.
//!
//! A part is the number of entries (`u64`), for each its hash (`u128`) and length (`u32`), sorted by hash, and then all
//! floats (`f32`), everything little-endian. Merging holds the hashes in memory, and copies floats from file to file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;

use super::TextVector;
use super::layers::{Layer, Layers};
use crate::change::{TextHash, Vector};
use crate::storage::{Damaged, PartReader, PartWriter};

/// In the place of a length: the text failed, or nothing is known of it any more.
const FAILED: u32 = u32::MAX;
const GONE: u32 = u32::MAX - 1;

const FLOAT_BYTES: usize = size_of::<f32>();
const HASH_BYTES: usize = size_of::<u128>();
const ENTRY_BYTES: usize = HASH_BYTES + size_of::<u32>();

/// Adds what has changed to the stored vectors, less the texts of forgotten lanes.
pub(super) fn write(
    layers: &Layers,
    changed: &BTreeMap<TextHash, Option<TextVector>>,
    forgotten: &[u32],
    reader: &PartReader<'_>,
    writer: &PartWriter<'_>,
) -> io::Result<Layers> {
    if changed.is_empty() && forgotten.is_empty() {
        return Ok(layers.clone());
    }
    let keep = match forgotten {
        [] => layers.keep(changed.len() as u64),
        // They may be in any layer.
        _ => 0,
    };
    let merged = Layers(layers.0[keep..].to_vec());
    let bytes = read_all(&merged, reader).map_err(io::Error::other)?;
    let mut entries = stored(&merged, &bytes).map_err(io::Error::other)?;
    entries.retain(|(hash, _)| !forgotten.contains(&hash.lane()));
    entries.extend(changed.iter().map(|(hash, vector)| {
        let value = match vector {
            Some(TextVector::Known(vector)) => Value::Fresh(vector),
            Some(TextVector::Failed) => Value::Failed,
            None => Value::Gone,
        };
        (*hash, value)
    }));
    keep_newest(&mut entries);
    if keep == 0 {
        entries.retain(|(_, value)| !matches!(value, Value::Gone));
    }
    let part = writer.write("texts", |out| {
        out.write_all(&(entries.len() as u64).to_le_bytes())?;
        for (hash, value) in &entries {
            out.write_all(&hash.0.to_le_bytes())?;
            out.write_all(&value.length()?.to_le_bytes())?;
        }
        entries.iter().try_for_each(|(_, value)| value.write_floats(out))
    })?;
    let entries = entries.len() as u64;
    Ok(layers.with(keep, Layer { part, entries }))
}

/// Everything known.
pub(super) fn read(
    layers: &Layers,
    reader: &PartReader<'_>,
) -> Result<BTreeMap<TextHash, TextVector>, Damaged> {
    let bytes = read_all(layers, reader)?;
    let mut entries = stored(layers, &bytes)?;
    keep_newest(&mut entries);
    let known = entries.into_iter().filter_map(|(hash, value)| {
        let vector = match value {
            // Mapped, not read: memory grows with texts only as far as they are asked for.
            Value::Stored(part, floats) => TextVector::Known(Vector::stored(part.slice_ref(floats))),
            Value::Fresh(vector) => TextVector::Known(vector.clone()),
            Value::Failed => TextVector::Failed,
            Value::Gone => return None,
        };
        Some((hash, vector))
    });
    Ok(known.collect())
}

/// What an entry stands for.
#[derive(Clone, Copy)]
enum Value<'a> {
    /// A part, and floats in it.
    Stored(&'a Bytes, &'a [u8]),
    Fresh(&'a Vector),
    Failed,
    Gone,
}

impl Value<'_> {
    fn length(&self) -> io::Result<u32> {
        let floats = match self {
            Value::Stored(_, floats) => floats.len() / FLOAT_BYTES,
            Value::Fresh(vector) => vector.len(),
            Value::Failed => return Ok(FAILED),
            Value::Gone => return Ok(GONE),
        };
        u32::try_from(floats).map_err(io::Error::other)
    }

    fn write_floats(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Value::Stored(_, floats) => out.write_all(floats),
            Value::Fresh(vector) => {
                let mut room = Vec::new();
                let floats = vector.read(&mut room).iter();
                let bytes: Vec<u8> = floats.flat_map(|float| float.to_le_bytes()).collect();
                out.write_all(&bytes)
            }
            Value::Failed | Value::Gone => Ok(()),
        }
    }
}

fn read_all(layers: &Layers, reader: &PartReader<'_>) -> Result<Vec<Bytes>, Damaged> {
    layers.parts().map(|part| reader.read(part)).collect()
}

/// The entries of all layers, the oldest layer first.
fn stored<'a>(layers: &Layers, bytes: &'a [Bytes]) -> Result<Vec<(TextHash, Value<'a>)>, Damaged> {
    let mut entries = Vec::new();
    for (part, bytes) in layers.parts().zip(bytes) {
        parse(bytes, &mut entries).ok_or_else(|| part.damaged("it ends inside a vector"))?;
    }
    Ok(entries)
}

fn parse<'a>(bytes: &'a Bytes, entries: &mut Vec<(TextHash, Value<'a>)>) -> Option<()> {
    let (count, rest) = bytes.split_first_chunk()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    let (table, mut floats) = rest.split_at_checked(count.checked_mul(ENTRY_BYTES)?)?;
    entries.reserve(count);
    for entry in table.chunks_exact(ENTRY_BYTES) {
        let (hash, length) = entry.split_first_chunk::<HASH_BYTES>()?;
        let value = match u32::from_le_bytes(length.try_into().ok()?) {
            FAILED => Value::Failed,
            GONE => Value::Gone,
            length => {
                let (vector, rest) = floats.split_at_checked(length as usize * FLOAT_BYTES)?;
                floats = rest;
                Value::Stored(bytes, vector)
            }
        };
        entries.push((TextHash(u128::from_le_bytes(*hash)), value));
    }
    floats.is_empty().then_some(())
}

/// Sorts by hash, and leaves of equal ones the last.
fn keep_newest(entries: &mut Vec<(TextHash, Value<'_>)>) {
    // The sort is stable, and fast where the entries are sorted already.
    entries.sort_by_key(|(hash, _)| *hash);
    entries.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            kept.1 = later.1;
        }
        is_same
    });
}
