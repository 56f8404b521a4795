//! The embedding template: `"{name}\n{description}"`.

use crate::change::Datum;

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
    /// The text to embed, or `None` where no column has any: nulls and blanks leave nothing to embed.
    pub fn render(&self, values: &[Datum]) -> Option<String> {
        let _ = values;
        todo!()
    }
}
