//! A question, first as it is written and then with what may have been meant: exact matches come first.

use super::compile::Compiled;
use super::query::KeywordQuery;
use super::statistics::{Corpus, Prepared};
use super::typos::{Tolerance, Variant, variants};
use super::{KeywordError, KeywordSchema};

/// The question as it is written. A word that no document has takes part by its variants, but only in the scores of
/// documents that are found anyway.
pub(super) fn exact(
    schema: &KeywordSchema,
    corpus: &Corpus,
    query: &KeywordQuery,
) -> Result<Prepared, KeywordError> {
    let compiled = Compiled::new(schema, query, &Tolerance::Exact);
    let prepared = Prepared::new(corpus, compiled)?;
    let compiled = &prepared.compiled;
    let is_unknown = |word: &_| prepared.is_unknown(word);
    if !compiled.tolerant.iter().any(is_unknown) {
        return Ok(prepared);
    }
    let variants = variants(schema, corpus, compiled, is_unknown)?;
    if are_none(&variants) {
        return Ok(prepared);
    }
    let compiled = Compiled::new(schema, query, &Tolerance::Scores(variants));
    Prepared::new(corpus, compiled)
}

/// The question with all variants. `None`: there are none, and it is as it is written.
pub(super) fn tolerant(
    schema: &KeywordSchema,
    corpus: &Corpus,
    query: &KeywordQuery,
    exact: &Prepared,
) -> Result<Option<Prepared>, KeywordError> {
    let variants = variants(schema, corpus, &exact.compiled, |_| true)?;
    if are_none(&variants) {
        return Ok(None);
    }
    let compiled = Compiled::new(schema, query, &Tolerance::Finds(variants));
    Prepared::new(corpus, compiled).map(Some)
}

fn are_none(variants: &[Vec<Variant>]) -> bool {
    variants.iter().all(Vec::is_empty)
}
