//! Lines as they are read, written as Lucene shows a query.

use serde_json::json;

use super::super::test_index;
use super::*;
use crate::index::keyword::{PhraseQuery, WordsQuery};

/// `+` must, `-` must not, and the places of fields where not all texts are asked.
fn shown(query: &KeywordQuery) -> String {
    let of = |fields: &TextFields| match fields {
        None => String::new(),
        Some(fields) => fields.iter().map(|(place, _)| format!("{place}:")).collect(),
    };
    match query {
        KeywordQuery::All => "*:*".to_owned(),
        KeywordQuery::Words(WordsQuery {
            text,
            fields,
            minimum,
            ..
        }) => {
            let all = if *minimum == MinimumMatch::All && text.contains(['-', ' ']) {
                "&"
            } else {
                ""
            };
            format!("{}{text}{all}", of(fields))
        }
        KeywordQuery::Phrase(PhraseQuery { text, fields, slop }) => {
            format!("{}\"{text}\"~{slop}", of(fields))
        }
        KeywordQuery::Prefix(PrefixQuery { text, fields }) => format!("{}{text}*", of(fields)),
        KeywordQuery::Matching(condition) => format!("<{condition}>"),
        KeywordQuery::Boost(inner, boost) => format!("{}^{boost}", shown(inner)),
        // Around the whole line: where nothing is left of it, it finds nothing.
        KeywordQuery::OrNone(inner) => shown(inner),
        KeywordQuery::Bool(BoolQuery {
            must,
            should,
            must_not,
            ..
        }) => {
            let mut parts: Vec<String> = must.iter().map(|query| format!("+{}", shown(query))).collect();
            parts.extend(should.iter().map(shown));
            parts.extend(must_not.iter().map(|query| format!("-{}", shown(query))));
            format!("({})", parts.join(" "))
        }
    }
}

fn read(kind: &str, line: &str, more: Value) -> Result<String, String> {
    let index = test_index();
    let mut body = json!({"query": line, "fields": ["name"]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let query = Clauses::new(&index).query(&json!({ kind: body }));
    query
        .map(|query| shown(&query).replace("0:", ""))
        .map_err(|refusal| refusal.reason)
}

#[test]
fn a_line_is_read_as_lucene_reads_it() {
    for (line, expected) in [
        ("red", "red"),
        ("red shoe", "(red shoe)"),
        ("red AND shoe OR boot", "(+red +shoe boot)"),
        ("red OR shoe AND boot", "(+shoe +boot red)"),
        ("+red shoe -boot", "(+red shoe -boot)"),
        ("red NOT shoe", "(red -shoe)"),
        ("NOT red", "(+*:* -red)"),
        ("red && !shoe || usb-c", "(+red usb-c -shoe)"),
        ("(red OR blue) AND shoe^2", "(+(red blue) +shoe^2)"),
        ("\"red shoe\"~2^3 boot", "(\"red shoe\"~2^3 boot)"),
        ("sho* *", "(sho* *:*)"),
        ("sh\\*o\\:e", "sh*o:e"),
        ("ORange ANDy", "(ORange ANDy)"),
        ("", "<FALSE>"),
        ("*:*", "*:*"),
    ] {
        assert_eq!(
            read("query_string", line, json!({})).as_deref(),
            Ok(expected),
            "{line}"
        );
    }
    let all = json!({"default_operator": "AND"});
    for (line, expected) in [
        ("red shoe", "(+red +shoe)"),
        ("red OR shoe boot", "(+boot red shoe)"),
        ("red -shoe usb-c", "(+red +usb-c& -shoe)"),
    ] {
        assert_eq!(
            read("query_string", line, all.clone()).as_deref(),
            Ok(expected),
            "{line}"
        );
    }
}

#[test]
fn what_is_not_supported_is_refused_and_never_read_as_something_else() {
    for (line, named) in [
        ("price:[1 TO 2]", "ranges"),
        ("price:>5", "ranges"),
        ("/re.*/", "regular expressions"),
        ("sh?e", "wildcard"),
        ("s*e", "wildcard"),
        ("shoe~", "fuzzy"),
        ("shoe~1", "fuzzy"),
        ("(red", "parenthesis"),
        ("red)", "parenthesis"),
        ("\"red", "quote"),
        ("AND red", "operator"),
        ("red AND", "nothing to look for"),
        ("colour:red", "colour"),
        ("a:b:c", "no field"),
        ("red\\", "backslash"),
    ] {
        let reason = read("query_string", line, json!({})).unwrap_err();
        assert!(reason.contains(named), "{line}: {reason}");
    }
}

#[test]
fn a_simple_line_has_no_fault_of_syntax() {
    for (line, expected) in [
        ("red shoe", "(red shoe)"),
        ("red + shoe", "(+red +shoe)"),
        ("red shoe + boot", "(+(red shoe) +boot)"),
        ("red | -shoe", "(red (+*:* -shoe))"),
        ("\"red shoe\"~1 boo*", "(\"red shoe\"~1 boo*)"),
        ("(red | blue) + shoe", "(+(red blue) +shoe)"),
        ("\"red (shoe", "(red shoe)"),
        ("))red|", "red"),
        ("usb-c --red", "(usb-c red)"),
        ("a:b", "a:b"),
        ("", "<FALSE>"),
    ] {
        assert_eq!(
            read("simple_query_string", line, json!({})).as_deref(),
            Ok(expected),
            "{line}"
        );
    }
    assert_eq!(
        read(
            "simple_query_string",
            "red shoe",
            json!({"default_operator": "and"})
        )
        .as_deref(),
        Ok("(+red +shoe)")
    );
    assert!(
        read("simple_query_string", "shoe~2", json!({}))
            .unwrap_err()
            .contains("fuzzy")
    );
}
