//! The words of a text, as the analysers of all its fields see them, put together by their places.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::analysis::QueryWord;
use super::compile::{Compiler, LeafKind, Node, Occurrence, Place, Tolerant, WordsNode};
use super::query::{KeywordQuery, MinimumMatch, Typos, WordsQuery};
use super::typos::edits;

/// In longer texts each word is taken as it is written.
const TOLERANT_WORDS_MAX: usize = 32;

/// What the variants of a word that no document has add to documents that are found by other words. Taken in full, the judged
/// queries of scifact, with many rare words, fall from an nDCG@10 of .688 to .685; a quarter costs nothing.
const UNKNOWN_WORD_FACTOR: f32 = 0.25;

/// The words of a text, while the analysers of its fields are asked one after the other.
#[derive(Default)]
struct Drafts {
    /// By their start in the query.
    places: BTreeMap<usize, Draft>,
    /// Where a field has met these terms first.
    first: HashMap<(usize, Vec<String>), usize>,
    /// Starts of words, and what they also mean: text, boost and terms.
    synonyms: Vec<(Vec<usize>, usize, f32, Vec<String>)>,
    /// The query as one word, with its start.
    whole: Vec<(usize, Vec<Occurrence>)>,
}

struct Draft {
    /// Its end in the query.
    to: usize,
    terms: Vec<Occurrence>,
    /// Terms that must follow each other: text and boost.
    parts: Vec<(usize, f32, Vec<String>)>,
    texts: HashSet<usize>,
    /// Starts of words that are the same for some field.
    repeats: Vec<usize>,
}

impl Draft {
    fn new(to: usize) -> Draft {
        Draft {
            to,
            terms: Vec::new(),
            parts: Vec::new(),
            texts: HashSet::new(),
            repeats: Vec::new(),
        }
    }
}

impl Compiler<'_> {
    pub(super) fn words(&mut self, query: &WordsQuery, boost: f32) -> Option<Node> {
        let (fields, field_set) = self.fields(&query.fields);
        let mut drafts = Drafts::default();
        let mut splitting = 0;
        for (text, factor) in fields {
            let Some(column) = self.schema.texts().get(text) else {
                continue;
            };
            let mut words = Vec::new();
            column
                .analysis
                .query_words(&query.text, &mut |word| words.push(word));
            if column.analysis.is_whole() {
                for word in words {
                    let terms = self.occurrences(text, &word.terms, factor);
                    drafts.whole.push((word.from, terms));
                }
                continue;
            }
            splitting += 1;
            for word in &words {
                self.draft(&mut drafts, text, factor, word);
            }
            for meant in column.synonyms.meant(&words) {
                let from: Vec<usize> = meant.words.iter().map(|word| word.from).collect();
                drafts.synonyms.push((from, text, factor, meant.terms.to_vec()));
            }
        }
        let node = self.finish(drafts, query, splitting, field_set, boost);
        (!node.places.is_empty()).then_some(Node::Words(node))
    }

    /// Takes in a word as one text's analyser sees it. Analysers split alike, and then change or drop: a word's start
    /// in the query says what belongs together.
    fn draft(&mut self, drafts: &mut Drafts, text: usize, factor: f32, word: &QueryWord) {
        let has_room = self.words + drafts.places.len() < KeywordQuery::WORDS_MAX;
        if !has_room && !drafts.places.contains_key(&word.from) {
            return;
        }
        let first = *drafts
            .first
            .entry((text, word.terms.clone()))
            .or_insert(word.from);
        let draft = drafts
            .places
            .entry(word.from)
            .or_insert_with(|| Draft::new(word.to));
        draft.texts.insert(text);
        if first != word.from {
            draft.repeats.push(first);
            return;
        }
        match &*word.terms {
            [term] => {
                let term = self.term(text, term);
                draft.terms.push(Occurrence { term, factor });
            }
            terms => draft.parts.push((text, factor, terms.to_vec())),
        }
    }

    fn finish(
        &mut self,
        mut drafts: Drafts,
        query: &WordsQuery,
        splitting: usize,
        field_set: usize,
        boost: f32,
    ) -> WordsNode {
        // A word that stands in the query before is searched once.
        drafts
            .places
            .retain(|_, draft| !draft.terms.is_empty() || !draft.parts.is_empty());
        self.words += drafts.places.len();
        let is_tolerant =
            query.typos == Typos::Auto && !self.is_excluding && drafts.places.len() <= TOLERANT_WORDS_MAX;
        let mut by_start: BTreeMap<usize, Place> = BTreeMap::new();
        let mut beside = Vec::new();
        let first_leaf = self.compiled.leaves.len();

        for (from, draft) in &mut drafts.places {
            let typed = query.text.get(*from..draft.to).unwrap_or_default();
            let variants = match is_tolerant {
                true => self.variants(typed, &draft.terms),
                false => Vec::new(),
            };
            if self.tolerance.finds() {
                draft.terms.extend(variants);
            } else if !variants.is_empty() {
                let boost = boost * UNKNOWN_WORD_FACTOR;
                beside.push(self.leaf(LeafKind::Word(variants), field_set, boost));
            }
            let mut leaves = Vec::new();
            if !draft.terms.is_empty() {
                let terms = std::mem::take(&mut draft.terms);
                leaves.push(self.leaf(LeafKind::Word(terms), field_set, boost));
            }
            for (text, factor, terms) in &draft.parts {
                leaves.extend(self.terms_in_order(*text, *factor, terms, field_set, boost));
            }
            let counts = draft.texts.len() == splitting;
            by_start.insert(*from, Place { leaves, counts });
        }
        for (from, draft) in &drafts.places {
            for first in &draft.repeats {
                let leaves = by_start.get(first).map(|place| place.leaves.clone());
                if let Some(place) = by_start.get_mut(from) {
                    place.leaves.extend(leaves.unwrap_or_default());
                }
            }
        }
        for (from, text, factor, terms) in drafts.synonyms {
            let leaf = self.terms_in_order(text, factor, &terms, field_set, boost);
            for from in from {
                if let (Some(place), Some(leaf)) = (by_start.get_mut(&from), leaf) {
                    place.leaves.push(leaf);
                }
            }
        }
        // A text that is one word has all words of the query, or none.
        let whole: Vec<Occurrence> = drafts.whole.iter().flat_map(|(_, terms)| terms.clone()).collect();
        if let Some((from, _)) = drafts.whole.first() {
            let leaf = self.leaf(LeafKind::Word(whole), field_set, boost);
            if by_start.is_empty() {
                by_start.insert(
                    *from,
                    Place {
                        leaves: Vec::new(),
                        counts: true,
                    },
                );
            }
            by_start.values_mut().for_each(|place| place.leaves.push(leaf));
        }

        let mut places: Vec<Place> = by_start.into_values().collect();
        if !places.iter().any(|place| place.counts) {
            places.iter_mut().for_each(|place| place.counts = true);
        }
        let counting = places.iter().filter(|place| place.counts).count();
        let leaves = (first_leaf..self.compiled.leaves.len()).filter(|leaf| !beside.contains(leaf));
        WordsNode {
            minimum: query.minimum.of(counting),
            leaves: leaves.collect(),
            places,
            beside,
        }
    }

    /// The terms that a word is taken for, if it may have a typing error.
    fn variants(&mut self, typed: &str, terms: &[Occurrence]) -> Vec<Occurrence> {
        let edits = edits(typed);
        let has_words = |term: &&Occurrence| {
            let (text, term) = &self.compiled.terms[term.term];
            let column = self.schema.texts().get(*text);
            column.is_some_and(|column| column.analysis.has_words()) && edits.fits(term)
        };
        let terms: Vec<Occurrence> = terms.iter().filter(has_words).copied().collect();
        if edits.0 == 0 || terms.is_empty() {
            return Vec::new();
        }
        let factors: HashMap<usize, f32> = terms
            .iter()
            .map(|one| (self.compiled.terms[one.term].0, one.factor))
            .collect();
        let number = self.compiled.tolerant.len();
        self.compiled.tolerant.push(Tolerant {
            terms,
            edits: edits.0,
        });
        let tolerance = self.tolerance;
        let variants = tolerance.of(number).iter().map(|variant| Occurrence {
            factor: variant.factor() * factors.get(&variant.text).copied().unwrap_or(0.0),
            term: self.term(variant.text, &variant.term),
        });
        variants.collect()
    }
}

impl MinimumMatch {
    fn of(self, words: usize) -> usize {
        match self {
            MinimumMatch::Any => 0,
            MinimumMatch::All => words,
            MinimumMatch::Words(some) => some.clamp(1, words.max(1)),
            MinimumMatch::Percent(share) => (words * usize::from(share) / 100).clamp(1, words.max(1)),
        }
    }
}
