//! `CAST`, `CASE` and the functions.

use sqlparser::ast::{
    CaseWhen, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
};

use super::convert::{Converter, FUNCTIONS, line_of};
use super::fault;
use crate::definition::expression::{CastType, Expression};
use crate::definition::fault::quoted;

const CASTS: &str = "CAST makes TEXT, INT, DOUBLE, DECIMAL(p,s) or BOOLEAN";

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
