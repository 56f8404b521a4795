//! Conditions on places that the two columns of a geo field answer: a box first, then the distance.

use std::ops::RangeInclusive;

use tantivy::columnar::Column;

use super::docs::Docs;
use super::leaf::{is_column, number};
use super::values;
use crate::definition::Expression;
use crate::definition::expression::Comparison;
use crate::definition::point::{GeoBox, Point};

/// Which places pass.
pub(super) struct Places {
    /// Holds all of them.
    around: GeoBox,
    distance: Option<Distance>,
}

struct Distance {
    from: Point,
    op: Comparison,
    metres: f64,
}

impl Places {
    /// `geo_distance(place, lat, lon) < metres`, either way round.
    pub fn compare(op: Comparison, left: &Expression, right: &Expression) -> Option<Places> {
        let (op, distance, metres) = match (left, right) {
            (Expression::GeoDistance { .. }, metres) => (op, left, metres),
            (metres, Expression::GeoDistance { .. }) => (op.mirrored(), right, metres),
            _ => return None,
        };
        let Expression::GeoDistance { place, lat, lon } = distance else {
            return None;
        };
        let from = Point::new(float(lat)?, float(lon)?).filter(|_| is_column(place))?;
        let metres = float(metres)?;
        let around = match op {
            Comparison::Less | Comparison::LessOrEqual | Comparison::Equal => GeoBox::around(from, metres),
            Comparison::NotEqual | Comparison::Greater | Comparison::GreaterOrEqual => GeoBox::EARTH,
        };
        let distance = Some(Distance { from, op, metres });
        Some(Places { around, distance })
    }

    /// `geo_within(place, south, west, north, east)`.
    pub fn within(condition: &Expression) -> Option<Places> {
        let Expression::GeoWithin {
            place,
            south,
            west,
            north,
            east,
        } = condition
        else {
            return None;
        };
        let around = GeoBox {
            south: float(south)?,
            west: float(west)?,
            north: float(north)?,
            east: float(east)?,
        };
        is_column(place).then_some(Places {
            around,
            distance: None,
        })
    }

    fn holds(&self, place: Point) -> bool {
        self.around.contains(place)
            && self.distance.as_ref().is_none_or(|distance| {
                let metres = distance.from.metres_to(place);
                metres
                    .partial_cmp(&distance.metres)
                    .is_some_and(|order| distance.op.holds(order))
            })
    }

    /// Adds the documents with a place that passes. A document's n-th latitude belongs to its n-th longitude.
    pub fn add(&self, latitudes: &Column<f64>, longitudes: &Column<f64>, passing: &mut Docs) {
        let GeoBox { south, north, .. } = self.around;
        let (least, greatest) = (latitudes.min_value(), latitudes.max_value());
        let band: RangeInclusive<f64> = south.max(least)..=north.min(greatest);
        if band.is_empty() {
            return;
        }
        let full = latitudes.index.get_cardinality().is_full();
        let mut add = |doc: u32| {
            let passes = if full {
                // Every document has one place, and its number is that of its values.
                self.holds(Point {
                    lat: latitudes.values.get_val(doc),
                    lon: longitudes.values.get_val(doc),
                })
            } else {
                let places = latitudes.values_for_doc(doc).zip(longitudes.values_for_doc(doc));
                places
                    .map(|(lat, lon)| Point { lat, lon })
                    .any(|place| self.holds(place))
            };
            if passes {
                passing.insert(doc);
            }
        };
        let size = latitudes.num_docs();
        if band == (least..=greatest) {
            return (0..size).for_each(add);
        }
        let mut docs = Vec::new();
        latitudes.get_docids_for_value_range(band, 0..size, &mut docs);
        docs.into_iter().for_each(&mut add);
    }
}

fn float(expression: &Expression) -> Option<f64> {
    values::float(&number(expression)?)
}
