//! What a segment's documents are sorted by, as numbers: a text's is its place among the segment's texts.

use rustc_hash::FxHashMap;

use super::key::{By, SortKey};
use super::order::Scores;
use super::request::SortOrder;
use crate::change::{Datum, Float};
use crate::definition::moment;
use crate::definition::point::Point;
use crate::index::Document;
use crate::index::keyword::{KeywordError, Selection, TextValues, Values};

/// What a segment's documents are sorted by.
pub(super) struct Column<'a> {
    /// By place: numbers with the order of the values, where there is one.
    pub ranks: Vec<Option<u64>>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    None,
    Text(TextValues<'a>),
    Int,
    Moment,
    Float,
    Bool,
}

impl<'a> Column<'a> {
    pub fn read<'s>(
        selection: &'a Selection<'s>,
        key: &SortKey,
        scores: &Scores,
        document: &dyn Fn(usize) -> Option<&'s Document>,
    ) -> Column<'a> {
        let mut ranks = vec![None; selection.size()];
        let kind = match key.by {
            By::Field { field, .. } => of_field(selection.values(field), key, &mut ranks),
            By::Distance { field, from } => {
                if let Values::Place(places) = selection.values(field) {
                    places.each(|place, point| {
                        let rank = float_rank(metres(from, point));
                        ranks[place] = Some(match (ranks[place], key.order) {
                            (None, _) => rank,
                            (Some(least), SortOrder::Asc) => rank.min(least),
                            (Some(greatest), SortOrder::Desc) => rank.max(greatest),
                        });
                    });
                }
                Kind::Float
            }
            By::Score => {
                for (place, rank) in ranks.iter_mut().enumerate() {
                    let score = document(place).and_then(|document| scores.score(document));
                    *rank = Some(float_rank(f64::from(score.unwrap_or_default())));
                }
                Kind::Float
            }
        };
        Column { ranks, kind }
    }

    /// The rank that a value of another document has here.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn rank_of(&self, value: &Datum) -> Result<u64, KeywordError> {
        Ok(match (&self.kind, value) {
            (Kind::Text(values), Datum::Text(text)) => {
                let (ordinal, is_there) = values.ordinal_at_least(text)?;
                match is_there {
                    true => text_rank(ordinal),
                    false => text_rank(ordinal).saturating_sub(1),
                }
            }
            (Kind::Int | Kind::Moment, Datum::Int(value)) => int_rank(*value),
            (Kind::Float, Datum::Float(Float(value))) => float_rank(*value),
            (Kind::Bool, Datum::Bool(value)) => u64::from(*value),
            // No document of the segment has a value to be held against it.
            _ => 0,
        })
    }

    /// The values of some places, in their order.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn values(&self, places: &[usize]) -> Result<Vec<Option<Datum>>, KeywordError> {
        let mut texts = FxHashMap::default();
        if let Kind::Text(values) = &self.kind {
            let mut ranks: Vec<u64> = places.iter().filter_map(|place| self.ranks[*place]).collect();
            ranks.sort_unstable();
            ranks.dedup();
            let ordinals: Vec<u64> = ranks.iter().map(|rank| rank / 2).collect();
            let mut rest = ranks.iter();
            values.look_up(&ordinals, |text| {
                if let Some(rank) = rest.next() {
                    texts.insert(*rank, Datum::text(text));
                }
            })?;
        }
        let value = |rank: u64| match &self.kind {
            Kind::None => None,
            Kind::Text(_) => texts.get(&rank).cloned(),
            Kind::Int => Some(Datum::Int(rank_int(rank))),
            Kind::Moment => moment::text(rank_int(rank)).map(|text| Datum::text(&text)),
            Kind::Float => Some(Datum::Float(Float(rank_float(rank)))),
            Kind::Bool => Some(Datum::Bool(rank != 0)),
        };
        let values = places.iter().map(|place| self.ranks[*place].and_then(value));
        Ok(values.collect())
    }
}

fn of_field<'a>(values: Values<'a>, key: &SortKey, ranks: &mut [Option<u64>]) -> Kind<'a> {
    match values {
        // Places have no order.
        Values::None | Values::Place(_) => Kind::None,
        Values::Text(values) => {
            values.each(|place, ordinals| ranks[place] = key.pick(ordinals).map(text_rank));
            Kind::Text(values)
        }
        Values::Int(values) => {
            values.each(|place, values| ranks[place] = key.pick(values).map(int_rank));
            Kind::Int
        }
        Values::Moment(values) => {
            values.each(|place, values| ranks[place] = key.pick(values).map(int_rank));
            Kind::Moment
        }
        Values::Float(values) => {
            values.each(|place, values| ranks[place] = key.pick(values).map(float_rank));
            Kind::Float
        }
        Values::Bool(values) => {
            values.each(|place, values| ranks[place] = key.pick(values).map(u64::from));
            Kind::Bool
        }
    }
}

/// To the millimetre: digits beyond it are rounding, and a client that writes fewer of them back would land elsewhere.
fn metres(from: Point, to: Point) -> f64 {
    (from.metres_to(to) * 1_000.0).round() / 1_000.0
}

/// Odd, so that there is room for texts that the segment does not have.
fn text_rank(ordinal: u64) -> u64 {
    ordinal.saturating_mul(2).saturating_add(1)
}

const SIGN: u64 = 1 << 63;

fn int_rank(value: i64) -> u64 {
    value as u64 ^ SIGN
}

fn rank_int(rank: u64) -> i64 {
    (rank ^ SIGN) as i64
}

/// The order of floats, as whole numbers: the bits of negative ones are turned round.
fn float_rank(value: f64) -> u64 {
    let bits = value.to_bits();
    match bits & SIGN {
        0 => bits | SIGN,
        _ => !bits,
    }
}

fn rank_float(rank: u64) -> f64 {
    f64::from_bits(match rank & SIGN {
        0 => !rank,
        _ => rank & !SIGN,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_have_the_order_of_their_values(a: f64, b: f64, c: i64, d: i64) {
            prop_assert_eq!(float_rank(a).cmp(&float_rank(b)), a.total_cmp(&b));
            prop_assert_eq!(rank_float(float_rank(a)).to_bits(), a.to_bits());
            prop_assert_eq!(int_rank(c).cmp(&int_rank(d)), c.cmp(&d));
            prop_assert_eq!(rank_int(int_rank(c)), c);
        }
    }
}
