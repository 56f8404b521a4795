//! How the columns of a message are typed: by the schemas that come with it, and the dataflow file.

use crate::change::Key;
use crate::decode::connect::{Column, Schema};
use crate::decode::json::Fields;
use crate::decode::message_key::MessageKey;
use crate::decode::row::Shape;
use crate::decode::target::Target;
use crate::decode::value::{Kind, Wire};

/// The table, and the last schemas of values and of message keys.
pub(super) struct Types {
    pub target: Target,
    row: Schema,
    key: Schema,
}

/// Which schemas describe the message at hand, by their generations; zero where it came without one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Described {
    row: u64,
    key: u64,
}

impl Types {
    pub fn new(target: Target) -> Types {
        Types {
            target,
            row: Schema::default(),
            key: Schema::default(),
        }
    }

    /// Takes over the schemas that come with the message.
    pub fn describe(&mut self, row: Option<&str>, key: &MessageKey<'_>) -> Described {
        let key = match key {
            MessageKey::Columns { schema, .. } => *schema,
            MessageKey::Absent | MessageKey::Scalar(_) => None,
        };
        let generation = |known: &mut Schema, schema| {
            known.update(schema);
            known.generation
        };
        Described {
            row: row.map_or(0, |schema| generation(&mut self.row, schema)),
            key: key.map_or(0, |schema| generation(&mut self.key, schema)),
        }
    }

    pub fn shape(&self, row: &Fields<'_>, described: Described) -> Result<Shape, String> {
        Shape::new(&self.target, row, Wire::Connect, |name| {
            self.row_kind(name, described)
        })
    }

    /// The key of a row.
    pub fn key_of_row(&self, row: &Fields<'_>, described: Described) -> Result<Key, String> {
        self.target.key(|_, name| {
            let kind = self.row_kind(name, described);
            row.get(name)
                .map(|json| self.target.read(name, json, &kind, Wire::Connect))
                .transpose()
        })
    }

    /// The key that a message key says. It may come without the schema that the rows have; its columns are the same.
    pub fn key_of_message(&self, key: &MessageKey<'_>) -> Result<Key, String> {
        let column = |name: &str| self.row.column(name).or_else(|| self.key.column(name));
        key.key(&self.target, Wire::Connect, |name| self.kind(name, column(name)))
    }

    fn row_kind(&self, name: &str, described: Described) -> Kind {
        let of_row = (described.row != 0).then(|| self.row.column(name)).flatten();
        let of_key = || (described.key != 0).then(|| self.key.column(name)).flatten();
        self.kind(name, of_row.or_else(of_key))
    }

    /// The schema's type where it has a semantic name, else the dataflow file's, else the schema's bare one.
    fn kind(&self, name: &str, column: Option<Column>) -> Kind {
        match column {
            Some(column) if column.semantic => Kind::Connect(column.kind),
            _ => {
                let bare = || column.map(|column| Kind::Connect(column.kind));
                self.target.kind(name).or_else(bare).unwrap_or(Kind::Untyped)
            }
        }
    }
}
