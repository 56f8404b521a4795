//! The column types that a canal message declares: by name, and known again from message to message.

use std::borrow::Cow;
use std::collections::HashMap;

use super::json::{Cell, Fields, integer};
use crate::definition::ColumnType;

/// Declarations kept by a decoder, as many as [`Shapes`](super::row::Shapes) are.
const KNOWN_MAX: usize = 4;

/// The declarations seen last, as text. Each has a number, so that a message compares its own once, and its rows not at all.
#[derive(Default)]
pub(super) struct Known {
    texts: Vec<(u64, Box<str>)>,
    /// How many there were.
    count: u64,
}

impl Known {
    /// The number of this text: the same as long as it is among those seen last, and never that of another.
    pub fn number(&mut self, text: &str) -> u64 {
        if let Some((number, _)) = self.texts.iter().find(|(_, known)| **known == *text) {
            return *number;
        }
        self.count += 1;
        self.texts.truncate(KNOWN_MAX - 1);
        self.texts.insert(0, (self.count, text.into()));
        self.count
    }
}

/// What one declaration says of columns, by their names.
pub(super) struct Declared<'a>(HashMap<Cow<'a, str>, &'a str>);

impl<'a> Declared<'a> {
    /// One that cannot be read says nothing about any column; of a column that stands twice the first counts.
    pub fn parse(text: &'a str) -> Declared<'a> {
        let fields = Fields::parse(text).unwrap_or_default();
        Declared(fields.0.into_iter().rev().collect())
    }

    /// The type that `mysqlType` says.
    pub fn sql(&self, column: &str) -> Option<ColumnType> {
        match Cell::read(self.0.get(column)?) {
            Ok(Cell::Text(text)) => ColumnType::parse(&text),
            _ => None,
        }
    }

    /// The type that `sqlType` says, by the constants of `java.sql.Types`.
    pub fn jdbc(&self, column: &str) -> Option<ColumnType> {
        Some(match integer(self.0.get(column)?)? {
            -6 | -5 | 4 | 5 => ColumnType::Int { unsigned: false },
            -7 => ColumnType::Bit,
            16 => ColumnType::Bool,
            6..=8 => ColumnType::Float,
            2 | 3 => ColumnType::Decimal { scale: None },
            -4..=-2 | 2004 => ColumnType::Bytes,
            91 => ColumnType::Date,
            92 => ColumnType::Time,
            93 => ColumnType::DateTime { precision: None },
            -16 | -15 | -9 | -1 | 1 | 12 | 2005 | 2011 => ColumnType::Text,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number_while_it_is_among_the_last() {
        let mut known = Known::default();
        let numbers = ["a", "b", "a", "c", "d", "a"].map(|text| known.number(text));
        assert_eq!(numbers, [1, 2, 1, 3, 4, 1]);
        assert_eq!(known.number("e"), 5);
        assert_eq!(known.number("a"), 6, "it was forgotten, and comes anew");
        assert_eq!(known.texts.len(), KNOWN_MAX);
    }

    #[test]
    fn types_are_found_by_name_and_the_first_of_two_counts() {
        let declared = Declared::parse(r#"{"a":"int","b":93,"a":"text","c":"no type"}"#);
        assert_eq!(declared.sql("a"), ColumnType::parse("int"));
        assert_eq!(declared.jdbc("b"), ColumnType::parse("datetime"));
        assert_eq!((declared.sql("b"), declared.jdbc("z")), (None, None));
        assert_eq!(declared.sql("c"), ColumnType::parse("no type"));
        assert_eq!(Declared::parse("[").sql("a"), None);
    }
}
