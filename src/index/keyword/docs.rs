//! A set of a segment's documents: one bit each.

/// Documents of one segment, by their number there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Docs {
    words: Vec<u64>,
    /// Documents of the segment; bits beyond are zero.
    size: u32,
}

impl Docs {
    pub fn none(size: u32) -> Docs {
        Docs {
            words: vec![0; (size as usize).div_ceil(64)],
            size,
        }
    }

    pub fn all(size: u32) -> Docs {
        let mut words = vec![u64::MAX; (size as usize).div_ceil(64)];
        if let (Some(last), rest @ 1..) = (words.last_mut(), size % 64) {
            *last = (1 << rest) - 1;
        }
        Docs { words, size }
    }

    /// The set of `size` documents that these words say; `None` if they say something else.
    pub fn from_words(words: Vec<u64>, size: u32) -> Option<Docs> {
        let beyond = match size % 64 {
            0 => 0,
            rest => u64::MAX << rest,
        };
        let fits =
            words.len() == (size as usize).div_ceil(64) && words.last().is_none_or(|last| last & beyond == 0);
        fits.then_some(Docs { words, size })
    }

    pub fn words(&self) -> &[u64] {
        &self.words
    }

    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    pub fn contains(&self, doc: u32) -> bool {
        self.words
            .get(doc as usize / 64)
            .is_some_and(|word| word >> (doc % 64) & 1 == 1)
    }

    /// Adds a document of the segment.
    pub fn insert(&mut self, doc: u32) {
        debug_assert!(doc < self.size, "a set holds documents of its segment");
        if let Some(word) = self.words.get_mut(doc as usize / 64) {
            *word |= 1 << (doc % 64);
        }
    }

    pub fn remove(&mut self, doc: u32) {
        if let Some(word) = self.words.get_mut(doc as usize / 64) {
            *word &= !(1 << (doc % 64));
        }
    }

    pub fn and(mut self, other: &Docs) -> Docs {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(mine, theirs)| *mine &= theirs);
        self
    }

    pub fn or(mut self, other: &Docs) -> Docs {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(mine, theirs)| *mine |= theirs);
        self
    }

    pub fn without(mut self, other: &Docs) -> Docs {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(mine, theirs)| *mine &= !theirs);
        self
    }

    /// The first document that is not before `from`.
    pub fn next(&self, from: u32) -> Option<u32> {
        self.from(from).next()
    }

    /// The documents in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.from(0)
    }

    /// The documents that are not before `from`, in ascending order.
    pub fn from(&self, from: u32) -> impl Iterator<Item = u32> + '_ {
        let first = from as usize / 64;
        let words = self.words.iter().copied().enumerate().skip(first);
        words.flat_map(move |(at, word)| {
            let before = if at == first {
                !(u64::MAX << (from % 64))
            } else {
                0
            };
            let mut rest = word & !before;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_another_size_are_no_set() {
        let words = || Docs::all(65).words().to_vec();
        assert_eq!(Docs::from_words(words(), 65), Some(Docs::all(65)));
        for size in [0, 64, 129] {
            assert_eq!(Docs::from_words(words(), size), None, "{size}");
        }
        assert_eq!(Docs::from_words(vec![u64::MAX, 2], 65), None);
    }

    #[test]
    fn the_next_document_is_the_first_that_is_not_before() {
        let mut docs = Docs::none(200);
        [3, 64, 190].into_iter().for_each(|doc| docs.insert(doc));
        let next: Vec<_> = [0, 3, 4, 64, 65, 190, 191, 500]
            .map(|from| docs.next(from))
            .to_vec();
        let expected = [
            Some(3),
            Some(3),
            Some(64),
            Some(64),
            Some(190),
            Some(190),
            None,
            None,
        ];
        assert_eq!(next, expected);
    }

    #[test]
    fn a_full_set_holds_its_documents_and_no_others() {
        for size in [0, 1, 63, 64, 65, 128, 130] {
            let all = Docs::all(size);
            assert_eq!(all.iter().collect::<Vec<_>>(), (0..size).collect::<Vec<_>>());
            assert!(!all.contains(size));
            assert_eq!(Docs::none(size).or(&all), all);
            assert_eq!(all.clone().without(&all), Docs::none(size));
        }
    }
}
