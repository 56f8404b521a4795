//! `CAST`, `CASE`, the functions and intervals.

use sqlparser::ast::{
    self, CaseWhen, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Value,
};

use super::convert::{Converter, FUNCTIONS, Names, balanced, line_of};
use super::fault;
use crate::change::Datum;
use crate::definition::expression::{CastType, Comparison, Expression};
use crate::definition::fault::quoted;
use crate::definition::{Interval, moment};

const CASTS: &str = "CAST makes TEXT, INT, DOUBLE, DECIMAL(p,s), BOOLEAN or TIMESTAMP";

/// Digits after the point, of which no database has more.
const SCALE_MAX: u32 = 100;

impl Converter {
    pub(super) fn cast_type(&mut self, data_type: &DataType, expr: &Expr) -> Option<CastType> {
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
            D::Timestamp(..) | D::TimestampNtz(_) | D::Datetime(_) => CastType::Timestamp,
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

    pub(super) fn case(
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

    pub(super) fn function(&mut self, function: &Function, expr: &Expr) -> Option<Expression> {
        let name = function.name.to_string().to_uppercase();
        let Some(arguments) = plain_arguments(function) else {
            return self.unsupported(expr);
        };
        let given = arguments.len();
        let takes = match (&*name, &*arguments) {
            ("COALESCE", [_, ..]) => return Some(Expression::Coalesce(self.list(arguments)?)),
            ("LOWER", [argument]) => return Some(Expression::Lower(self.boxed(argument)?)),
            ("UPPER", [argument]) => return Some(Expression::Upper(self.boxed(argument)?)),
            ("ARRAY_LENGTH", [array]) => return Some(Expression::ArrayLength(self.boxed(array)?)),
            ("GEO_DISTANCE", [place, lat, lon]) => {
                let (place, lat, lon) = (self.boxed(place), self.boxed(lat), self.boxed(lon));
                return Some(Expression::GeoDistance {
                    place: place?,
                    lat: lat?,
                    lon: lon?,
                });
            }
            ("GEO_WITHIN", [place, south, west, north, east]) => {
                let (place, south, west) = (self.boxed(place), self.boxed(south), self.boxed(west));
                let (north, east) = (self.boxed(north), self.boxed(east));
                return Some(Expression::GeoWithin {
                    place: place?,
                    south: south?,
                    west: west?,
                    north: north?,
                    east: east?,
                });
            }
            ("CONTAINS_ANY" | "CONTAINS_ALL" | "NOW" | "CURRENT_TIMESTAMP", _) if !self.is_filter() => {
                let message = format!("the function {} is for filters", quoted(&name));
                self.faults.push(fault(line_of(expr), message, FUNCTIONS));
                return None;
            }
            ("CONTAINS_ANY", [value, list @ ..]) if !list.is_empty() => {
                let (value, list) = (self.boxed(value), self.list(list.iter().copied()));
                return Some(Expression::In {
                    value: value?,
                    list: list?,
                });
            }
            ("CONTAINS_ALL", [value, list @ ..]) if !list.is_empty() => {
                let (value, list) = (self.convert(value), self.list(list.iter().copied()));
                // Copied for each value: of nothing but a name.
                match value? {
                    Expression::Column(field) => return contains_all(&field, list?),
                    _ => "a field, and at least one value",
                }
            }
            ("NOW" | "CURRENT_TIMESTAMP", []) => return self.now(expr),
            ("COALESCE", _) => "at least one",
            ("LOWER" | "UPPER" | "ARRAY_LENGTH", _) => "one",
            ("GEO_DISTANCE", _) => "three: a place, latitude and longitude",
            ("GEO_WITHIN", _) => "five: a place, south, west, north and east",
            ("CONTAINS_ANY" | "CONTAINS_ALL", _) => "a field, and at least one value",
            ("NOW" | "CURRENT_TIMESTAMP", _) => "none",
            _ => {
                let message = format!("the function {} is not supported", quoted(&name));
                self.faults.push(fault(line_of(expr), message, FUNCTIONS));
                return None;
            }
        };
        let message = format!("{name} with {given} arguments");
        self.faults
            .push(fault(line_of(expr), message, format!("it takes {takes}")));
        None
    }

    fn now(&mut self, expr: &Expr) -> Option<Expression> {
        let now = match self.names {
            Names::Plain { now } => now.and_then(moment::text),
            _ => None,
        };
        if now.is_none() {
            let hint = "a replay gives the same answer at any time: write the date";
            self.faults
                .push(fault(line_of(expr), "there is no clock here for `now()`", hint));
        }
        Some(Expression::Literal(Datum::text(&now?)))
    }

    /// `value + interval`, or `value - interval`. Of a literal it is one.
    pub(super) fn later(&mut self, value: &Expr, back: bool, interval: &Expr) -> Option<Expression> {
        let by = match interval {
            Expr::Interval(interval) => interval_of(interval),
            _ => None,
        };
        let by = if back { by.and_then(Interval::negated) } else { by };
        let Some(by) = by else {
            return self.unsupported(interval);
        };
        let value = self.boxed(value)?;
        let Expression::Literal(from) = &*value else {
            return Some(Expression::Later { value, by });
        };
        let Some(from) = moment::of(from) else {
            let message = format!("{} is no date", quoted(&value.to_string()));
            let hint = "a date is text such as '2026-01-31' or '2026-01-31T12:00:00Z'";
            self.faults.push(fault(line_of(interval), message, hint));
            return None;
        };
        let later = by.after(from).and_then(moment::text);
        if later.is_none() {
            let message = format!(
                "{} goes beyond the years 0 to 9999",
                quoted(&interval.to_string())
            );
            self.faults
                .push(fault(line_of(interval), message, Interval::EXPECTED));
        }
        Some(Expression::Literal(Datum::text(&later?)))
    }
}

/// `INTERVAL '7 days'`, `INTERVAL '7' DAY` or `INTERVAL 7 DAY`.
fn interval_of(interval: &ast::Interval) -> Option<Interval> {
    let Expr::Value(value) = &*interval.value else {
        return None;
    };
    let count = match &value.value {
        Value::SingleQuotedString(text) | Value::Number(text, false) => text,
        _ => return None,
    };
    match (&interval.leading_field, &interval.last_field) {
        (None, None) => Interval::parse(count),
        (Some(unit), None) => Interval::parse(&format!("{count} {unit}")),
        _ => None,
    }
}

fn contains_all(field: &str, list: Vec<Expression>) -> Option<Expression> {
    let equal = |item| Expression::Compare {
        op: Comparison::Equal,
        left: Box::new(Expression::Column(field.to_owned())),
        right: Box::new(item),
    };
    balanced(list.into_iter().map(equal).collect(), Expression::And)
}

fn optional<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(converted) => converted.map(Some),
    }
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
