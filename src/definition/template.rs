//! The embedding template: `"{name}\n{description}"`.
//!
//! A name in braces is a column of the view; `{{` and `}}` are braces.

use std::mem;

use super::expression::text_of;
use super::fault::{Fault, listed, quoted};
use crate::change::Row;

/// Text with places for columns of the view.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Literal(String),
    /// The place of the column in the view.
    Column(usize),
}

impl Template {
    /// Reads a template over the columns of a view.
    ///
    /// # Errors
    /// All faults at once: unknown columns, braces without their partner, no column at all. They name no line.
    pub fn parse(text: &str, columns: &[String]) -> Result<Template, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |message: String, hint: String| {
            faults.push(Fault {
                line: None,
                message,
                hint: Some(hint),
            });
        };
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut columns_named = 0;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.next_if_eq(&c).is_some() => literal.push(c),
                '{' => {
                    let mut name = String::new();
                    while let Some(c) = chars.next_if(|c| !matches!(c, '{' | '}')) {
                        name.push(c);
                    }
                    if chars.next_if_eq(&'}').is_none() {
                        fault(
                            format!("{} is not closed", quoted(&format!("{{{name}"))),
                            "a column is `{name}`; a brace itself is `{{`".to_owned(),
                        );
                        continue;
                    }
                    columns_named += 1;
                    match columns.iter().position(|column| column == name.trim()) {
                        Some(place) => {
                            if !literal.is_empty() {
                                pieces.push(Piece::Literal(mem::take(&mut literal)));
                            }
                            pieces.push(Piece::Column(place));
                        }
                        None => {
                            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
                            fault(
                                format!("{} is not a column of the query", quoted(name.trim())),
                                format!("it selects {}", listed(&names)),
                            );
                        }
                    }
                }
                '}' => fault(
                    "`}` closes nothing".to_owned(),
                    "a column is `{name}`; a brace itself is `}}`".to_owned(),
                ),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        if columns_named == 0 && faults.is_empty() {
            faults.push(Fault {
                line: None,
                message: "the template names no column".to_owned(),
                hint: Some("a column is `{name}`".to_owned()),
            });
        }
        if faults.is_empty() {
            Ok(Template { pieces })
        } else {
            Err(faults)
        }
    }

    /// The template as it is written.
    pub fn to_text(&self, columns: &[String]) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.replace('{', "{{").replace('}', "}}"),
            Piece::Column(place) => format!("{{{}}}", columns.get(*place).map_or("", String::as_str)),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// The text to embed, or `None` where no column has any: nulls and blanks leave nothing to embed.
    pub fn render(&self, row: &Row) -> Option<String> {
        let mut out = String::new();
        let mut blank = true;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Column(place) => {
                    if let Some(text) = row.value(*place).and_then(text_of) {
                        blank &= text.trim().is_empty();
                        out.push_str(&text);
                    }
                }
            }
        }
        if blank { None } else { Some(out.trim().to_owned()) }
    }
}
