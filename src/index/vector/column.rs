//! An array of numbers: in memory, or as it lies in a mapped file.

use std::ops::Deref;

use bytemuck::Pod;
use bytes::Bytes;

#[derive(Clone)]
pub enum Column<T> {
    Owned(Vec<T>),
    /// Whose bytes are values of `T`: as many as fit, at an address where they may be.
    Stored(Bytes),
}

/// Bytes from which on huge pages are asked for: some of them.
const HUGE_MIN: usize = 8 << 20;

impl<T: Pod> Column<T> {
    /// An empty column with room for so many values, in huge pages where the system has them: rows that a search meets
    /// lie all over the column, and finding a small page takes as long as reading it.
    pub fn with_capacity(values: usize) -> Column<T> {
        let room = Vec::with_capacity(values);
        #[cfg(target_os = "linux")]
        if values * size_of::<T>() >= HUGE_MIN {
            let page = rustix::param::page_size();
            let start = (room.as_ptr() as usize).next_multiple_of(page);
            let end = (room.as_ptr() as usize + values * size_of::<T>()) / page * page;
            // SAFETY: these whole pages are inside the allocation, and the advice changes nothing in them.
            let advised = unsafe {
                rustix::mm::madvise(start as *mut _, end - start, rustix::mm::Advice::LinuxHugepage)
            };
            if let Err(error) = advised {
                tracing::debug!(%error, "small pages");
            }
        }
        Column::Owned(room)
    }

    /// Values in little-endian order; copied only where they cannot be used as they lie. `None` if they are no
    /// whole number of values.
    pub fn stored(bytes: Bytes) -> Option<Column<T>> {
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return None;
        }
        Some(match bytemuck::try_cast_slice::<u8, T>(&bytes) {
            Ok(_) => Column::Stored(bytes),
            Err(_) => Column::Owned(bytemuck::allocation::pod_collect_to_vec(&bytes)),
        })
    }

    /// The values to be added to; a stored column is copied first.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        if let Column::Stored(_) = self {
            *self = Column::Owned(self.to_vec());
        }
        match self {
            Column::Owned(values) => values,
            Column::Stored(_) => unreachable!("it has been copied"),
        }
    }
}

impl<T: Pod> Deref for Column<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Column::Owned(values) => values,
            Column::Stored(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column::Owned(Vec::new())
    }
}

impl<T> From<Vec<T>> for Column<T> {
    fn from(values: Vec<T>) -> Self {
        Column::Owned(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_wherever_their_bytes_lie() {
        let bytes = Bytes::from_iter((0_u8..33).chain([0; 3]));
        for start in 0..4 {
            let column: Column<u32> = Column::stored(bytes.slice(start..start + 32)).unwrap();
            let expected: Vec<u32> = bytes[start..start + 32]
                .as_chunks()
                .0
                .iter()
                .map(|value| u32::from_le_bytes(*value))
                .collect();
            assert_eq!(*column, expected, "{start} bytes on");
        }
        assert!(Column::<u32>::stored(bytes.slice(..33)).is_none());
    }

    #[test]
    fn a_stored_column_is_copied_before_it_grows() {
        let mut column: Column<u8> = Column::stored(Bytes::from_static(b"ab")).unwrap();
        column.to_mut().push(b'c');
        assert_eq!(&*column, b"abc");
    }
}
