//! A random stream of row changes, and the plain map that says what is left of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::shared::Random;

/// Half of the changes go to so few keys; the other half to all of them, so that most are written once or twice and a
/// change that is lost is seen.
const HOT_KEYS: usize = 100;

/// Old words that are remembered, to be looked for in vain.
const DEAD_WORDS_MAX: usize = 20_000;

/// What the words around the unique one are taken from.
const WORDS: [&str; 16] = [
    "red", "lamp", "violin", "harbour", "quiet", "storm", "paper", "bridge", "copper", "winter", "garden",
    "signal", "engine", "river", "candle", "mirror",
];

/// A row as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub text: String,
    /// Stands in this row's text, and in no other of any time.
    pub word: String,
    pub rank: u64,
    pub draft: bool,
}

/// A change of a row, greater versions later.
pub struct Change {
    pub id: usize,
    pub version: u64,
    /// `None`: deleted.
    pub note: Option<Note>,
}

impl Change {
    /// All columns.
    pub fn row(&self) -> Value {
        match &self.note {
            Some(note) => {
                let state = if note.draft { "draft" } else { "published" };
                json!({"id": self.id, "text": note.text, "rank": note.rank, "state": state})
            }
            None => json!({"id": self.id}),
        }
    }
}

/// What should be there.
#[derive(Default)]
pub struct Truth {
    /// Rows by key, drafts included.
    pub notes: BTreeMap<usize, Note>,
    /// Words that no row has any more.
    pub dead_words: Vec<String>,
}

impl Truth {
    /// The documents: what the dataflow's query selects.
    pub fn documents(&self) -> impl Iterator<Item = (usize, &Note)> {
        let notes = self.notes.iter().filter(|(_, note)| !note.draft);
        notes.map(|(id, note)| (*id, note))
    }

    fn apply(&mut self, change: &Change) {
        let before = match &change.note {
            Some(note) => self.notes.insert(change.id, note.clone()),
            None => self.notes.remove(&change.id),
        };
        let now = change.note.as_ref().map(|note| &note.word);
        let dead = before.filter(|before| now != Some(&before.word));
        if self.dead_words.len() < DEAD_WORDS_MAX {
            self.dead_words.extend(dead.map(|before| before.word));
        }
    }

    /// Another truth, of other keys, beside this one.
    pub fn join(&mut self, other: Truth) {
        self.notes.extend(other.notes);
        self.dead_words.extend(other.dead_words);
    }
}

/// Changes without end. Several of them side by side have keys and words of their own.
pub struct Changes {
    random: Random,
    ids: std::ops::Range<usize>,
    version: u64,
    pub truth: Truth,
}

impl Changes {
    pub fn new(seed: u64, ids: std::ops::Range<usize>) -> Changes {
        Changes {
            random: Random::new(seed),
            ids,
            version: 0,
            truth: Truth::default(),
        }
    }

    /// The next change, as if it had been made already.
    pub fn next(&mut self) -> Change {
        let keys = match self.random.percent(50) {
            true => HOT_KEYS.min(self.ids.len()),
            false => self.ids.len(),
        };
        let id = self.ids.start + self.random.below(keys);
        self.version += 1;
        let note = match (self.truth.notes.get(&id), self.random.below(100)) {
            (Some(_), 0..15) => None,
            // The same text: nothing to embed.
            (Some(note), 15..35) => Some(Note {
                rank: self.version,
                ..note.clone()
            }),
            (Some(note), 35..50) => Some(Note {
                draft: !note.draft,
                ..note.clone()
            }),
            _ => Some(self.note()),
        };
        let change = Change {
            id,
            version: self.version,
            note,
        };
        self.truth.apply(&change);
        change
    }

    fn note(&mut self) -> Note {
        let word = format!("word{}x{}", self.ids.start, self.version);
        let around: Vec<&str> = (0..4 + self.random.below(8))
            .map(|_| WORDS[self.random.below(WORDS.len())])
            .collect();
        Note {
            text: format!("note {word} {}", around.join(" ")),
            word,
            rank: self.version,
            draft: self.random.percent(10),
        }
    }
}
