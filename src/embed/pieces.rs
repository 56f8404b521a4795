//! A long text -> pieces that are embedded by themselves.
//!
//! Pieces end where sentences end. Which of these ends a piece takes depends on the sentences there, not on where they stand
//! (content-defined chunking, as in LBFS, Muthitacharoen et al. 2001), so that behind a changed paragraph the pieces are soon
//! the same as before, and are not embedded again.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::change::Span;
use crate::definition::Chunk;

/// Models differ, but of English each makes about one token of four bytes.
const TOKEN_BYTES: usize = 4;

/// About how many tokens a model makes of a text.
pub fn tokens(text: &str) -> usize {
    text.len().div_ceil(TOKEN_BYTES)
}

/// The pieces of a text, in its order, each beginning and ending with something that can be seen.
///
/// Each but the first repeats about the last `overlap` tokens of the one before. A text without anything to be seen has none.
pub fn pieces(text: &str, chunk: Chunk) -> Vec<Span> {
    let (whole, repeated) = (chunk.tokens * TOKEN_BYTES, chunk.overlap * TOKEN_BYTES);
    if text.len() <= whole {
        return trimmed(text, 0..text.len()).into_iter().collect();
    }
    let own = whole.saturating_sub(repeated).max(TOKEN_BYTES);
    let units = units(text, own);
    let mut pieces: Vec<Span> = Vec::new();
    let mut rest = &units[..];
    while let [first, ..] = rest {
        let start = first.start;
        let count = match text.len() - start <= own {
            true => rest.len(),
            false => units_of_a_piece(text, rest, own),
        };
        let (units, behind) = rest.split_at(count);
        let end = units.last().map_or(start, |last| last.end);
        let piece = trimmed(text, with_overlap(text, start, repeated)..end);
        // White space alone adds nothing to what the piece before has.
        pieces.extend(piece.filter(|piece| pieces.last().is_none_or(|last| piece.end > last.end)));
        rest = behind;
    }
    pieces
}

/// How many of these sentences the next piece takes, of so many bytes at most: in the second half of what fits it ends with
/// the sentence of the smallest hash. Wherever two pieces begin, if they both reach that sentence they both end there.
fn units_of_a_piece(text: &str, units: &[Range<usize>], bytes_max: usize) -> usize {
    let start = units.first().map_or(0, |first| first.start);
    let fit = units
        .iter()
        .take_while(|unit| unit.end - start <= bytes_max)
        .count()
        .max(1);
    let second_half = (0..fit).filter(|n| units[*n].end - start >= bytes_max / 2);
    let end = second_half.min_by_key(|n| xxh3_64(text[units[*n].clone()].as_bytes()));
    end.map_or(fit, |end| end + 1)
}

/// Sentences with the white space behind them, and the parts of those longer than `bytes_max`. Together they are the text.
fn units(text: &str, bytes_max: usize) -> Vec<Range<usize>> {
    let mut units = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let mut end = sentence_end(text, start);
        if end - start > bytes_max {
            end = cut(text, start, bytes_max);
        }
        units.push(start..end);
        start = end;
    }
    units
}

/// Behind the first line break or full stop with white space, and what white space follows.
fn sentence_end(text: &str, start: usize) -> usize {
    let mut previous = ' ';
    let mut is_over = false;
    for (at, c) in text[start..].char_indices() {
        if is_over && !c.is_whitespace() {
            return start + at;
        }
        // Chinese and Japanese put no space behind a full stop.
        is_over |= c == '\n'
            || c.is_whitespace() && matches!(previous, '.' | '!' | '?')
            || matches!(c, '。' | '！' | '？');
        previous = c;
    }
    text.len()
}

/// The last word's end within so many bytes, or of a longer word as much as fits; more than `start`.
fn cut(text: &str, start: usize, bytes_max: usize) -> usize {
    let end = text.floor_char_boundary(start + bytes_max);
    let words = text[start..end].rfind(char::is_whitespace);
    match words {
        // The white space stays with the word before it.
        Some(at) => text.ceil_char_boundary(start + at + 1),
        None if end > start => end,
        None => text.ceil_char_boundary(start + bytes_max.max(1)),
    }
}

/// Where a piece begins that begins at `start` and repeats what stands before.
fn with_overlap(text: &str, start: usize, bytes: usize) -> usize {
    if start == 0 || bytes == 0 {
        return start;
    }
    let from = text.ceil_char_boundary(start.saturating_sub(bytes));
    // From the next word on: half a word says nothing.
    match text[from..start].find(char::is_whitespace) {
        Some(at) if from > 0 => from + at,
        _ => from,
    }
}

fn trimmed(text: &str, range: Range<usize>) -> Option<Span> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    let end = range.start + part.trim_end().len();
    (start < end).then_some(Span {
        start: u32::try_from(start).ok()?,
        end: u32::try_from(end).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const CHUNK: Chunk = Chunk {
        tokens: 50,
        overlap: 10,
    };

    fn texts(text: &str) -> Vec<&str> {
        let parts = pieces(text, CHUNK).into_iter();
        parts.map(|span| span.of(text).unwrap()).collect()
    }

    /// Sentences that differ.
    fn long(sentences: usize) -> String {
        let sentence = |n: usize| format!("Sentence {n} says that {} is what it is. ", n * n);
        (0..sentences).map(sentence).collect()
    }

    #[test]
    fn a_short_text_is_one_piece() {
        assert_eq!(texts("  two words "), ["two words"]);
        assert!(texts(" \n").is_empty());
    }

    #[test]
    fn a_changed_sentence_changes_the_pieces_around_it_alone() {
        let text = long(300);
        let before: HashSet<&str> = texts(&text).into_iter().collect();
        for changed in [5, 150, 290] {
            let old = format!("Sentence {changed} says");
            for new in [
                "Another says",
                "One. Two. A third sentence, which is longer, says",
            ] {
                let edited = text.replacen(&old, new, 1);
                assert_ne!(edited, text);
                let after = texts(&edited);
                let new = after.iter().filter(|piece| !before.contains(*piece)).count();
                assert!((1..=6).contains(&new), "{new} of {} pieces are new", after.len());
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_cover_the_text_and_are_not_too_long(text in "(\\PC{0,40}[.!?\n 。]{0,2}){0,60}", tokens in 8_usize..80, overlap in 0_usize..8) {
            let pieces = pieces(&text, Chunk { tokens, overlap });
            let mut covered = 0;
            for span in &pieces {
                let (start, end) = (span.start as usize, span.end as usize);
                let piece = span.of(&text).expect("it is a part of the text");
                prop_assert_eq!(piece.trim(), piece);
                prop_assert!(!piece.is_empty() && piece.len() <= tokens * TOKEN_BYTES + 4, "{} bytes", piece.len());
                prop_assert!(text[covered.min(start)..start].trim().is_empty(), "nothing is left out");
                prop_assert!(end > covered, "each has something of its own");
                covered = end;
            }
            prop_assert!(text[covered..].trim().is_empty());
        }
    }
}
