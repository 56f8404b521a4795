//! A question, in the terms of the index: what is looked up, what adds to scores, and how it is put together.

use std::collections::{BTreeMap, HashMap};

use super::KeywordSchema;
use super::query::{BoolQuery, KeywordQuery, PhraseQuery, PrefixQuery, TextFields};
use super::typos::Tolerance;
use crate::change::Datum;
use crate::definition::Expression;

pub(super) type TermId = usize;
pub(super) type LeafId = usize;

pub(super) struct Compiled {
    /// Text and term, each once.
    pub terms: Vec<(usize, String)>,
    /// Texts with their boosts; a document's length is that of its texts in the set. The first is that of the index.
    pub field_sets: Vec<Vec<(usize, f32)>>,
    pub leaves: Vec<Leaf>,
    /// `None`: nothing is asked for.
    pub root: Option<Node>,
    /// The words that typing errors are looked for in, in the order of the query.
    pub tolerant: Vec<Tolerant>,
}

/// What adds to scores.
pub(super) struct Leaf {
    pub kind: LeafKind,
    pub field_set: usize,
    pub boost: f32,
}

pub(super) enum LeafKind {
    /// Any of the terms: the same word in several texts, or what is taken for it.
    Word(Vec<Occurrence>),
    Phrase {
        texts: Vec<PhraseText>,
        slop: u32,
    },
    Prefix(Vec<PrefixText>),
    /// `None`: every document.
    Constant(Option<Expression>),
}

/// A term of a word, and what each of its occurrences counts.
#[derive(Clone, Copy)]
pub(super) struct Occurrence {
    pub term: TermId,
    pub factor: f32,
}

pub(super) struct PhraseText {
    pub text: usize,
    pub boost: f32,
    /// Terms with their places.
    pub terms: Vec<(usize, TermId)>,
}

pub(super) struct PrefixText {
    pub text: usize,
    pub boost: f32,
    pub start: String,
    /// What the word is if it is whole: its stem may be shorter than the word.
    pub whole: Option<String>,
}

/// How leaves are put together.
pub(super) enum Node {
    Leaf(LeafId),
    Words(WordsNode),
    Bool(BoolNode),
}

pub(super) struct WordsNode {
    pub places: Vec<Place>,
    /// So many of the places that count, at least; 0: any place at all.
    pub minimum: usize,
    /// Each once.
    pub leaves: Vec<LeafId>,
    /// Leaves that add to scores, and by which no document is found.
    pub beside: Vec<LeafId>,
}

/// A place in the query: a document has its word if it has any of the leaves.
pub(super) struct Place {
    pub leaves: Vec<LeafId>,
    /// Not where a field's analyser drops the word: a stop word need not be there.
    pub counts: bool,
}

pub(super) struct BoolNode {
    /// The cheapest first: others are asked of the documents that are left.
    pub must: Vec<Node>,
    pub should: Vec<Node>,
    pub must_not: Vec<Node>,
    pub minimum: usize,
}

/// A word with what typing errors are looked for in.
pub(super) struct Tolerant {
    /// Terms with what an occurrence counts.
    pub terms: Vec<Occurrence>,
    pub edits: u8,
}

impl Compiled {
    pub fn new(schema: &KeywordSchema, query: &KeywordQuery, tolerance: &Tolerance) -> Compiled {
        let texts = schema.texts().iter().enumerate();
        let mut compiler = Compiler {
            schema,
            tolerance,
            compiled: Compiled {
                terms: Vec::new(),
                field_sets: vec![texts.map(|(i, text)| (i, text.boost)).collect()],
                leaves: Vec::new(),
                root: None,
                tolerant: Vec::new(),
            },
            term_ids: HashMap::new(),
            words: 0,
            phrases: 0,
            prefixes: 0,
            is_excluding: false,
        };
        compiler.compiled.root = compiler.node(query, 1.0);
        compiler.compiled
    }
}

/// A question on its way.
pub(super) struct Compiler<'a> {
    pub schema: &'a KeywordSchema,
    pub tolerance: &'a Tolerance,
    pub compiled: Compiled,
    term_ids: HashMap<(usize, String), TermId>,
    pub words: usize,
    phrases: usize,
    prefixes: usize,
    /// What is excluded must be meant.
    pub is_excluding: bool,
}

impl Compiler<'_> {
    fn node(&mut self, query: &KeywordQuery, boost: f32) -> Option<Node> {
        match query {
            KeywordQuery::All => Some(self.constant(None, boost)),
            KeywordQuery::Matching(condition) => Some(self.constant(Some((**condition).clone()), boost)),
            KeywordQuery::Words(words) => self.words(words, boost),
            KeywordQuery::Phrase(phrase) => self.phrase(phrase, boost),
            KeywordQuery::Prefix(prefix) => self.prefix(prefix, boost),
            KeywordQuery::Bool(parts) => self.together(parts, boost),
            KeywordQuery::Boost(inner, factor) => self.node(inner, boost * factor),
            KeywordQuery::OrNone(inner) => self.node(inner, boost).or_else(|| {
                let never = Expression::Literal(Datum::Bool(false));
                Some(self.constant(Some(never), boost))
            }),
        }
    }

    fn constant(&mut self, condition: Option<Expression>, boost: f32) -> Node {
        Node::Leaf(self.leaf(LeafKind::Constant(condition), 0, boost))
    }

    fn together(&mut self, parts: &BoolQuery, boost: f32) -> Option<Node> {
        let mut must: Vec<Node> = parts
            .must
            .iter()
            .filter_map(|part| self.node(part, boost))
            .collect();
        must.sort_by_key(|node| self.cost(node));
        let should: Vec<Node> = parts
            .should
            .iter()
            .filter_map(|part| self.node(part, boost))
            .collect();
        let was_excluding = std::mem::replace(&mut self.is_excluding, true);
        let must_not: Vec<Node> = parts
            .must_not
            .iter()
            .filter_map(|part| self.node(part, 0.0))
            .collect();
        self.is_excluding = was_excluding;
        if must.is_empty() && should.is_empty() && must_not.is_empty() {
            return None;
        }
        let usual = usize::from(must.is_empty() && !should.is_empty());
        let minimum = match parts.minimum_should_match {
            None => usual,
            Some(more) if more > parts.should.len() => more,
            Some(some) => some.min(should.len()),
        };
        Some(Node::Bool(BoolNode {
            must,
            should,
            must_not,
            minimum,
        }))
    }

    fn cost(&self, node: &Node) -> u8 {
        match node {
            Node::Leaf(leaf) => match self.compiled.leaves.get(*leaf).map(|leaf| &leaf.kind) {
                Some(LeafKind::Phrase { .. }) => 3,
                _ => 0,
            },
            Node::Words(_) => 1,
            Node::Bool(_) => 2,
        }
    }

    fn phrase(&mut self, query: &PhraseQuery, boost: f32) -> Option<Node> {
        let (fields, field_set) = self.fields(&query.fields);
        let mut texts = Vec::new();
        for (text, boost) in fields {
            let mut terms = Vec::new();
            if let Some(column) = self.schema.texts().get(text) {
                column.analysis.query_words(&query.text, &mut |word| {
                    for (place, term) in (word.place..).zip(&word.terms) {
                        if terms.len() < KeywordQuery::WORDS_MAX {
                            terms.push((place, self.term(text, term)));
                        }
                    }
                });
            }
            if !terms.is_empty() {
                texts.push(PhraseText { text, boost, terms });
            }
        }
        let leaf = self.phrase_leaf(texts, query.slop, field_set, boost)?;
        Some(Node::Leaf(leaf))
    }

    /// Terms that follow each other in one text.
    pub(super) fn terms_in_order(
        &mut self,
        text: usize,
        factor: f32,
        terms: &[String],
        field_set: usize,
        boost: f32,
    ) -> Option<LeafId> {
        let terms = terms
            .iter()
            .map(|term| self.term(text, term))
            .enumerate()
            .collect();
        let texts = vec![PhraseText {
            text,
            boost: factor,
            terms,
        }];
        self.phrase_leaf(texts, 0, field_set, boost)
    }

    /// A phrase; where it is of one word, that word.
    fn phrase_leaf(
        &mut self,
        texts: Vec<PhraseText>,
        slop: u32,
        field_set: usize,
        boost: f32,
    ) -> Option<LeafId> {
        if texts.is_empty() {
            return None;
        }
        let single = texts.iter().map(|text| match text.terms[..] {
            [(_, term)] => Some(Occurrence {
                term,
                factor: text.boost,
            }),
            _ => None,
        });
        if let Some(word) = single.collect::<Option<Vec<_>>>() {
            return Some(self.leaf(LeafKind::Word(word), field_set, boost));
        }
        self.phrases += 1;
        (self.phrases <= KeywordQuery::PHRASES_MAX)
            .then(|| self.leaf(LeafKind::Phrase { texts, slop }, field_set, boost))
    }

    fn prefix(&mut self, query: &PrefixQuery, boost: f32) -> Option<Node> {
        let (fields, field_set) = self.fields(&query.fields);
        let mut texts = Vec::new();
        for (text, boost) in fields {
            let Some(column) = self.schema.texts().get(text) else {
                continue;
            };
            let Some(start) = column.analysis.start(&query.text) else {
                continue;
            };
            let mut whole = None;
            column
                .analysis
                .query_words(&query.text, &mut |word| whole = word.terms.into_iter().next());
            texts.push(PrefixText {
                text,
                boost,
                start,
                whole,
            });
        }
        self.prefixes += 1;
        let is_there = !texts.is_empty() && self.prefixes <= KeywordQuery::PREFIXES_MAX;
        is_there.then(|| Node::Leaf(self.leaf(LeafKind::Prefix(texts), field_set, boost)))
    }

    pub(super) fn occurrences(&mut self, text: usize, terms: &[String], factor: f32) -> Vec<Occurrence> {
        let terms = terms.iter().map(|term| Occurrence {
            term: self.term(text, term),
            factor,
        });
        terms.collect()
    }

    pub(super) fn term(&mut self, text: usize, term: &str) -> TermId {
        let terms = &mut self.compiled.terms;
        *self.term_ids.entry((text, term.to_owned())).or_insert_with(|| {
            terms.push((text, term.to_owned()));
            terms.len() - 1
        })
    }

    pub(super) fn leaf(&mut self, kind: LeafKind, field_set: usize, boost: f32) -> LeafId {
        self.compiled.leaves.push(Leaf {
            kind,
            field_set,
            boost,
        });
        self.compiled.leaves.len() - 1
    }

    /// The texts asked, each once, in the order of the index, and their set.
    pub(super) fn fields(&mut self, asked: &TextFields) -> (Vec<(usize, f32)>, usize) {
        let sets = &mut self.compiled.field_sets;
        let Some(asked) = asked else {
            return (sets[0].clone(), 0);
        };
        let fields: BTreeMap<usize, f32> = asked
            .iter()
            .copied()
            .filter(|(text, _)| *text < self.schema.texts().len())
            .collect();
        let fields: Vec<(usize, f32)> = fields.into_iter().collect();
        let set = sets.iter().position(|known| *known == fields).unwrap_or_else(|| {
            sets.push(fields.clone());
            sets.len() - 1
        });
        (fields, set)
    }
}
