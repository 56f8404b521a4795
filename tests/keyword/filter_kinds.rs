//! Filters over dates, places and fields of several values: against a model of what was written into the rows, and
//! against what the expression says of each row.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use millpond::change::{Columns, Datum, Float, Row};
use millpond::definition::{Analyzer, Field, FieldKind, FilterFault, Filters, Index};
use millpond::index::keyword::Compaction;

use super::support::{Random, Shards, index};

fn shops() -> Index {
    let mut index = index(
        &[("name", 1.0, Analyzer::SIMPLE)],
        &[
            ("tags", FieldKind::Keyword),
            ("sizes", FieldKind::I64),
            ("prices", FieldKind::F64),
            ("opened", FieldKind::Date),
            ("place", FieldKind::Geo { lon: None }),
            ("lat", FieldKind::F64),
        ],
    );
    index.plan.columns.push("lon".to_owned());
    index.fields.push(Field {
        name: "home".to_owned(),
        column: 6,
        kind: FieldKind::Geo { lon: Some(7) },
    });
    index
}

/// What a document's fields hold.
#[derive(Clone, Debug)]
struct Shop {
    tags: Vec<&'static str>,
    sizes: Vec<i64>,
    /// Seconds since 1970.
    opened: Vec<i64>,
    /// Latitude and longitude.
    places: Vec<(f64, f64)>,
    home: Option<(f64, f64)>,
}

const TAGS: [&str; 5] = ["", "a", "A", "b%", "c"];
const DAY: i64 = 86_400;
/// Noon of 2026-01-01.
const START: i64 = 1_767_268_800;

fn several<T>(random: &mut Random, mut value: impl FnMut(&mut Random) -> T) -> Vec<T> {
    let count = random.pick(&[0, 1, 1, 2, 3]);
    (0..count).map(|_| value(random)).collect()
}

fn place(random: &mut Random) -> (f64, f64) {
    let lat = random.pick(&[-90.0, -17.5, -17.0, 0.0, 52.52, 52.53, 89.99]);
    (lat, random.pick(&[-180.0, -179.5, 0.0, 13.4, 13.405, 179.75]))
}

fn shop(random: &mut Random) -> Shop {
    Shop {
        tags: several(random, |random| random.pick(&TAGS)),
        sizes: several(random, |random| random.below(7) as i64 - 2),
        opened: several(random, |random| START + (random.below(9) as i64 - 4) * DAY / 2),
        places: several(random, place),
        home: (random.below(3) > 0).then(|| place(random)),
    }
}

/// One value as it is or as an array, none as null or an empty array, several as an array.
fn array(random: &mut Random, values: Vec<Datum>) -> Datum {
    let json = |values: &[Datum]| {
        let mut texts = Vec::new();
        for value in values {
            let mut text = Vec::new();
            value.write_json(&mut text);
            texts.push(String::from_utf8(text).unwrap());
        }
        Datum::Json(format!("[{}]", texts.join(", ")).into())
    };
    match &values[..] {
        [] if random.below(2) == 0 => Datum::Null,
        [one] if random.below(2) == 0 => one.clone(),
        values => json(values),
    }
}

fn date(random: &mut Random, seconds: i64) -> Datum {
    let time = Timestamp::from_second(seconds).unwrap();
    let zoned = |hours| time.to_zoned(TimeZone::fixed(Offset::constant(hours)));
    let midnight = seconds % DAY == 0;
    Datum::text(&match random.below(5) {
        0 => return Datum::Int(seconds * 1_000),
        1 if midnight => zoned(0).date().to_string(),
        1 | 2 => zoned(0).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        3 => time.to_string(),
        _ => zoned(-5).strftime("%Y-%m-%dT%H:%M:%S.000%:z").to_string(),
    })
}

fn spot(random: &mut Random, (lat, lon): (f64, f64)) -> Datum {
    match random.below(3) {
        0 => Datum::text(&format!("{lat}, {lon}")),
        1 => Datum::Json(format!("[{lon}, {lat}]").into()),
        _ => Datum::Json(format!("{{\"lat\": {lat}, \"lon\": {lon}}}").into()),
    }
}

fn row(random: &mut Random, columns: &Arc<Columns>, shop: &Shop) -> Row {
    let opened = shop.opened.iter().map(|seconds| date(random, *seconds)).collect();
    let places = shop.places.iter().map(|place| spot(random, *place)).collect();
    let sizes = shop.sizes.iter();
    let sizes = sizes.map(|size| match random.below(3) {
        0 => Datum::text(&size.to_string()),
        1 => Datum::Float(Float(*size as f64)),
        _ => Datum::Int(*size),
    });
    let sizes = sizes.collect();
    let degrees = |value: Option<f64>| value.map_or(Datum::Null, |value| Datum::Float(Float(value)));
    let values = [
        Datum::text("tea"),
        array(random, shop.tags.iter().map(|tag| Datum::text(tag)).collect()),
        array(random, sizes),
        // The same numbers, with a fraction.
        array(
            random,
            shop.sizes
                .iter()
                .map(|size| Datum::Float(Float(*size as f64 + 0.5)))
                .collect(),
        ),
        array(random, opened),
        array(random, places),
        degrees(shop.home.map(|(lat, _)| lat)),
        degrees(shop.home.map(|(_, lon)| lon)),
    ];
    Row::new(columns.clone(), values)
}

/// A condition as text, and what it is of a shop in SQL's three values.
type Condition = (String, Box<dyn Fn(&Shop) -> Option<bool>>);

fn any<T>(values: &[T], test: impl Fn(&T) -> bool) -> Option<bool> {
    (!values.is_empty()).then(|| values.iter().any(test))
}

fn metres((lat, lon): (f64, f64), (to_lat, to_lon): (f64, f64)) -> f64 {
    // By the angle between two vectors, which is another way to the same.
    let vector = |lat: f64, lon: f64| {
        let (lat, lon) = (lat.to_radians(), lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (vector(lat, lon), vector(to_lat, to_lon));
    let chord = (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
    2.0 * 6_371_008.8 * (chord / 2.0).min(1.0).asin()
}

fn within((lat, lon): (f64, f64), [south, west, north, east]: [f64; 4]) -> bool {
    let width = (east - west).rem_euclid(360.0);
    (south..=north).contains(&lat) && (lon - west).rem_euclid(360.0) <= width
}

fn literal_date(random: &mut Random, seconds: i64) -> String {
    match date(random, seconds) {
        Datum::Text(text) => match random.below(4) {
            0 => format!("'{text}' + interval '36 hours' - interval '1 day' - interval '12' hour"),
            _ => format!("'{text}'"),
        },
        other => format!("{}", if let Datum::Int(value) = other { value } else { 0 }),
    }
}

fn simple(random: &mut Random) -> Condition {
    let tag = random.pick(&TAGS);
    let other = random.pick(&TAGS);
    let size = random.below(8) as i64 - 2;
    let day = START + (random.below(11) as i64 - 5) * DAY / 2;
    let later = day + random.below(4) as i64 * DAY / 2;
    let center = place(random);
    let (lat, lon) = center;
    let far = random.pick(&[0.5, 1_500.0, 60_000.0, 9e6]);
    // So many that the column is walked once for all of them.
    let every_second: Vec<i64> = (0..20).map(|n| size + 2 * n).collect();
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let listed = |value: &dyn Fn(i64) -> String| {
        let values: Vec<String> = every_second.iter().map(|number| value(*number)).collect();
        values.join(", ")
    };
    match random.below(23) {
        0 => (
            format!("tags = '{tag}'"),
            Box::new(move |s| any(&s.tags, |t| *t == tag)),
        ),
        1 => (
            format!("tags <> '{tag}'"),
            Box::new(move |s| any(&s.tags, |t| *t == tag).map(|is| !is)),
        ),
        2 => (
            format!("'{tag}' = ANY(tags)"),
            Box::new(move |s| any(&s.tags, |t| *t == tag)),
        ),
        3 => (
            format!("contains_any(tags, '{tag}', '{other}')"),
            Box::new(move |s| any(&s.tags, |t| *t == tag || *t == other)),
        ),
        4 => (
            format!("contains_all(tags, '{tag}', '{other}')"),
            Box::new(move |s| any(&s.tags, |_| s.tags.contains(&tag) && s.tags.contains(&other))),
        ),
        5 => (
            "LOWER(tags) = 'a' AND tags LIKE '%a'".to_owned(),
            Box::new(|s| {
                any(&s.tags, |_| {
                    s.tags.iter().any(|t| t.eq_ignore_ascii_case("a")) && s.tags.contains(&"a")
                })
            }),
        ),
        6 => ("tags IS NULL".to_owned(), Box::new(|s| Some(s.tags.is_empty()))),
        7 => (
            format!("sizes > {size}"),
            Box::new(move |s| any(&s.sizes, |v| *v > size)),
        ),
        8 => (
            format!("sizes BETWEEN {size} AND {}", size + 1),
            Box::new(move |s| any(&s.sizes, |v| (size..=size + 1).contains(v))),
        ),
        9 => (
            format!("sizes IN ({size}, 1.0, '2')"),
            Box::new(move |s| any(&s.sizes, |v| [size, 1, 2].contains(v))),
        ),
        10 => (
            format!("sizes * 2 = {}", size * 2),
            Box::new(move |s| any(&s.sizes, |v| *v == size)),
        ),
        11 => (
            format!("prices < {size}"),
            Box::new(move |s| any(&s.sizes, |v| *v < size)),
        ),
        12 => (
            "sizes > prices - 1.5".to_owned(),
            Box::new(|s| {
                any(&s.sizes, |v| {
                    s.sizes.iter().any(|p| *v as f64 > *p as f64 + 0.5 - 1.5)
                })
            }),
        ),
        13 => (
            format!("opened >= {}", literal_date(random, day)),
            Box::new(move |s| any(&s.opened, |v| *v >= day)),
        ),
        14 => (
            format!("opened = {}", literal_date(random, day)),
            Box::new(move |s| any(&s.opened, |v| *v == day)),
        ),
        15 => (
            format!(
                "opened BETWEEN {} AND {}",
                literal_date(random, day),
                literal_date(random, later)
            ),
            Box::new(move |s| any(&s.opened, |v| (day..=later).contains(v))),
        ),
        16 => (
            format!("opened + interval '1 day' < {}", literal_date(random, day)),
            Box::new(move |s| any(&s.opened, |v| *v + DAY < day)),
        ),
        17 => (
            format!("geo_distance(place, {lat}, {lon}) < {far}"),
            Box::new(move |s| any(&s.places, |p| metres(*p, center) < far)),
        ),
        18 => (
            format!("{far} <= geo_distance(home, {lat}, {lon})"),
            Box::new(move |s| s.home.map(|p| metres(p, center) >= far)),
        ),
        19 => (
            format!("sizes IN ({})", listed(&|number: i64| number.to_string())),
            Box::new(move |s| any(&s.sizes, |v| every_second.contains(v))),
        ),
        20 => (
            format!(
                "prices IN ({})",
                listed(&|number: i64| (number as f64 + 0.5).to_string())
            ),
            Box::new(move |s| any(&s.sizes, |v| every_second.contains(v))),
        ),
        21 => (
            format!(
                "opened IN ({})",
                listed(&|number: i64| format!("'{}'", at(day + number * DAY / 2)))
            ),
            Box::new(move |s| any(&s.opened, |v| every_second.contains(&((v - day) / (DAY / 2))))),
        ),
        _ => {
            let sides = random.pick(&[
                [-20.0, 179.0, 0.0, -179.0],
                [-90.0, -180.0, 52.525, 13.4],
                [52.525, 13.401, 90.0, 13.41],
                [10.0, 0.0, -10.0, 20.0],
            ]);
            let [south, west, north, east] = sides;
            (
                format!("geo_within(place, {south}, {west}, {north}, {east})"),
                Box::new(move |s| any(&s.places, |p| within(*p, sides))),
            )
        }
    }
}

fn condition(random: &mut Random, depth: usize) -> Condition {
    if depth == 0 {
        return simple(random);
    }
    let (left, holds) = condition(random, depth - 1);
    let (right, holds_too) = condition(random, depth - 1);
    match random.below(3) {
        0 => (format!("NOT ({left})"), Box::new(move |s| holds(s).map(|is| !is))),
        1 => (
            format!("({left}) AND ({right})"),
            Box::new(move |s| match (holds(s), holds_too(s)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (left, right) => Some(left? && right?),
            }),
        ),
        _ => (
            format!("({left}) OR ({right})"),
            Box::new(move |s| match (holds(s), holds_too(s)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (left, right) => Some(left? || right?),
            }),
        ),
    }
}

#[test]
fn dates_places_and_arrays_are_filtered_as_they_were_meant_and_as_the_rows_say() {
    for (seed, compaction) in [(1, Compaction::Inline), (2, Compaction::Background)] {
        let index = shops();
        let mut random = Random::new(seed);
        let columns = Columns::new(&index.plan.columns);
        let mut shards = Shards::new(&index, 2, compaction);
        let mut shops: BTreeMap<String, Shop> = BTreeMap::new();
        for tick in 0..40 {
            // The first tick makes a segment that caches answers.
            let count = if tick == 0 { 2_500 } else { 40 };
            let mut changes = Vec::new();
            for _ in 0..count {
                let key = format!("k{}", random.below(3_000));
                if random.below(5) == 0 {
                    shops.remove(&key);
                    changes.push((key, None));
                    continue;
                }
                let shop = shop(&mut random);
                changes.push((key.clone(), Some(row(&mut random, &columns, &shop))));
                shops.insert(key, shop);
            }
            shards.tick(changes);
            for depth in [0, 0, 0, 0, 1, 1, 2] {
                let (text, holds) = condition(&mut random, depth);
                let meant = shops.iter().filter(|(_, shop)| holds(shop) == Some(true));
                let meant: Vec<&String> = meant.map(|(key, _)| key).collect();
                let filter = shards
                    .filters()
                    .parse(&text)
                    .unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
                let by_rows = shards.rows.iter().filter(|(_, row)| filter.is_true(row));
                let by_rows: Vec<&String> = by_rows.map(|(key, _)| key).collect();
                assert_eq!(by_rows, meant, "by the rows, seed {seed}, tick {tick}: {text}");
                let found = shards.keys(&shards.bitmaps(&filter));
                assert_eq!(
                    found.iter().collect::<Vec<_>>(),
                    meant,
                    "seed {seed}, tick {tick}: {text}"
                );
            }
        }
    }
}

/// What is true of one array, by text.
fn holds_of(tags: &str, text: &str) -> Option<bool> {
    let index = index(
        &[("name", 1.0, Analyzer::SIMPLE)],
        &[("tags", FieldKind::Keyword)],
    );
    let filters = Filters {
        fields: &index.fields,
        now: None,
    };
    let row = Row::new(
        Columns::new(["name", "tags"]),
        [Datum::Null, Datum::Json(tags.into())],
    );
    let is_true = |text: &str| filters.parse(text).unwrap().is_true(&row);
    match (is_true(text), is_true(&format!("NOT ({text})"))) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

#[test]
fn a_condition_on_an_array_is_one_on_any_of_its_values() {
    for (text, expected) in [
        ("tags = 'a'", Some(true)),
        ("tags <> 'a'", Some(false)),
        ("tags <> 'x'", Some(true)),
        ("tags = 'a' AND tags = 'b'", Some(true)),
        ("tags IN ('x', NULL)", None),
        ("tags IN ('a', NULL)", Some(true)),
        ("contains_all(tags, 'a', 'x')", Some(false)),
        ("array_length(tags) = 3", Some(true)),
        ("array_length(tags) > 3 OR tags IS NULL", Some(false)),
        ("CASE WHEN tags = 'b' THEN TRUE ELSE FALSE END", Some(true)),
    ] {
        assert_eq!(holds_of(r#"["a", "b", null]"#, text), expected, "{text}");
    }
    assert_eq!(holds_of("[]", "tags = 'a'"), None);
    assert_eq!(
        holds_of("[]", "tags IS NULL AND array_length(tags) = 0"),
        Some(true)
    );
}

#[test]
fn now_is_the_clock_that_a_filter_is_given() {
    let index = shops();
    let filters = |now| Filters {
        fields: &index.fields,
        now,
    };
    let text = "opened > now() - interval '7 days'";
    let same = "opened > '2025-12-25 12:00:00'";
    let now = Some(START * 1_000_000);
    assert_eq!(filters(now).parse(text), filters(None).parse(same));
    let Err(FilterFault::Wrong(fault)) = filters(None).parse(text) else {
        panic!("there is no clock");
    };
    assert_eq!(fault.message, "there is no clock here for `now()`");
}

#[test]
fn what_a_field_cannot_be_compared_with_is_refused_by_its_name_and_kind() {
    let index = shops();
    let filters = Filters {
        fields: &index.fields,
        now: Some(0),
    };
    let mut out = String::new();
    for text in [
        "sizes = 'large'",
        "lat IN (1, 'x')",
        "opened > 'yesterday'",
        "opened BETWEEN '2026-01-01' AND TRUE",
        "tagz = 'a'",
        "NOT (name = 'a' OR sizes = 1)",
        "place = '1,2'",
        "geo_distance(tags, 1, 2) < 5",
        "geo_distance(place, 91, 2) < 5",
        "geo_within(place, 1, 2, 3)",
        "opened > now() - 7",
        "opened > now() - interval '7 moons'",
        "tags <> ANY('a')",
        "opened > '9999-12-31' + interval '1 year'",
    ] {
        let message = match filters.parse(text) {
            Ok(filter) => format!("is {filter}"),
            Err(fault) => {
                let fault = fault.fault();
                format!(
                    "{}\n  {}",
                    fault.message,
                    fault.hint.as_deref().unwrap_or_default()
                )
            }
        };
        out += &format!("{text}\n  {message}\n");
    }
    expect_test::expect![[r#"
        sizes = 'large'
          `filter` compares `sizes`, which is of the kind i64, with `'large'`
          give a number
        lat IN (1, 'x')
          `filter` compares `lat`, which is of the kind f64, with `'x'`
          give a number
        opened > 'yesterday'
          `filter` compares `opened`, which is of the kind date, with `'yesterday'`
          give a date such as '2026-01-31' or '2026-01-31T12:00:00Z', milliseconds since 1970, or now() - interval '7 days'
        opened BETWEEN '2026-01-01' AND TRUE
          `filter` compares `opened`, which is of the kind date, with `TRUE`
          give a date such as '2026-01-31' or '2026-01-31T12:00:00Z', milliseconds since 1970, or now() - interval '7 days'
        tagz = 'a'
          `filter` names `tagz`, which is not a field of the index
          did you mean `tags`? The fields are `tags`, `sizes`, `prices`, `opened`, `place`, `lat`, `home`
        NOT (name = 'a' OR sizes = 1)
          `filter` names `name`, which is not a field of the index
          the fields are `tags`, `sizes`, `prices`, `opened`, `place`, `lat`, `home`
        place = '1,2'
          `filter` compares `place`, which is of the kind geo
          a place is asked by `geo_distance(place, lat, lon) < metres` and `geo_within(place, south, west, north, east)`
        geo_distance(tags, 1, 2) < 5
          `filter` takes `tags`, which is of the kind keyword, for a place
          the fields of the kind geo are `place`, `home`
        geo_distance(place, 91, 2) < 5
          `filter` has `91` for degrees
          latitudes are from -90 to 90, longitudes from -180 to 180
        geo_within(place, 1, 2, 3)
          GEO_WITHIN with 4 arguments
          it takes five: a place, south, west, north and east
        opened > now() - 7
          `filter` reckons with the date `'1970-01-01T00:00:00.000000Z'`
          `interval '7 days'`: whole numbers of microseconds, seconds, minutes, hours, days, weeks, months or years
        opened > now() - interval '7 moons'
          this INTERVAL is not supported: `INTERVAL '7 moons'`
          `interval '7 days'`: whole numbers of microseconds, seconds, minutes, hours, days, weeks, months or years
        tags <> ANY('a')
          <> ANY is not supported: `tags <> ANY('a')`
          `NOT ('x' = ANY(tags))`, or `tags <> 'x'`, is true where no value is 'x'
        opened > '9999-12-31' + interval '1 year'
          `INTERVAL '1 year'` goes beyond the years 0 to 9999
          `interval '7 days'`: whole numbers of microseconds, seconds, minutes, hours, days, weeks, months or years
    "#]].assert_eq(&out);
}
