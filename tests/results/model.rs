//! Rows in a map, and everything that is asked of them computed in the plainest way.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::shared::Random;

/// No two share a stem, and none is a stop word or long enough to be taken for another.
pub const WORDS: [&str; 10] = [
    "red", "blue", "tent", "lamp", "shoe", "rug", "pot", "cup", "sofa", "rope",
];

#[derive(Clone, Debug)]
pub struct Row {
    pub id: i64,
    pub name: Vec<&'static str>,
    pub note: Option<Vec<&'static str>>,
    pub category: Option<String>,
    pub brand: Option<String>,
    /// Quarters, so that sums are exact in any order.
    pub price: Option<f64>,
    pub stock: Option<i64>,
    pub sale: Option<bool>,
    /// Whole seconds, as ISO 8601 has them.
    pub made: Option<String>,
    /// Latitude and longitude.
    pub spot: Option<(i32, i32)>,
}

pub type Rows = BTreeMap<i64, Row>;

impl Row {
    pub fn random(random: &mut Random, id: i64) -> Row {
        let words = |random: &mut Random, most: usize| {
            let count = 1 + random.below(most);
            (0..count).map(|_| WORDS[random.below(WORDS.len())]).collect()
        };
        Row {
            id,
            name: words(random, 4),
            note: random.percent(70).then(|| words(random, 12)),
            category: random.percent(85).then(|| format!("c{}", random.below(4))),
            brand: random.percent(90).then(|| format!("B{}", random.below(30))),
            price: random.percent(85).then(|| random.below(400) as f64 / 4.0 - 20.0),
            stock: random.percent(85).then(|| random.below(12) as i64 - 3),
            sale: random.percent(80).then(|| random.percent(50)),
            made: random.percent(80).then(|| {
                let (year, month, day) = (2024 + random.below(2), 1 + random.below(12), 1 + random.below(28));
                format!(
                    "{year}-{month:02}-{day:02}T{:02}:00:00.000000Z",
                    random.below(2) * 12
                )
            }),
            spot: random.percent(80).then(|| {
                (
                    random.below(7) as i32 * 20 - 60,
                    random.below(9) as i32 * 40 - 160,
                )
            }),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name.join(" "), "note": self.note.as_ref().map(|note| note.join(" ")),
            "category": self.category, "brand": self.brand, "price": self.price, "stock": self.stock, "sale": self.sale,
            "made": self.made, "spot": self.spot.map(|(lat, lon)| json!({"lat": lat, "lon": lon})),
        })
    }

    pub fn key(&self) -> String {
        self.id.to_string()
    }

    pub fn words(&self) -> BTreeSet<&'static str> {
        self.name
            .iter()
            .chain(self.note.iter().flatten())
            .copied()
            .collect()
    }

    /// Null where there is none.
    pub fn field(&self, name: &str) -> Value {
        self.json()[name].clone()
    }
}

/// Conditions as the port takes them, and as the model does.
pub const FILTERS: [(&str, fn(&Row) -> bool); 6] = [
    ("price < 30", |row| row.price.is_some_and(|price| price < 30.0)),
    ("category = 'c1' OR sale", |row| {
        row.category.as_deref() == Some("c1") || row.sale == Some(true)
    }),
    ("stock IS NULL", |row| row.stock.is_none()),
    ("brand <> 'B0' AND price >= 10", |row| {
        row.brand.as_ref().is_some_and(|brand| brand != "B0") && row.price.is_some_and(|price| price >= 10.0)
    }),
    ("NOT category IN ('c0', 'c2')", |row| {
        matches!(row.category.as_deref(), Some("c1" | "c3"))
    }),
    ("price > 1000", |_| false),
];

/// What is asked: words, of which a row has one at least, and a filter. Both may be left out.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub words: Option<Vec<&'static str>>,
    pub filter: Option<usize>,
}

impl Asked {
    pub fn random(random: &mut Random) -> Asked {
        let words = 1 + random.below(2);
        Asked {
            words: random
                .percent(75)
                .then(|| (0..words).map(|_| WORDS[random.below(WORDS.len())]).collect()),
            filter: random.percent(60).then(|| random.below(FILTERS.len())),
        }
    }

    /// The request, to which more is added.
    pub fn request(&self, more: Value) -> Value {
        let mut request = more;
        if let Some(words) = &self.words {
            request["query"] = json!(words.join(" "));
        }
        if let Some(filter) = self.filter {
            request["filter"] = json!(FILTERS[filter].0);
        }
        request
    }

    pub fn result<'r>(&self, rows: &'r Rows) -> Vec<&'r Row> {
        let has_words = |row: &&Row| {
            let found = row.words();
            self.words
                .as_ref()
                .is_none_or(|words| words.iter().any(|word| found.contains(word)))
        };
        let is_allowed = |row: &&Row| self.filter.is_none_or(|filter| FILTERS[filter].1(row));
        rows.values().filter(has_words).filter(is_allowed).collect()
    }
}

/// The order of two values of a field, neither of them null.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (a, b) => a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap()),
    }
}

/// A sort key: field, whether the greatest comes first, whether what is missing does.
pub type SortKey = (&'static str, bool, bool);

pub fn sort(rows: &mut [&Row], keys: &[SortKey]) {
    rows.sort_by(|a, b| {
        for (field, is_descending, is_missing_first) in keys {
            let (a, b) = (a.field(field), b.field(field));
            let order = match (a.is_null(), b.is_null()) {
                (false, false) if *is_descending => compare(&b, &a),
                (false, false) => compare(&a, &b),
                (true, true) => Ordering::Equal,
                (true, false) if *is_missing_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if *is_missing_first => Ordering::Greater,
                (false, true) => Ordering::Less,
            };
            if order.is_ne() {
                return order;
            }
        }
        a.key().cmp(&b.key())
    });
}

fn missing(rows: &[&Row], field: &str) -> usize {
    rows.iter().filter(|row| row.field(field).is_null()).count()
}

pub fn terms(rows: &[&Row], field: &str, size: usize, by_value: bool) -> Value {
    let mut counts: Vec<(Value, usize)> = Vec::new();
    for value in rows
        .iter()
        .map(|row| row.field(field))
        .filter(|value| !value.is_null())
    {
        match counts.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((value, 1)),
        }
    }
    counts.sort_by(|a, b| match by_value {
        true => compare(&a.0, &b.0),
        false => b.1.cmp(&a.1).then_with(|| compare(&a.0, &b.0)),
    });
    let others: usize = counts.iter().skip(size).map(|(_, count)| count).sum();
    let shown = counts
        .iter()
        .take(size)
        .map(|(value, count)| json!({"value": value, "count": count}));
    json!({
        "terms": shown.collect::<Vec<_>>(), "values": counts.len(), "others": others, "missing": missing(rows, field),
    })
}

pub fn ranges(rows: &[&Row], field: &str, ranges: &[Value]) -> Value {
    let counted = ranges.iter().map(|range| {
        let is_inside = |value: f64| {
            range["from"].as_f64().is_none_or(|from| value >= from)
                && range["to"].as_f64().is_none_or(|to| value < to)
        };
        let count = rows
            .iter()
            .filter(|row| row.field(field).as_f64().is_some_and(is_inside))
            .count();
        let mut counted = range.clone();
        counted["count"] = json!(count);
        counted
    });
    json!({"ranges": counted.collect::<Vec<_>>(), "missing": missing(rows, field)})
}

pub fn histogram(rows: &[&Row], field: &str, interval: f64) -> Value {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for value in rows.iter().filter_map(|row| row.field(field).as_f64()) {
        *counts.entry((value / interval).floor() as i64).or_default() += 1;
    }
    let buckets = counts
        .iter()
        .map(|(number, count)| json!({"from": *number as f64 * interval, "count": count}));
    json!({"histogram": buckets.collect::<Vec<_>>(), "missing": missing(rows, field)})
}

pub fn stats(rows: &[&Row], field: &str) -> Value {
    let mut values: Vec<Value> = rows.iter().map(|row| row.field(field)).collect();
    values.retain(|value| !value.is_null());
    values.sort_by(compare);
    let sum: f64 = values.iter().filter_map(Value::as_f64).sum();
    let is_whole = values.first().is_none_or(Value::is_i64);
    let mut stats = json!({
        "count": values.len(),
        "sum": if is_whole { json!(sum as i64) } else { json!(sum) },
        "missing": missing(rows, field),
    });
    if let (Some(least), Some(greatest)) = (values.first(), values.last()) {
        stats["min"] = least.clone();
        stats["max"] = greatest.clone();
        stats["mean"] = json!(sum / values.len() as f64);
    }
    stats
}

/// By the first letters of their text: 4 are years, 7 months.
pub fn dates(rows: &[&Row], letters: usize) -> Value {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for made in rows.iter().filter_map(|row| row.made.as_ref()) {
        let first = format!("{}{}", &made[..letters], &"2024-01-01T00:00:00Z"[letters..]);
        *counts.entry(first).or_default() += 1;
    }
    let buckets = counts
        .iter()
        .map(|(from, count)| json!({"from": from, "count": count}));
    json!({"date_histogram": buckets.collect::<Vec<_>>(), "missing": missing(rows, "made")})
}

/// Text of one length orders as the dates do.
pub fn date_ranges(rows: &[&Row], ranges: &[Value]) -> Value {
    let counted = ranges.iter().map(|range| {
        let is_inside = |made: &&String| {
            range["from"].as_str().is_none_or(|from| made.as_str() >= from)
                && range["to"].as_str().is_none_or(|to| made.as_str() < to)
        };
        let mut counted = range.clone();
        counted["count"] = json!(
            rows.iter()
                .filter_map(|row| row.made.as_ref())
                .filter(is_inside)
                .count()
        );
        counted
    });
    json!({"ranges": counted.collect::<Vec<_>>(), "missing": missing(rows, "made")})
}

pub fn date_stats(rows: &[&Row]) -> Value {
    let mut made: Vec<jiff::Timestamp> = rows
        .iter()
        .filter_map(|row| Some(row.made.as_ref()?.parse().unwrap()))
        .collect();
    made.sort();
    let mut stats = json!({"count": made.len(), "missing": missing(rows, "made")});
    if let (Some(least), Some(greatest)) = (made.first(), made.last()) {
        let text = |time: &jiff::Timestamp| format!("{time:.6}");
        let sum: i128 = made.iter().map(|time| i128::from(time.as_microsecond())).sum();
        let mean = jiff::Timestamp::from_microsecond((sum / made.len() as i128) as i64).unwrap();
        stats["min"] = json!(text(least));
        stats["max"] = json!(text(greatest));
        stats["mean"] = json!(text(&mean));
    }
    stats
}

/// Metres over the sphere between two places in degrees, by their angle as vectors.
pub fn metres((a_lat, a_lon): (f64, f64), (b_lat, b_lon): (f64, f64)) -> f64 {
    let vector = |lat: f64, lon: f64| {
        let (lat, lon) = (lat.to_radians(), lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (vector(a_lat, a_lon), vector(b_lat, b_lon));
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    6_371_008.8 * dot.clamp(-1.0, 1.0).acos()
}

/// Groups of keys, best first, of rows in their order.
pub fn groups(rows: &[&Row], field: &str, size: usize) -> Vec<(Value, Vec<String>)> {
    let mut groups: Vec<(Value, Vec<String>)> = Vec::new();
    for row in rows {
        let value = row.field(field);
        let place = match groups.iter().position(|(known, _)| *known == value) {
            Some(place) => place,
            None => {
                groups.push((value, Vec::new()));
                groups.len() - 1
            }
        };
        if groups[place].1.len() < size {
            groups[place].1.push(row.key());
        }
    }
    groups
}
