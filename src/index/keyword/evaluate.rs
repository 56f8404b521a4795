//! A prepared question at work on one segment: which documents answer it, and what adds to their scores.
//!
//! Which documents answer is a set, worked out first and piece by piece, each among the documents that are left. What
//! scores is a flat list: whatever has been looked for, each for the documents that answer the piece it stands in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compile::{BoolNode, LeafId, LeafKind, Node, WordsNode};
use super::docs::Docs;
use super::postings::{Lengths, List, Occurrences, Postings};
use super::scope::Scope;
use super::statistics::{Found, Prepared};
use super::{KeywordError, phrase};

/// The pieces that had to be looked at document by document, by leaf.
pub(super) type Lists = BTreeMap<LeafId, List>;

/// A question at work on one segment.
pub(super) struct Evaluation<'e, 'a> {
    pub prepared: &'e Prepared,
    pub found: &'e Found<'e>,
    /// Place of the segment among the prepared parts.
    pub part: usize,
    pub scope: &'e Scope<'e, 'a>,
    lists: Lists,
    scored: Vec<Scored>,
}

/// A leaf that scores, and for which documents; `None`: all that are found.
struct Scored {
    leaf: LeafId,
    guard: Option<Arc<Docs>>,
}

/// What a question comes to in a segment.
pub(super) struct Evaluated {
    /// `None`: every document that scores.
    pub answers: Option<Docs>,
    lists: Lists,
    scored: Vec<Scored>,
}

impl<'e, 'a> Evaluation<'e, 'a> {
    pub fn new(
        prepared: &'e Prepared,
        found: &'e Found<'e>,
        part: usize,
        scope: &'e Scope<'e, 'a>,
    ) -> Evaluation<'e, 'a> {
        Evaluation {
            prepared,
            found,
            part,
            scope,
            lists: Lists::new(),
            scored: Vec::new(),
        }
    }

    /// The answers among the documents `within`, which live. Where any word is an answer, the set is not made.
    pub fn run(mut self, root: &Node, within: impl FnOnce() -> Docs) -> Result<Evaluated, KeywordError> {
        let answers = match self.is_any_word(root) {
            true => {
                self.score_leaves(root);
                None
            }
            // What is no answer is not asked what it scores.
            false => Some(self.unguarded(root, &within())?),
        };
        Ok(Evaluated {
            answers,
            lists: self.lists,
            scored: self.scored,
        })
    }

    /// The same, and always as a set.
    pub fn answers(mut self, root: &Node, within: &Docs) -> Result<Docs, KeywordError> {
        self.node(root, within)
    }

    fn is_any_word(&self, node: &Node) -> bool {
        let is_word = |leaf: &LeafId| {
            let leaf = &self.prepared.compiled.leaves[*leaf];
            matches!(leaf.kind, LeafKind::Word(_)) && leaf.boost > 0.0
        };
        match node {
            Node::Leaf(leaf) => is_word(leaf),
            Node::Words(words) => {
                words.minimum == 0 && words.beside.is_empty() && words.leaves.iter().all(is_word)
            }
            Node::Bool(parts) => {
                parts.must.is_empty()
                    && parts.must_not.is_empty()
                    && parts.minimum == 1
                    && parts.should.iter().all(|node| self.is_any_word(node))
            }
        }
    }

    fn score_leaves(&mut self, node: &Node) {
        match node {
            Node::Leaf(leaf) => self.score(*leaf),
            Node::Words(words) => words.leaves.iter().for_each(|leaf| self.score(*leaf)),
            Node::Bool(parts) => parts.should.iter().for_each(|node| self.score_leaves(node)),
        }
    }

    fn score(&mut self, leaf: LeafId) {
        self.scored.push(Scored { leaf, guard: None });
    }

    /// The answers, and to the list of what scores what scores for them.
    fn node(&mut self, node: &Node, within: &Docs) -> Result<Docs, KeywordError> {
        let first = self.scored.len();
        let answers = self.unguarded(node, within)?;
        if let Node::Leaf(_) = node {
            return Ok(answers);
        }
        let guard = Arc::new(answers.clone());
        for scored in self.scored.iter_mut().skip(first) {
            scored.guard = Some(match scored.guard.take() {
                None => guard.clone(),
                Some(inner) => Arc::new(Docs::clone(&inner).and(&guard)),
            });
        }
        Ok(answers)
    }

    fn unguarded(&mut self, node: &Node, within: &Docs) -> Result<Docs, KeywordError> {
        match node {
            Node::Leaf(leaf) => {
                self.score(*leaf);
                self.leaf(*leaf, within)
            }
            Node::Words(words) => self.words(words, within),
            Node::Bool(parts) => self.together(parts, within),
        }
    }

    fn words(&mut self, words: &WordsNode, within: &Docs) -> Result<Docs, KeywordError> {
        words
            .leaves
            .iter()
            .chain(&words.beside)
            .for_each(|leaf| self.score(*leaf));
        let counting = words.places.iter().filter(|place| place.counts);
        match words.minimum {
            0 => self.place(&words.leaves, within),
            minimum if minimum == counting.clone().count() => {
                let mut answers = within.clone();
                for place in counting {
                    answers = self.place(&place.leaves, &answers)?;
                }
                Ok(answers)
            }
            minimum => {
                let mut counts = Counts::new(self.found);
                for place in counting {
                    counts.add(&self.place(&place.leaves, within)?);
                }
                Ok(counts.at_least(minimum))
            }
        }
    }

    fn place(&mut self, leaves: &[LeafId], within: &Docs) -> Result<Docs, KeywordError> {
        let mut answers = self.nothing();
        for leaf in leaves {
            answers = answers.or(&self.leaf(*leaf, within)?);
        }
        Ok(answers)
    }

    fn together(&mut self, parts: &BoolNode, within: &Docs) -> Result<Docs, KeywordError> {
        let mut answers = within.clone();
        for node in &parts.must {
            answers = self.node(node, &answers)?;
        }
        for node in &parts.must_not {
            let scored = self.scored.len();
            let excluded = self.node(node, &answers)?;
            self.scored.truncate(scored);
            answers = answers.without(&excluded);
        }
        let mut counts = Counts::new(self.found);
        for node in &parts.should {
            let optional = self.node(node, &answers)?;
            if parts.minimum > 0 {
                counts.add(&optional);
            }
        }
        Ok(match parts.minimum {
            0 => answers,
            minimum => counts.at_least(minimum).and(&answers),
        })
    }

    fn leaf(&mut self, number: LeafId, within: &Docs) -> Result<Docs, KeywordError> {
        let mut answers = self.nothing();
        let segment = &self.found.part.segment;
        match &self.prepared.compiled.leaves[number].kind {
            LeafKind::Word(terms) => {
                for one in terms {
                    let text = self.prepared.compiled.terms[one.term].0;
                    if let Some(info) = &self.prepared.parts[self.part].terms[one.term] {
                        Occurrences::open(&segment.texts[text], info)?.each(|doc, _| answers.insert(doc));
                    }
                }
                return Ok(answers.and(within));
            }
            LeafKind::Prefix(_) => {
                if let Some(list) = &self.prepared.parts[self.part].prefixes[number] {
                    list.docs.iter().for_each(|doc| answers.insert(*doc));
                }
                return Ok(answers.and(within));
            }
            LeafKind::Phrase { texts, slop } => {
                let list = phrase::find(self, texts, *slop, within)?;
                list.docs.iter().for_each(|doc| answers.insert(*doc));
                self.lists.insert(number, list);
            }
            LeafKind::Constant(condition) => {
                answers = match condition {
                    None => within.clone(),
                    Some(condition) => self.matching(condition, within)?,
                };
                let docs: Vec<u32> = answers.iter().collect();
                let counts = vec![1.0; docs.len()];
                self.lists.insert(number, List { docs, counts });
            }
        }
        Ok(answers)
    }

    fn matching(
        &self,
        condition: &crate::definition::Expression,
        within: &Docs,
    ) -> Result<Docs, KeywordError> {
        let shard = self.found.shard;
        let document = |slot| (self.scope.document)(shard, slot).cloned();
        match self.scope.schema() {
            Some(schema) => {
                super::filter::matching(schema, &self.found.part.segment, condition, within, &document)
            }
            None => Ok(self.nothing()),
        }
    }

    fn nothing(&self) -> Docs {
        Docs::none(self.found.part.segment.size())
    }
}

impl Evaluated {
    /// What scores, with the leaf that it is of. `shrink` is a factor of all scores.
    pub fn postings<'a>(
        &'a self,
        prepared: &'a Prepared,
        part: usize,
        found: &'a Found<'a>,
        shrink: f32,
    ) -> Result<Vec<(LeafId, Postings<'a>)>, KeywordError> {
        let mut all = Vec::with_capacity(self.scored.len());
        for Scored { leaf: number, guard } in &self.scored {
            let leaf = &prepared.compiled.leaves[*number];
            let weight = prepared.weights[*number] * shrink;
            let lengths = Lengths {
                of_documents: prepared.lengths(part, found, leaf.field_set),
                average: prepared.average_lengths[leaf.field_set],
            };
            let mut postings = Postings::new(weight, lengths);
            match &leaf.kind {
                LeafKind::Word(terms) => {
                    for one in terms {
                        let text = prepared.compiled.terms[one.term].0;
                        if let Some(info) = &prepared.parts[part].terms[one.term] {
                            postings.push(&found.part.segment.texts[text], info, one.factor)?;
                        }
                    }
                }
                LeafKind::Prefix(_) => {
                    let list = prepared.parts[part].prefixes[*number].as_ref();
                    list.into_iter().for_each(|list| postings.push_list(list));
                }
                LeafKind::Phrase { .. } => {
                    let list = self.lists.get(number);
                    list.into_iter().for_each(|list| postings.push_list(list));
                }
                LeafKind::Constant(_) => match self.lists.get(number) {
                    Some(list) => postings = Postings::constant(weight, list),
                    None => continue,
                },
            }
            if let Some(guard) = guard {
                postings.guard(guard);
            }
            if !postings.is_empty() {
                all.push((*number, postings));
            }
        }
        Ok(all)
    }
}

/// How many of some sets each document is in.
struct Counts(Vec<u16>);

impl Counts {
    fn new(found: &Found) -> Counts {
        Counts(vec![0; found.part.segment.size() as usize])
    }

    fn add(&mut self, docs: &Docs) {
        for doc in docs.iter() {
            if let Some(count) = self.0.get_mut(doc as usize) {
                *count = count.saturating_add(1);
            }
        }
    }

    fn at_least(&self, minimum: usize) -> Docs {
        let mut docs = Docs::none(self.0.len() as u32);
        for (doc, count) in (0..).zip(&self.0) {
            if usize::from(*count) >= minimum {
                docs.insert(doc);
            }
        }
        docs
    }
}
