//! Texts -> words, as each text column's analyser makes them, for documents and for queries.

use std::ops::Range;

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language as TantivyLanguage, LowerCaser, RawTokenizer, RemoveLongFilter,
    SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer, Tokenizer,
};

use super::grams::{Cut, Grams, Pairs, query_parts};
use crate::definition::{Analyzer, Language, Sizes, Split};

/// Longer tokens are no words, and dictionaries need not hold them.
const TOKEN_BYTES_MAX: usize = 100;

/// How one text column is analysed.
pub(super) struct Analysis {
    analyzer: Analyzer,
    documents: TextAnalyzer,
    queries: TextAnalyzer,
    /// Without stems and stop words: for words of which only the start is known.
    starts: TextAnalyzer,
}

/// A word of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueryWord {
    /// Where it is in the query, in bytes.
    pub from: usize,
    pub to: usize,
    /// Its place among the words, dropped ones too.
    pub place: usize,
    /// What a text with the word has one behind the other: one term, but for `ngram`.
    pub terms: Vec<String>,
}

impl Analysis {
    pub fn new(analyzer: Analyzer, stop_words: Option<&[String]>) -> Analysis {
        let words = |stemmed| words(analyzer, stop_words, stemmed);
        let cut = |cut| {
            TextAnalyzer::builder(Grams {
                words: words(true),
                cut,
            })
            .build()
        };
        Analysis {
            analyzer,
            documents: match analyzer.split {
                Split::Ngram(sizes) => cut(Cut::Everywhere(sizes)),
                Split::EdgeNgram(sizes) => cut(Cut::Starts(sizes)),
                _ => words(true),
            },
            queries: words(true),
            starts: words(false),
        }
    }

    /// For tantivy.
    pub fn of_documents(&self) -> TextAnalyzer {
        self.documents.clone()
    }

    /// Calls `each` with every token of a document's text, and its place there.
    pub fn tokens(&self, text: &str, each: &mut dyn FnMut(usize, &str)) {
        let mut analyzer = self.documents.clone();
        analyzer
            .token_stream(text)
            .process(&mut |token| each(token.position, &token.text));
    }

    /// Calls `each` with every token of a document's text, the bytes that it was made of, and its place.
    pub fn spans(&self, text: &str, each: &mut dyn FnMut(Range<usize>, usize, &str)) {
        let mut analyzer = self.documents.clone();
        analyzer
            .token_stream(text)
            .process(&mut |token| each(token.offset_from..token.offset_to, token.position, &token.text));
    }

    /// Calls `each` with every word of a text, neither cut nor stemmed, and the bytes that it was made of.
    pub fn whole_words(&self, text: &str, each: &mut dyn FnMut(Range<usize>, &str)) {
        let mut analyzer = self.starts.clone();
        analyzer
            .token_stream(text)
            .process(&mut |token| each(token.offset_from..token.offset_to, &token.text));
    }

    /// Calls `each` with every word of a query.
    pub fn query_words(&self, text: &str, each: &mut dyn FnMut(QueryWord)) {
        let mut analyzer = self.queries.clone();
        analyzer.token_stream(text).process(&mut |token| {
            if token.text.is_empty() {
                return;
            }
            let terms = match self.analyzer.split {
                Split::Ngram(sizes) => query_parts(&token.text, sizes),
                // No start is longer than the greatest size: what is behind it cannot tell documents apart.
                Split::EdgeNgram(Sizes { max, .. }) => vec![token.text.chars().take(max).collect()],
                _ => vec![token.text.clone()],
            };
            if !terms.is_empty() {
                each(QueryWord {
                    from: token.offset_from,
                    to: token.offset_to,
                    place: token.position,
                    terms,
                });
            }
        });
    }

    /// The start of a word, as terms have it. `None` if it is not that of one word.
    pub fn start(&self, text: &str) -> Option<String> {
        let mut found = Vec::new();
        let mut analyzer = self.starts.clone();
        analyzer
            .token_stream(text)
            .process(&mut |token| found.push(token.text.clone()));
        found.pop().filter(|_| found.is_empty())
    }

    /// The sizes of the parts of words that are terms; `None`: words are.
    pub fn parts(&self) -> Option<Sizes> {
        match self.analyzer.split {
            Split::Ngram(sizes) | Split::EdgeNgram(sizes) => Some(sizes),
            Split::Simple | Split::Language(_) | Split::Cjk | Split::Keyword => None,
        }
    }

    /// Whether a query is one word, whatever is in it.
    pub fn is_whole(&self) -> bool {
        self.analyzer.split == Split::Keyword
    }

    /// Whether terms are words, of which typing errors make other words.
    pub fn has_words(&self) -> bool {
        matches!(
            self.analyzer.split,
            Split::Simple | Split::Language(_) | Split::Cjk
        )
    }
}

fn words(analyzer: Analyzer, stop_words: Option<&[String]>, stemmed: bool) -> TextAnalyzer {
    let language = match analyzer.split {
        Split::Language(language) if stemmed => Some(tantivy_language(language)),
        _ => None,
    };
    let has_stop_words = stemmed && matches!(analyzer.split, Split::Language(_) | Split::Simple | Split::Cjk);
    let filters = Filters {
        stop_words: match stop_words.filter(|_| has_stop_words) {
            Some(own) => Some(StopWordFilter::remove(own.iter().map(|word| word.to_lowercase()))),
            None => language.and_then(StopWordFilter::new),
        },
        ascii_folding: analyzer.ascii_folding,
        stemmer: language.map(Stemmer::new),
    };
    match analyzer.split {
        Split::Keyword => filters.after(RawTokenizer::default()),
        Split::Cjk => filters.after(Pairs),
        _ => filters.after(SimpleTokenizer::default()),
    }
}

/// What becomes of tokens.
struct Filters {
    stop_words: Option<StopWordFilter>,
    ascii_folding: bool,
    stemmer: Option<Stemmer>,
}

impl Filters {
    fn after(self, tokenizer: impl Tokenizer) -> TextAnalyzer {
        // The filter keeps what is shorter than its limit.
        let words = TextAnalyzer::builder(tokenizer)
            .filter(RemoveLongFilter::limit(TOKEN_BYTES_MAX + 1))
            .filter(LowerCaser);
        match self {
            // The usual ones are compiled as one: indexing spends much of its time here.
            Filters {
                stop_words: Some(stop_words),
                ascii_folding: false,
                stemmer: Some(stemmer),
            } => words.filter(stop_words).filter(stemmer).build(),
            Filters {
                stop_words: None,
                ascii_folding: false,
                stemmer: None,
            } => words.build(),
            Filters {
                stop_words,
                ascii_folding,
                stemmer,
            } => {
                let mut words = words.dynamic();
                if let Some(stop_words) = stop_words {
                    words = words.filter_dynamic(stop_words);
                }
                // Before the stem is taken: what differs in accents alone must not get two stems.
                if ascii_folding {
                    words = words.filter_dynamic(AsciiFoldingFilter);
                }
                if let Some(stemmer) = stemmer {
                    words = words.filter_dynamic(stemmer);
                }
                words.build()
            }
        }
    }
}

fn tantivy_language(language: Language) -> TantivyLanguage {
    match language {
        Language::Arabic => TantivyLanguage::Arabic,
        Language::Danish => TantivyLanguage::Danish,
        Language::Dutch => TantivyLanguage::Dutch,
        Language::English => TantivyLanguage::English,
        Language::Finnish => TantivyLanguage::Finnish,
        Language::French => TantivyLanguage::French,
        Language::German => TantivyLanguage::German,
        Language::Greek => TantivyLanguage::Greek,
        Language::Hungarian => TantivyLanguage::Hungarian,
        Language::Italian => TantivyLanguage::Italian,
        Language::Norwegian => TantivyLanguage::Norwegian,
        Language::Portuguese => TantivyLanguage::Portuguese,
        Language::Romanian => TantivyLanguage::Romanian,
        Language::Russian => TantivyLanguage::Russian,
        Language::Spanish => TantivyLanguage::Spanish,
        Language::Swedish => TantivyLanguage::Swedish,
        Language::Tamil => TantivyLanguage::Tamil,
        Language::Turkish => TantivyLanguage::Turkish,
    }
}
