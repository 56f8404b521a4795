//! Filters as JSON against the same in SQL, and what is wrong with them.

use serde_json::json;

use super::*;
use crate::definition::{Field, FieldKind};

fn fields() -> Vec<Field> {
    let kinds = [
        ("category", FieldKind::Keyword),
        ("price", FieldKind::F64),
        ("made", FieldKind::Date),
        ("place", FieldKind::Geo { lon: None }),
    ];
    let field = |(column, (name, kind)): (usize, (&str, FieldKind))| Field {
        name: name.to_owned(),
        column,
        kind,
    };
    kinds.into_iter().enumerate().map(field).collect()
}

fn read(filter: Value) -> Filtered {
    let fields = fields();
    let filters = Filters {
        fields: &fields,
        now: None,
    };
    super::filter(filter.as_object().unwrap(), &filters)
}

#[test]
fn a_filter_is_the_same_as_json_and_as_sql() {
    for (json, sql) in [
        (json!({"eq": {"category": "shoes"}}), "category = 'shoes'"),
        (json!({"ne": {"category": "shoes"}}), "category <> 'shoes'"),
        (json!({"in": {"price": [1, 2.5]}}), "price IN (1, 25e-1)"),
        (
            json!({"contains_all": {"category": ["a", "b"]}}),
            "contains_all(category, 'a', 'b')",
        ),
        (json!({"exists": "price"}), "price IS NOT NULL"),
        (
            json!({"prefix": {"category": "50%_\\"}}),
            "category LIKE '50\\%\\_\\\\%'",
        ),
        (
            json!({"geo_distance": {"field": "place", "lat": 1, "lon": -2, "metres": 3}}),
            "geo_distance(place, 1, -2) <= 3",
        ),
        (
            json!({"geo_box": {"field": "place", "south": 1, "west": 2, "north": 3, "east": 4}}),
            "geo_within(place, 1, 2, 3, 4)",
        ),
        (
            json!({"range": {"made": {"gt": "2026-01-01"}}}),
            "made > '2026-01-01'",
        ),
        (
            json!({"or": [{"not": {"eq": {"price": 1}}}, "price > 2", {"and": [{"exists": "made"}]}]}),
            "NOT price = 1 OR price > 2 OR made IS NOT NULL",
        ),
    ] {
        let fields = fields();
        let filters = Filters {
            fields: &fields,
            now: None,
        };
        assert_eq!(read(json.clone()), filters.parse(sql), "{json}");
    }
}

#[test]
fn a_range_holds_for_one_value_that_is_between_both_ends() {
    use crate::change::{Columns, Row};
    let within = read(json!({"range": {"price": {"gte": 10, "lt": 50}}})).unwrap();
    let row = |price: &str| {
        let prices = Datum::Json(price.into());
        Row::new(Columns::new(["category", "price"]), [Datum::Null, prices])
    };
    assert!(within.is_true(&row("[5, 10]")));
    assert!(
        !within.is_true(&row("[5, 50]")),
        "5 and 50 are not between 10 and 50"
    );
}

#[test]
fn what_is_no_filter_is_refused_with_what_there_is() {
    let deep = (0..40).fold(json!({"exists": "price"}), |inner, _| json!({"not": inner}));
    let mut said = String::new();
    for filter in [
        json!({}),
        json!({"eq": {"category": "a"}, "exists": "price"}),
        json!({"equals": {"category": "a"}}),
        json!({"must": []}),
        json!({"eq": {"categroy": "a"}}),
        json!({"eq": {"category": "a", "price": 1}}),
        json!({"eq": {"price": "cheap"}}),
        json!({"eq": {"price": null}}),
        json!({"in": {"price": 1}}),
        json!({"in": {"price": [[1]]}}),
        json!({"range": {"price": {"from": 1}}}),
        json!({"range": {"price": {}}}),
        json!({"range": {"made": {"gte": "now-7d"}}}),
        json!({"and": []}),
        json!({"and": [1]}),
        json!({"exists": "prize"}),
        json!({"not": "price <"}),
        json!({"geo_distance": {"field": "place", "lat": 1, "lon": 2, "meters": 3}}),
        json!({"geo_distance": {"field": "price", "lat": 1, "lon": 2, "metres": 3}}),
        json!({"in": {"price": vec![1; 10_000]}}),
        deep,
    ] {
        let fault = read(filter.clone()).expect_err(&filter.to_string());
        let fault = fault.fault();
        let mut shown = filter.to_string();
        shown.truncate(90);
        said += &format!(
            "{shown}\n  {}\n  {}\n",
            fault.message,
            fault.hint.as_deref().unwrap_or_default()
        );
    }
    expect_test::expect![[r#"
        {}
          a condition of `filter` has 0 operators
          it has one; several conditions are joined by `{"and": [...]}`
        {"eq":{"category":"a"},"exists":"price"}
          a condition of `filter` has 2 operators
          it has one; several conditions are joined by `{"and": [...]}`
        {"equals":{"category":"a"}}
          `filter` has the unknown operator `equals`
          did you mean `eq`? The operators are `and`, `or`, `not`, `eq`, `ne`, `in`, `contains_any`, `contains_all`, `range`, `exists`, `prefix`, `geo_distance`, `geo_box`
        {"must":[]}
          `filter` has the unknown operator `must`
          the operators are `and`, `or`, `not`, `eq`, `ne`, `in`, `contains_any`, `contains_all`, `range`, `exists`, `prefix`, `geo_distance`, `geo_box`
        {"eq":{"categroy":"a"}}
          `filter` names `categroy`, which is not a field of the index
          did you mean `category`? The fields are `category`, `price`, `made`, `place`
        {"eq":{"category":"a","price":1}}
          the operator `eq` of `filter` has an object of `category`, `price`
          it takes an object of one field: `{"category": ...}`
        {"eq":{"price":"cheap"}}
          `filter` compares `price`, which is of the kind f64, with `'cheap'`
          give a number
        {"eq":{"price":null}}
          `eq` compares `price` with null
          `{"not": {"exists": "field"}}` is true where there is no value
        {"in":{"price":1}}
          the operator `in` of `filter` has `1`
          it takes a field and a list: `{"brand": ["a", "b"]}`
        {"in":{"price":[[1]]}}
          `in` compares `price` with a list of 1
          values are text, numbers, true and false
        {"range":{"price":{"from":1}}}
          `range` has the unknown bound `from`
          the bounds are `gt`, `gte`, `lt`, `lte`
        {"range":{"price":{}}}
          the operator `range` of `filter` has an object of `price`
          it takes a field and its bounds: `{"price": {"gte": 10, "lt": 50}}`
        {"range":{"made":{"gte":"now-7d"}}}
          `filter` compares `made`, which is of the kind date, with `'now-7d'`
          give a date such as '2026-01-31' or '2026-01-31T12:00:00Z', milliseconds since 1970, or now() - interval '7 days'
        {"and":[]}
          the operator `and` of `filter` has a list of 0
          it takes at least one condition
        {"and":[1]}
          `filter` has `1` where a condition should be
          a condition is SQL text, or an object with one of `and`, `or`, `not`, `eq`, `ne`, `in`, `contains_any`, `contains_all`, `range`, `exists`, `prefix`, `geo_distance`, `geo_box`
        {"exists":"prize"}
          `filter` names `prize`, which is not a field of the index
          did you mean `price`? The fields are `category`, `price`, `made`, `place`
        {"not":"price <"}
          SQL: expected an expression, found: EOF
          a filter is a condition such as `category = 'shoes' AND price < 100`
        {"geo_distance":{"field":"place","lat":1,"lon":2,"meters":3}}
          the operator `geo_distance` of `filter` has an object of `field`, `lat`, `lon`, `meters`
          it takes an object of `field`, `lat`, `lon`, `metres`
        {"geo_distance":{"field":"price","lat":1,"lon":2,"metres":3}}
          `filter` takes `price`, which is of the kind f64, for a place
          the fields of the kind geo are `place`
        {"in":{"price":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,
          `filter` has more than 10000 conditions and values
          select the documents by fewer values
        {"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not"
          `filter` nests too deeply
          at most 32 levels
    "#]].assert_eq(&said);
}
