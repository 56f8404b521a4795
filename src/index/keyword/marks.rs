//! Where a text has what a question looks for, as the text's analyser sees both.

use std::collections::HashMap;
use std::ops::Range;

use roaring::RoaringBitmap;

use super::compile::{Compiled, LeafId, LeafKind, Node};
use super::matching::answers;
use super::query::KeywordQuery;
use super::scope::Scope;
use super::statistics::Corpus;
use super::{KeywordError, KeywordSchema, phrase, question};
use crate::index::Slot;

/// What a question looks for, ready to be found in texts.
pub struct Marker {
    schema: KeywordSchema,
    exact: Sought,
    /// By shard: the documents that the question finds as it is written.
    found: Vec<RoaringBitmap>,
    /// With what words with typing errors may have been meant as: for all other documents.
    tolerant: Option<Sought>,
}

/// What stands in a text and was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// In bytes; ends of characters.
    pub range: Range<usize>,
    /// The same number for the same word, phrase or start.
    pub word: usize,
}

/// By text.
struct Sought(Vec<SoughtInText>);

#[derive(Default)]
struct SoughtInText {
    /// By term.
    words: HashMap<String, LeafId>,
    starts: Vec<Start>,
    phrases: Vec<Phrase>,
}

/// The start of a word, or the stem of the word that it is if it is whole.
struct Start {
    leaf: LeafId,
    start: String,
    whole: Option<String>,
}

struct Phrase {
    leaf: LeafId,
    /// With their places.
    terms: Vec<(usize, String)>,
    slop: usize,
}

impl Marker {
    /// For the documents that the scope's filters let through. What the question excludes is never marked.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn new(scope: &Scope<'_, '_>, query: &KeywordQuery) -> Result<Option<Marker>, KeywordError> {
        let Some(schema) = scope.schema() else {
            return Ok(None);
        };
        let corpus = Corpus::new(scope)?;
        let exact = question::exact(schema, &corpus, query)?;
        let found = answers(scope, &corpus, &exact)?;
        let count = |slots: &[RoaringBitmap]| slots.iter().map(RoaringBitmap::len).sum::<u64>();
        let tolerant = match scope.filters.is_some_and(|wanted| count(wanted) == count(&found)) {
            true => None,
            false => question::tolerant(schema, &corpus, query, &exact)?,
        };
        let texts = schema.texts().len();
        Ok(Some(Marker {
            schema: schema.clone(),
            exact: Sought::new(&exact.compiled, texts),
            found,
            tolerant: tolerant.map(|tolerant| Sought::new(&tolerant.compiled, texts)),
        }))
    }

    pub fn schema(&self) -> &KeywordSchema {
        &self.schema
    }

    /// Whether anything is looked for in a text.
    pub fn has_words_for(&self, text: usize) -> bool {
        let is_sought = |sought: &Sought| sought.0.get(text).is_some_and(|sought| !sought.is_empty());
        is_sought(&self.exact) || self.tolerant.as_ref().is_some_and(is_sought)
    }

    /// Where the document in a slot of a shard, whose text is `content`, has what was looked for: ascending and apart from
    /// each other.
    pub fn marks(&self, (shard, slot): (usize, Slot), text: usize, content: &str) -> Vec<Mark> {
        let is_found = self.found.get(shard).is_some_and(|found| found.contains(slot.0));
        let sought = self
            .tolerant
            .as_ref()
            .filter(|_| !is_found)
            .unwrap_or(&self.exact);
        let (Some(analysed), Some(sought)) = (self.schema.texts().get(text), sought.0.get(text)) else {
            return Vec::new();
        };
        let mut marks: Vec<Mark> = Vec::new();
        let mut places = vec![HashMap::new(); sought.phrases.len()];
        analysed.analysis.spans(content, &mut |range, place, token| {
            if content.get(range.clone()).is_none_or(str::is_empty) {
                return;
            }
            for (phrase, places) in sought.phrases.iter().zip(&mut places) {
                if phrase.terms.iter().any(|(_, term)| term == token) {
                    places.insert((place, token.to_owned()), range.clone());
                }
            }
            marks.extend(sought.word(token).map(|word| Mark { range, word }));
        });
        for (phrase, places) in sought.phrases.iter().zip(&places) {
            phrase.mark(places, &mut marks);
        }
        marks.sort_by_key(|mark| (mark.range.start, mark.range.end));
        // Tokens of some analysers overlap, and so do phrases and their words.
        marks.dedup_by(|later, mark| {
            let overlaps = later.range.start < mark.range.end;
            if overlaps {
                mark.range.end = mark.range.end.max(later.range.end);
            }
            overlaps
        });
        marks
    }
}

impl Sought {
    fn new(compiled: &Compiled, texts: usize) -> Sought {
        let mut leaves = Vec::new();
        if let Some(root) = &compiled.root {
            wanted(root, &mut leaves);
        }
        let mut sought = Sought(Vec::new());
        sought.0.resize_with(texts, SoughtInText::default);
        for leaf in leaves {
            let Some(kind) = compiled.leaves.get(leaf).map(|leaf| &leaf.kind) else {
                continue;
            };
            sought.add(compiled, leaf, kind);
        }
        sought
    }

    fn add(&mut self, compiled: &Compiled, leaf: LeafId, kind: &LeafKind) {
        match kind {
            LeafKind::Word(terms) => {
                for (text, term) in terms.iter().filter_map(|one| compiled.terms.get(one.term)) {
                    if let Some(sought) = self.0.get_mut(*text) {
                        sought.words.entry(term.clone()).or_insert(leaf);
                    }
                }
            }
            LeafKind::Phrase { texts, slop } => {
                for phrase in texts {
                    let terms = phrase.terms.iter().filter_map(|(place, term)| {
                        let (_, term) = compiled.terms.get(*term)?;
                        Some((*place, term.clone()))
                    });
                    if let Some(sought) = self.0.get_mut(phrase.text) {
                        sought.phrases.push(Phrase {
                            leaf,
                            terms: terms.collect(),
                            slop: *slop as usize,
                        });
                    }
                }
            }
            LeafKind::Prefix(texts) => {
                for prefix in texts {
                    if let Some(sought) = self.0.get_mut(prefix.text) {
                        sought.starts.push(Start {
                            leaf,
                            start: prefix.start.clone(),
                            whole: prefix.whole.clone(),
                        });
                    }
                }
            }
            // It looks at fields.
            LeafKind::Constant(_) => {}
        }
    }
}

/// The leaves by which documents are found or scored.
fn wanted(node: &Node, leaves: &mut Vec<LeafId>) {
    match node {
        Node::Leaf(leaf) => leaves.push(*leaf),
        Node::Words(words) => leaves.extend(words.leaves.iter().chain(&words.beside)),
        Node::Bool(parts) => {
            let parts = parts.must.iter().chain(&parts.should);
            parts.for_each(|part| wanted(part, leaves));
        }
    }
}

impl SoughtInText {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.starts.is_empty() && self.phrases.is_empty()
    }

    fn word(&self, token: &str) -> Option<LeafId> {
        let is_start = |start: &&Start| {
            token.starts_with(&start.start) || start.whole.as_deref().is_some_and(|whole| whole == token)
        };
        let start = || self.starts.iter().find(is_start).map(|start| start.leaf);
        self.words.get(token).copied().or_else(start)
    }
}

impl Phrase {
    /// Marks the phrase as one where its words are next to each other, else its words.
    ///
    /// `places` has the words of the text that are in it, by place and term.
    fn mark(&self, places: &HashMap<(usize, String), Range<usize>>, marks: &mut Vec<Mark>) {
        let words = self.terms.iter().map(|(place, term)| {
            let mut found: Vec<usize> = places
                .keys()
                .filter(|(_, other)| other == term)
                .map(|(place, _)| *place)
                .collect();
            found.sort_unstable();
            (*place, found)
        });
        let words: Vec<(usize, Vec<usize>)> = words.collect();
        phrase::each(&words, self.slop, &mut |found| {
            let ranges = found.iter().zip(&self.terms);
            let ranges = ranges.filter_map(|(place, (_, term))| places.get(&(*place, term.clone())));
            let word = self.leaf;
            if self.slop > 0 {
                marks.extend(ranges.cloned().map(|range| Mark { range, word }));
            } else if let Some(range) = ranges
                .cloned()
                .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            {
                marks.push(Mark { range, word });
            }
        });
    }
}
