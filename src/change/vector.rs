//! A vector as a value of a row: shared, compared by its bits.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::floats::Floats;

/// A vector of finite components, compared by their bits.
///
/// A handle of one word.
#[derive(Clone, Debug)]
pub struct Vector(Floats);

impl Vector {
    /// Floats in little-endian order; copied only where they cannot be used as they lie.
    pub fn stored(bytes: Bytes) -> Vector {
        Vector(Floats::stored(bytes))
    }

    /// The components, without making them resident where they lie on disk: those are copied to `room`.
    ///
    /// For all who read many vectors.
    pub fn read<'a>(&'a self, room: &'a mut Vec<f32>) -> &'a [f32] {
        self.0.read(room)
    }

    fn bits(&self) -> impl Iterator<Item = u32> {
        self.iter().map(|value| value.to_bits())
    }
}

impl Deref for Vector {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}
impl<F: AsRef<[f32]>> From<F> for Vector {
    fn from(floats: F) -> Vector {
        Vector(Floats::new(floats.as_ref()))
    }
}
impl FromIterator<f32> for Vector {
    fn from_iter<F: IntoIterator<Item = f32>>(floats: F) -> Vector {
        Vector::from(Vec::from_iter(floats))
    }
}
impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.read(&mut Vec::new()).serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Vector, D::Error> {
        Vec::deserialize(deserializer).map(Vector::from)
    }
}
impl PartialEq for Vector {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Vector {}
impl PartialOrd for Vector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Vector {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0.is_same(&other.0) {
            return Ordering::Equal;
        }
        self.bits().cmp(other.bits())
    }
}
impl Hash for Vector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().for_each(|bits| bits.hash(state));
    }
}
