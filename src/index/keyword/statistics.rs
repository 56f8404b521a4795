//! What the living documents of all shards, or of a part of them, say of words.

use std::sync::OnceLock;

use roaring::RoaringBitmap;
use tantivy::postings::TermInfo;

use super::KeywordError;
use super::compile::{Compiled, Leaf, LeafKind, PrefixText, Tolerant};
use super::dead::TermHash;
use super::docs::Docs;
use super::postings::{self, List, Occurrences};
use super::scope::Scope;
use super::state::Part;
use super::typos::successor;

/// The documents that statistics are of.
pub(super) struct Corpus<'s> {
    pub parts: Vec<Found<'s>>,
    pub documents: u64,
    /// By text.
    tokens: Vec<u64>,
}

/// A segment, and the documents of it that count.
pub(super) struct Found<'s> {
    pub shard: usize,
    pub part: &'s Part,
    /// `None`: all that live.
    pub population: Option<Docs>,
}

impl<'s> Corpus<'s> {
    pub fn new(scope: &Scope<'s, '_>) -> Result<Corpus<'s>, KeywordError> {
        let texts = scope.schema().map_or(0, |schema| schema.texts().len());
        let mut corpus = Corpus {
            parts: Vec::new(),
            documents: 0,
            tokens: vec![0; texts],
        };
        for (shard, state) in scope.states.iter().enumerate() {
            if scope.population.is_none() {
                corpus.documents += state.documents;
                for (total, tokens) in corpus.tokens.iter_mut().zip(&state.tokens) {
                    *total += tokens;
                }
            }
            for part in &state.parts {
                let population = scope.population.map(|all| living_in(part, all.get(shard)));
                if let Some(population) = &population {
                    corpus.documents += u64::from(population.count());
                    for (total, tokens) in corpus.tokens.iter_mut().zip(part.segment.tokens()?) {
                        let tokens = population.iter().filter_map(|doc| tokens.get(doc as usize));
                        *total += tokens.map(|tokens| u64::from(*tokens)).sum::<u64>();
                    }
                }
                corpus.parts.push(Found {
                    shard,
                    part,
                    population,
                });
            }
        }
        Ok(corpus)
    }

    fn average_length(&self, fields: &[(usize, f32)]) -> f32 {
        let tokens = fields
            .iter()
            .map(|(text, boost)| f64::from(*boost) * self.tokens.get(*text).copied().unwrap_or(0) as f64);
        let average = (tokens.sum::<f64>() / self.documents.max(1) as f64) as f32;
        if average > 0.0 { average } else { 1.0 }
    }
}

/// A segment's living documents in these slots.
pub(super) fn living_in(part: &Part, slots: Option<&RoaringBitmap>) -> Docs {
    let mut docs = Docs::none(part.segment.size());
    if let Some(slots) = slots {
        let living = part.alive.iter();
        living
            .filter(|doc| slots.contains(part.segment.slot(*doc).0))
            .for_each(|doc| docs.insert(doc));
    }
    docs
}

impl Found<'_> {
    /// In how many of the documents that count the term occurs.
    pub fn frequency(&self, text: usize, term: &str, info: &TermInfo) -> Result<u64, KeywordError> {
        if let Some(population) = &self.population {
            let mut frequency = 0;
            Occurrences::open(&self.part.segment.texts[text], info)?
                .each(|doc, _| frequency += u64::from(population.contains(doc)));
            return Ok(frequency);
        }
        let dead = match self.part.dead() {
            0 => 0,
            _ => self.part.dead.get(TermHash::new(text, term)),
        };
        Ok(u64::from(info.doc_freq.saturating_sub(dead)))
    }

    /// The documents that count.
    pub fn living(&self) -> &Docs {
        self.population.as_ref().unwrap_or(&self.part.alive)
    }
}

/// A compiled question with all that the corpus says of it.
pub(super) struct Prepared {
    pub compiled: Compiled,
    /// By part.
    pub parts: Vec<PreparedPart>,
    /// By term.
    frequencies: Vec<u64>,
    /// By leaf, with its boost.
    pub weights: Vec<f32>,
    /// By set of fields.
    pub average_lengths: Vec<f32>,
}

/// What one segment has of a question.
pub(super) struct PreparedPart {
    /// By term.
    pub terms: Vec<Option<TermInfo>>,
    /// By leaf: the documents that count, of prefixes.
    pub prefixes: Vec<Option<List>>,
    /// By set of fields: the documents' lengths, where they are not those of the index.
    lengths: Vec<OnceLock<Vec<f32>>>,
}

impl Prepared {
    pub fn new(corpus: &Corpus, compiled: Compiled) -> Result<Prepared, KeywordError> {
        let mut frequencies = vec![0; compiled.terms.len()];
        let mut parts = Vec::with_capacity(corpus.parts.len());
        for found in &corpus.parts {
            let mut terms = Vec::with_capacity(compiled.terms.len());
            for ((text, term), frequency) in compiled.terms.iter().zip(&mut frequencies) {
                let info = found.part.segment.texts[*text].terms().get(term)?;
                if let Some(info) = &info {
                    *frequency += found.frequency(*text, term, info)?;
                }
                terms.push(info);
            }
            let prefixes = compiled.leaves.iter().map(|leaf| match &leaf.kind {
                LeafKind::Prefix(texts) => prefix(found, texts).map(Some),
                _ => Ok(None),
            });
            parts.push(PreparedPart {
                terms,
                prefixes: prefixes.collect::<Result<_, _>>()?,
                lengths: compiled.field_sets.iter().map(|_| OnceLock::new()).collect(),
            });
        }
        let mut prepared = Prepared {
            weights: Vec::new(),
            average_lengths: compiled
                .field_sets
                .iter()
                .map(|fields| corpus.average_length(fields))
                .collect(),
            compiled,
            parts,
            frequencies,
        };
        let leaves = prepared.compiled.leaves.iter().enumerate();
        prepared.weights = leaves
            .map(|(number, leaf)| leaf.boost * prepared.weight(number, leaf, corpus.documents))
            .collect();
        Ok(prepared)
    }

    /// How many documents have the word or start; 0 for what has no such number.
    pub fn frequency(&self, number: usize, leaf: &Leaf) -> u64 {
        match &leaf.kind {
            // How many documents have a word in any text is not known; it is at least this, and rarely much more.
            LeafKind::Word(terms) => terms
                .iter()
                .map(|one| self.frequencies[one.term])
                .max()
                .unwrap_or(0),
            LeafKind::Prefix(_) => {
                let lists = self
                    .parts
                    .iter()
                    .filter_map(|part| part.prefixes[number].as_ref());
                lists.map(|list| list.docs.len() as u64).sum()
            }
            LeafKind::Phrase { .. } | LeafKind::Constant(_) => 0,
        }
    }

    /// Whether no document has the word.
    pub fn is_unknown(&self, word: &Tolerant) -> bool {
        word.terms.iter().all(|one| self.frequencies[one.term] == 0)
    }

    fn weight(&self, number: usize, leaf: &Leaf, documents: u64) -> f32 {
        match &leaf.kind {
            LeafKind::Word(_) | LeafKind::Prefix(_) => {
                postings::weight(self.frequency(number, leaf), documents)
            }
            LeafKind::Phrase { texts, .. } => {
                let of_text = texts.iter().map(|text| {
                    let words = text
                        .terms
                        .iter()
                        .map(|(_, term)| postings::weight(self.frequencies[*term], documents));
                    words.sum::<f32>()
                });
                of_text.fold(0.0, f32::max)
            }
            LeafKind::Constant(_) => 1.0,
        }
    }

    /// The documents' lengths in a segment, by a set of fields.
    pub fn lengths<'a>(&'a self, part: usize, found: &'a Found, set: usize) -> &'a [f32] {
        if set == 0 {
            return &found.part.segment.lengths;
        }
        self.parts[part].lengths[set]
            .get_or_init(|| found.part.segment.lengths_of(&self.compiled.field_sets[set]))
    }
}

/// The documents that count and have a term that begins so.
fn prefix(found: &Found, texts: &[PrefixText]) -> Result<List, KeywordError> {
    let segment = &found.part.segment;
    let mut counts = vec![0.0f32; segment.size() as usize];
    for PrefixText {
        text,
        boost,
        start,
        whole,
    } in texts
    {
        let lists = &segment.texts[*text];
        let mut add = |info: &TermInfo| -> Result<(), KeywordError> {
            Occurrences::open(lists, info)?.each(|doc, frequency| {
                if let Some(count) = counts.get_mut(doc as usize) {
                    *count += boost * frequency as f32;
                }
            });
            Ok(())
        };
        let mut range = lists.terms().range().ge(start);
        if let Some(behind) = successor(start.as_bytes()) {
            range = range.lt(behind);
        }
        let mut terms = range.into_stream()?;
        while let Some((_, info)) = terms.next() {
            add(info)?;
        }
        if let Some(whole) = whole.as_ref().filter(|whole| !whole.starts_with(start.as_str()))
            && let Some(info) = lists.terms().get(whole)?
        {
            add(&info)?;
        }
    }
    let mut list = List::default();
    for doc in found.living().iter() {
        let count = counts.get(doc as usize).copied().unwrap_or(0.0);
        if count > 0.0 {
            list.docs.push(doc);
            list.counts.push(count);
        }
    }
    Ok(list)
}
