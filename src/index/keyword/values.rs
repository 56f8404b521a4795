//! What literals of filters are worth; documents' values go through the same functions, so that they meet.

use crate::change::DatumRef;
use crate::definition::worth::exact_int;
pub(super) use crate::definition::worth::{float, int, text};

/// The integers next to a number, at or below and at or above it. `None` where they are not known exactly.
pub(super) fn int_neighbours<'a>(datum: impl Into<DatumRef<'a>>) -> Option<(i64, i64)> {
    let datum = datum.into();
    if let Some(value) = int(datum) {
        return Some((value, value));
    }
    let value = float(datum)?;
    Some((exact_int(value.floor())?, exact_int(value.ceil())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Datum, Float};

    #[test]
    fn the_neighbours_of_a_number_are_integers_that_are_exact() {
        assert_eq!(int_neighbours(&Datum::Float(Float(-2.5))), Some((-3, -2)));
        assert_eq!(int_neighbours(&Datum::Float(Float(1e18))), None);
    }
}
