//! `highlight` -> the node's own, over the words that the query looks for. Pure.

use serde_json::Value;

use super::keys::{Keys, texts};
use super::names;
use super::refusal::{Read, Refusal};
use crate::definition::Index;
use crate::index::keyword::TextFields;
use crate::query::{Encode, HighlightRequest};

/// What is said once for all fields, or for each of them alike.
#[derive(Clone, Debug, Default, PartialEq)]
struct Style {
    pre: Option<String>,
    post: Option<String>,
    fragment: Option<usize>,
    fragments: Option<usize>,
    html: Option<bool>,
    other_fields: Option<bool>,
}

/// The highlights and the words that are shown; nothing where no field has any of them.
pub fn read(
    index: &Index,
    value: &Value,
    marked: &[(String, TextFields)],
) -> Read<(Option<HighlightRequest>, Option<String>)> {
    let mut keys = Keys::new("highlight", value)?;
    let fields = keys
        .take("fields")
        .ok_or_else(|| Refusal::parsing("[highlight] has no [fields]"))?;
    let common = Style::read(&mut keys)?;
    keys.end()?;

    let mut wanted: Vec<usize> = Vec::new();
    let mut styles: Vec<Style> = Vec::new();
    let lists = match fields {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    for fields in lists {
        for (pattern, options) in Keys::new("fields", fields)?.rest() {
            wanted.extend(names::texts(index, pattern)?);
            let mut keys = Keys::new(pattern, options)?;
            styles.push(Style::read(&mut keys)?.or(&common));
            keys.end()?;
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    let style = styles.first().cloned().unwrap_or_default();
    if styles.iter().any(|other| *other != style) {
        return Err(Refusal::illegal(
            "[highlight] does not support other options for each of the fields",
        ));
    }

    if style.other_fields != Some(true) {
        // A text is highlighted by what was looked for in it, and by all of that.
        let places = |fields: &TextFields| match fields {
            None => (0..index.text.len()).collect::<Vec<_>>(),
            Some(fields) => fields.iter().map(|(place, _)| *place).collect(),
        };
        let of_text = |place: usize| {
            marked
                .iter()
                .map(move |(_, fields)| places(fields).contains(&place))
        };
        wanted.retain(|place| of_text(*place).any(|is_asked| is_asked));
        if wanted
            .iter()
            .any(|place| of_text(*place).any(|is_asked| !is_asked))
        {
            return Err(Refusal::illegal(
                "[highlight] of a query that looks for other words in other fields needs [require_field_match] of false",
            ));
        }
    }
    let usual = HighlightRequest::default();
    let request = HighlightRequest {
        fields: Some(
            wanted
                .iter()
                .filter_map(|place| Some(index.text.get(*place)?.name.clone()))
                .collect(),
        ),
        pre: style.pre.unwrap_or(usual.pre),
        post: style.post.unwrap_or(usual.post),
        fragment: style.fragment.unwrap_or(100),
        fragments: style.fragments.unwrap_or(5),
        encode: if style.html == Some(true) {
            Encode::Html
        } else {
            Encode::None
        },
    };
    let words: Vec<&str> = marked.iter().map(|(text, _)| &**text).collect();
    match wanted.is_empty() || words.is_empty() {
        true => Ok((None, None)),
        false => Ok((Some(request), Some(words.join(" ")))),
    }
}

impl Style {
    fn read(keys: &mut Keys<'_>) -> Read<Style> {
        let mut tag = |key: &str| match keys.take(key).map(|value| texts(key, value)).transpose()? {
            None => Ok(None),
            Some(mut tags) if tags.len() == 1 => Ok(tags.pop()),
            Some(_) => Err(Refusal::illegal(format!(
                "[{key}] of [highlight] must be one tag"
            ))),
        };
        let (pre, post) = (tag("pre_tags")?, tag("post_tags")?);
        let (fragment, fragments) = (keys.count("fragment_size")?, keys.count("number_of_fragments")?);
        let html = match keys.text("encoder")? {
            None => None,
            Some("default") => Some(false),
            Some("html") => Some(true),
            Some(_) => return Err(keys.wrong("encoder", "`default` or `html`")),
        };
        let other_fields = keys.flag("require_field_match")?.map(|required| !required);
        // They differ in speed.
        keys.only("type", &["unified".into(), "plain".into(), "fvh".into()])?;
        keys.only("order", &["none".into()])?;
        Ok(Style {
            pre,
            post,
            fragment,
            fragments,
            html,
            other_fields,
        })
    }

    /// Filled up by what is said for all fields.
    fn or(self, common: &Style) -> Style {
        let common = common.clone();
        Style {
            pre: self.pre.or(common.pre),
            post: self.post.or(common.post),
            fragment: self.fragment.or(common.fragment),
            fragments: self.fragments.or(common.fragments),
            html: self.html.or(common.html),
            other_fields: self.other_fields.or(common.other_fields),
        }
    }
}
