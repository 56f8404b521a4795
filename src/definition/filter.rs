//! An expression -> a filter over the fields of an index: names are fields, literals are of their kinds.
//!
//! In a filter, a condition on a field holds if it holds for any of the field's values, and `NOT` of it if it holds for
//! none. So `tags = 'x'` is "one of the tags is x", and `tags <> 'x'`, which is `NOT (tags = 'x')`, "none is". Two
//! conditions joined by `AND` may hold for different values.

use std::collections::HashSet;

use super::expression::{CastType, Comparison, Expression};
use super::fault::{listed, quoted, suggestion};
use super::sql::parse_filter_at;
use super::{Fault, Field, FieldKind, Interval, moment, worth};
use crate::change::Datum;

/// Makes filters over the fields of an index.
#[derive(Clone, Copy, Debug)]
pub struct Filters<'a> {
    pub fields: &'a [Field],
    /// What `now()` is, in microseconds since 1970; `None` where there is no clock.
    pub now: Option<i64>,
}

/// Why something is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterFault {
    /// It names what is no field of the index.
    UnknownField(Fault),
    Wrong(Fault),
}

impl FilterFault {
    pub(crate) fn wrong(message: impl Into<String>, hint: impl Into<String>) -> FilterFault {
        FilterFault::Wrong(Fault {
            line: None,
            message: message.into(),
            hint: Some(hint.into()),
        })
    }

    pub fn fault(&self) -> &Fault {
        match self {
            FilterFault::UnknownField(fault) | FilterFault::Wrong(fault) => fault,
        }
    }
}

impl<'a> Filters<'a> {
    /// The filter that SQL text says.
    ///
    /// # Errors
    /// What is no condition, names an unknown field, or compares a field with what its kind cannot be.
    pub fn parse(&self, text: &str) -> Result<Expression, FilterFault> {
        self.filter(parse_filter_at(text, self.now).map_err(FilterFault::Wrong)?)
    }

    /// The filter that an expression over the fields' names is.
    ///
    /// # Errors
    /// As [`Filters::parse`].
    pub fn filter(&self, expression: Expression) -> Result<Expression, FilterFault> {
        let both = |left: Box<Expression>, right: Box<Expression>| {
            Ok((Box::new(self.filter(*left)?), Box::new(self.filter(*right)?)))
        };
        match expression {
            Expression::And(left, right) => {
                both(left, right).map(|(left, right)| Expression::And(left, right))
            }
            Expression::Or(left, right) => both(left, right).map(|(left, right)| Expression::Or(left, right)),
            Expression::Not(inner) => Ok(Expression::Not(Box::new(self.filter(*inner)?))),
            Expression::Compare {
                op: Comparison::NotEqual,
                left,
                right,
            } => {
                let equal = Expression::Compare {
                    op: Comparison::Equal,
                    left,
                    right,
                };
                Ok(Expression::Not(Box::new(self.condition(equal)?)))
            }
            condition => self.condition(condition),
        }
    }

    /// One condition, which holds or not for a value of each of its fields, whatever it is made of.
    pub(crate) fn condition(&self, mut condition: Expression) -> Result<Expression, FilterFault> {
        self.check(&mut condition)?;
        let mut fields = Vec::new();
        self.fields_of(&condition, &mut HashSet::new(), &mut fields);
        Ok(match fields.is_empty() {
            true => condition,
            false => Expression::Any {
                fields,
                condition: Box::new(condition),
            },
        })
    }

    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Result<&'a Field, FilterFault> {
        self.find(name).ok_or_else(|| {
            let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
            FilterFault::UnknownField(Fault {
                line: None,
                message: format!(
                    "`filter` names {}, which is not a field of the index",
                    quoted(name)
                ),
                hint: Some(match suggestion(name, &names) {
                    None => "there are none: name some in the dataflow file".to_owned(),
                    Some(near) if near.starts_with("did") => {
                        format!("{near} The fields are {}", listed(&names))
                    }
                    Some(_) => format!("the fields are {}", listed(&names)),
                }),
            })
        })
    }

    fn find(&self, name: &str) -> Option<&'a Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields whose values a condition sees, in the order of their names' first use.
    fn fields_of<'e>(
        &self,
        expression: &'e Expression,
        seen: &mut HashSet<&'e str>,
        fields: &mut Vec<Field>,
    ) {
        match expression {
            // It sees the array itself, not a value.
            Expression::ArrayLength(_) => {}
            Expression::Column(name) if seen.insert(name) => fields.extend(self.find(name).cloned()),
            expression => {
                let children = expression.children().into_iter();
                children.for_each(|child| self.fields_of(child, seen, fields));
            }
        }
    }

    /// Checks names and literals, from the inside to the outside, and makes literals beside dates what dates are.
    fn check(&self, expression: &mut Expression) -> Result<(), FilterFault> {
        for child in expression.children_mut() {
            self.check(child)?;
        }
        match expression {
            Expression::Column(name) => self.field(name).map(|_| ()),
            Expression::Compare { left, right, .. } => {
                self.beside(left, right)?;
                self.beside(right, left)
            }
            Expression::In { value, list } => list.iter_mut().try_for_each(|item| {
                self.beside(value, item)?;
                self.beside(item, value)
            }),
            Expression::Between { value, low, high } => {
                for bound in [low, high] {
                    self.beside(value, bound)?;
                    self.beside(bound, value)?;
                }
                Ok(())
            }
            Expression::Like { value, .. } => self.no_place(value),
            Expression::Arithmetic { left, right, .. } => {
                self.no_date(left)?;
                self.no_date(right)
            }
            Expression::GeoDistance { place, lat, lon } => {
                self.place(place)?;
                degrees(lat, 90.0)?;
                degrees(lon, 180.0)
            }
            Expression::GeoWithin {
                place,
                south,
                west,
                north,
                east,
            } => {
                self.place(place)?;
                degrees(south, 90.0)?;
                degrees(north, 90.0)?;
                degrees(west, 180.0)?;
                degrees(east, 180.0)
            }
            _ => Ok(()),
        }
    }

    /// Checks a literal that is compared with `other`.
    fn beside(&self, other: &Expression, literal: &mut Expression) -> Result<(), FilterFault> {
        self.no_place(other)?;
        if is_moment(other) || self.kind(other) == Some(FieldKind::Date) {
            return self.moment(other, literal);
        }
        let (Some(kind), Expression::Literal(value)) = (self.kind(other), &*literal) else {
            return Ok(());
        };
        let fits = match (kind, value) {
            (_, Datum::Null) => true,
            (FieldKind::I64 | FieldKind::F64, value) => worth::float(value).is_some(),
            (FieldKind::Bool, Datum::Text(_)) => {
                worth::boolean(value).is_some() || worth::float(value).is_some()
            }
            _ => true,
        };
        match fits {
            true => Ok(()),
            false => Err(self.mistyped(other, literal, kind)),
        }
    }

    /// Makes a literal that is compared with a point in time one itself.
    fn moment(&self, other: &Expression, literal: &mut Expression) -> Result<(), FilterFault> {
        match literal {
            Expression::Literal(Datum::Null) => Ok(()),
            Expression::Literal(value) => match moment::of(&*value).and_then(moment::text) {
                Some(text) => {
                    *value = Datum::text(&text);
                    Ok(())
                }
                None => Err(self.mistyped(other, literal, FieldKind::Date)),
            },
            Expression::Coalesce(list) => list.iter_mut().try_for_each(|item| self.moment(other, item)),
            Expression::Case {
                branches, otherwise, ..
            } => {
                let results = branches.iter_mut().map(|(_, result)| result);
                let mut results = results.chain(otherwise.as_deref_mut());
                results.try_for_each(|result| self.moment(other, result))
            }
            _ => Ok(()),
        }
    }

    fn mistyped(&self, field: &Expression, literal: &Expression, kind: FieldKind) -> FilterFault {
        let hint = match kind {
            FieldKind::Date => {
                "give a date such as '2026-01-31' or '2026-01-31T12:00:00Z', milliseconds since 1970, or \
                 now() - interval '7 days'"
            }
            FieldKind::Bool => "give TRUE or FALSE",
            _ => "give a number",
        };
        let (field, literal) = (quoted(&field.to_string()), quoted(&literal.to_string()));
        FilterFault::wrong(
            format!(
                "`filter` compares {field}, which is of the kind {}, with {literal}",
                kind.name()
            ),
            hint,
        )
    }

    /// The kind of the values of an expression that is a field.
    fn kind(&self, expression: &Expression) -> Option<FieldKind> {
        match expression {
            Expression::Column(name) => self.find(name).map(|field| field.kind),
            _ => None,
        }
    }

    fn place(&self, expression: &Expression) -> Result<(), FilterFault> {
        match self.kind(expression) {
            Some(FieldKind::Geo { .. }) => Ok(()),
            kind => {
                let is = match kind {
                    Some(kind) => format!("of the kind {}", kind.name()),
                    None => "no field".to_owned(),
                };
                let written = quoted(&expression.to_string());
                Err(FilterFault::wrong(
                    format!("`filter` takes {written}, which is {is}, for a place"),
                    self.places(),
                ))
            }
        }
    }

    fn places(&self) -> String {
        let is_place = |field: &&Field| matches!(field.kind, FieldKind::Geo { .. });
        let places = self.fields.iter().filter(is_place);
        let names: Vec<&str> = places.map(|field| field.name.as_str()).collect();
        match &names[..] {
            [] => "the index has no field of the kind geo".to_owned(),
            names => format!("the fields of the kind geo are {}", listed(names)),
        }
    }

    /// Refuses what would be null for every document.
    fn no_date(&self, operand: &Expression) -> Result<(), FilterFault> {
        let is_date = match operand {
            Expression::Literal(value @ Datum::Text(_)) => {
                worth::float(value).is_none() && moment::of(value).is_some()
            }
            operand => is_moment(operand) || self.kind(operand) == Some(FieldKind::Date),
        };
        match is_date {
            false => Ok(()),
            true => Err(FilterFault::wrong(
                format!("`filter` reckons with the date {}", quoted(&operand.to_string())),
                Interval::EXPECTED,
            )),
        }
    }

    fn no_place(&self, expression: &Expression) -> Result<(), FilterFault> {
        match self.kind(expression) {
            Some(FieldKind::Geo { .. }) => {
                let written = quoted(&expression.to_string());
                Err(FilterFault::wrong(
                    format!("`filter` compares {written}, which is of the kind geo"),
                    "a place is asked by `geo_distance(place, lat, lon) < metres` and `geo_within(place, south, west, north, east)`",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the values of an expression are points in time, whatever it is made of.
fn is_moment(expression: &Expression) -> bool {
    matches!(
        expression,
        Expression::Later { .. }
            | Expression::Cast {
                to: CastType::Timestamp,
                ..
            }
    )
}

/// A literal among the numbers of a place must be one, and on the earth.
fn degrees(expression: &Expression, most: f64) -> Result<(), FilterFault> {
    let is_right = |value| worth::float(value).is_some_and(|degrees| degrees.abs() <= most);
    match expression {
        Expression::Literal(value) if !is_right(value) => Err(FilterFault::wrong(
            format!("`filter` has {} for degrees", quoted(&expression.to_string())),
            "latitudes are from -90 to 90, longitudes from -180 to 180",
        )),
        _ => Ok(()),
    }
}
