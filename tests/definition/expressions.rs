//! What expressions give for rows.

use millpond::change::{Columns, Datum, Float, Row};
use millpond::definition::parse_filter;
use proptest::prelude::*;

/// One line each: expression | row as JSON | value. In rows `"d:1.50"` is a decimal; a value shows its type: `5` is
/// an integer, `5f` a float, `1.50d` a decimal, `'5'` text.
fn check(lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [expression, row, expected] = line.splitn(3, " | ").collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let parsed = parse_filter(expression.trim()).unwrap_or_else(|fault| panic!("{line}: {fault:?}"));
        let found = shown(&parsed.evaluate(&parse_row(row)));
        assert_eq!(found, expected.trim(), "{line}");
        assert_eq!(parse_filter(&parsed.to_string()), Ok(parsed), "{line}");
    }
}

fn parse_row(json: &str) -> Row {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json.trim()).unwrap();
    let values: Vec<Datum> = object.values().map(datum).collect();
    Row::new(Columns::new(object.keys()), values)
}

fn datum(value: &serde_json::Value) -> Datum {
    match value {
        serde_json::Value::Null => Datum::Null,
        serde_json::Value::Bool(value) => Datum::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(value) => Datum::Int(value),
            None => Datum::Float(Float(number.as_f64().unwrap())),
        },
        serde_json::Value::String(text) => match text.strip_prefix("d:") {
            Some(decimal) => Datum::Decimal(decimal.into()),
            None => Datum::text(text),
        },
        other => Datum::Json(other.to_string().into()),
    }
}

fn shown(value: &Datum) -> String {
    match value {
        Datum::Null => "null".to_owned(),
        Datum::Bool(value) => value.to_string(),
        Datum::Int(value) => value.to_string(),
        Datum::Float(Float(value)) => format!("{value}f"),
        Datum::Decimal(text) => format!("{text}d"),
        Datum::Text(text) => format!("'{text}'"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_column_named_like_a_word_of_sql_is_printed_in_quotes() {
    for name in ["true", "FALSE", "null", "current_date", "and", "end", "with"] {
        let quoted = format!("(\"{name}\" = 1) = a");
        let parsed = parse_filter(&quoted).unwrap();
        let again = parse_filter(&parsed.to_string());
        assert_eq!(again, Ok(parsed), "{name}");
    }
    assert_eq!(
        parse_filter("\"name\" = \"c d\"").unwrap().to_string(),
        "name = \"c d\""
    );
}

#[test]
fn columns_and_literals() {
    check(
        r#"
        a | {"a":5} | 5
        1. | {} | 1
        A | {"a":5} | null
        b | {"a":5} | null
        "a b" | {"a b":"x"} | 'x'
        `a b` | {"a b":"x"} | 'x'
        5 | {} | 5
        -5 | {} | -5
        +5 | {} | 5
        -9223372036854775808 | {} | -9223372036854775808
        9223372036854775808 | {} | 9223372036854775808d
        1.50 | {} | 1.50d
        .5 | {} | 0.5d
        1e3 | {} | 1000f
        'it''s' | {} | 'it's'
        NULL | {} | null
        true | {} | true
        date | {"date":"2024-05-31"} | '2024-05-31'
        "#,
    );
}

#[test]
fn arithmetic() {
    check(
        r#"
        a + 1 | {"a":5} | 6
        2 + 3 * 4 - 1 | {} | 13
        (2 + 3) * 4 | {} | 20
        7 / 2 | {} | 3.5f
        6 / 2 | {} | 3f
        7 % 3 | {} | 1
        -7 % 3 | {} | -1
        a % -1 | {"a":-9223372036854775808} | 0
        5 / 0 | {} | null
        5 % 0 | {} | null
        5.0 / 0.0 | {} | null
        a + 1 | {"a":9223372036854775807} | 9223372036854775808d
        a + 1 - 1 | {"a":9223372036854775807} | 9223372036854775807
        - a | {"a":-9223372036854775808} | 9223372036854775808d
        a * a | {"a":4000000000} | 16000000000000000000d
        a * 1.19 | {"a":"d:19.99"} | 23.7881d
        a + 1 | {"a":"d:19.99"} | 20.99d
        a * 2 | {"a":0.5} | 1f
        a * 1.5 | {"a":0.5} | 0.75f
        a + 1 | {"a":"41"} | 42
        a + 1 | {"a":" 4.5 "} | 5.5d
        a + 1 | {"a":"1e2"} | 101f
        a + 1 | {"a":"many"} | null
        a + 1 | {"a":""} | null
        a + 1 | {"a":"inf"} | null
        a + 1 | {"a":true} | 2
        a + 1 | {"a":null} | null
        a + 1 | {"a":[1]} | null
        5.5 % 2 | {} | 1.5d
        "#,
    );
}

#[test]
fn comparisons() {
    check(
        r#"
        a = 5 | {"a":5} | true
        a <> 5 | {"a":5} | false
        a != 6 | {"a":5} | true
        a < 5.5 | {"a":5} | true
        a >= 5 | {"a":5.0} | true
        a = 0.1 | {"a":0.1} | true
        a = 0.1 | {"a":"d:0.10"} | true
        a = b | {"a":0.1,"b":"d:0.1"} | true
        a = b | {"a":9007199254740993,"b":9007199254740992.0} | false
        a > b | {"a":9007199254740993,"b":9007199254740992.0} | true
        a = 5 | {"a":"5"} | true
        a = '5' | {"a":5} | true
        a = '5.0' | {"a":5} | true
        a = '5.0' | {"a":"5"} | false
        a = 5 | {"a":"five"} | null
        a = 'five' | {"a":5} | null
        a < 'b' | {"a":"a"} | true
        a < 'B' | {"a":"a"} | false
        a = 1 | {"a":true} | true
        a = true | {"a":0} | false
        a = false | {"a":"FALSE"} | true
        a = true | {"a":"perhaps"} | null
        made >= '2024-05-31' | {"made":"2024-06-01T00:00:00Z"} | true
        a = NULL | {"a":null} | null
        NULL = NULL | {} | null
        a = 5 | {} | null
        "#,
    );
}

#[test]
fn lists_and_ranges() {
    check(
        r#"
        a IN (1, 2, 3) | {"a":2} | true
        a IN (1, 3) | {"a":2} | false
        a IN (1, NULL) | {"a":2} | null
        a IN (2, NULL) | {"a":2} | true
        a NOT IN (1, NULL) | {"a":2} | null
        a NOT IN (1, 3) | {"a":2} | true
        a IN (1, 2) | {"a":null} | null
        a IN ('x', 'y') | {"a":"y"} | true
        a BETWEEN 1 AND 3 | {"a":3} | true
        a BETWEEN 1 AND 3 | {"a":4} | false
        a NOT BETWEEN 1 AND 3 | {"a":4} | true
        a BETWEEN NULL AND 3 | {"a":4} | false
        a BETWEEN NULL AND 3 | {"a":2} | null
        a BETWEEN 3 AND 1 | {"a":2} | false
        a BETWEEN 1 AND 3 AND TRUE | {"a":2} | true
        a IS NULL | {"a":null} | true
        a IS NOT NULL | {"a":null} | false
        b IS NULL | {"a":1} | true
        a = 1 IS NULL | {} | true
        "#,
    );
}

#[test]
fn text_functions() {
    check(
        r#"
        a || '-' || b | {"a":"x","b":5} | 'x-5'
        a || 'x' | {"a":null} | null
        a || b | {"a":"d:1.50","b":true} | '1.50true'
        a || '' | {"a":1e20} | '100000000000000000000'
        LOWER(a) | {"a":"ÄB"} | 'äb'
        upper(a) | {"a":"straße"} | 'STRASSE'
        LOWER(a) | {"a":null} | null
        UPPER(a) | {"a":5} | '5'
        COALESCE(a, b, 'none') | {"a":null,"b":null} | 'none'
        COALESCE(a, b) | {"a":null,"b":7} | 7
        COALESCE(a) | {} | null
        "#,
    );
}

#[test]
fn like() {
    check(
        r#"
        a LIKE 'sh%' | {"a":"shoe"} | true
        a LIKE '%o_' | {"a":"shoe"} | true
        a LIKE 'SHOE' | {"a":"shoe"} | false
        a ILIKE 'SH%' | {"a":"shoe"} | true
        a NOT LIKE 'x%' | {"a":"shoe"} | true
        a NOT ILIKE 'S%' | {"a":"shoe"} | false
        a LIKE '_' | {"a":"é"} | true
        a LIKE '50\%' | {"a":"50%"} | true
        a LIKE '50\%' | {"a":"50x"} | false
        a LIKE '50!%' ESCAPE '!' | {"a":"50%"} | true
        a LIKE '50!%' ESCAPE '!' | {"a":"50!x"} | false
        a LIKE 'a\\b' | {"a":"a\\b"} | true
        a LIKE '%' | {"a":""} | true
        a LIKE '' | {"a":""} | true
        a LIKE '_%' | {"a":""} | false
        a LIKE '1%' | {"a":15} | true
        a LIKE b | {"a":"abc","b":"%b%"} | true
        a LIKE 'x' | {"a":null} | null
        a LIKE NULL | {"a":"x"} | null
        "#,
    );
}

#[test]
fn casts() {
    check(
        r#"
        CAST(a AS TEXT) | {"a":5} | '5'
        CAST(a AS VARCHAR(10)) | {"a":"d:1.50"} | '1.50'
        CAST(a AS CHAR) | {"a":0.5} | '0.5'
        CAST(a AS INT) | {"a":"42"} | 42
        CAST(a AS BIGINT) | {"a":2.5} | 3
        CAST(a AS SIGNED) | {"a":-2.5} | -3
        CAST(a AS INTEGER) | {"a":"d:1.49"} | 1
        CAST(a AS UNSIGNED) | {"a":"18446744073709551615"} | 18446744073709551615d
        CAST(a AS INT) | {"a":"x"} | null
        CAST(a AS INT) | {"a":true} | 1
        CAST(a AS DOUBLE) | {"a":"1.5"} | 1.5f
        CAST(a AS FLOAT) | {"a":7} | 7f
        CAST(a AS REAL) | {"a":"x"} | null
        CAST(a AS DECIMAL(10,2)) | {"a":1.005} | 1.01d
        CAST(a AS DECIMAL(10,2)) | {"a":5} | 5.00d
        CAST(a AS NUMERIC(10)) | {"a":"d:2.5"} | 3
        CAST(a AS DECIMAL) | {"a":"19.990"} | 19.990d
        CAST(a AS BOOLEAN) | {"a":"T"} | true
        CAST(a AS BOOL) | {"a":0} | false
        CAST(a AS BOOL) | {"a":"d:0.00"} | false
        CAST(a AS BOOL) | {"a":"maybe"} | null
        CAST(NULL AS INT) | {} | null
        "#,
    );
}

#[test]
fn cases() {
    check(
        r#"
        CASE WHEN a > 1 THEN 'many' WHEN a = 1 THEN 'one' ELSE 'none' END | {"a":1} | 'one'
        CASE WHEN a > 1 THEN 'many' END | {"a":1} | null
        CASE WHEN a THEN 'set' ELSE 'null' END | {"a":null} | 'null'
        CASE a WHEN 1 THEN 'one' WHEN 2 THEN 'two' END | {"a":2} | 'two'
        CASE a WHEN NULL THEN 'null' ELSE 'other' END | {"a":null} | 'other'
        CASE WHEN a = 0 THEN NULL ELSE 1 / a END | {"a":0} | null
        "#,
    );
}

#[test]
fn precedence() {
    check(
        r#"
        TRUE OR FALSE AND FALSE | {} | true
        NOT FALSE AND FALSE | {} | false
        NOT a = 1 | {"a":2} | true
        1 + 1 = 2 | {} | true
        'a' || 'b' = 'ab' | {} | true
        NOT a IN (1) | {"a":2} | true
        - a * 2 | {"a":3} | -6
        - (5) | {} | -5
        "and" OR "or" | {"and":false,"or":true} | true
        2 - 1 - 1 | {} | 0
        "#,
    );
}

#[test]
fn a_number_is_true_unless_it_is_zero() {
    check(
        r#"
        NOT a | {"a":0} | true
        a AND b | {"a":1,"b":0.5} | true
        a AND b | {"a":1,"b":"x"} | null
        a OR TRUE | {"a":"x"} | true
        "#,
    );
    let row = parse_row(r#"{"zero":0,"one":1,"text":"x","none":null,"yes":true}"#);
    for (text, expected) in [
        ("zero", false),
        ("one", true),
        ("text", false),
        ("none", false),
        ("yes", true),
    ] {
        assert_eq!(parse_filter(text).unwrap().is_true(&row), expected, "{text}");
    }
}

#[test]
fn logic_knows_three_values() {
    // The tables of SQL:1999, written out: true, false, unknown.
    const AND: [&str; 3] = ["tfu", "fff", "ufu"];
    const OR: [&str; 3] = ["ttt", "tfu", "tuu"];
    const NOT: &str = "ftu";
    let values = [Datum::Bool(true), Datum::Bool(false), Datum::Null];
    let letter = |datum: &Datum| match datum {
        Datum::Bool(true) => 't',
        Datum::Bool(false) => 'f',
        Datum::Null => 'u',
        other => panic!("{other:?}"),
    };
    for (i, left) in values.iter().enumerate() {
        for (j, right) in values.iter().enumerate() {
            let row = Row::new(Columns::new(["a", "b"]), vec![left.clone(), right.clone()]);
            for (text, table) in [("a AND b", AND), ("a OR b", OR)] {
                let found = letter(&parse_filter(text).unwrap().evaluate(&row));
                assert_eq!(
                    Some(found),
                    table[i].chars().nth(j),
                    "{text} of {left:?} and {right:?}"
                );
            }
        }
        let row = Row::new(Columns::new(["a"]), vec![left.clone()]);
        let found = letter(&parse_filter("NOT a").unwrap().evaluate(&row));
        assert_eq!(Some(found), NOT.chars().nth(i), "NOT {left:?}");
    }
}

#[test]
fn a_filter_names_its_columns() {
    let filter = parse_filter(
        "CASE a WHEN b THEN c ELSE d END = e AND f LIKE g OR NOT h IN (i, COALESCE(j, LOWER(k))) AND l BETWEEN m AND -n AND CAST(o AS INT) + p IS NULL || q",
    );
    let mut names = Vec::new();
    filter
        .unwrap()
        .visit_columns(&mut |name| names.push(name.to_owned()));
    names.sort();
    assert_eq!(names.concat(), "abcdefghijklmnopq");
}

#[test]
fn a_filter_has_plain_names_and_one_expression() {
    let message = |text: &str| parse_filter(text).unwrap_err().message;
    assert_eq!(message("p.a = 1"), "`p.a` is qualified");
    assert_eq!(message("a = 1 b"), "SQL: `b` is not expected here");
    assert_eq!(message("a = 1; DROP TABLE x"), "SQL: `;` is not expected here");
    assert_eq!(
        message("a = 1 AND and"),
        "the keyword `and` stands where a column should"
    );
    assert_eq!(message(""), "SQL: expected an expression, found: EOF");
    assert_eq!(message("a = 'x"), "SQL: Unterminated string literal");
}

/// `LIKE` as its definition reads, without regard to time.
fn naive_like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| naive_like(&text[skipped..], rest)),
        ['_', rest @ ..] => !text.is_empty() && naive_like(&text[1..], rest),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && naive_like(&text[1..], rest),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn like_matches_what_its_definition_matches(text in "[ab%é]{0,8}", pattern in "([ab%_é]|\\\\[%_a]){0,6}") {
        let row = Row::new(Columns::new(["a", "b"]), vec![Datum::text(&text), Datum::text(&pattern)]);
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = naive_like(&chars(&text), &chars(&pattern));
        prop_assert_eq!(parse_filter("a LIKE b").unwrap().is_true(&row), expected);
        let upper = Row::new(Columns::new(["a", "b"]), vec![Datum::text(&text.to_uppercase()), Datum::text(&pattern)]);
        prop_assert_eq!(parse_filter("a ILIKE b").unwrap().is_true(&upper), expected);
    }
}

#[test]
fn like_does_not_take_exponential_time() {
    let row = Row::new(
        Columns::new(["a", "b"]),
        vec![
            Datum::text(&"a".repeat(5_000)),
            Datum::text(&format!("{}b", "%a".repeat(500))),
        ],
    );
    assert!(!parse_filter("a LIKE b").unwrap().is_true(&row));
}
