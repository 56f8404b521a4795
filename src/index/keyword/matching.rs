//! The words of a query -> all documents that match them, without ranking: for totals, facets and sorting.

use roaring::RoaringBitmap;
use tantivy::schema::IndexRecordOption;

use super::docs::Docs;
use super::search::words;
use super::slot_bits::SlotBits;
use super::state::Part;
use super::{KeywordError, KeywordState};

/// The slots, by shard, of the living documents that match `query` and lie in `filters`: those that a search
/// without a limit finds.
///
/// # Errors
///
/// When a segment cannot be read; no query is wrong.
pub fn matching(
    states: &[&KeywordState],
    query: &str,
    filters: Option<&[RoaringBitmap]>,
) -> Result<Vec<RoaringBitmap>, KeywordError> {
    let Some(schema) = states.first().map(|state| &state.schema) else {
        return Ok(Vec::new());
    };
    let words = words(schema, query);
    let terms: Vec<&(usize, String)> = words.iter().flat_map(|word| &word.terms).collect();
    let shards = states.iter().enumerate().map(|(shard, state)| {
        let mut bits = SlotBits::default();
        for part in &state.parts {
            let mut found = Docs::none(part.segment.size());
            for (text, term) in &terms {
                each_document(part, *text, term, |doc| found.insert(doc))?;
            }
            let living = found.and(&part.alive);
            living
                .iter()
                .for_each(|doc| bits.insert(part.segment.slot(doc).0));
        }
        let slots = bits.into_bitmap();
        Ok(match filters {
            None => slots,
            Some(filters) => filters
                .get(shard)
                .map_or_else(RoaringBitmap::new, |filter| slots & filter),
        })
    });
    shards.collect()
}

/// Calls `each` with the segment's documents, dead ones too, that have a term in a text.
pub(super) fn each_document(
    part: &Part,
    text: usize,
    term: &str,
    mut each: impl FnMut(u32),
) -> Result<(), KeywordError> {
    let Some(reader) = part.segment.texts.get(text) else {
        return Ok(());
    };
    let Some(info) = reader.terms().get(term)? else {
        return Ok(());
    };
    let mut block = reader.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
    while !block.docs().is_empty() {
        block.docs().iter().for_each(|doc| each(*doc));
        block.advance();
    }
    Ok(())
}
