//! Texts of similar length together: what a batch pads is computed for nothing.

use std::ops::Range;

/// Texts run at once. More are no faster, and take more memory.
const TEXTS_MAX: usize = 32;

/// Tokens run at once, padding included.
const TOKENS_MAX: usize = 4096;

/// The texts by length, longest first, and the batches of that order; `lengths` are in tokens.
pub fn batches(lengths: &[usize]) -> (Vec<usize>, Vec<Range<usize>>) {
    let length = |text: usize| lengths.get(text).copied().unwrap_or_default();
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(length(text)));
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut longest = 0;
    for (place, &text) in order.iter().enumerate() {
        let fits = |batch: &Range<usize>| {
            let texts = batch.len() + 1;
            // A token in eight may be padding; of short texts it costs little.
            let similar = length(text) + longest / 8 + 2 >= longest;
            similar && texts <= TEXTS_MAX && texts * longest <= TOKENS_MAX
        };
        match batches.last_mut().filter(|batch| fits(batch)) {
            Some(batch) => batch.end += 1,
            None => {
                batches.push(place..place + 1);
                longest = length(text);
            }
        }
    }
    (order, batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_in_one_batch_and_batches_are_bounded_and_alike() {
        let lengths: Vec<usize> = (0..500usize).map(|text| 3 + text * text * 7919 % 254).collect();
        let (order, batches) = batches(&lengths);
        let mut seen: Vec<usize> = batches
            .iter()
            .flat_map(|batch| order[batch.clone()].to_vec())
            .collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..500));
        for batch in &batches {
            let lengths: Vec<usize> = order[batch.clone()].iter().map(|&text| lengths[text]).collect();
            let (shortest, longest) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
            assert!(
                lengths.len() <= TEXTS_MAX && lengths.len() * longest <= TOKENS_MAX.max(*longest),
                "{lengths:?}"
            );
            assert!(longest - shortest <= longest / 8 + 2, "{lengths:?}");
        }
        assert!(batches.len() < 60, "{}", batches.len());
    }

    #[test]
    fn no_texts_are_no_batches() {
        assert_eq!(batches(&[]), (vec![], vec![]));
    }
}
