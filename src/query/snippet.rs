//! A text and the marks in it -> the parts that show most of the query. Pure.

use std::collections::HashMap;
use std::ops::Range;

use crate::index::keyword::Mark;

/// How a text is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub before: String,
    pub after: String,
    /// The length of a fragment, in characters, without what is put around marks.
    pub fragment: usize,
    /// How many fragments of a text are shown; 0: all of it, in one.
    pub fragments: usize,
    /// Whether the text is escaped for HTML.
    pub escape: bool,
}

/// The fragments of a text with the most of its marks, in the order of the text. None without a mark.
pub(super) fn snippets(text: &str, marks: &[Mark], style: &Style) -> Vec<String> {
    if marks.is_empty() {
        return Vec::new();
    }
    if style.fragments == 0 || text.chars().count() <= style.fragment {
        let ranges = marks.iter().map(|mark| &mark.range);
        return vec![written(text, 0..text.len(), ranges, style)];
    }
    let marks = counted(text, marks);
    let mut chosen: Vec<&[Counted]> = Vec::new();
    let mut rest: Vec<&[Counted]> = vec![&marks];
    while chosen.len() < style.fragments {
        // The densest of the stretches of marks that no fragment has yet.
        let found = rest
            .iter()
            .enumerate()
            .filter_map(|(place, marks)| Some((place, densest(marks, style.fragment)?)));
        // Of equals the first.
        let Some((place, found)) = found.rev().max_by_key(|(_, found)| found.worth) else {
            break;
        };
        let stretch = rest.remove(place);
        rest.insert(place, &stretch[found.marks.end..]);
        rest.insert(place, &stretch[..found.marks.start]);
        chosen.push(&stretch[found.marks]);
    }
    chosen.sort_unstable_by_key(|marks| marks[0].range.start);
    let mut shown = Vec::new();
    let mut low = 0;
    for (place, inside) in chosen.iter().enumerate() {
        // What is around them ends where the next fragment's marks begin.
        let high = chosen
            .get(place + 1)
            .map_or(text.len(), |next| next[0].range.start);
        let window = around(text, inside, style.fragment, low..high);
        low = window.end;
        let ranges = marks.iter().map(|mark| &mark.range);
        shown.push(written(text, window, ranges, style));
    }
    shown
}

/// A mark, and where it stands in characters.
struct Counted {
    range: Range<usize>,
    chars: Range<usize>,
    word: usize,
}

/// Counts the characters of the text once.
fn counted(text: &str, marks: &[Mark]) -> Vec<Counted> {
    let (mut bytes, mut count) = (0, 0);
    let mut chars_to = |to: usize| {
        count += text[bytes..to].chars().count();
        bytes = to;
        count
    };
    let counted = marks.iter().map(|mark| Counted {
        range: mark.range.clone(),
        chars: chars_to(mark.range.start)..chars_to(mark.range.end),
        word: mark.word,
    });
    counted.collect()
}

struct Dense {
    /// Different words, then marks.
    worth: (usize, usize),
    /// Places of the marks inside.
    marks: Range<usize>,
}

/// The neighbouring marks that show most and fit into a fragment; the first of equals.
fn densest(marks: &[Counted], fragment: usize) -> Option<Dense> {
    let mut best: Option<Dense> = None;
    let mut end = 0;
    let mut inside: HashMap<usize, usize> = HashMap::new();
    for (start, first) in marks.iter().enumerate() {
        while let Some(next) = marks.get(end)
            && (end == start || next.chars.end - first.chars.start <= fragment)
        {
            *inside.entry(next.word).or_default() += 1;
            end += 1;
        }
        let worth = (inside.len(), end - start);
        if best.as_ref().is_none_or(|best| worth > best.worth) {
            let marks = start..end;
            best = Some(Dense { worth, marks });
        }
        if let Some(count) = inside.get_mut(&first.word) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&first.word);
            }
        }
    }
    best
}

/// The fragment with these marks in its middle, cut between words where that is possible. It lies in `within`.
fn around(text: &str, marks: &[Counted], fragment: usize, within: Range<usize>) -> Range<usize> {
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else {
        return within.start..within.start;
    };
    let inside = first.range.start..last.range.end;
    let room = fragment.saturating_sub(last.chars.end - first.chars.start);
    let (before, after) = (&text[within.start..inside.start], &text[inside.end..within.end]);
    let (before_chars, after_chars) = (before.chars().count(), after.chars().count());
    // What one side does not need, the other gets.
    let left = (room / 2).max(room.saturating_sub(after_chars)).min(before_chars);
    let right = (room - left).min(after_chars);
    let start = match left {
        0 => inside.start,
        _ => within.start + before.char_indices().rev().nth(left - 1).map_or(0, |(at, _)| at),
    };
    let end = inside.end + after.char_indices().nth(right).map_or(after.len(), |(at, _)| at);
    word_start(text, start, inside.start)..word_end(text, inside.end, end)
}

/// The first beginning of a word from `from` on, or `from` where there is none before `until`.
fn word_start(text: &str, from: usize, until: usize) -> usize {
    let is_inside = text[..from]
        .chars()
        .next_back()
        .is_some_and(|c| !c.is_whitespace());
    let stretch = &text[from..until];
    let skipped = match is_inside {
        true => stretch.find(char::is_whitespace),
        false => Some(0),
    };
    let Some(skipped) = skipped else { return from };
    let rest = &stretch[skipped..];
    from + skipped + (rest.len() - rest.trim_start().len())
}

/// The last end of a word up to `until`, or `until` where there is none after `from`.
fn word_end(text: &str, from: usize, until: usize) -> usize {
    let is_inside = text[until..].chars().next().is_some_and(|c| !c.is_whitespace());
    let stretch = &text[from..until];
    let kept = match is_inside {
        true => stretch.rfind(char::is_whitespace),
        false => Some(stretch.len()),
    };
    let Some(kept) = kept else { return until };
    from + stretch[..kept].trim_end().len()
}

/// A part of the text, with the marks in it marked.
fn written<'m>(
    text: &str,
    part: Range<usize>,
    marks: impl Iterator<Item = &'m Range<usize>>,
    style: &Style,
) -> String {
    let mut out = String::new();
    let mut at = part.start;
    let inside = marks.filter(|mark| part.start <= mark.start && mark.end <= part.end);
    for mark in inside {
        push(&mut out, &text[at..mark.start], style);
        out.push_str(&style.before);
        push(&mut out, &text[mark.clone()], style);
        out.push_str(&style.after);
        at = mark.end;
    }
    push(&mut out, &text[at..part.end], style);
    out
}

fn push(out: &mut String, text: &str, style: &Style) {
    if !style.escape {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn style(fragment: usize, fragments: usize) -> Style {
        Style {
            before: "[".to_owned(),
            after: "]".to_owned(),
            fragment,
            fragments,
            escape: false,
        }
    }

    /// Every occurrence of each word.
    fn marks(text: &str, words: &[&str]) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for (word, pattern) in words.iter().enumerate() {
            let found = text.match_indices(pattern);
            marks.extend(found.map(|(at, found)| Mark {
                range: at..at + found.len(),
                word,
            }));
        }
        marks.sort_by_key(|mark| mark.range.start);
        marks
    }

    fn check(text: &str, words: &[&str], fragment: usize, fragments: usize, expected: Expect) {
        let shown = snippets(text, &marks(text, words), &style(fragment, fragments));
        expected.assert_eq(&shown.join("\n"));
    }

    const TEXT: &str = "A tea pot is not a kettle. Far below, where nothing matters at all, stands a red pot for tea, \
        and a red kettle; then long silence again, and at the very end a kettle.";

    #[test]
    fn the_densest_window_is_shown() {
        check(
            TEXT,
            &["red", "tea", "kettle"],
            40,
            1,
            expect!["a [red] pot for [tea], and a [red] [kettle];"],
        );
        check(
            TEXT,
            &["red", "tea", "kettle"],
            40,
            3,
            expect![[r#"
                A [tea] pot is not a [kettle]. Far below,
                a [red] pot for [tea], and a [red] [kettle];
                again, and at the very end a [kettle]."#]],
        );
        check(TEXT, &["absent"], 40, 1, expect![""]);
    }

    #[test]
    fn a_short_text_is_shown_whole_and_so_is_any_where_no_number_is_given() {
        check("a red pot", &["red"], 9, 1, expect!["a [red] pot"]);
        check("a red pot", &["red"], 4, 0, expect!["a [red] pot"]);
    }

    #[test]
    fn a_mark_longer_than_the_fragment_is_shown_whole() {
        check(
            "the quintessence of tea",
            &["quintessence"],
            5,
            1,
            expect!["[quintessence]"],
        );
    }

    #[test]
    fn escaping_is_for_the_text_and_not_for_the_marks() {
        let text = "<b>red</b> & \"tea\" isn't";
        let style = Style {
            before: "<em>".to_owned(),
            after: "</em>".to_owned(),
            escape: true,
            ..style(150, 1)
        };
        let shown = snippets(text, &marks(text, &["red"]), &style);
        assert_eq!(
            shown,
            ["&lt;b&gt;<em>red</em>&lt;/b&gt; &amp; &quot;tea&quot; isn&#39;t"]
        );
    }

    proptest! {
        #[test]
        fn fragments_are_parts_of_the_text_that_hold_whole_marks(
            text in "[ab éß\u{4e2d} .\n]{0,80}", fragment in 1usize..30, fragments in 0usize..4,
        ) {
            let marks = marks(&text, &["ab", "é", "a b"]);
            // Overlapping marks are joined before.
            prop_assume!(marks.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
            let shown = snippets(&text, &marks, &style(fragment, fragments));
            prop_assert_eq!(shown.is_empty(), marks.is_empty());
            let mut from = 0;
            for part in &shown {
                prop_assert!(part.contains('['), "{part:?} shows nothing");
                let plain = part.replace(['[', ']'], "");
                let at = text[from..].find(&plain);
                prop_assert!(at.is_some(), "{plain:?} is not in the rest of {text:?}");
                from += at.unwrap() + plain.len();
                let longest = marks.iter().map(|mark| mark.range.len()).max().unwrap_or(0);
                prop_assert!(fragments == 0 || plain.chars().count() <= fragment.max(longest));
            }
        }
    }
}
