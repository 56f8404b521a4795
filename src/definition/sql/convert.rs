//! sqlparser's expressions -> [`Expression`].

use sqlparser::ast::{self, BinaryOperator, Expr, Ident, Spanned, UnaryOperator, Value};

use super::{NESTING_MAX, fault, too_deep};
use crate::change::{Datum, Float};
use crate::definition::expression::{Arithmetic, Comparison, Expression, negate};
use crate::definition::fault::quoted;
use crate::definition::{Fault, Interval};

pub(super) const FUNCTIONS: &str = "there are COALESCE, LOWER, UPPER, CAST, CASE, array_length, geo_distance \
    and geo_within; in filters also contains_any, contains_all and now";
const OPERATORS: &str =
    "there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL";

/// How columns may be written.
pub(super) enum Names {
    /// By their name alone, in a filter.
    Plain {
        /// Microseconds since 1970, where there is a clock.
        now: Option<i64>,
    },
    /// Also as `table.column`.
    Of { table: String },
    /// The table itself is at fault.
    Any,
}

/// Converts expressions, and collects what is wrong in them.
pub(super) struct Converter {
    pub(super) names: Names,
    depth: usize,
    pub faults: Vec<Fault>,
}

impl Converter {
    pub fn new(names: Names) -> Converter {
        Converter {
            names,
            depth: 0,
            faults: Vec::new(),
        }
    }

    /// The expression, or nothing after noting at least one fault.
    pub fn convert(&mut self, expr: &Expr) -> Option<Expression> {
        if self.depth >= NESTING_MAX {
            self.faults.push(too_deep(None));
            return None;
        }
        self.depth += 1;
        let converted = self.convert_inner(expr);
        self.depth -= 1;
        converted
    }

    fn convert_inner(&mut self, expr: &Expr) -> Option<Expression> {
        match expr {
            Expr::Identifier(ident) => self.column(ident),
            Expr::CompoundIdentifier(parts) => self.qualified(parts),
            Expr::Value(value) => self.literal(&value.value, expr),
            Expr::Nested(inner) => self.convert(inner),
            Expr::UnaryOp {
                op: UnaryOperator::Plus,
                expr,
            } => self.convert(expr),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => Some(match self.convert(expr)? {
                Expression::Literal(value @ (Datum::Int(_) | Datum::Float(_) | Datum::Decimal(_))) => {
                    Expression::Literal(negate(&value))
                }
                operand => Expression::Negate(Box::new(operand)),
            }),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Some(Expression::Not(self.boxed(expr)?)),
            Expr::IsNull(inner) => Some(Expression::IsNull(self.boxed(inner)?)),
            Expr::IsNotNull(inner) => Some(negated(true, Expression::IsNull(self.boxed(inner)?))),
            Expr::BinaryOp {
                op: op @ (BinaryOperator::And | BinaryOperator::Or),
                ..
            } => self.chain(expr, op),
            Expr::BinaryOp {
                left,
                op: op @ (BinaryOperator::Plus | BinaryOperator::Minus),
                right,
            } if matches!(&**right, Expr::Interval(_)) => {
                self.later(left, *op == BinaryOperator::Minus, right)
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expr),
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } if self.is_filter() => match compare_op {
                // SQL's `<> ANY` holds where some value differs; nobody means that.
                BinaryOperator::NotEq => self.unsupported(expr),
                op => self.binary(left, op, right, expr),
            },
            Expr::InList {
                expr,
                list,
                negated: not,
            } => {
                let (value, list) = (self.boxed(expr), self.list(list));
                Some(negated(
                    *not,
                    Expression::In {
                        value: value?,
                        list: list?,
                    },
                ))
            }
            Expr::Between {
                expr,
                negated: not,
                low,
                high,
            } => {
                let (value, low, high) = (self.boxed(expr), self.boxed(low), self.boxed(high));
                Some(negated(
                    *not,
                    Expression::Between {
                        value: value?,
                        low: low?,
                        high: high?,
                    },
                ))
            }
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(*negated, expr, pattern, escape_char.as_deref(), false),
            Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(*negated, expr, pattern, escape_char.as_deref(), true),
            Expr::Cast {
                kind: ast::CastKind::Cast,
                expr: value,
                data_type,
                format: None,
            } => {
                let (value, to) = (self.boxed(value), self.cast_type(data_type, expr));
                Some(Expression::Cast {
                    value: value?,
                    to: to?,
                })
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            Expr::Function(function) => self.function(function, expr),
            other => self.unsupported(other),
        }
    }

    /// Whether names are those of an index's fields, which may have several values.
    pub(super) fn is_filter(&self) -> bool {
        matches!(self.names, Names::Plain { .. })
    }

    pub(super) fn boxed(&mut self, expr: &Expr) -> Option<Box<Expression>> {
        self.convert(expr).map(Box::new)
    }

    /// All of them are converted before one is missed, so that each notes its faults.
    pub(super) fn list<'e>(&mut self, list: impl IntoIterator<Item = &'e Expr>) -> Option<Vec<Expression>> {
        let converted: Vec<Option<Expression>> = list.into_iter().map(|expr| self.convert(expr)).collect();
        converted.into_iter().collect()
    }

    fn column(&mut self, ident: &Ident) -> Option<Expression> {
        if ident.quote_style.is_none() && is_keyword(&ident.value) {
            let message = format!(
                "the keyword {} stands where a column should",
                quoted(&ident.value)
            );
            let hint = format!("a column of that name is written \"{}\"", ident.value);
            return self.refuse(Some(ident), message, hint);
        }
        Some(Expression::Column(ident.value.clone()))
    }

    fn qualified(&mut self, parts: &[Ident]) -> Option<Expression> {
        let (qualifier, column) = match parts {
            [qualifier, column] => (qualifier, column),
            _ => {
                return self.refuse(
                    parts.first(),
                    "a column's name has too many parts",
                    "`table.column`",
                );
            }
        };
        match &self.names {
            Names::Of { table } if *table != qualifier.value => {
                let message = format!("{} is not the table in FROM", quoted(&qualifier.value));
                let hint = format!("that is {}", quoted(table));
                self.refuse(Some(qualifier), message, hint)
            }
            Names::Plain { .. } => {
                let message = format!("{} is qualified", quoted(&format!("{qualifier}.{column}")));
                self.refuse(
                    Some(qualifier),
                    message,
                    "a filter has columns of the index, by their names alone",
                )
            }
            Names::Of { .. } | Names::Any => Some(Expression::Column(column.value.clone())),
        }
    }

    fn literal(&mut self, value: &Value, expr: &Expr) -> Option<Expression> {
        let datum = match value {
            Value::Null => Some(Datum::Null),
            Value::Boolean(value) => Some(Datum::Bool(*value)),
            Value::SingleQuotedString(text) => Some(Datum::text(text)),
            Value::Number(text, false) => number(text),
            _ => None,
        };
        match datum {
            Some(datum) => Some(Expression::Literal(datum)),
            None => {
                let message = format!("the literal {} is not supported", quoted(&expr.to_string()));
                let hint = "literals are numbers, 'text' in single quotes, TRUE, FALSE and NULL";
                self.faults.push(fault(line_of(expr), message, hint));
                None
            }
        }
    }

    /// `a AND b AND c` nests to the left. The links are gathered in a loop and joined in a balanced tree, so that
    /// five hundred of them are nine levels deep.
    fn chain(&mut self, expr: &Expr, op: &BinaryOperator) -> Option<Expression> {
        let mut links = Vec::new();
        let mut rest = expr;
        while let Expr::BinaryOp {
            left,
            op: this,
            right,
        } = rest
        {
            if this != op {
                break;
            }
            links.push(&**right);
            rest = left;
        }
        links.push(rest);
        let levels = links.len().ilog2() as usize;
        self.depth += levels;
        let converted: Vec<Option<Expression>> = links.iter().rev().map(|link| self.convert(link)).collect();
        self.depth -= levels;
        let join = if *op == BinaryOperator::And {
            Expression::And
        } else {
            Expression::Or
        };
        balanced(converted.into_iter().collect::<Option<Vec<_>>>()?, join)
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, expr: &Expr) -> Option<Expression> {
        enum Kind {
            Compare(Comparison),
            Arithmetic(Arithmetic),
            Concat,
        }
        let kind = match op {
            BinaryOperator::Eq => Kind::Compare(Comparison::Equal),
            BinaryOperator::NotEq => Kind::Compare(Comparison::NotEqual),
            BinaryOperator::Lt => Kind::Compare(Comparison::Less),
            BinaryOperator::LtEq => Kind::Compare(Comparison::LessOrEqual),
            BinaryOperator::Gt => Kind::Compare(Comparison::Greater),
            BinaryOperator::GtEq => Kind::Compare(Comparison::GreaterOrEqual),
            BinaryOperator::Plus => Kind::Arithmetic(Arithmetic::Add),
            BinaryOperator::Minus => Kind::Arithmetic(Arithmetic::Subtract),
            BinaryOperator::Multiply => Kind::Arithmetic(Arithmetic::Multiply),
            BinaryOperator::Divide => Kind::Arithmetic(Arithmetic::Divide),
            BinaryOperator::Modulo => Kind::Arithmetic(Arithmetic::Modulo),
            BinaryOperator::StringConcat => Kind::Concat,
            other => {
                let message = format!("the operator {} is not supported", quoted(&other.to_string()));
                self.faults.push(fault(line_of(expr), message, OPERATORS));
                return None;
            }
        };
        let (left, right) = (self.boxed(left), self.boxed(right));
        let (left, right) = (left?, right?);
        Some(match kind {
            Kind::Compare(op) => Expression::Compare { op, left, right },
            Kind::Arithmetic(op) => Expression::Arithmetic { op, left, right },
            Kind::Concat => Expression::Concat(left, right),
        })
    }

    fn like(
        &mut self,
        not: bool,
        value: &Expr,
        pattern: &Expr,
        escape: Option<&Expr>,
        ignore_case: bool,
    ) -> Option<Expression> {
        let (value, pattern) = (self.boxed(value), self.boxed(pattern));
        let escape = match escape {
            None => None,
            Some(escape) => Some(self.escape(escape)?),
        };
        let like = Expression::Like {
            value: value?,
            pattern: pattern?,
            escape,
            ignore_case,
        };
        Some(negated(not, like))
    }

    fn escape(&mut self, expr: &Expr) -> Option<char> {
        if let Expr::Value(ast::ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) = expr
        {
            let mut chars = text.chars();
            if let (Some(escape), None) = (chars.next(), chars.next()) {
                return Some(escape);
            }
        }
        let message = format!("the escape {} is not a character", quoted(&expr.to_string()));
        self.faults.push(fault(
            line_of(expr),
            message,
            "one character in quotes: `ESCAPE '!'`",
        ));
        None
    }

    pub(super) fn unsupported(&mut self, expr: &Expr) -> Option<Expression> {
        let (what, hint) = match expr {
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                ("a subquery", super::ONE_SELECT)
            }
            Expr::TypedString(_) => ("a literal with a type", "dates and times are text: '2024-05-31'"),
            Expr::Interval(_) => ("this INTERVAL", Interval::EXPECTED),
            Expr::AnyOp {
                compare_op: BinaryOperator::NotEq,
                ..
            } if self.is_filter() => (
                "<> ANY",
                "`NOT ('x' = ANY(tags))`, or `tags <> 'x'`, is true where no value is 'x'",
            ),
            Expr::AnyOp { .. } => ("ANY", "it is for the fields of an index, in filters"),
            Expr::Tuple(_) => ("a list outside of IN", OPERATORS),
            Expr::Cast { .. } | Expr::Convert { .. } => ("this form of CAST", "`CAST(price AS TEXT)`"),
            Expr::Function(_) => ("this form of a function", FUNCTIONS),
            Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) => {
                ("IS TRUE or IS FALSE", OPERATORS)
            }
            Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Overlay { .. } => ("this function", FUNCTIONS),
            _ => ("this expression", OPERATORS),
        };
        let message = format!("{what} is not supported: {}", quoted(&expr.to_string()));
        self.faults.push(fault(line_of(expr), message, hint));
        None
    }

    fn refuse(
        &mut self,
        ident: Option<&Ident>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<Expression> {
        let line = ident.and_then(|ident| usize::try_from(ident.span.start.line).ok());
        self.faults.push(fault(line, message, hint));
        None
    }
}

/// The line that an expression begins in, where the parser knows.
pub(super) fn line_of(expr: &Expr) -> Option<usize> {
    usize::try_from(expr.span().start.line)
        .ok()
        .filter(|line| *line > 0)
}

/// The parser takes any word for a column where nothing else fits: `a = 1 AND AND` would be right.
fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 14] = [
        "AND", "BETWEEN", "CASE", "ELSE", "FROM", "ILIKE", "IN", "IS", "LIKE", "NOT", "OR", "SELECT", "THEN",
        "WHEN",
    ];
    KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

fn negated(not: bool, expression: Expression) -> Expression {
    if not {
        Expression::Not(Box::new(expression))
    } else {
        expression
    }
}

pub(super) fn balanced(
    mut links: Vec<Expression>,
    join: fn(Box<Expression>, Box<Expression>) -> Expression,
) -> Option<Expression> {
    if links.len() <= 1 {
        return links.pop();
    }
    let right = links.split_off(links.len().div_ceil(2));
    Some(join(
        Box::new(balanced(links, join)?),
        Box::new(balanced(right, join)?),
    ))
}

/// An integer if `i64` holds it, a float if it has an exponent, else an exact decimal.
fn number(text: &str) -> Option<Datum> {
    if let Ok(value) = text.parse() {
        return Some(Datum::Int(value));
    }
    if text.contains(['e', 'E']) {
        return text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .map(|value| Datum::Float(Float(value)));
    }
    let value: bigdecimal::BigDecimal = text.parse().ok()?;
    let plain = value.to_plain_string();
    // `1.` is whole.
    Some(
        plain
            .parse()
            .map_or_else(|_| Datum::Decimal(plain.into()), Datum::Int),
    )
}
