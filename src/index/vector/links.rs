//! Who is linked with whom: frozen in one array, or open to be added to while a graph is built.

use super::column::Column;
use super::kernel;

/// The neighbours of numbered rows.
pub trait Links {
    fn of(&self, row: u32) -> &[u32];

    /// Asks the memory where a list is.
    fn look_up(&self, _row: u32) {}

    /// Asks the memory for a list that is going to be read.
    fn prefetch(&self, row: u32) {
        kernel::prefetch(self.of(row));
    }
}

/// Lists one after another.
#[derive(Default)]
pub struct Frozen {
    /// Where the list of each row ends.
    pub(super) ends: Column<u32>,
    pub(super) neighbours: Column<u32>,
}

impl Frozen {
    pub fn new<'a>(lists: impl ExactSizeIterator<Item = &'a [u32]> + Clone) -> Frozen {
        let mut ends = Vec::with_capacity(lists.len());
        let mut neighbours = Column::with_capacity(lists.clone().map(<[u32]>::len).sum());
        for list in lists {
            neighbours.to_mut().extend_from_slice(list);
            ends.push(neighbours.len() as u32);
        }
        Frozen {
            ends: ends.into(),
            neighbours,
        }
    }

    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Whether a search can follow these links without leaving the rows that have lists.
    pub fn are_sound(&self) -> bool {
        let rows = self.rows();
        self.ends.is_sorted()
            && self.ends.last().map_or(0, |end| *end as usize) == self.neighbours.len()
            && self.neighbours.iter().all(|row| (*row as usize) < rows)
    }
}

impl Links for Frozen {
    fn look_up(&self, row: u32) {
        kernel::prefetch(&self.ends[row as usize..][..1]);
    }

    fn of(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.neighbours[start as usize..self.ends[row] as usize]
    }
}

/// Lists of a fixed room each.
pub struct Open {
    room: usize,
    lens: Vec<u8>,
    neighbours: Vec<u32>,
}

impl Open {
    /// `room` for at least 1 and at most 255 links is kept.
    pub fn new(rows: usize, room: usize) -> Open {
        let room = room.clamp(1, u8::MAX.into());
        Open {
            room,
            lens: vec![0; rows],
            neighbours: vec![0; rows * room],
        }
    }

    pub fn rows(&self) -> usize {
        self.lens.len()
    }

    /// The number of links of each row.
    pub fn lens(&self) -> &[u8] {
        &self.lens
    }

    pub fn lists(&self) -> impl ExactSizeIterator<Item = &[u32]> + Clone {
        (0..self.rows() as u32).map(|row| self.of(row))
    }

    pub fn list_mut(&mut self, row: u32) -> List<'_> {
        let row = row as usize;
        List {
            len: &mut self.lens[row],
            room: &mut self.neighbours[row * self.room..][..self.room],
        }
    }

    /// The lists of all rows, to be handed out among threads.
    pub fn lists_mut(&mut self) -> impl Iterator<Item = List<'_>> {
        let rooms = self.neighbours.chunks_exact_mut(self.room);
        self.lens
            .iter_mut()
            .zip(rooms)
            .map(|(len, room)| List { len, room })
    }
}

impl Links for Open {
    fn of(&self, row: u32) -> &[u32] {
        let row = row as usize;
        &self.neighbours[row * self.room..][..usize::from(self.lens[row])]
    }
}

/// The neighbours of one row, and room for more.
pub struct List<'a> {
    len: &'a mut u8,
    room: &'a mut [u32],
}

impl List<'_> {
    pub fn rows(&self) -> &[u32] {
        &self.room[..usize::from(*self.len)]
    }

    /// Whether there was room.
    pub fn push(&mut self, row: u32) -> bool {
        let len = usize::from(*self.len);
        let Some(place) = self.room.get_mut(len) else {
            return false;
        };
        *place = row;
        *self.len += 1;
        true
    }

    /// Puts rows, as many as there is room for, in the place of all.
    pub fn set(&mut self, rows: impl IntoIterator<Item = u32>) {
        *self.len = 0;
        for row in rows {
            if !self.push(row) {
                return;
            }
        }
    }
}
