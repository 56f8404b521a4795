//! Filters against a small evaluator of the rows.

use std::cmp::Ordering;

use millpond::change::{Datum, Float, Row};
use millpond::definition::expression::Comparison;
use millpond::definition::{Analyzer, Expression, FieldKind, Index, parse_filter};
use millpond::index::keyword::Compaction;

use super::model;
use super::support::{Random, Shards, index};

fn products() -> Index {
    index(
        &[("name", 1.0, Analyzer::Simple)],
        &[
            ("brand", FieldKind::Keyword),
            ("price", FieldKind::F64),
            ("stock", FieldKind::I64),
            ("sold.out", FieldKind::Bool),
            ("cents", FieldKind::I64),
        ],
    )
}

const BRANDS: [&str; 6] = ["", "Acme", "acme", "Zeta", "Ünder", "a%b"];
const PRICES: [&str; 5] = ["-1.5", "0.1", "19.99", "20", "1e3"];

fn value(random: &mut Random, column: usize) -> Datum {
    match column {
        1 => Datum::text(random.pick(&BRANDS)),
        2 => match random.below(3) {
            0 => Datum::Int(random.below(25) as i64),
            1 => Datum::Float(Float(random.below(50) as f64 / 10.0)),
            _ => Datum::Decimal(random.pick(&PRICES).into()),
        },
        3 => match random.below(12) {
            0 => Datum::Int(i64::MAX),
            1 => Datum::Int(i64::MIN),
            n => Datum::Int(n as i64 - 6),
        },
        4 => Datum::Bool(random.below(2) == 0),
        // Columns keep such numbers by their common divisor.
        _ => Datum::Int(1_000 + 100 * random.below(6) as i64),
    }
}

fn literal(random: &mut Random, column: usize) -> Expression {
    match column {
        _ if random.below(15) == 0 => Expression::Literal(Datum::Null),
        // A literal of another kind of number, and one that no integer equals.
        3 if random.below(4) == 0 => {
            Expression::Literal(Datum::Float(Float(random.below(12) as f64 / 2.0 - 3.0)))
        }
        2 if random.below(6) == 0 => {
            Expression::Negate(Box::new(Expression::Literal(Datum::Decimal("1.5".into()))))
        }
        5 => Expression::Literal(Datum::Int(900 + 50 * random.below(16) as i64)),
        _ => Expression::Literal(value(random, column)),
    }
}

fn condition(random: &mut Random, depth: usize) -> Expression {
    let name = |column: usize| {
        Box::new(Expression::Column(
            ["name", "brand", "price", "stock", "sold.out", "cents"][column].into(),
        ))
    };
    if depth > 0 {
        let mut inner = || Box::new(condition(random, depth - 1));
        let (left, right) = (inner(), inner());
        return match random.below(4) {
            0 => Expression::Not(left),
            1 => Expression::Or(left, right),
            _ => Expression::And(left, right),
        };
    }
    let column = 1 + random.below(5);
    match random.below(5) {
        0 => Expression::IsNull(name(column)),
        1 if column == 4 => *name(4),
        2 if column != 4 => {
            let mut bound = || loop {
                let literal = literal(random, column);
                if literal != Expression::Literal(Datum::Null) {
                    return Box::new(literal);
                }
            };
            Expression::Between {
                value: name(column),
                low: bound(),
                high: bound(),
            }
        }
        3 if column != 4 => {
            let list = (0..1 + random.below(3))
                .map(|_| literal(random, column))
                .collect();
            Expression::In {
                value: name(column),
                list,
            }
        }
        n => {
            use Comparison::*;
            let op = match column {
                4 => random.pick(&[Equal, NotEqual]),
                _ => random.pick(&[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual]),
            };
            let (left, right) = (name(column), Box::new(literal(random, column)));
            match n {
                4 => Expression::Compare {
                    op,
                    left: right,
                    right: left,
                },
                _ => Expression::Compare { op, left, right },
            }
        }
    }
}

fn datum(expression: &Expression, row: &Row) -> Datum {
    match expression {
        Expression::Column(name) => row.get(name).map_or(Datum::Null, |value| value.to_datum()),
        Expression::Literal(datum) => datum.clone(),
        Expression::Negate(inner) => Datum::Float(Float(-number(&datum(inner, row)))),
        other => unreachable!("{other:?} is not generated"),
    }
}

fn number(datum: &Datum) -> f64 {
    match datum {
        Datum::Int(value) => *value as f64,
        Datum::Float(Float(value)) => *value,
        Datum::Decimal(text) => text.parse().unwrap(),
        other => unreachable!("{other:?} is no number"),
    }
}

fn compare(left: &Datum, right: &Datum) -> Option<Ordering> {
    match (left, right) {
        (Datum::Null, _) | (_, Datum::Null) => None,
        (Datum::Text(left), Datum::Text(right)) => Some(left.cmp(right)),
        (Datum::Bool(left), Datum::Bool(right)) => Some(left.cmp(right)),
        (Datum::Int(left), Datum::Int(right)) => Some(left.cmp(right)),
        _ => number(left).partial_cmp(&number(right)),
    }
}

/// SQL's three values; `None` is null.
fn truth(expression: &Expression, row: &Row) -> Option<bool> {
    let order = |left: &Expression, right: &Expression| compare(&datum(left, row), &datum(right, row));
    match expression {
        Expression::And(left, right) => match (truth(left, row), truth(right, row)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Expression::Or(left, right) => match (truth(left, row), truth(right, row)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Expression::Not(inner) => truth(inner, row).map(|value| !value),
        Expression::IsNull(inner) => Some(datum(inner, row).is_null()),
        Expression::Compare { op, left, right } => order(left, right).map(|order| match op {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }),
        Expression::Between { value, low, high } => match (order(value, low), order(value, high)) {
            (Some(low), Some(high)) => Some(low.is_ge() && high.is_le()),
            _ => None,
        },
        Expression::In { value, list } => {
            let found: Vec<_> = list
                .iter()
                .map(|other| order(value, other).map(Ordering::is_eq))
                .collect();
            match () {
                () if found.contains(&Some(true)) => Some(true),
                () if found.contains(&None) => None,
                () => Some(false),
            }
        }
        Expression::Column(_) => match datum(expression, row) {
            Datum::Bool(value) => Some(value),
            _ => None,
        },
        other => unreachable!("{other:?} is not generated"),
    }
}

#[test]
fn a_filter_gives_what_the_rows_say_through_ticks_deletes_and_compactions() {
    for (seed, compaction) in [
        (1, Compaction::Inline),
        (2, Compaction::Background),
        (3, Compaction::Inline),
    ] {
        let index = products();
        let mut random = Random::new(seed);
        let mut shards = Shards::new(&index, 2, compaction);
        // The first tick makes a segment that caches answers.
        for tick in 0..40 {
            let count = if tick == 0 { 3_000 } else { 40 };
            let changes = (0..count).map(|_| {
                let key = format!("k{}", random.below(4_000));
                if random.below(4) == 0 {
                    return (key, None);
                }
                let values = (0..6).map(|column| match column {
                    0 => Datum::text("tea"),
                    _ if random.below(4) == 0 => Datum::Null,
                    _ => value(&mut random, column),
                });
                let values = values.collect();
                (key, Some(shards.row(values)))
            });
            let changes = changes.collect();
            shards.tick(changes);
            for depth in [0, 0, 0, 1, 2, 3] {
                let filter = condition(&mut random, depth);
                let expected = shards
                    .rows
                    .iter()
                    .filter(|(_, row)| truth(&filter, row) == Some(true));
                let expected: Vec<String> = expected.map(|(key, _)| key.clone()).collect();
                let found = shards.keys(&shards.filter(&filter));
                assert_eq!(found, expected, "seed {seed}, tick {tick}, {filter:?}");
            }
        }
    }
}

#[test]
fn a_search_within_a_filter_gives_the_best_of_its_documents() {
    let index = products();
    let mut random = Random::new(9);
    let mut shards = Shards::new(&index, 2, Compaction::Inline);
    let words = [
        "tea",
        "pot",
        "red",
        "big",
        "tea pot",
        "tea tea red",
        "big pot red red",
    ];
    for _ in 0..30 {
        let changes = (0..100).map(|_| {
            let mut values = vec![Datum::text(random.pick(&words))];
            values.extend((1..6).map(|column| value(&mut random, column)));
            (format!("k{}", random.below(2_000)), Some(shards.row(values)))
        });
        let changes = changes.collect();
        shards.tick(changes);
    }
    for round in 0..40 {
        let filter = condition(&mut random, round % 3);
        let filters = shards.filter(&filter);
        let mut scores = model::scores(&index, &shards.rows, "red tea");
        scores.retain(|key, _| truth(&filter, &shards.rows[key]) == Some(true));
        let limit = 1 + round;
        let hits = shards.search_within("red tea", Some(&filters), limit);
        model::check(&hits, &scores, limit, &format!("{filter:?}"));
    }
}

/// Conditions that rows or single texts answer, alone and between others: as the expression itself says.
#[test]
fn a_filter_gives_what_its_expression_says_of_each_row() {
    let index = products();
    let mut random = Random::new(77);
    let mut shards = Shards::new(&index, 2, Compaction::Inline);
    for _ in 0..20 {
        let changes = (0..100).map(|_| {
            let values = (0..6).map(|column| match column {
                0 => Datum::text("tea"),
                _ if random.below(4) == 0 => Datum::Null,
                3 => Datum::Int(random.below(9) as i64 - 4),
                _ => value(&mut random, column),
            });
            let values = values.collect();
            let key = format!("k{}", random.below(1_500));
            if random.below(5) == 0 {
                (key, None)
            } else {
                (key, Some(shards.row(values)))
            }
        });
        let changes = changes.collect();
        shards.tick(changes);
    }
    let filters = [
        "brand LIKE 'a%'",
        "brand NOT LIKE '_cme'",
        "brand ILIKE 'ACME'",
        "LOWER(brand) = 'acme'",
        "UPPER(brand) IN ('ACME', 'ZETA')",
        "LOWER(brand) BETWEEN 'acme' AND 'b'",
        "'acme' <> LOWER(brand)",
        "brand IN ('Acme', NULL)",
        "NOT (brand IN ('Acme', NULL))",
        "price * 2 > stock",
        "stock = price OR brand = 'Zeta'",
        "NOT (price + stock > 3) AND brand IS NOT NULL",
        "stock",
        "NOT stock",
        "stock AND brand <> ''",
        "1 = 1",
        "price > '5'",
        "price BETWEEN -1.5 AND 2",
        "price BETWEEN NULL AND 2",
        "NOT (price BETWEEN NULL AND 2)",
        "stock > 1.5 AND stock < 3.5",
        "brand > 5",
        "COALESCE(price, 0) = 0 AND cents >= 1100",
        "CASE WHEN stock > 0 THEN brand = 'acme' ELSE price IS NULL END",
        "cents / 100 = 12 OR brand LIKE '%\\%%'",
    ];
    for text in filters {
        let filter = parse_filter(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let expected = shards.rows.iter().filter(|(_, row)| filter.is_true(row));
        let expected: Vec<String> = expected.map(|(key, _)| key.clone()).collect();
        assert_eq!(
            shards.keys(&shards.bitmaps(&filter)),
            expected,
            "by the rows: {text}"
        );
        assert_eq!(shards.keys(&shards.filter(&filter)), expected, "{text}");
    }
}
