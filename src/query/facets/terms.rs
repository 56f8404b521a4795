//! The documents of each value.

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::answer::{FacetAnswer, TermCount};
use super::request::{TermsOrder, TermsRequest};
use crate::change::{Datum, Float};
use crate::definition::moment;
use crate::index::keyword::{KeywordError, Selection, TextValues, Values};
use crate::query::value;

pub(super) fn count(
    selections: &[Selection<'_>],
    field: usize,
    request: &TermsRequest,
) -> Result<FacetAnswer, KeywordError> {
    let mut texts: FxHashMap<Box<str>, u64> = FxHashMap::default();
    // Numbers by their bits.
    let mut numbers: FxHashMap<u64, u64> = FxHashMap::default();
    let mut of_bits: fn(u64) -> Datum = |_| Datum::Null;
    let mut show: fn(&Datum) -> Value = value::json;
    let mut missing = 0;
    let mut add = |bits: u64| *numbers.entry(bits).or_default() += 1;
    for selection in selections {
        let mut present = 0;
        match selection.values(field) {
            // Places are not counted.
            Values::None | Values::Place(_) => {}
            Values::Text(values) => present = add_texts(&values, &mut texts)?,
            Values::Int(values) => {
                of_bits = |bits| Datum::Int(bits as i64);
                values.each(|_, values| {
                    present += 1;
                    values.iter().for_each(|value| add(*value as u64));
                });
            }
            Values::Moment(values) => {
                of_bits = |bits| Datum::Int(bits as i64);
                show = date;
                values.each(|_, values| {
                    present += 1;
                    values.iter().for_each(|value| add(*value as u64));
                });
            }
            Values::Float(values) => {
                of_bits = |bits| Datum::Float(Float(f64::from_bits(bits)));
                values.each(|_, values| {
                    present += 1;
                    values.iter().for_each(|value| add(value.to_bits()));
                });
            }
            Values::Bool(values) => {
                of_bits = |bits| Datum::Bool(bits != 0);
                values.each(|_, values| {
                    present += 1;
                    values.iter().for_each(|value| add(u64::from(*value)));
                });
            }
        }
        missing += selection.size() as u64 - present;
    }
    let texts: Vec<(Box<str>, u64)> = texts.into_iter().collect();
    let numbers: Vec<(Datum, u64)> = numbers
        .into_iter()
        .map(|(bits, count)| (of_bits(bits), count))
        .collect();
    let values = texts.len() + numbers.len();
    let all: u64 = texts.iter().map(|(_, count)| count).sum::<u64>()
        + numbers.iter().map(|(_, count)| count).sum::<u64>();
    // A field has texts or numbers, never both.
    let texts = first(texts, request).into_iter().map(|(text, count)| TermCount {
        value: String::from(text).into(),
        count,
    });
    let numbers = first(numbers, request)
        .into_iter()
        .map(|(number, count)| TermCount {
            value: show(&number),
            count,
        });
    let terms: Vec<TermCount> = texts.chain(numbers).collect();
    Ok(FacetAnswer::Terms {
        others: all - terms.iter().map(|term| term.count).sum::<u64>(),
        terms,
        values,
        missing,
    })
}

/// Microseconds as text.
fn date(micros: &Datum) -> Value {
    match micros {
        Datum::Int(micros) => moment::text(*micros).map_or(Value::Null, Value::String),
        _ => Value::Null,
    }
}

/// Adds a segment's counts, and says how many documents have a value.
fn add_texts(values: &TextValues<'_>, counts: &mut FxHashMap<Box<str>, u64>) -> Result<u64, KeywordError> {
    let mut present = 0;
    let mut by_ordinal = vec![0u32; values.texts()];
    values.each(|_, ordinals| {
        present += 1;
        for ordinal in ordinals {
            if let Some(count) = by_ordinal.get_mut(*ordinal as usize) {
                *count += 1;
            }
        }
    });
    let (ordinals, found): (Vec<u64>, Vec<u32>) = (0..)
        .zip(&by_ordinal)
        .filter(|(_, count)| **count > 0)
        .map(|(ordinal, count)| (ordinal, *count))
        .unzip();
    let mut found = found.into_iter();
    values.look_up(&ordinals, |text| {
        let count = u64::from(found.next().unwrap_or_default());
        match counts.get_mut(text) {
            Some(sum) => *sum += count,
            None => {
                counts.insert(text.into(), count);
            }
        }
    })?;
    Ok(present)
}

/// The values that are shown, in their order.
fn first<T: Ord>(mut counts: Vec<(T, u64)>, request: &TermsRequest) -> Vec<(T, u64)> {
    let order = |a: &(T, u64), b: &(T, u64)| match request.order {
        TermsOrder::Count => b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)),
        TermsOrder::Value => a.0.cmp(&b.0),
    };
    if counts.len() > request.size {
        counts.select_nth_unstable_by(request.size, order);
        counts.truncate(request.size);
    }
    counts.sort_unstable_by(order);
    counts
}
