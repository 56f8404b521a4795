//! sqlparser's expressions -> [`Expression`].

use sqlparser::ast::{
    self, BinaryOperator, CaseWhen, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Spanned, UnaryOperator, Value,
};

use super::{NESTING_MAX, fault, too_deep};
use crate::change::{Datum, Float};
use crate::definition::Fault;
use crate::definition::expression::{Arithmetic, CastType, Comparison, Expression};
use crate::definition::fault::quoted;

const FUNCTIONS: &str = "there are COALESCE, LOWER, UPPER, CAST and CASE";
const OPERATORS: &str =
    "there are + - * / % || = <> < <= > >= AND OR NOT, IN, LIKE, ILIKE, BETWEEN and IS [NOT] NULL";
const CASTS: &str = "CAST makes TEXT, INT, DOUBLE, DECIMAL(p,s) or BOOLEAN";

/// Digits after the point, of which no database has more.
const SCALE_MAX: u32 = 100;

/// How columns may be written.
pub(super) enum Names {
    /// By their name alone.
    Plain,
    /// Also as `table.column`.
    Of { table: String },
    /// The table itself is at fault.
    Any,
}

/// Converts expressions, and collects what is wrong in them.
pub(super) struct Converter {
    names: Names,
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
            Expr::Identifier(ident) => Some(Expression::Column(ident.value.clone())),
            Expr::CompoundIdentifier(parts) => self.qualified(parts),
            Expr::Value(value) => self.literal(&value.value, false, expr),
            Expr::Nested(inner) => self.convert(inner),
            Expr::UnaryOp {
                op: UnaryOperator::Plus,
                expr,
            } => self.convert(expr),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: operand,
            } => match &**operand {
                Expr::Value(value) if matches!(value.value, Value::Number(..)) => {
                    self.literal(&value.value, true, expr)
                }
                operand => Some(Expression::Negate(self.boxed(operand)?)),
            },
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
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expr),
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

    fn boxed(&mut self, expr: &Expr) -> Option<Box<Expression>> {
        self.convert(expr).map(Box::new)
    }

    /// All of them are converted before one is missed, so that each notes its faults.
    fn list(&mut self, list: &[Expr]) -> Option<Vec<Expression>> {
        let converted: Vec<Option<Expression>> = list.iter().map(|expr| self.convert(expr)).collect();
        converted.into_iter().collect()
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
            Names::Plain => {
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

    fn literal(&mut self, value: &Value, negative: bool, expr: &Expr) -> Option<Expression> {
        let datum = match value {
            Value::Null => Some(Datum::Null),
            Value::Boolean(value) => Some(Datum::Bool(*value)),
            Value::SingleQuotedString(text) => Some(Datum::text(text)),
            Value::Number(text, false) => number(text, negative),
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

    fn cast_type(&mut self, data_type: &DataType, expr: &Expr) -> Option<CastType> {
        use DataType as D;
        let to = match data_type {
            D::Text | D::TinyText | D::MediumText | D::LongText | D::String(_) | D::Clob(_) => CastType::Text,
            D::Char(_) | D::Character(_) | D::Varchar(_) | D::Nvarchar(_) => CastType::Text,
            D::CharVarying(_) | D::CharacterVarying(_) => CastType::Text,
            D::TinyInt(_) | D::SmallInt(_) | D::MediumInt(_) | D::Int(_) | D::Integer(_) => CastType::Int,
            D::BigInt(_) | D::Int2(_) | D::Int4(_) | D::Int8(_) | D::Int64 => CastType::Int,
            D::Signed | D::SignedInteger | D::Unsigned | D::UnsignedInteger => CastType::Int,
            D::BigIntUnsigned(_) | D::IntUnsigned(_) | D::IntegerUnsigned(_) => CastType::Int,
            D::Float(_) | D::Real | D::Double(_) | D::DoublePrecision => CastType::Float,
            D::Float4 | D::Float8 | D::Float32 | D::Float64 => CastType::Float,
            D::Bool | D::Boolean => CastType::Bool,
            D::Decimal(info) | D::Numeric(info) | D::Dec(info) => match info {
                ExactNumberInfo::None => CastType::Decimal { scale: None },
                ExactNumberInfo::Precision(_) => CastType::Decimal { scale: Some(0) },
                ExactNumberInfo::PrecisionAndScale(_, scale) => {
                    match u32::try_from(*scale).ok().filter(|scale| *scale <= SCALE_MAX) {
                        Some(scale) => CastType::Decimal { scale: Some(scale) },
                        None => {
                            let message = format!("the scale {scale} is out of range");
                            self.faults
                                .push(fault(line_of(expr), message, format!("from 0 to {SCALE_MAX}")));
                            return None;
                        }
                    }
                }
            },
            other => {
                let message = format!("CAST to {} is not supported", quoted(&other.to_string()));
                self.faults.push(fault(line_of(expr), message, CASTS));
                return None;
            }
        };
        Some(to)
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Option<Expression> {
        let operand = operand.map(|operand| self.boxed(operand));
        let branches: Vec<_> = conditions
            .iter()
            .map(|branch| (self.convert(&branch.condition), self.convert(&branch.result)))
            .collect();
        let otherwise = otherwise.map(|otherwise| self.boxed(otherwise));
        Some(Expression::Case {
            operand: optional(operand)?,
            branches: branches
                .into_iter()
                .map(|(condition, result)| Some((condition?, result?)))
                .collect::<Option<Vec<_>>>()?,
            otherwise: optional(otherwise)?,
        })
    }

    fn function(&mut self, function: &Function, expr: &Expr) -> Option<Expression> {
        let name = function.name.to_string().to_uppercase();
        let Some(arguments) = plain_arguments(function) else {
            return self.unsupported(expr);
        };
        match (&*name, &*arguments) {
            ("COALESCE", [_, ..]) => {
                let list: Vec<_> = arguments
                    .into_iter()
                    .map(|argument| self.convert(argument))
                    .collect();
                Some(Expression::Coalesce(
                    list.into_iter().collect::<Option<Vec<_>>>()?,
                ))
            }
            ("LOWER", [argument]) => Some(Expression::Lower(self.boxed(argument)?)),
            ("UPPER", [argument]) => Some(Expression::Upper(self.boxed(argument)?)),
            ("COALESCE" | "LOWER" | "UPPER", _) => {
                let message = format!("{name} with {} arguments", arguments.len());
                let takes = if name == "COALESCE" { "at least one" } else { "one" };
                self.faults
                    .push(fault(line_of(expr), message, format!("it takes {takes}")));
                None
            }
            _ => {
                let message = format!("the function {} is not supported", quoted(&name));
                self.faults.push(fault(line_of(expr), message, FUNCTIONS));
                None
            }
        }
    }

    fn unsupported(&mut self, expr: &Expr) -> Option<Expression> {
        let (what, hint) = match expr {
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                ("a subquery", super::ONE_SELECT)
            }
            Expr::TypedString(_) => ("a literal with a type", "dates and times are text: '2024-05-31'"),
            Expr::Interval(_) => ("INTERVAL", "dates and times are text: '2024-05-31'"),
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

fn negated(not: bool, expression: Expression) -> Expression {
    if not {
        Expression::Not(Box::new(expression))
    } else {
        expression
    }
}

fn optional<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(converted) => converted.map(Some),
    }
}

fn balanced(
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
fn number(text: &str, negative: bool) -> Option<Datum> {
    let text = if negative {
        format!("-{text}")
    } else {
        text.to_owned()
    };
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
    Some(Datum::Decimal(value.to_plain_string().into()))
}

/// The arguments of a plain call, without anything that SQL can hang on one.
fn plain_arguments(function: &Function) -> Option<Vec<&Expr>> {
    let plain = matches!(function.parameters, FunctionArguments::None)
        && !function.uses_odbc_syntax
        && function.within_group.is_empty()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.over.is_none();
    match &function.args {
        FunctionArguments::None if plain => Some(Vec::new()),
        FunctionArguments::List(list)
            if plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
        {
            list.args
                .iter()
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect()
        }
        _ => None,
    }
}
