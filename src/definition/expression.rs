//! The one expression language of `WHERE`, `SELECT` and the query port's `filter`.

use crate::change::{Datum, Row};

/// An expression over the columns of a row. Null propagates as in SQL; `AND`, `OR`, `NOT` know three values.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Column(String),
    Literal(Datum),
    Negate(Box<Expression>),
    Not(Box<Expression>),
    IsNull(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Compare {
        op: Comparison,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    Arithmetic {
        op: Arithmetic,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    /// `||`
    Concat(Box<Expression>, Box<Expression>),
    In {
        value: Box<Expression>,
        list: Vec<Expression>,
    },
    /// SQL `LIKE`: `%` any text, `_` one character, `\` or the given character escapes.
    Like {
        value: Box<Expression>,
        pattern: Box<Expression>,
        escape: Option<char>,
        ignore_case: bool,
    },
    Between {
        value: Box<Expression>,
        low: Box<Expression>,
        high: Box<Expression>,
    },
    Coalesce(Vec<Expression>),
    Lower(Box<Expression>),
    Upper(Box<Expression>),
    Cast {
        value: Box<Expression>,
        to: CastType,
    },
    Case {
        operand: Option<Box<Expression>>,
        branches: Vec<(Expression, Expression)>,
        otherwise: Option<Box<Expression>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastType {
    Text,
    Int,
    Float,
    Decimal { scale: Option<u32> },
    Bool,
}

impl Expression {
    /// The value for a row; a column that the row lacks is null. Never panics: what has no value is null.
    pub fn evaluate(&self, row: &Row) -> Datum {
        let _ = row;
        todo!()
    }

    /// Whether the value for a row is true: neither false nor null.
    pub fn is_true(&self, row: &Row) -> bool {
        matches!(self.evaluate(row), Datum::Bool(true))
    }

    /// Calls `visit` with every column name in the expression.
    pub fn visit_columns<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        let _ = visit;
        todo!()
    }
}
