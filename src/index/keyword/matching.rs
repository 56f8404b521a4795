//! All documents that answer a question, whatever they score.

use roaring::RoaringBitmap;

use super::docs::Docs;
use super::evaluate::Evaluation;
use super::query::KeywordQuery;
use super::scope::Scope;
use super::slot_bits::SlotBits;
use super::statistics::{Corpus, Found, Prepared};
use super::{KeywordError, question};

/// By shard, the slots of all documents that a search without a limit would find.
///
/// # Errors
///
/// When a segment cannot be read; no query is wrong.
pub fn matching(scope: &Scope<'_, '_>, query: &KeywordQuery) -> Result<Vec<RoaringBitmap>, KeywordError> {
    let Some(schema) = scope.schema() else {
        return Ok(Vec::new());
    };
    let corpus = Corpus::new(scope)?;
    let exact = question::exact(schema, &corpus, query)?;
    let prepared = question::tolerant(schema, &corpus, query, &exact)?.unwrap_or(exact);
    answers(scope, &corpus, &prepared)
}

/// By shard, the slots of all documents that answer a prepared question.
pub(super) fn answers(
    scope: &Scope<'_, '_>,
    corpus: &Corpus<'_>,
    prepared: &Prepared,
) -> Result<Vec<RoaringBitmap>, KeywordError> {
    let mut slots = vec![SlotBits::default(); scope.states.len()];
    if let Some(root) = &prepared.compiled.root {
        for (part, found) in corpus.parts.iter().enumerate() {
            if scope.deadline.is_over() {
                break;
            }
            let within = within(scope, found);
            let answers = Evaluation::new(prepared, found, part, scope).answers(root, &within)?;
            // What was not looked at may have what is excluded.
            if scope.deadline.is_over() {
                break;
            }
            if let Some(slots) = slots.get_mut(found.shard) {
                answers
                    .iter()
                    .for_each(|doc| slots.insert(found.part.segment.slot(doc).0));
            }
        }
    }
    Ok(slots.into_iter().map(SlotBits::into_bitmap).collect())
}

/// The documents of a segment that may be found.
pub(super) fn within(scope: &Scope<'_, '_>, found: &Found) -> Docs {
    let living = found.living();
    let Some(filters) = scope.filters else {
        return living.clone();
    };
    let mut within = Docs::none(living.size());
    if let Some(filter) = filters.get(found.shard) {
        let segment = &found.part.segment;
        let admitted = living.iter().filter(|doc| filter.contains(segment.slot(*doc).0));
        admitted.for_each(|doc| within.insert(doc));
    }
    within
}
