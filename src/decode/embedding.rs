//! `embedding-json`: `{"id","vector_b64" or "vector","meta"}`, a vector with what belongs to it.
//!
//! A row has the key, the vector under the name that the index uses, `meta`, and each of its keys as a column.

use std::borrow::Cow;
use std::collections::HashSet;

use super::json::Fields;
use super::message_key::MessageKey;
use super::outcome::{Body, Outcome, Refused, Stamp};
use super::row::Shapes;
use super::target::Target;
use super::upsert::{add_key, agreed, is_delete, read, tombstone};

pub(super) struct Embedding {
    target: Target,
    shapes: Shapes<()>,
}

impl Embedding {
    pub fn new(target: Target) -> Embedding {
        Embedding {
            target,
            shapes: Shapes::new(),
        }
    }

    pub fn decode(&mut self, outcome: &mut Outcome<'_>) {
        if !self.target.takes_topic(outcome.message.topic) {
            return outcome.skip();
        }
        let text = match outcome.body() {
            Body::Tombstone => return tombstone(&self.target, outcome),
            Body::Refused => return,
            Body::Text(text) => text,
        };
        let result = Fields::parse(text)
            .map_err(|error| {
                format!("value: {error}: expected {{\"id\",\"vector_b64\" or \"vector\",\"meta\"}}").into()
            })
            .and_then(|fields| self.row(fields, outcome));
        if let Err(refused) = result {
            outcome.refuse(refused);
        }
    }

    fn row(&mut self, fields: Fields<'_>, outcome: &mut Outcome<'_>) -> Result<(), Refused> {
        let message_key = MessageKey::parse(outcome.message.key);
        let deleted = is_delete(&fields.text("_op")) || fields.get("deleted") == Some("true");
        let mut columns = self.columns(fields)?;
        add_key(&mut columns, &message_key, &self.target);
        let (key, row) = read(&self.target, &mut self.shapes, &columns, deleted)?;
        let key = agreed(key, &message_key, &self.target);
        match row {
            Some(row) => outcome.upsert(key, row, None, Stamp::default()),
            None => outcome.delete(key, Stamp::default()),
        }
        Ok(())
    }

    /// The message's fields as columns: the vector under its name, the keys of `meta` where their names are free.
    fn columns<'a>(&self, fields: Fields<'a>) -> Result<Fields<'a>, String> {
        let vector = self
            .target
            .vectors
            .first()
            .map_or("vector", |vector| &vector.name)
            .to_owned();
        if fields.present("vector").is_some() && fields.present("vector_b64").is_some() {
            return Err("`vector` and `vector_b64` are both there: expected one of them".to_owned());
        }
        let meta = fields.object("meta").unwrap_or_default();
        let given = fields.present("vector_b64").or_else(|| fields.present("vector"));
        let mut columns = Fields(Vec::with_capacity(fields.0.len() + meta.0.len()));
        for (name, json) in fields.0 {
            match &*name {
                "_op" | "deleted" | "vector" | "vector_b64" => {}
                _ if *name == *vector => {
                    return Err(format!("`{name}` is the vector's name: expected `vector`"));
                }
                _ => columns.0.push((name, json)),
            }
        }
        columns.0.push((Cow::Owned(vector), given.unwrap_or("null")));
        let mut taken: HashSet<_> = columns.0.iter().map(|(name, _)| name.clone()).collect();
        let free = meta.0.into_iter().filter(|(name, _)| taken.insert(name.clone()));
        columns.0.extend(free);
        // A key of one column is `id`, whatever the table calls it.
        if let [key] = &self.target.key[..]
            && columns.get(key).is_none()
            && let Some(id) = columns.get("id")
        {
            columns.0.push((Cow::Owned(key.clone()), id));
        }
        Ok(columns)
    }
}
