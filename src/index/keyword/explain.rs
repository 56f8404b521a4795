//! How a hit's score came about.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::compile::{LeafId, LeafKind, Occurrence};
use super::docs::Docs;
use super::evaluate::Evaluation;
use super::postings::{self, Occurrences};
use super::query::KeywordQuery;
use super::scope::Scope;
use super::search::KeywordHit;
use super::statistics::{Corpus, Found, Prepared};
use super::{KeywordError, KeywordSchema, question};

/// How a hit's keyword score came about: the sum of what each part adds, times `scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeywordExplained {
    pub score: f32,
    /// Less than 1 where the document was found only by words with typing errors: it comes behind all others.
    pub scale: f32,
    pub parts: Vec<ExplainedPart>,
}

/// What one word, phrase or start of a word adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedPart {
    pub kind: PartKind,
    /// What was looked for, in the terms of the index.
    pub terms: Vec<String>,
    /// Words by the fields of the document that have them.
    pub fields: Vec<ExplainedTerm>,
    /// Occurrences in the document, each by what it counts.
    pub count: f32,
    /// Living documents that have it, in the field where most do. The weight of a phrase is that of its words together:
    /// how many documents have it is not known.
    pub documents_with: Option<u64>,
    /// Living documents.
    pub documents: u64,
    /// What it adds at most.
    pub weight: f32,
    /// The document's number of words, times the fields' boosts.
    pub length: f32,
    pub average_length: f32,
    pub contribution: f32,
}

/// What a part looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    Word,
    Phrase,
    Prefix,
    /// The same for all documents that match.
    Constant,
}

/// A term in a field of the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedTerm {
    pub field: String,
    pub term: String,
    pub frequency: u32,
    /// What each occurrence counts: the field's boost, and less for a term with a typing error.
    pub counts: f32,
}

/// How the score of a hit of [`super::search`] with the same scope and question came about. `None`: the document in
/// its slot does not match.
///
/// # Errors
///
/// When a segment cannot be read.
pub fn explain(
    scope: &Scope<'_, '_>,
    query: &KeywordQuery,
    hit: &KeywordHit,
) -> Result<Option<KeywordExplained>, KeywordError> {
    let Some(schema) = scope.schema() else {
        return Ok(None);
    };
    let corpus = Corpus::new(scope)?;
    let Some((part, doc)) = place(&corpus, hit) else {
        return Ok(None);
    };
    let exact = question::exact(schema, &corpus, query)?;
    let explaining = |prepared| Explaining {
        schema,
        corpus: &corpus,
        prepared,
        part,
        doc,
    };
    if let Some(parts) = explaining(&exact).parts(scope)? {
        return Ok(Some(summed(parts, hit)));
    }
    let Some(tolerant) = question::tolerant(schema, &corpus, query, &exact)? else {
        return Ok(None);
    };
    let parts = explaining(&tolerant).parts(scope)?;
    Ok(parts.map(|parts| summed(parts, hit)))
}

/// The segment and the document there.
fn place(corpus: &Corpus, hit: &KeywordHit) -> Option<(usize, u32)> {
    let parts = corpus.parts.iter().enumerate();
    let of_shard = parts.filter(|(_, found)| found.shard == hit.shard);
    of_shard.into_iter().find_map(|(part, found)| {
        let doc = found
            .living()
            .iter()
            .find(|doc| found.part.segment.slot(*doc) == hit.slot)?;
        Some((part, doc))
    })
}

fn summed(parts: Vec<(i64, ExplainedPart)>, hit: &KeywordHit) -> KeywordExplained {
    let sum = postings::score(parts.iter().fold(0, |sum, (units, _)| units.saturating_add(sum)));
    KeywordExplained {
        score: hit.score,
        scale: if sum > 0.0 { hit.score / sum } else { 1.0 },
        parts: parts.into_iter().map(|(_, part)| part).collect(),
    }
}

struct Explaining<'s> {
    schema: &'s KeywordSchema,
    corpus: &'s Corpus<'s>,
    prepared: &'s Prepared,
    part: usize,
    doc: u32,
}

impl Explaining<'_> {
    /// What adds to the document's score, in units too. `None`: it does not match.
    fn parts(&self, scope: &Scope<'_, '_>) -> Result<Option<Vec<(i64, ExplainedPart)>>, KeywordError> {
        let Explaining {
            prepared, part, doc, ..
        } = *self;
        let (Some(root), Some(found)) = (&prepared.compiled.root, self.corpus.parts.get(part)) else {
            return Ok(None);
        };
        let mut alone = Docs::none(found.part.segment.size());
        alone.insert(doc);
        let answers = Evaluation::new(prepared, found, part, scope).answers(root, &alone)?;
        if !answers.contains(doc) {
            return Ok(None);
        }
        let evaluated = Evaluation::new(prepared, found, part, scope).run(root, || alone)?;
        let mut parts = Vec::new();
        for (leaf, mut postings) in evaluated.postings(prepared, part, found, 1.0)? {
            let units = postings.contribution_to(doc);
            if units != 0 {
                parts.push((units, self.explained(found, leaf, postings.count(doc), units)?));
            }
        }
        Ok(Some(parts))
    }

    fn explained(
        &self,
        found: &Found,
        number: LeafId,
        count: f32,
        units: i64,
    ) -> Result<ExplainedPart, KeywordError> {
        let compiled = &self.prepared.compiled;
        let leaf = &compiled.leaves[number];
        let lengths = self.prepared.lengths(self.part, found, leaf.field_set);
        let term = |term: &usize| compiled.terms[*term].1.clone();
        let (kind, terms, fields) = match &leaf.kind {
            LeafKind::Word(words) => {
                let mut terms: Vec<String> = words.iter().map(|one| term(&one.term)).collect();
                terms.sort_unstable();
                terms.dedup();
                (PartKind::Word, terms, self.words(found, words)?)
            }
            LeafKind::Phrase { texts, .. } => {
                let first = texts
                    .first()
                    .map(|text| text.terms.iter().map(|(_, one)| term(one)).collect());
                (PartKind::Phrase, first.unwrap_or_default(), Vec::new())
            }
            LeafKind::Prefix(texts) => {
                let first = texts.first().map(|text| text.start.clone());
                (PartKind::Prefix, first.into_iter().collect(), Vec::new())
            }
            LeafKind::Constant(_) => (PartKind::Constant, Vec::new(), Vec::new()),
        };
        Ok(ExplainedPart {
            documents_with: match kind {
                PartKind::Word | PartKind::Prefix => Some(self.prepared.frequency(number, leaf)),
                PartKind::Phrase | PartKind::Constant => None,
            },
            kind,
            terms,
            fields,
            count,
            documents: self.corpus.documents,
            weight: self.prepared.weights[number],
            length: lengths.get(self.doc as usize).copied().unwrap_or(0.0),
            average_length: self.prepared.average_lengths[leaf.field_set],
            contribution: postings::score(units),
        })
    }

    fn words(&self, found: &Found, terms: &[Occurrence]) -> Result<Vec<ExplainedTerm>, KeywordError> {
        let mut explained = Vec::new();
        for one in terms {
            let (text, term) = &self.prepared.compiled.terms[one.term];
            if let Some(info) = &self.prepared.parts[self.part].terms[one.term] {
                let frequency =
                    Occurrences::open(&found.part.segment.texts[*text], info)?.frequency(self.doc);
                if frequency > 0 {
                    explained.push(ExplainedTerm {
                        field: self.schema.texts()[*text].name.clone(),
                        term: term.clone(),
                        frequency,
                        counts: one.factor,
                    });
                }
            }
        }
        Ok(explained)
    }
}
