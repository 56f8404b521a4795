//! A column for filters: its kind, and the values that a row has for it.
//!
//! An index stores these values in its columns, and a filter that asks the rows asks for them here: both see the same.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::point::Point;
use super::{moment, point, worth};
use crate::change::{Datum, DatumRef, Float, Row};

/// A column for filters.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub column: usize,
    pub kind: FieldKind,
}

/// What the values of a field are. A JSON array in the column gives it several, of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Keyword,
    I64,
    F64,
    Bool,
    /// A point in time, in microseconds: ISO 8601 text with or without time and zone, or an integer of milliseconds since 1970.
    Date,
    /// A place: `{"lat": .., "lon": ..}`, `[lon, lat]` or `"lat,lon"`.
    Geo {
        /// Where latitude and longitude are in columns of their own, the place of the longitude's; the field's has the latitude.
        lon: Option<usize>,
    },
}

/// One value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Microseconds since 1970.
    Moment(i64),
    Point(Point),
}

impl FieldKind {
    /// The name in a dataflow file.
    pub fn name(self) -> &'static str {
        match self {
            FieldKind::Keyword => "keyword",
            FieldKind::I64 => "i64",
            FieldKind::F64 => "f64",
            FieldKind::Bool => "bool",
            FieldKind::Date => "date",
            FieldKind::Geo { .. } => "geo",
        }
    }

    /// Whether a field of this kind can show the value. Absent values need no room; what only collapse knows may fit.
    pub(super) fn holds(self, value: &Datum) -> bool {
        if matches!(value, Datum::Null | Datum::Unavailable) {
            return true;
        }
        match (self, elements(value.into())) {
            (FieldKind::Geo { .. }, _) => point::read(value, &mut |_| {}),
            (kind, Some(elements)) => elements.iter().all(|value| kind.holds_one(value)),
            (kind, None) => kind.holds_one(value),
        }
    }

    fn holds_one(self, value: &Datum) -> bool {
        match (self, value) {
            (_, Datum::Null) => true,
            // A float that is not finite has the right type; it has no place in a range.
            (FieldKind::F64, Datum::Float(_)) => true,
            (FieldKind::Date, Datum::Text(text)) if moment::is_zero_date(text) => true,
            (kind, value) => kind.value(value.into()).is_some(),
        }
    }

    /// What one value, which is no place, is worth to a field of this kind.
    fn value(self, value: DatumRef<'_>) -> Option<FieldValue<'_>> {
        match self {
            FieldKind::Keyword => worth::text(value).map(FieldValue::Text),
            FieldKind::I64 => worth::int(value).map(FieldValue::Int),
            FieldKind::F64 => worth::float(value).map(FieldValue::Float),
            FieldKind::Bool => worth::boolean(value).map(FieldValue::Bool),
            FieldKind::Date => moment::of(value).map(FieldValue::Moment),
            FieldKind::Geo { .. } => None,
        }
    }
}

impl Field {
    /// The places of the columns that its values come from, with the kind of value that each holds.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (usize, FieldKind)> + use<> {
        let (first, second) = match self.kind {
            FieldKind::Geo { lon: Some(lon) } => ((self.column, FieldKind::F64), Some((lon, FieldKind::F64))),
            kind => ((self.column, kind), None),
        };
        std::iter::once(first).chain(second)
    }

    /// Calls `each` with every value that the row has for the field.
    pub(crate) fn each(&self, row: &Row, each: &mut dyn FnMut(FieldValue<'_>)) {
        let Some(value) = row.value(self.column) else {
            return;
        };
        match self.kind {
            FieldKind::Geo { lon: None } => {
                point::read(value, &mut |point| each(FieldValue::Point(point)));
            }
            FieldKind::Geo { lon: Some(lon) } => {
                let lon = row.value(lon).and_then(worth::float);
                let point = worth::float(value)
                    .zip(lon)
                    .and_then(|(lat, lon)| Point::new(lat, lon));
                point.into_iter().for_each(|point| each(FieldValue::Point(point)));
            }
            kind => match elements(value) {
                None => kind.value(value).into_iter().for_each(each),
                Some(elements) => elements
                    .iter()
                    .filter_map(|element| kind.value(element.into()))
                    .for_each(each),
            },
        }
    }

    /// The same values, as expressions know them; one null where there is none.
    pub(super) fn values(&self, row: &Row) -> Vec<Datum> {
        let mut values = Vec::with_capacity(1);
        self.each(row, &mut |value| values.push(value.into_datum()));
        if values.is_empty() {
            values.push(Datum::Null);
        }
        values
    }
}

impl FieldValue<'_> {
    fn into_datum(self) -> Datum {
        match self {
            FieldValue::Text(text) => Datum::text(&text),
            FieldValue::Int(value) => Datum::Int(value),
            FieldValue::Float(value) => Datum::Float(Float(value)),
            FieldValue::Bool(value) => Datum::Bool(value),
            FieldValue::Moment(micros) => moment::text(micros).map_or(Datum::Null, |text| Datum::text(&text)),
            FieldValue::Point(Point { lat, lon }) => Datum::text(&format!("{lat},{lon}")),
        }
    }
}

/// The elements of a JSON array, nulls included; `None` for every other value.
pub(super) fn elements(value: DatumRef<'_>) -> Option<Vec<Datum>> {
    let DatumRef::Json(text) = value else { return None };
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let list: Vec<Json> = serde_json::from_str(text).ok()?;
    Some(list.iter().map(element).collect())
}

fn element(json: &Json) -> Datum {
    match json {
        Json::Null => Datum::Null,
        Json::Bool(value) => Datum::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Datum::Int(value),
            (None, Some(value)) if number.is_f64() => Datum::Float(Float(value)),
            _ => Datum::Decimal(number.to_string().into()),
        },
        Json::String(text) => Datum::text(text),
        Json::Array(_) | Json::Object(_) => Datum::Json(json.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Columns, Vector};

    const GEO: FieldKind = FieldKind::Geo { lon: None };

    fn values(kind: FieldKind, value: Datum) -> Vec<Datum> {
        let field = Field {
            name: "f".to_owned(),
            column: 0,
            kind,
        };
        field.values(&Row::new(Columns::new(["f"]), [value]))
    }

    fn json(text: &str) -> Datum {
        Datum::Json(text.into())
    }

    #[test]
    fn an_array_gives_a_field_several_values() {
        let texts = |texts: &[&str]| texts.iter().map(|text| Datum::text(text)).collect::<Vec<_>>();
        assert_eq!(
            values(FieldKind::Keyword, json(r#"["a", null, 7, [1]]"#)),
            texts(&["a", "7", "[1]"])
        );
        assert_eq!(
            values(FieldKind::Keyword, json(r#"{"a": 1}"#)),
            texts(&[r#"{"a": 1}"#])
        );
        assert_eq!(
            values(FieldKind::I64, json(r#"[1, "2", 3.0]"#)),
            [1, 2, 3].map(Datum::Int)
        );
        assert_eq!(values(FieldKind::I64, json("[]")), [Datum::Null]);
        assert_eq!(
            values(FieldKind::Date, json(r#"["2026-01-01", 1000]"#)),
            texts(&["2026-01-01T00:00:00.000000Z", "1970-01-01T00:00:01.000000Z"])
        );
        assert_eq!(values(GEO, json("[[2, 1], [4, 3]]")), texts(&["1,2", "3,4"]));
    }

    #[test]
    fn a_place_may_be_in_two_columns() {
        let field = Field {
            name: "place".to_owned(),
            column: 1,
            kind: FieldKind::Geo { lon: Some(0) },
        };
        let row = |lat: Datum, lon: Datum| Row::new(Columns::new(["x", "y"]), [lon, lat]);
        let decimal = Datum::Decimal("52.5".into());
        assert_eq!(
            field.values(&row(decimal.clone(), Datum::Int(13))),
            [Datum::text("52.5,13")]
        );
        assert_eq!(field.values(&row(decimal, Datum::Null)), [Datum::Null]);
    }

    #[test]
    fn a_field_holds_what_the_index_can_make_a_value_of() {
        let decimal = |text: &str| Datum::Decimal(text.into());
        let check = |kind: FieldKind, fits: &[Datum], not: &[Datum]| {
            for value in fits {
                assert!(kind.holds(value), "{} holds {value:?}", kind.name());
            }
            for value in not {
                assert!(!kind.holds(value), "{} holds {value:?}", kind.name());
            }
        };
        let object = json("{}");
        let vector = Datum::Vector(Vector::from(vec![1.0]));
        check(
            FieldKind::I64,
            &[
                Datum::Null,
                Datum::Unavailable,
                Datum::Int(1),
                decimal("2.00"),
                Datum::text("7"),
                json("[1, null]"),
            ],
            &[
                Datum::text("seven"),
                decimal("1.5"),
                object.clone(),
                json("[1, 1.5]"),
            ],
        );
        check(
            FieldKind::F64,
            &[Datum::Float(Float(f64::NAN)), decimal("1.5"), Datum::Bool(true)],
            &[Datum::text("cheap"), object.clone(), vector.clone()],
        );
        check(
            FieldKind::Bool,
            &[Datum::Int(1), Datum::text("t")],
            &[Datum::Int(2), Datum::text("maybe")],
        );
        check(
            FieldKind::Keyword,
            &[object, Datum::text(""), Datum::Int(3)],
            &[vector],
        );
        check(
            FieldKind::Date,
            &[
                Datum::text("2026-01-01"),
                Datum::text("0000-00-00 00:00:00"),
                Datum::Int(0),
            ],
            &[
                Datum::text("soon"),
                Datum::Bool(true),
                json(r#"["2026-01-01", "soon"]"#),
            ],
        );
        check(
            GEO,
            &[json("[1, 2]"), json("[]"), Datum::text("1,2")],
            &[json("[1]"), Datum::Int(1)],
        );
    }
}
