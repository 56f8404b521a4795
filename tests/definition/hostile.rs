//! Whatever is fed to the parsers, they answer, and soon.

use std::path::Path;

use millpond::change::{Columns, Datum, Row};
use millpond::definition::{Template, parse, parse_filter};
use proptest::prelude::*;

use super::with_index;

/// Tests run on threads of 2 MiB, as a server's do: a stack that grows with the text would overflow here.
fn check_deep(open: &str, middle: &str, close: &str) {
    for depth in [20, 150, 5_000] {
        let text = [&open.repeat(depth), middle, &close.repeat(depth)].concat();
        let parsed = parse_filter(&text);
        if depth == 20 {
            let row = Row::new(Columns::new(["a"]), vec![Datum::Int(1)]);
            parsed
                .unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
                .evaluate(&row);
        } else if depth == 5_000 {
            assert!(parsed.is_err(), "{text}");
        }
    }
}

#[test]
fn nesting_is_bounded() {
    check_deep("(", "a = 1", ")");
    check_deep("NOT ", "a", "");
    check_deep("- ", "a", "");
    check_deep("LOWER(", "a", ")");
    check_deep("COALESCE(a, ", "a", ")");
    check_deep("CASE WHEN a THEN ", "a", " ELSE a END");
    check_deep("CASE ", "a", " WHEN 1 THEN 1 END");
    check_deep("CAST(", "a", " AS TEXT)");
    check_deep("a = ", "a", "");
    check_deep("a + ", "a", "");
    check_deep("a || ", "a", "");
    check_deep("a IN (", "a", ")");
    check_deep("", "a", " IS NULL");
    check_deep("", "a", " LIKE 'a'");
    check_deep("", "a", " BETWEEN 1 AND 2");
}

#[test]
fn text_that_is_nowhere_right_is_refused_soon() {
    let openings = [
        "CAST(a AS ARRAY<",
        "INTERVAL ",
        "case-",
        "IF(current_time(",
        "[",
        "a[",
        "{",
        "a.",
        "((SELECT ",
        "x'",
        "/*",
    ];
    for opening in openings {
        let begun = std::time::Instant::now();
        assert!(
            parse_filter(&opening.repeat((64 << 10) / opening.len())).is_err(),
            "{opening}"
        );
        assert!(begun.elapsed().as_secs() < 5, "{opening}");
    }
}

#[test]
fn a_chain_of_five_hundred_alternatives_works() {
    let text = (0..500)
        .map(|i| format!("a = {i}"))
        .collect::<Vec<_>>()
        .join(" OR ");
    let filter = parse_filter(&text).unwrap();
    for (a, expected) in [(0, true), (250, true), (499, true), (500, false)] {
        let row = Row::new(Columns::new(["a"]), vec![Datum::Int(a)]);
        assert_eq!(filter.is_true(&row), expected, "{a}");
    }
    assert_eq!(parse_filter(&filter.to_string()).unwrap(), filter);
}

#[test]
fn a_list_of_thousands_works_and_a_longer_text_does_not() {
    let list = |count: usize| {
        format!(
            "a IN ({})",
            (0..count).map(|i| i.to_string()).collect::<Vec<_>>().join(",")
        )
    };
    assert!(parse_filter(&list(10_000)).is_ok());
    let fault = parse_filter(&list(20_000)).unwrap_err();
    assert_eq!(fault.hint.as_deref(), Some("at most 65536"));
    let fault = parse_filter(&vec!["a = 1"; 3_000].join(" OR ")).unwrap_err();
    assert_eq!(fault.message, "the SQL has more than 2000 operators and keywords");
}

/// Words of SQL and of its edges, in any order.
fn sql() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "SELECT",
        "FROM",
        "WHERE",
        "products",
        "a",
        "b.a",
        "\"c d\"",
        "*",
        ",",
        "(",
        ")",
        "AND",
        "OR",
        "NOT",
        "IS",
        "NULL",
        "IN",
        "LIKE",
        "ILIKE",
        "ESCAPE",
        "'x'",
        "'%_'",
        "'",
        "\"",
        "`",
        "BETWEEN",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST(a AS",
        "DECIMAL(10,2)",
        "INT",
        "COALESCE(",
        "LOWER(",
        "=",
        "<>",
        "<",
        "||",
        "+",
        "-",
        "--",
        "/*",
        "*/",
        "/",
        "%",
        "1",
        "-9223372036854775808",
        "9223372036854775808",
        "1.5",
        "1e5",
        "1e999",
        ".",
        ";",
        "AS",
        "JOIN",
        "ON",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "UNION",
        "WITH",
        "DISTINCT",
        "EXISTS",
        "INTERVAL",
        "DATE",
        "\u{0}",
        "é",
        "::",
        "[",
        "]",
        "{",
        "}",
        "?",
        "$1",
        ":x",
        "@",
        "#",
        "\\",
        "TRUE",
        "OVER",
        "FILTER",
        "XML",
        "JSON",
    ];
    proptest::collection::vec(proptest::sample::select(WORDS), 0..30).prop_map(|words| words.join(" "))
}

/// Expressions that are right, in as many parentheses as it takes.
fn expressions() -> impl Strategy<Value = String> {
    const LEAVES: &[&str] = &[
        "a",
        "\"c d\"",
        "5",
        "-5",
        "1.50",
        "1e3",
        "'x'",
        "'5'",
        "NULL",
        "TRUE",
        "(-a)",
        "9223372036854775808",
    ];
    const BETWEEN: &[&str] = &[
        "AND",
        "OR",
        "=",
        "<>",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "||",
        "LIKE",
        "NOT ILIKE",
    ];
    proptest::sample::select(LEAVES)
        .prop_map(str::to_owned)
        .prop_recursive(5, 40, 3, |inner| {
            let three = (inner.clone(), inner.clone(), inner.clone());
            prop_oneof![
                (inner.clone(), proptest::sample::select(BETWEEN), inner.clone())
                    .prop_map(|(left, op, right)| format!("({left}) {op} ({right})")),
                inner.clone().prop_map(|value| format!("NOT ({value})")),
                inner.clone().prop_map(|value| format!("-({value})")),
                inner.clone().prop_map(|value| format!("({value}) IS NOT NULL")),
                inner.clone().prop_map(|value| format!("LOWER({value})")),
                inner.prop_map(|value| format!("CAST({value} AS DECIMAL(10,2))")),
                three
                    .clone()
                    .prop_map(|(a, b, c)| format!("({a}) NOT IN ({b}, {c})")),
                three
                    .clone()
                    .prop_map(|(a, b, c)| format!("({a}) BETWEEN ({b}) AND ({c})")),
                three
                    .clone()
                    .prop_map(|(a, b, c)| format!("COALESCE({a}, {b}, {c})")),
                three
                    .clone()
                    .prop_map(|(a, b, c)| format!("CASE {a} WHEN {b} THEN {c} END")),
                three.prop_map(|(a, b, c)| format!("CASE WHEN {a} THEN {b} ELSE {c} END")),
            ]
        })
}

fn row() -> Row {
    Row::new(Columns::new(["a", "c d"]), vec![Datum::text("5"), Datum::Null])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_sql_makes_the_parser_panic(text in sql()) {
        if let Ok(filter) = parse_filter(&text) {
            filter.evaluate(&row());
        }
        let quoted = format!("[index]\nquery = {}\nkey = 'a'\ntext = {{ a = {{}} }}", toml::Value::String(text));
        let _ = parse(&with_index(&quoted), "x", Path::new(""));
    }

    #[test]
    fn an_expression_is_printed_as_what_it_is(text in expressions()) {
        let parsed = parse_filter(&text)
            .map_err(|fault| TestCaseError::fail(format!("{text}: {fault:?}")))?;
        let printed = parsed.to_string();
        let again = parse_filter(&printed)
            .map_err(|fault| TestCaseError::fail(format!("{printed}: {fault:?}")))?;
        prop_assert_eq!(&again.to_string(), &printed);
        for value in [Datum::Null, Datum::Bool(true), Datum::Int(i64::MIN), Datum::text("1.5"), Datum::text("é")] {
            let row = Row::new(Columns::new(["a"]), vec![value]);
            prop_assert_eq!(again.evaluate(&row), parsed.evaluate(&row), "{} as {}", text, printed);
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,60}") {
        let _ = parse_filter(&text);
        let _ = parse(&text, "x", Path::new(""));
        let columns = ["a".to_owned()];
        if let Ok(template) = Template::parse(&text, &columns) {
            prop_assert_eq!(Template::parse(&template.to_text(&columns), &columns), Ok(template));
        }
    }
}
