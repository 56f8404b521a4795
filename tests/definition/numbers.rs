//! Numbers of three types against `bigdecimal`.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use millpond::change::{Columns, Datum, Float, Row};
use millpond::definition::expression::compare;
use millpond::definition::parse_filter;
use proptest::prelude::*;

/// What a value stands for: a float for the shortest decimal that reads back as it, or itself if it is whole.
fn meaning(value: &Datum) -> BigDecimal {
    let text = match value {
        Datum::Int(value) => value.to_string(),
        Datum::Float(Float(value)) if value.fract() == 0.0 => format!("{value:.0}"),
        Datum::Float(Float(value)) => format!("{value:?}"),
        Datum::Decimal(text) | Datum::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    BigDecimal::from_str(&text).unwrap()
}

fn ints() -> impl Strategy<Value = i64> + Clone {
    let near = prop_oneof![
        Just(0i64),
        Just(1 << 53),
        Just(-(1 << 53)),
        Just(i64::MAX),
        Just(i64::MIN),
        any::<i64>()
    ];
    (near, -3i64..=3).prop_map(|(value, by)| value.saturating_add(by))
}

fn floats() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![
        ints().prop_map(|value| value as f64),
        ints().prop_map(|value| value as f64 / 10.0),
        (ints(), -1100i32..900).prop_map(|(value, by)| value as f64 * 2f64.powi(by)),
        proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL,
    ]
}

fn exact() -> impl Strategy<Value = Datum> {
    let decimal =
        (ints(), 0i64..4).prop_map(|(value, scale)| BigDecimal::new(value.into(), scale).to_plain_string());
    // A decimal that says what some float says.
    let printed = floats().prop_map(|value| meaning(&Datum::Float(Float(value))).to_plain_string());
    prop_oneof![
        ints().prop_map(Datum::Int),
        decimal.clone().prop_map(|text| Datum::Decimal(text.into())),
        decimal.prop_map(|text| Datum::text(&text)),
        printed.prop_map(|text| Datum::Decimal(text.into())),
    ]
}

fn numbers() -> impl Strategy<Value = Datum> {
    prop_oneof![exact(), floats().prop_map(|value| Datum::Float(Float(value)))]
}

fn row(a: Datum, b: Datum) -> Row {
    Row::new(Columns::new(["a", "b"]), vec![a, b])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn numbers_compare_by_what_they_stand_for(a in numbers(), b in numbers()) {
        // Two texts compare as text.
        prop_assume!(!matches!((&a, &b), (Datum::Text(_), Datum::Text(_))));
        prop_assert_eq!(compare(&a, &b), Some(meaning(&a).cmp(&meaning(&b))), "{:?} and {:?}", a, b);
    }

    #[test]
    fn sums_and_products_without_floats_are_exact(a in exact(), b in exact()) {
        let row = row(a.clone(), b.clone());
        let (x, y) = (meaning(&a), meaning(&b));
        for (text, expected) in [("a + b", &x + &y), ("a - b", &x - &y), ("a * b", &x * &y), ("-a", -&x)] {
            let result = parse_filter(text).unwrap().evaluate(&row);
            prop_assert_eq!(meaning(&result), expected, "{} of {:?}", text, row);
            // A decimal is used only where an integer cannot be.
            prop_assert!(!matches!(&result, Datum::Decimal(text) if text.parse::<i64>().is_ok()), "{:?}", result);
        }
    }

    #[test]
    fn floats_calculate_as_floats(a in any::<f64>(), b in any::<f64>()) {
        let row = row(Datum::Float(Float(a)), Datum::Float(Float(b)));
        let operations = [("a + b", a + b), ("a - b", a - b), ("a * b", a * b), ("a / b", a / b), ("a % b", a % b)];
        for (text, expected) in operations {
            let result = parse_filter(text).unwrap().evaluate(&row);
            // What a float cannot say is null.
            let expected = if expected.is_finite() { Datum::Float(Float(expected)) } else { Datum::Null };
            prop_assert_eq!(result, expected, "{} of {} and {}", text, a, b);
        }
    }
}

#[test]
fn nan_compares_with_nothing_and_infinity_with_everything() {
    let float = |value| Datum::Float(Float(value));
    let decimal = Datum::Decimal("123456789012345678901234567890.5".into());
    for other in [Datum::Int(i64::MAX), float(f64::MAX), decimal] {
        assert_eq!(compare(&float(f64::NAN), &other), None);
        assert_eq!(compare(&float(f64::INFINITY), &other), Some(Ordering::Greater));
        assert_eq!(
            compare(&other, &float(f64::NEG_INFINITY)),
            Some(Ordering::Greater)
        );
        assert_eq!(compare(&other, &float(f64::INFINITY)), Some(Ordering::Less));
    }
    assert_eq!(compare(&float(-0.0), &Datum::Int(0)), Some(Ordering::Equal));
}

#[test]
fn a_number_of_absurd_length_is_none() {
    let long = "9".repeat(2_000);
    let row = row(Datum::Decimal(long.as_str().into()), Datum::text("1e400000000"));
    for text in ["a + 1", "a * a", "b + 1", "CAST(a AS INT)", "a > 5", "b > 5"] {
        assert_eq!(parse_filter(text).unwrap().evaluate(&row), Datum::Null, "{text}");
    }
    let thousand = Datum::Decimal("9".repeat(999).into());
    let row = super::numbers::row(thousand, Datum::Null);
    assert_eq!(parse_filter("a * a").unwrap().evaluate(&row), Datum::Null);
    assert_eq!(parse_filter("a > 5").unwrap().evaluate(&row), Datum::Bool(true));
}
