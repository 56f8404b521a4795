//! Values one after the other in one run of bytes: a tag, then what it needs.
//!
//! | value                        | after the tag                        |
//! |------------------------------|--------------------------------------|
//! | null, boolean, unavailable   | nothing                              |
//! | integer                      | zigzag, then seven bits a byte       |
//! | float                        | its eight bytes, little-endian       |
//! | text, bytes, decimal, JSON   | its length, seven bits a byte; itself |
//! | vector                       | its number among the row's vectors   |
//!
//! Equal values have equal bytes. A vector stays outside, where the index shares it.

use super::{DatumRef, Float, Vector};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const DECIMAL: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;
const VECTOR: u8 = 8;
const JSON: u8 = 9;
const UNAVAILABLE: u8 = 10;

/// Appends a value to `bytes`, or a vector to `vectors` and its number to `bytes`.
pub(super) fn push(bytes: &mut Vec<u8>, vectors: &mut Vec<Vector>, value: DatumRef<'_>) {
    match value {
        DatumRef::Null => bytes.push(NULL),
        DatumRef::Bool(value) => bytes.push(if value { TRUE } else { FALSE }),
        DatumRef::Int(value) => {
            bytes.push(INT);
            push_number(bytes, ((value << 1) ^ (value >> 63)) as u64);
        }
        DatumRef::Float(Float(value)) => {
            bytes.push(FLOAT);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        DatumRef::Decimal(text) => push_run(bytes, DECIMAL, text.as_bytes()),
        DatumRef::Text(text) => push_run(bytes, TEXT, text.as_bytes()),
        DatumRef::Bytes(run) => push_run(bytes, BYTES, run),
        DatumRef::Vector(vector) => {
            bytes.push(VECTOR);
            push_number(bytes, vectors.len() as u64);
            vectors.push(vector.clone());
        }
        DatumRef::Json(text) => push_run(bytes, JSON, text.as_bytes()),
        DatumRef::Unavailable => bytes.push(UNAVAILABLE),
    }
}

/// About the bytes that a value takes; never less.
pub(super) fn size_hint(value: DatumRef<'_>) -> usize {
    match value {
        DatumRef::Decimal(text) | DatumRef::Text(text) | DatumRef::Json(text) => 6 + text.len(),
        DatumRef::Bytes(bytes) => 6 + bytes.len(),
        _ => 11,
    }
}

/// The first value's bytes, and what comes after them.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let after = match *tag {
        INT | VECTOR => read_number(rest)?.1,
        FLOAT => rest.get(8..)?,
        DECIMAL | TEXT | BYTES | JSON => {
            let (length, rest) = read_number(rest)?;
            rest.get(usize::try_from(length).ok()?..)?
        }
        _ => rest,
    };
    bytes.split_at_checked(bytes.len() - after.len())
}

/// The values' bytes, one by one.
pub(super) fn runs(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (run, rest) = split(bytes)?;
        bytes = rest;
        Some(run)
    })
}

/// Whether this is the run of [`DatumRef::Unavailable`].
pub(super) fn is_unavailable(run: &[u8]) -> bool {
    run.first() == Some(&UNAVAILABLE)
}

/// The value of a run that [`push`] has written; `vectors` are those that it filled.
pub(super) fn read<'a>(run: &'a [u8], vectors: &'a [Vector]) -> Option<DatumRef<'a>> {
    let (tag, rest) = run.split_first()?;
    let text = || std::str::from_utf8(read_number(rest)?.1).ok();
    Some(match *tag {
        NULL => DatumRef::Null,
        FALSE => DatumRef::Bool(false),
        TRUE => DatumRef::Bool(true),
        INT => {
            let zigzag = read_number(rest)?.0;
            DatumRef::Int((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
        }
        FLOAT => DatumRef::Float(Float(f64::from_le_bytes(*rest.first_chunk()?))),
        DECIMAL => DatumRef::Decimal(text()?),
        TEXT => DatumRef::Text(text()?),
        BYTES => DatumRef::Bytes(read_number(rest)?.1),
        VECTOR => DatumRef::Vector(vectors.get(usize::try_from(read_number(rest)?.0).ok()?)?),
        JSON => DatumRef::Json(text()?),
        UNAVAILABLE => DatumRef::Unavailable,
        _ => return None,
    })
}

fn push_run(bytes: &mut Vec<u8>, tag: u8, run: &[u8]) {
    bytes.push(tag);
    push_number(bytes, run.len() as u64);
    bytes.extend_from_slice(run);
}

/// Seven bits a byte, the lowest first; all bytes but the last have the highest bit set.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}
