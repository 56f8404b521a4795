//! A condition on fields that may have several values: it holds if it holds for some of them.

use super::{Expression, Field, Scope, or};
use crate::change::Datum;

/// How many pairs (or triples) of values are looked at where a condition relates fields that all have several. A row can
/// have as many as fit into its message, and the product of two such numbers would take a search for ever.
const COMBINATIONS_MAX: usize = 10_000;

/// Whether `condition` holds for some value of each field. A field without a value is null in it.
pub(super) fn holds(fields: &[Field], condition: &Expression, scope: Scope<'_>) -> Option<bool> {
    let values: Vec<Vec<Datum>> = fields.iter().map(|field| field.values(scope.row)).collect();
    let combinations: usize = values.iter().map(Vec::len).fold(1, usize::saturating_mul);
    let looked_at = match fields {
        [_] => combinations,
        _ => combinations.min(COMBINATIONS_MAX),
    };
    let mut found = Some(false);
    for number in 0..looked_at {
        // The digits of `number`, in a system where each place counts the values of a field.
        let mut rest = number;
        let bound: Vec<(&str, Datum)> = fields
            .iter()
            .zip(&values)
            .map(|(field, values)| {
                let value = values[rest % values.len()].clone();
                rest /= values.len();
                (field.name.as_str(), value)
            })
            .collect();
        let one = condition.truth(Scope {
            row: scope.row,
            bound: &bound,
        });
        found = or(found, one);
        if found == Some(true) {
            break;
        }
    }
    found
}
