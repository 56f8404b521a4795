//! The lines of `_bulk` -> the lines of a push. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::check_index;
use super::documents::id_text;
use super::keys::Keys;
use super::refusal::{Read, Refusal};
use super::search::lines;

/// Actions of one request: each has an answer of its own in memory.
const ACTIONS_MAX: usize = 100_000;

/// What an upsert says of itself beside its columns.
const OPERATION: &str = "_op";

/// One action, as it was written.
#[derive(Debug)]
pub struct Action<'a> {
    pub kind: Kind,
    pub id: Option<String>,
    pub source: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Index,
    Create,
    Update,
    Delete,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Index => "index",
            Kind::Create => "create",
            Kind::Update => "update",
            Kind::Delete => "delete",
        }
    }
}

/// Reads the actions of a body.
///
/// # Errors
/// An action that cannot be read leaves open what the lines behind it are, so nothing of the body is taken.
pub fn actions<'a>(index: &str, body: &'a [u8]) -> Read<Vec<Action<'a>>> {
    let mut lines = lines(body);
    let mut actions = Vec::new();
    while let Some(line) = lines.next() {
        if actions.len() == ACTIONS_MAX {
            return Err(Refusal::illegal(format!(
                "[bulk] takes {ACTIONS_MAX} actions at most"
            )));
        }
        let action: Value = serde_json::from_slice(line).map_err(|error| {
            Refusal::illegal(format!(
                "action {} of [bulk] is no JSON: {error}",
                actions.len() + 1
            ))
        })?;
        let (kind, options) = Keys::new("action", &action)?.one()?;
        let kind = match kind {
            "index" => Kind::Index,
            "create" => Kind::Create,
            "update" => Kind::Update,
            "delete" => Kind::Delete,
            other => {
                return Err(Refusal::illegal(format!(
                    "[bulk] does not support the action [{other}]"
                )));
            }
        };
        let mut keys = Keys::new(kind.name(), options)?;
        if let Some(named) = keys.text("_index")? {
            check_index(index, named)?;
        }
        let id = match keys.take("_id") {
            None | Some(Value::Null) => None,
            Some(id) => Some(id_text(id).ok_or_else(|| keys.wrong("_id", "a text"))?),
        };
        keys.end()?;
        let source = match kind {
            Kind::Delete => None,
            _ => Some(lines.next().ok_or_else(|| {
                Refusal::illegal(format!(
                    "action {} of [bulk] has no line behind it",
                    actions.len() + 1
                ))
            })?),
        };
        actions.push(Action { kind, id, source });
    }
    match actions.is_empty() {
        true => Err(Refusal::illegal("[bulk] has no actions")),
        false => Ok(actions),
    }
}

/// The key of the table that is written to.
pub struct TableKey {
    /// Its columns, each with whether its values are texts; `None`: not known.
    pub columns: Vec<(String, Option<bool>)>,
}

impl TableKey {
    /// The line that an action is. `new_id` makes a key where there is none.
    pub fn line(&self, action: &Action<'_>, new_id: impl FnOnce() -> Read<String>) -> Read<String> {
        let mut row: BTreeMap<String, Box<RawValue>> = match (action.kind, action.source) {
            (Kind::Update, _) => {
                return Err(Refusal::illegal(
                    "[update] is not supported, since columns that the index does not have would be lost: index the whole document",
                ));
            }
            (_, None) => BTreeMap::new(),
            (_, Some(source)) => serde_json::from_slice(source).map_err(|error| {
                Refusal::new(
                    400,
                    "mapper_parsing_exception",
                    format!("the document is no JSON object: {error}"),
                )
            })?,
        };
        if row.contains_key(OPERATION) {
            return Err(Refusal::new(
                400,
                "mapper_parsing_exception",
                format!("the document has the column [{OPERATION}], which says what a row is for"),
            ));
        }
        let lacks_key = self.columns.iter().any(|(name, _)| !row.contains_key(name));
        let id = match &action.id {
            Some(id) => Some(id.clone()),
            None if action.kind == Kind::Delete => return Err(Refusal::illegal("[delete] has no [_id]")),
            None if lacks_key => Some(self.made(new_id)?),
            None => None,
        };
        if let Some(id) = &id {
            self.fill(&mut row, id)?;
        }
        if action.kind == Kind::Delete {
            row.insert(OPERATION.to_owned(), raw(&json!("delete"))?);
        }
        let json =
            serde_json::to_string(&row).map_err(|error| Refusal::new(500, "exception", error.to_string()))?;
        // Outside of texts, where they are escaped, breaks are blanks.
        Ok(json.replace(['\n', '\r'], " "))
    }

    /// A key for a document without one.
    fn made(&self, new_id: impl FnOnce() -> Read<String>) -> Read<String> {
        match &self.columns[..] {
            [(_, Some(true))] => new_id(),
            _ => Err(Refusal::illegal(
                "the document has no [_id], and none can be made: the key of the table is not known to be one text",
            )),
        }
    }

    /// Puts the parts of a key into the columns that lack them.
    fn fill(&self, row: &mut BTreeMap<String, Box<RawValue>>, id: &str) -> Read<()> {
        let parts: Vec<String> = match self.columns.len() {
            1 => vec![id.to_owned()],
            _ => id
                .split('/')
                .map(|part| part.replace("%2F", "/").replace("%25", "%"))
                .collect(),
        };
        if parts.len() != self.columns.len() {
            let names: Vec<&str> = self.columns.iter().map(|(name, _)| &**name).collect();
            return Err(Refusal::illegal(format!(
                "[_id] is [{id}]: the key has the parts {}",
                names.join("/")
            )));
        }
        for ((name, is_text), part) in self.columns.iter().zip(parts) {
            match row.get(name) {
                None => {
                    row.insert(name.clone(), key_value(&part, *is_text)?);
                }
                Some(value) if text_of(value).as_deref() == Some(&*part) => {}
                Some(value) => {
                    return Err(Refusal::illegal(format!(
                        "[_id] is [{id}], and the key column [{name}] of the document is {value}"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A part of a key as the value of its column: a number where it is written as one, unless it is known to be a text.
fn key_value(part: &str, is_text: Option<bool>) -> Read<Box<RawValue>> {
    let number = part
        .parse::<i64>()
        .ok()
        .filter(|number| number.to_string() == part);
    match number.filter(|_| is_text != Some(true)) {
        Some(number) => raw(&json!(number)),
        None => raw(&json!(part)),
    }
}

fn raw(value: &Value) -> Read<Box<RawValue>> {
    serde_json::value::to_raw_value(value).map_err(|error| Refusal::new(500, "exception", error.to_string()))
}

/// The text of a key's value, as hits name it.
fn text_of(value: &RawValue) -> Option<String> {
    id_text(&serde_json::from_str(value.get()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(is_text: Option<bool>) -> TableKey {
        TableKey {
            columns: vec![("id".to_owned(), is_text)],
        }
    }

    fn line(key: &TableKey, body: &str) -> Result<String, String> {
        let body = body.as_bytes();
        let action = &actions("shop", body).map_err(|refusal| refusal.reason)?[0];
        let line = key.line(action, || Ok("made".to_owned()));
        line.map_err(|refusal| refusal.reason)
    }

    #[test]
    fn an_id_fills_the_key_where_the_document_lacks_it() {
        for (is_text, body, expected) in [
            (
                None,
                "{\"index\":{\"_id\":\"7\"}}\n{\"a\":1.50}",
                r#"{"a":1.50,"id":7}"#,
            ),
            (
                Some(true),
                "{\"index\":{\"_id\":\"7\"}}\n{\"a\":1}",
                r#"{"a":1,"id":"7"}"#,
            ),
            (None, "{\"create\":{\"_id\":\"07\"}}\n{}", r#"{"id":"07"}"#),
            (None, "{\"index\":{\"_id\":7}}\n{\"id\":\"7\"}", r#"{"id":"7"}"#),
            (None, "{\"index\":{}}\n{\"id\":9}", r#"{"id":9}"#),
            (
                Some(true),
                "{\"index\":{\"_index\":\"shop\"}}\n{\"a\":[1,\r2]}",
                r#"{"a":[1, 2],"id":"made"}"#,
            ),
            (None, "{\"delete\":{\"_id\":\"7\"}}", r#"{"_op":"delete","id":7}"#),
        ] {
            assert_eq!(line(&key(is_text), body).as_deref(), Ok(expected), "{body}");
        }
        let both = TableKey {
            columns: vec![("shop".to_owned(), Some(true)), ("id".to_owned(), None)],
        };
        assert_eq!(
            line(&both, "{\"index\":{\"_id\":\"a%2Fb/7\"}}\n{\"id\":7}").as_deref(),
            Ok(r#"{"id":7,"shop":"a/b"}"#)
        );
    }

    #[test]
    fn what_cannot_be_a_row_is_refused() {
        for (body, named) in [
            ("{\"index\":{\"_id\":\"7\"}}\n{\"id\":8}", "[_id] is [7]"),
            ("{\"index\":{}}\n{\"a\":1}", "none can be made"),
            ("{\"index\":{}}\n[1]", "no JSON object"),
            ("{\"index\":{}}\n{\"id\":1,\"_op\":\"delete\"}", "_op"),
            ("{\"index\":{\"_id\":\"7\",\"routing\":\"x\"}}\n{}", "routing"),
            ("{\"index\":{\"_index\":\"other\"}}\n{}", "other"),
            ("{\"update\":{\"_id\":\"7\"}}\n{\"doc\":{}}", "update"),
            ("{\"delete\":{}}", "_id"),
            ("{\"upsert\":{}}\n{}", "upsert"),
            ("{\"index\":{}}", "no line"),
            ("{}", "empty"),
            ("", "no actions"),
        ] {
            let reason = line(&key(None), body).unwrap_err();
            assert!(reason.contains(named), "{body}: {reason}");
        }
    }
}
