//! Where hits have what the query looks for, shown in their texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::among;
use super::snippet::{Style, snippets};
use super::{QueryError, SearchRequest};
use crate::definition::Index;
use crate::index::keyword::Marker;
use crate::index::{Document, Snapshot};

/// How much of a text is looked through: every shown hit's text is analysed once more.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// How much of all texts of a page is looked through. What is behind is not highlighted.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// The longest fragment, in characters, and the most of one text.
const FRAGMENT_MAX: usize = 10_000;
const FRAGMENTS_MAX: usize = 100;

/// What is put around a mark is repeated for every mark.
const MARK_BYTES_MAX: usize = 100;

/// How the words of `query` are shown in the texts of hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HighlightRequest {
    /// Of the index's `text`; all where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    /// Put before each word.
    pub pre: String,
    /// Put behind each word.
    pub post: String,
    /// How long a fragment is, in characters: 1 to 10,000. A text that is no longer is shown whole.
    pub fragment: usize,
    /// How many fragments of a text are shown: 0 to 100. 0: the text is not cut.
    pub fragments: usize,
    pub encode: Encode,
}

impl Default for HighlightRequest {
    fn default() -> HighlightRequest {
        HighlightRequest {
            fields: None,
            pre: "<em>".to_owned(),
            post: "</em>".to_owned(),
            fragment: 150,
            fragments: 2,
            encode: Encode::default(),
        }
    }
}

/// What is done to the text between the marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encode {
    /// Nothing: whoever puts it into a page escapes it.
    #[default]
    None,
    /// `&`, `<`, `>` and quotes are escaped for HTML.
    Html,
}

/// Highlights that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Highlight {
    /// Places in the index's `text`, and their names.
    texts: Vec<(usize, String)>,
    style: Style,
}

impl Highlight {
    /// # Errors
    ///
    /// | code            | what is wrong                                       |
    /// |-----------------|-----------------------------------------------------|
    /// | `unknown_field` | `fields` names what is not in the index's `text`    |
    /// | `bad_highlight` | a length or a number out of range                   |
    pub fn plan(index: &Index, request: &SearchRequest) -> Result<Option<Highlight>, QueryError> {
        let Some(request) = &request.highlight else {
            return Ok(None);
        };
        let names = index.text.iter().map(|text| &text.name);
        let texts: Vec<(usize, String)> = match &request.fields {
            None => names.cloned().enumerate().collect(),
            Some(wanted) => {
                if let Some(unknown) = wanted
                    .iter()
                    .find(|wanted| !names.clone().any(|name| name == *wanted))
                {
                    return Err(QueryError::new(
                        "unknown_field",
                        format!("`highlight.fields` names `{unknown}`, which is not searched by words"),
                        among("the texts are", names),
                    ));
                }
                names
                    .cloned()
                    .enumerate()
                    .filter(|(_, name)| wanted.contains(name))
                    .collect()
            }
        };
        let bad = |message: String, hint: String| Err(QueryError::new("bad_highlight", message, hint));
        if !(1..=FRAGMENT_MAX).contains(&request.fragment) {
            return bad(
                format!("`highlight.fragment` is {}", request.fragment),
                format!("give 1 to {FRAGMENT_MAX} characters; with `fragments` 0 a text is not cut"),
            );
        }
        if request.fragments > FRAGMENTS_MAX {
            return bad(
                format!("`highlight.fragments` is {}", request.fragments),
                format!("give 1 to {FRAGMENTS_MAX}, or 0 for the text uncut"),
            );
        }
        if request.pre.len().max(request.post.len()) > MARK_BYTES_MAX {
            return bad(
                "`highlight.pre` or `highlight.post` is too long".to_owned(),
                format!("give at most {MARK_BYTES_MAX} bytes each"),
            );
        }
        Ok(Some(Highlight {
            texts,
            style: Style {
                before: request.pre.clone(),
                after: request.post.clone(),
                fragment: request.fragment,
                fragments: request.fragments,
                escape: request.encode == Encode::Html,
            },
        }))
    }
}

/// Highlights the hits of one page.
pub(super) struct Highlighter<'a> {
    snapshot: &'a Snapshot,
    highlight: &'a Highlight,
    marker: Marker,
    bytes_left: usize,
}

impl<'a> Highlighter<'a> {
    pub fn new(snapshot: &'a Snapshot, highlight: &'a Highlight, marker: Marker) -> Highlighter<'a> {
        Highlighter {
            snapshot,
            highlight,
            marker,
            bytes_left: PAGE_BYTES_MAX,
        }
    }

    /// The fragments of a document's texts that have what was looked for, by the text's name.
    pub fn of(&mut self, document: &Document) -> BTreeMap<String, Vec<String>> {
        let mut shown = BTreeMap::new();
        let Some((shard, slot, _)) = self.snapshot.find(&document.key.text()) else {
            return shown;
        };
        for (text, name) in &self.highlight.texts {
            if !self.marker.has_words_for(*text) {
                continue;
            }
            let Some(content) = self.marker.schema().text_of_row(*text, &document.row) else {
                continue;
            };
            let content = beginning(&content, TEXT_BYTES_MAX.min(self.bytes_left));
            self.bytes_left -= content.len();
            let marks = self.marker.marks((shard, slot), *text, content);
            let snippets = snippets(content, &marks, &self.highlight.style);
            if !snippets.is_empty() {
                shown.insert(name.clone(), snippets);
            }
        }
        shown
    }
}

/// The first bytes of a text, whole characters.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
