//! A set of slots as plain bits: filled and asked in any order, both several times faster than a compressed bitmap.

use roaring::RoaringBitmap;

#[derive(Clone, Default)]
pub(super) struct SlotBits(Vec<u8>);

impl SlotBits {
    pub fn insert(&mut self, slot: u32) {
        let byte = slot as usize / 8;
        if byte >= self.0.len() {
            self.0.resize(byte + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(byte) {
            *bits |= 1 << (slot % 8);
        }
    }

    pub fn contains(&self, slot: u32) -> bool {
        self.0
            .get(slot as usize / 8)
            .is_some_and(|bits| bits >> (slot % 8) & 1 == 1)
    }

    pub fn into_bitmap(self) -> RoaringBitmap {
        RoaringBitmap::from_lsb0_bytes(0, &self.0)
    }
}

impl From<&RoaringBitmap> for SlotBits {
    fn from(slots: &RoaringBitmap) -> SlotBits {
        let mut bits = SlotBits(vec![0; slots.max().map_or(0, |max| max as usize / 8 + 1)]);
        slots.iter().for_each(|slot| bits.insert(slot));
        bits
    }
}
