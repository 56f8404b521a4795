//! Numbers of documents that lie together, nearly all of them zero.

/// Documents that are scored together. Their sums fit into the first-level cache.
pub(super) const WINDOW: usize = 2_048;

/// Cells that share a mark: as many as a cache line has sums.
const MARKED: usize = 8;

/// A number for each document of a window. Those that were written to are found by marks, so that most words, which
/// few documents have, cost what those cost and not what the window does.
pub(super) struct Cells<T> {
    cells: [T; WINDOW],
    /// A byte each: setting a bit would wait for the one set before.
    marks: [u8; WINDOW / MARKED],
}

impl<T: Copy + Default> Cells<T> {
    pub fn new() -> Cells<T> {
        Cells {
            cells: [T::default(); WINDOW],
            marks: [0; WINDOW / MARKED],
        }
    }

    /// The number at a place of the window, which is going to be written to.
    #[inline]
    pub fn at(&mut self, place: u32) -> Option<&mut T> {
        let cell = self.cells.get_mut(place as usize)?;
        if let Some(mark) = self.marks.get_mut(place as usize / MARKED) {
            *mark = 1;
        }
        Some(cell)
    }

    /// Takes the number at a place, and leaves a zero.
    pub fn take(&mut self, place: u32) -> T {
        self.cells
            .get_mut(place as usize)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Leaves zeros, and calls `each` with what was there, in order; with some zeros, too.
    #[inline]
    pub fn drain(&mut self, mut each: impl FnMut(u32, T)) {
        let marked = self.cells.as_chunks_mut::<MARKED>().0;
        let groups = marked
            .chunks_mut(size_of::<u64>())
            .zip(self.marks.as_chunks_mut().0);
        for (group, (cells, marks)) in groups.enumerate() {
            if u64::from_ne_bytes(*marks) == 0 {
                continue;
            }
            let first = (group * size_of::<u64>() * MARKED) as u32;
            for ((place, cells), mark) in (first..).step_by(MARKED).zip(cells).zip(marks) {
                if std::mem::take(mark) != 0 {
                    let taken = std::mem::replace(cells, [T::default(); MARKED]);
                    (place..)
                        .zip(taken)
                        .for_each(|(place, number)| each(place, number));
                }
            }
        }
    }
}

/// What a window's documents have so far, in units of scores, and how often they have a word, while it is counted. Zeros, between any two.
pub(super) struct Window {
    pub sums: Cells<i64>,
    pub counts: Cells<f32>,
}

impl Window {
    pub fn new() -> Window {
        Window {
            sums: Cells::new(),
            counts: Cells::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_drained_once_and_in_order() {
        let mut cells = Cells::new();
        let places = [2_047, 0, 64, 7, 63, 8, 1_000];
        for round in 1..4i64 {
            for place in places {
                *cells.at(place).unwrap() += i64::from(place) + round;
            }
            assert_eq!(cells.take(64), 64 + round);
            assert!(cells.at(2_048).is_none(), "it is behind the window");
            let mut drained = Vec::new();
            cells.drain(|place, number| drained.push((place, number)));
            assert!(drained.is_sorted());
            drained.retain(|(_, number)| *number != 0);
            let expected = [0, 7, 8, 63, 1_000, 2_047].map(|place| (place, i64::from(place) + round));
            assert_eq!(drained, expected);
        }
        cells.drain(|place, number| panic!("{number} is left at {place}"));
    }
}
