//! How a text becomes the words that it is found by.

use std::fmt;

/// How a text becomes words. Whatever the way, words are in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Analyzer {
    pub split: Split,
    /// Letters lose their accents: `café` and `cafe` are one word.
    pub ascii_folding: bool,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// A run of letters and digits.
    Simple,
    /// The same, by its stem, and none of the language's stop words.
    Language(Language),
    /// Two neighbouring characters of Chinese, Japanese or Korean; elsewhere as `Simple`.
    Cjk,
    /// Every part of a word of these sizes: words are found by any part of them.
    Ngram(Sizes),
    /// The starts of a word of these sizes, for completion. The words of a query are not cut.
    EdgeNgram(Sizes),
    /// The text as it is.
    Keyword,
}

/// Lengths in characters: `1 <= min <= max <= 20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub min: usize,
    pub max: usize,
}

impl Sizes {
    pub const MAX: usize = 20;
}

/// A language whose endings are known. All but Arabic, Greek, Romanian, Tamil and Turkish have stop words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

impl Language {
    /// With the names in a dataflow file.
    pub const ALL: [(&str, Language); 18] = [
        ("arabic", Language::Arabic),
        ("danish", Language::Danish),
        ("dutch", Language::Dutch),
        ("english", Language::English),
        ("finnish", Language::Finnish),
        ("french", Language::French),
        ("german", Language::German),
        ("greek", Language::Greek),
        ("hungarian", Language::Hungarian),
        ("italian", Language::Italian),
        ("norwegian", Language::Norwegian),
        ("portuguese", Language::Portuguese),
        ("romanian", Language::Romanian),
        ("russian", Language::Russian),
        ("spanish", Language::Spanish),
        ("swedish", Language::Swedish),
        ("tamil", Language::Tamil),
        ("turkish", Language::Turkish),
    ];
}

impl Analyzer {
    /// The default: stems and stop words of English.
    pub const ENGLISH: Analyzer = Analyzer::of(Split::Language(Language::English));
    pub const SIMPLE: Analyzer = Analyzer::of(Split::Simple);

    /// Without folding.
    pub const fn of(split: Split) -> Analyzer {
        Analyzer {
            split,
            ascii_folding: false,
        }
    }
}

/// As a reason and a picture say it: stored indexes are compared by this.
impl fmt::Display for Analyzer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.split {
            Split::Simple => write!(f, "simple")?,
            Split::Language(language) => {
                let named = Language::ALL.iter().find(|(_, other)| *other == language);
                write!(f, "{}", named.map_or("", |(name, _)| name))?;
            }
            Split::Cjk => write!(f, "cjk")?,
            Split::Ngram(Sizes { min, max }) => write!(f, "ngram {min} to {max}")?,
            Split::EdgeNgram(Sizes { min, max }) => write!(f, "edge_ngram {min} to {max}")?,
            Split::Keyword => write!(f, "keyword")?,
        }
        match self.ascii_folding {
            true => write!(f, " with ASCII folding"),
            false => Ok(()),
        }
    }
}

/// What all texts of an index know of words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Words that are not indexed, in the place of those of the languages.
    pub stop_words: Option<Vec<String>>,
    pub synonyms: Vec<Synonyms>,
}

/// Words that a query also means. They are looked up when a query comes: changing them rebuilds nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Synonyms {
    /// Each means all others.
    Equal(Vec<String>),
    /// The first means the second as well, and not the other way round.
    OneWay(String, String),
}
