//! Parts of words: of every size for `ngram`, from the start for `edge_ngram`, pairs of characters for `cjk`.

use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};

use crate::definition::Sizes;

/// How words are cut.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// A part's position is its start, and words lie apart: a word's parts follow each other, and no others.
    Everywhere(Sizes),
    /// All parts of a word have its position.
    Starts(Sizes),
}

/// Cuts the words that another analyser gives.
#[derive(Clone)]
pub(super) struct Grams {
    pub words: TextAnalyzer,
    pub cut: Cut,
}

impl Tokenizer for Grams {
    type TokenStream<'a> = Listed;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Listed {
        let mut tokens = Vec::new();
        let mut next = 0;
        let cut = self.cut;
        self.words.token_stream(text).process(&mut |word| match cut {
            Cut::Everywhere(sizes) => {
                let parts = parts(&word.text, sizes);
                tokens.extend(parts.map(|(start, part)| part_of(word, part, next + start)));
                next += word.text.chars().count() + 1;
            }
            Cut::Starts(sizes) => {
                let starts = parts(&word.text, sizes).take_while(|(start, _)| *start == 0);
                tokens.extend(starts.map(|(_, part)| part_of(word, part, word.position)));
            }
        });
        Listed::new(tokens)
    }
}

fn part_of(word: &Token, part: &str, position: usize) -> Token {
    Token {
        text: part.to_owned(),
        position,
        ..word.clone()
    }
}

/// The parts of a word by their start in characters, the shortest first.
fn parts(word: &str, sizes: Sizes) -> impl Iterator<Item = (usize, &str)> {
    let starts = word.char_indices().map(|(start, _)| start).enumerate();
    starts.flat_map(move |(number, start)| {
        let ends = word[start..]
            .char_indices()
            .map(move |(at, c)| start + at + c.len_utf8());
        ends.skip(sizes.min - 1)
            .take(sizes.max + 1 - sizes.min)
            .map(move |end| (number, &word[start..end]))
    })
}

/// The parts of a query's word, one behind the other, that are together what a text with the word has: of the greatest
/// size. None where the word is too short.
pub(super) fn query_parts(word: &str, sizes: Sizes) -> Vec<String> {
    let length = word.chars().count();
    let size = sizes.max.min(length);
    let sizes = Sizes {
        min: size.max(sizes.min),
        max: size,
    };
    if sizes.min > sizes.max {
        return Vec::new();
    }
    parts(word, sizes).map(|(_, part)| part.to_owned()).collect()
}

/// Splits a text as [`tantivy::tokenizer::SimpleTokenizer`] does, but runs of Chinese, Japanese and Korean into pairs of
/// neighbours.
#[derive(Clone, Default)]
pub(super) struct Pairs;

impl Tokenizer for Pairs {
    type TokenStream<'a> = Listed;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Listed {
        let mut tokens: Vec<Token> = Vec::new();
        let mut push = |from: usize, to: usize| {
            tokens.push(Token {
                offset_from: from,
                offset_to: to,
                position: tokens.len(),
                text: text[from..to].to_owned(),
                position_length: 1,
            });
        };
        let mut run: Vec<(usize, char)> = Vec::new();
        let mut kind = Kind::Space;
        // The end closes the last run.
        for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
            let next = Kind::of(c);
            if next != kind {
                match (kind, &run[..]) {
                    (Kind::Word, [(from, _), ..]) => push(*from, at),
                    (Kind::Cjk, [(from, _)]) => push(*from, at),
                    (Kind::Cjk, run) => run
                        .windows(2)
                        .for_each(|pair| push(pair[0].0, pair[1].0 + pair[1].1.len_utf8())),
                    _ => {}
                }
                run.clear();
                kind = next;
            }
            run.push((at, c));
        }
        Listed::new(tokens)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Word,
    Cjk,
}

impl Kind {
    fn of(c: char) -> Kind {
        match c {
            // Iteration marks, kana, bopomofo, jamo, ideographs, syllables, compatibility forms, half-width kana.
            '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30FA}'
            | '\u{30FC}'..='\u{31FF}'
            | '\u{1100}'..='\u{11FF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{4E00}'..='\u{9FFF}'
            | '\u{A960}'..='\u{A97F}'
            | '\u{AC00}'..='\u{D7FF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{FF66}'..='\u{FFDC}'
            | '\u{20000}'..='\u{3FFFF}' => Kind::Cjk,
            c if c.is_alphanumeric() => Kind::Word,
            _ => Kind::Space,
        }
    }
}

/// Tokens that are known already.
pub(super) struct Listed {
    tokens: Vec<Token>,
    /// The current one is before it.
    next: usize,
}

impl Listed {
    fn new(tokens: Vec<Token>) -> Listed {
        Listed { tokens, next: 0 }
    }

    fn current(&self) -> usize {
        self.next.saturating_sub(1)
    }
}

impl TokenStream for Listed {
    fn advance(&mut self) -> bool {
        let more = self.next < self.tokens.len();
        self.next += usize::from(more);
        more
    }

    fn token(&self) -> &Token {
        &self.tokens[self.current()]
    }

    fn token_mut(&mut self) -> &mut Token {
        let current = self.current();
        &mut self.tokens[current]
    }
}

#[cfg(test)]
mod tests {
    use tantivy::tokenizer::SimpleTokenizer;

    use super::*;

    fn tokens(tokenizer: impl Tokenizer, text: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        TextAnalyzer::builder(tokenizer)
            .build()
            .token_stream(text)
            .process(&mut |token| found.push((token.position, token.text.clone())));
        found
    }

    fn listed(expected: &[(usize, &str)]) -> Vec<(usize, String)> {
        expected
            .iter()
            .map(|(at, text)| (*at, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn runs_of_chinese_are_pairs_and_other_words_are_whole() {
        let expected = [(0, "usb"), (1, "充电"), (2, "电器"), (3, "10w"), (4, "白")];
        assert_eq!(tokens(Pairs, "usb充电器10w、白"), listed(&expected));
        assert_eq!(
            tokens(Pairs, "カメラ한국"),
            listed(&[(0, "カメ"), (1, "メラ"), (2, "ラ한"), (3, "한국")])
        );
        assert_eq!(tokens(Pairs, "、 。"), []);
    }

    #[test]
    fn words_are_cut_into_parts_of_each_size() {
        let words = || TextAnalyzer::builder(SimpleTokenizer::default()).build();
        let sizes = Sizes { min: 2, max: 3 };
        let everywhere = Grams {
            words: words(),
            cut: Cut::Everywhere(sizes),
        };
        let expected = [(0, "üb"), (0, "übe"), (1, "be"), (1, "ber"), (2, "er"), (5, "ab")];
        assert_eq!(tokens(everywhere, "über ab c"), listed(&expected));
        let starts = Grams {
            words: words(),
            cut: Cut::Starts(sizes),
        };
        assert_eq!(
            tokens(starts, "über c ab"),
            listed(&[(0, "üb"), (0, "übe"), (2, "ab")])
        );
    }

    #[test]
    fn the_word_of_a_query_is_cut_into_parts_that_follow_each_other() {
        let sizes = Sizes { min: 2, max: 3 };
        assert_eq!(query_parts("über", sizes), ["übe", "ber"]);
        assert_eq!(query_parts("üb", sizes), ["üb"]);
        assert_eq!(query_parts("ü", sizes), [""; 0]);
    }
}
