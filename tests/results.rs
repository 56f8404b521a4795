//! Totals, facets, sorting, groups, highlights, several searches and completion, through the port of a running node.

mod model;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::binary::Served;
use crate::shared::{Random, Stop};
use model::{Asked, Row, Rows, SortKey, WORDS};

const BY_WORDS: &str = r#"
name = "shop"
[tables.products]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, name, note, category, brand, price, stock, sale, made, spot FROM products"
key = "id"
text = { name = { boost = 2.0 }, note = { analyzer = "simple" } }
fields = { category = "keyword", brand = "keyword", price = "f64", stock = "i64", sale = "bool", made = "date", spot = "geo" }
"#;

/// With vectors as well.
fn hybrid() -> String {
    format!("{BY_WORDS}embed = \"{{name}}\"\n[embedder]\nmodel = \"hash\"\ndimensions = 16\n")
}

/// A node and the rows that it should have.
struct Shop {
    node: Served,
    rows: Rows,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn open(dataflow: &str, workers: usize) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("shop.toml");
        std::fs::write(&path, dataflow).unwrap();
        Shop {
            node: Served::start_with(&path, &["--workers", &workers.to_string()]),
            rows: Rows::new(),
            _folder: folder,
        }
    }

    fn with(dataflow: &str, rows: &[Value]) -> Shop {
        let shop = Shop::open(dataflow, 1);
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        shop.push(lines);
        shop
    }

    fn push(&self, lines: String) {
        let (status, body) = self.node.post("/v1/tables/products/changes?wait=visible", lines);
        assert_eq!((status, &body["dead_letters"]), (200, &json!(0)), "{body}");
    }

    /// A tick of inserts, updates and deletes.
    fn change(&mut self, random: &mut Random, keys: usize, changes: usize) {
        let mut lines = String::new();
        for _ in 0..changes {
            let id = random.below(keys) as i64;
            if random.percent(20) {
                self.rows.remove(&id);
                lines += &format!("{}\n", json!({"id": id, "_op": "delete"}));
            } else {
                let row = Row::random(random, id);
                lines += &format!("{}\n", row.json());
                self.rows.insert(id, row);
            }
        }
        self.push(lines);
    }

    #[track_caller]
    fn search(&self, request: &Value) -> Value {
        self.node.search("shop", request)
    }

    #[track_caller]
    fn refused(&self, path: &str, request: &Value, code: &str, said: &[&str]) {
        let (status, body) = self
            .node
            .post(&format!("/v1/indexes/shop/{path}"), request.to_string());
        let error = &body["error"];
        assert_eq!((status, &error["code"]), (400, &json!(code)), "{request}: {body}");
        let text = format!("{} {}", error["message"], error["hint"]);
        for said in said {
            assert!(text.contains(said), "{request}: {text} does not say {said}");
        }
    }
}

fn keys(hits: &Value) -> Vec<String> {
    let hits = hits.as_array().unwrap_or_else(|| panic!("{hits}"));
    hits.iter()
        .map(|hit| hit["key"].as_str().unwrap().to_owned())
        .collect()
}

fn keys_of(rows: &[&Row]) -> Vec<String> {
    rows.iter().map(|row| row.key()).collect()
}

/// Runs `check` after every tick of random changes; of the seeds, some with two workers.
fn at_every_tick(dataflow: &str, check: impl Fn(&Shop, &mut Random, &str)) {
    for seed in Random::seeds(2) {
        let mut random = Random::new(seed);
        let mut shop = Shop::open(dataflow, 1 + seed as usize % 2);
        for tick in 0..25 {
            let changes = 1 + random.below(40);
            shop.change(&mut random, 160, changes);
            check(&shop, &mut random, &format!("seed {seed}, tick {tick}"));
        }
    }
}

#[test]
fn totals_and_facets_are_those_of_the_plain_model_at_every_tick() {
    at_every_tick(BY_WORDS, |shop, random, at| {
        let asked = Asked::random(random);
        let result = asked.result(&shop.rows);
        let ranges = [
            json!({"to": 0}),
            json!({"from": 0, "to": 4.5}),
            json!({"from": 2}),
            json!({}),
        ];
        let dates = [
            json!({"from": "2024-03-01T12:00:00.000000Z", "to": "2025-02-01"}),
            json!({"to": "2024-06-01"}),
            json!({"from": "2025-01-01"}),
            json!({}),
        ];
        let size = 1 + random.below(8);
        let request = asked.request(json!({
            "limit": random.below(5), "total": true, "facets": {
                "category": {"terms": {}},
                "brand": {"terms": {"size": size}},
                "brands_by_name": {"field": "brand", "terms": {"size": size, "order": "value"}},
                "price": {"terms": {"size": size}},
                "stock": {"terms": {"size": 100, "order": "value"}},
                "sale": {"terms": {}},
                "price_ranges": {"field": "price", "ranges": ranges},
                "stock_ranges": {"field": "stock", "ranges": ranges},
                "price_histogram": {"field": "price", "histogram": {"interval": 7.5}},
                "stock_histogram": {"field": "stock", "histogram": {"interval": 4}},
                "price_stats": {"field": "price", "stats": {}},
                "stock_stats": {"field": "stock", "stats": {}},
                "made": {"terms": {"size": size}},
                "months": {"field": "made", "date_histogram": {"interval": "month"}},
                "years": {"field": "made", "date_histogram": {"interval": "year"}},
                "made_ranges": {"field": "made", "ranges": dates},
                "made_extent": {"field": "made", "stats": {}},
            },
        }));
        let answer = shop.search(&request);
        assert_eq!(
            answer["total"],
            json!({"value": result.len(), "relation": "eq"}),
            "{at}: {request}"
        );
        let expected = json!({
            "category": model::terms(&result, "category", 10, false),
            "brand": model::terms(&result, "brand", size, false),
            "brands_by_name": model::terms(&result, "brand", size, true),
            "price": model::terms(&result, "price", size, false),
            "stock": model::terms(&result, "stock", 100, true),
            "sale": model::terms(&result, "sale", 10, false),
            "price_ranges": model::ranges(&result, "price", &ranges),
            "stock_ranges": model::ranges(&result, "stock", &ranges),
            "price_histogram": model::histogram(&result, "price", 7.5),
            "stock_histogram": model::histogram(&result, "stock", 4.0),
            "price_stats": model::stats(&result, "price"),
            "stock_stats": model::stats(&result, "stock"),
            "made": model::terms(&result, "made", size, false),
            "months": model::dates(&result, 7),
            "years": model::dates(&result, 4),
            "made_ranges": model::date_ranges(&result, &dates),
            "made_extent": model::date_stats(&result),
        });
        for (name, expected) in expected.as_object().unwrap() {
            let (mut found, mut expected) = (answer["facets"][name].clone(), expected.clone());
            if name.ends_with("_stats") {
                // Read back from JSON, its last digit may be another.
                let [mean, same] = [&mut found, &mut expected]
                    .map(|stats| stats["mean"].take().as_f64().unwrap_or_default());
                assert!(
                    (mean - same).abs() < 1e-12,
                    "{at}: {name} of {request}: {mean} is not {same}"
                );
            }
            if name.ends_with("_stats") && found["count"] == 0 {
                // A sum of nothing is whole.
                expected["sum"] = json!(0);
            }
            assert_eq!(found, expected, "{at}: {name} of {request}");
        }
    });
}

#[test]
fn times_are_counted_by_the_calendar() {
    let times = [
        "2026-01-31T23:59:59.999Z",
        "2026-02-01T00:00:00Z",
        "2026-02-28T12:00:00Z",
        "1969-12-31T23:00:00Z",
    ];
    let mut rows: Vec<Value> = times
        .iter()
        .enumerate()
        .map(|(id, time)| {
            let time: jiff::Timestamp = time.parse().unwrap();
            json!({"id": id, "name": "red", "stock": time.as_millisecond()})
        })
        .collect();
    rows.push(json!({"id": 8, "name": "red", "stock": null}));
    rows.push(json!({"id": 9, "name": "red", "stock": i64::MAX}));
    let shop = Shop::with(BY_WORDS, &rows);
    let answer = shop.search(&json!({
        "query": "red", "facets": {"stock": {"date_histogram": {"interval": "month"}}},
    }));
    assert_eq!(
        answer["facets"]["stock"],
        json!({"date_histogram": [
            {"from": "1969-12-01T00:00:00Z", "count": 1},
            {"from": "2026-01-01T00:00:00Z", "count": 1},
            {"from": "2026-02-01T00:00:00Z", "count": 2},
        ], "missing": 2})
    );
}

#[test]
fn a_page_of_a_sorted_result_is_that_of_the_plain_model_at_every_tick() {
    let orders: [(Value, &[SortKey]); 10] = [
        (json!("price"), &[("price", false, false)]),
        (json!("-price"), &[("price", true, false)]),
        (json!({"stock": "desc"}), &[("stock", true, false)]),
        (
            json!({"stock": {"order": "asc", "missing": "first"}}),
            &[("stock", false, true)],
        ),
        (
            json!([{"category": "desc"}, "brand", "-stock"]),
            &[
                ("category", true, false),
                ("brand", false, false),
                ("stock", true, false),
            ],
        ),
        (
            json!(["sale", {"price": {"order": "desc", "missing": "first"}}]),
            &[("sale", false, false), ("price", true, true)],
        ),
        (json!(["-brand"]), &[("brand", true, false)]),
        (json!("-made"), &[("made", true, false)]),
        (
            json!([{"made": {"order": "asc", "missing": "first"}}, "sale"]),
            &[("made", false, true), ("sale", false, false)],
        ),
        (
            json!(["-sale", "-category"]),
            &[("sale", true, false), ("category", true, false)],
        ),
    ];
    at_every_tick(BY_WORDS, |shop, random, at| {
        let asked = Asked::random(random);
        let (sort, order) = &orders[random.below(orders.len())];
        let (offset, limit) = (random.below(60), random.below(60));
        let request = asked.request(json!({"sort": sort, "offset": offset, "limit": limit}));
        let mut result = asked.result(&shop.rows);
        model::sort(&mut result, order);
        let page: Vec<&Row> = result.into_iter().skip(offset).take(limit).collect();
        let answer = shop.search(&request);
        assert_eq!(keys(&answer["hits"]), keys_of(&page), "{at}: {request}");
        for (hit, row) in answer["hits"].as_array().unwrap().iter().zip(page) {
            let values: Vec<Value> = order.iter().map(|(field, ..)| row.field(field)).collect();
            assert_eq!(hit["sort"], json!(values), "{at}: {request}: {hit}");
        }
        // Page by page, each behind the last hit of the one before.
        let mut rest = asked.result(&shop.rows);
        model::sort(&mut rest, order);
        let size = 1 + random.below(30);
        let mut next = asked.request(json!({"sort": sort, "limit": size}));
        for page in rest.chunks(size) {
            let answer = shop.search(&next);
            assert_eq!(keys(&answer["hits"]), keys_of(page), "{at}: {next}");
            let last = &answer["hits"][page.len() - 1];
            let mut after = last["sort"].as_array().unwrap().clone();
            after.push(last["key"].clone());
            next["search_after"] = json!(after);
        }
        assert_eq!(shop.search(&next)["hits"], json!([]), "{at}: {next}");
    });
}

#[test]
fn a_page_begins_behind_values_that_no_document_has_any_more() {
    let rows: Vec<Value> = (0..40)
        .map(|id| json!({"id": id, "name": "red", "brand": format!("b{:02}", id / 2), "price": id / 4}))
        .collect();
    let shop = Shop::with(BY_WORDS, &rows);
    let first = |sort: Value, after: Value| {
        let request = json!({"query": "red", "sort": sort, "search_after": after, "limit": 1});
        keys(&shop.search(&request)["hits"])
    };
    assert_eq!(first(json!("brand"), json!(["b03x"])), ["8"], "between two texts");
    assert_eq!(first(json!("-brand"), json!(["b03x"])), ["6"]);
    assert_eq!(first(json!("brand"), json!(["z"])), [""; 0], "behind all");
    assert_eq!(first(json!("brand"), json!(["a"])), ["0"], "before all");
    assert_eq!(
        first(json!("price"), json!([1.5])),
        ["10"],
        "of 8 to 11 the first as text"
    );
    assert_eq!(
        first(json!("price"), json!([2])),
        ["12"],
        "without a key all ties are left out"
    );
    assert_eq!(first(json!("price"), json!([2, "10"])), ["11"]);
    assert_eq!(
        first(json!("price"), json!([2, "10000"])),
        ["11"],
        "a key that is gone"
    );
    assert_eq!(
        first(json!("price"), json!([null, "5"])),
        [""; 0],
        "what is missing is last"
    );
}

#[test]
fn a_result_by_score_is_gone_through_beyond_ten_thousand_hits() {
    let rows: Vec<Value> = (0..10_500)
        .map(|id| json!({"id": id, "name": if id % 3 == 0 { "red rug" } else { "red" }}))
        .collect();
    let shop = Shop::with(BY_WORDS, &rows);
    let mut request = json!({"query": "red rug", "sort": "_score", "limit": 4_000});
    let mut seen = Vec::new();
    loop {
        let answer = shop.search(&request);
        let Some(last) = answer["hits"].as_array().unwrap().last() else {
            break;
        };
        seen.extend(keys(&answer["hits"]));
        request["search_after"] = json!([last["sort"][0], last["key"]]);
    }
    let order = |key: &String| (key.parse::<i64>().unwrap() % 3 != 0, key.clone());
    assert_eq!(seen.len(), 10_500);
    assert!(
        seen.is_sorted_by_key(order),
        "each once, in the order of the scores and then of the keys"
    );
}

#[test]
fn places_are_sorted_by_their_distance_at_every_tick() {
    at_every_tick(BY_WORDS, |shop, random, at| {
        let asked = Asked::random(random);
        let (lat, lon) = (random.below(181) as f64 - 90.0, random.below(361) as f64 - 180.0);
        let is_descending = random.percent(40);
        let mut key = json!({"field": "spot", "lat": lat, "lon": lon});
        if is_descending {
            key["order"] = json!("desc");
        }
        let request = asked.request(json!({"sort": [{"_geo_distance": key}], "limit": 200}));
        let answer = shop.search(&request);
        let hits = answer["hits"].as_array().unwrap();
        let mut expected: Vec<Option<f64>> = asked
            .result(&shop.rows)
            .iter()
            .map(|row| {
                let (row_lat, row_lon) = row.spot?;
                Some(model::metres((lat, lon), (row_lat.into(), row_lon.into())))
            })
            .collect();
        expected.sort_by(|a, b| match (a, b) {
            (Some(a), Some(b)) if is_descending => b.total_cmp(a),
            (Some(a), Some(b)) => a.total_cmp(b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
        assert_eq!(hits.len(), expected.len(), "{at}: {request}");
        for (hit, expected) in hits.iter().zip(expected) {
            let found = hit["sort"][0].as_f64();
            let row = &shop.rows[&hit["key"].as_str().unwrap().parse().unwrap()];
            let own = row
                .spot
                .map(|(row_lat, row_lon)| model::metres((lat, lon), (row_lat.into(), row_lon.into())));
            // The other formula is good to a metre.
            let is_near = |other: Option<f64>| match (found, other) {
                (Some(found), Some(other)) => (found - other).abs() < 1.0,
                (found, other) => found.is_none() && other.is_none(),
            };
            assert!(
                is_near(expected) && is_near(own),
                "{at}: {request}: {hit}, {expected:?}, {own:?}"
            );
        }
        let mut next = request.clone();
        let half = hits.len() / 2;
        if half > 0 {
            next["search_after"] = json!([hits[half - 1]["sort"][0], hits[half - 1]["key"]]);
            assert_eq!(
                keys(&shop.search(&next)["hits"]),
                keys(&answer["hits"])[half..],
                "{at}: {next}"
            );
        }
    });
}

#[test]
fn what_a_filter_lets_through_is_listed_by_key_with_nothing_to_search_for() {
    at_every_tick(BY_WORDS, |shop, random, at| {
        let asked = Asked {
            words: None,
            filter: random.percent(80).then(|| random.below(model::FILTERS.len())),
        };
        let request = asked.request(json!({"total": true, "limit": 7, "offset": random.below(9)}));
        let mut result = asked.result(&shop.rows);
        model::sort(&mut result, &[]);
        let offset = request["offset"].as_u64().unwrap() as usize;
        let page: Vec<&Row> = result.iter().copied().skip(offset).take(7).collect();
        let answer = shop.search(&request);
        assert_eq!(keys(&answer["hits"]), keys_of(&page), "{at}: {request}");
        assert_eq!(answer["total"]["value"], result.len(), "{at}: {request}");
        let is_plain = |hit: &Value| hit["score"] == 0.0 && hit.get("keyword").is_none();
        assert!(
            answer["hits"].as_array().unwrap().iter().all(is_plain),
            "{at}: {answer}"
        );
    });
}

#[test]
fn groups_and_distinct_values_are_those_of_the_whole_order_at_every_tick() {
    at_every_tick(BY_WORDS, |shop, random, at| {
        let asked = Asked::random(random);
        let field = ["brand", "category", "sale", "stock", "made"][random.below(5)];
        let size = 1 + random.below(3);
        let (offset, limit) = (random.below(3), 1 + random.below(40));
        // By relevance, or by a field.
        let mut request = asked.request(json!({"limit": 10_000}));
        if random.percent(50) {
            request["sort"] = json!("-price");
        } else if asked.words.is_none() {
            request["total"] = json!(true);
        }
        let order = keys(&shop.search(&request)["hits"]);
        let order: Vec<&Row> = order
            .iter()
            .map(|key| &shop.rows[&key.parse().unwrap()])
            .collect();
        assert_eq!(order.len(), asked.result(&shop.rows).len(), "{at}: {request}");
        let expected: Vec<_> = model::groups(&order, field, size)
            .into_iter()
            .skip(offset)
            .take(limit)
            .collect();

        request["limit"] = json!(limit);
        request["offset"] = json!(offset);
        request["group_by"] = json!({"field": field, "size": size});
        let answer = shop.search(&request);
        let groups = answer["groups"].as_array().unwrap().iter();
        let groups: Vec<_> = groups
            .map(|group| (group["value"].clone(), keys(&group["hits"])))
            .collect();
        assert_eq!(groups, expected, "{at}: {request}");
        assert_eq!(answer["hits"], json!([]), "{at}");

        request.as_object_mut().unwrap().remove("group_by");
        request["distinct"] = json!(field);
        let firsts: Vec<String> = expected.iter().map(|(_, keys)| keys[0].clone()).collect();
        assert_eq!(keys(&shop.search(&request)["hits"]), firsts, "{at}: {request}");
    });
}

#[test]
fn groups_are_found_however_many_hits_the_first_one_has() {
    let row = |id: i64| match id {
        ..300 => json!({"id": id, "name": "red rug", "price": id, "brand": "A"}),
        _ => json!({"id": id, "name": "red", "price": id, "brand": format!("B{}", id % 5)}),
    };
    let shop = Shop::with(&hybrid(), &(0..400).map(row).collect::<Vec<_>>());
    for how in [
        json!({"mode": "keyword"}),
        json!({"mode": "vector"}),
        json!({"mode": "hybrid"}),
        json!({"mode": "keyword", "sort": "price"}),
    ] {
        let mut request = how.clone();
        request["query"] = json!("red rug");
        request["distinct"] = json!("brand");
        assert_eq!(keys(&shop.search(&request)["hits"]).len(), 6, "{request}");
        request.as_object_mut().unwrap().remove("distinct");
        request["group_by"] = json!({"field": "brand", "size": 4});
        let answer = shop.search(&request);
        let groups = answer["groups"].as_array().unwrap();
        assert_eq!((groups.len(), &groups[0]["value"]), (6, &json!("A")), "{request}");
        let is_full = |group: &Value| group["hits"].as_array().unwrap().len() == 4;
        assert!(groups.iter().all(is_full), "{answer}");
    }
}

#[test]
fn a_hybrid_result_is_what_has_the_words_and_what_the_vector_leg_returned() {
    at_every_tick(&hybrid(), |shop, random, at| {
        let mut asked = Asked::random(random);
        asked.words.get_or_insert_with(|| vec![WORDS[0]]);
        let mut near = asked.request(json!({"mode": "vector", "limit": 100, "total": true}));
        let nearest = shop.search(&near);
        let nearest_keys: BTreeSet<String> = keys(&nearest["hits"]).into_iter().collect();
        assert_eq!(
            nearest["total"],
            json!({"value": nearest_keys.len(), "relation": "eq"}),
            "{at}: {near}"
        );
        let mut union = nearest_keys.clone();
        union.extend(keys_of(&asked.result(&shop.rows)));

        let request =
            asked.request(json!({"limit": 3, "total": true, "facets": {"category": {"terms": {}}}}));
        let answer = shop.search(&request);
        assert_eq!(answer["total"]["value"], union.len(), "{at}: {request}");
        let mut rows: Vec<&Row> = union
            .iter()
            .map(|key| &shop.rows[&key.parse().unwrap()])
            .collect();
        assert_eq!(
            answer["facets"]["category"],
            model::terms(&rows, "category", 10, false),
            "{at}: {request}"
        );
        let sorted = shop.search(&asked.request(json!({"limit": 100, "sort": "price"})));
        model::sort(&mut rows, &[("price", false, false)]);
        rows.truncate(100);
        assert_eq!(keys(&sorted["hits"]), keys_of(&rows), "{at}: {request}");

        // As many groups as there are, though few documents are asked for.
        near["group_by"] = json!({"field": "brand", "size": 1});
        near["limit"] = json!(20);
        let groups = shop.search(&near)["groups"].as_array().unwrap().len();
        let in_reach = Asked {
            words: None,
            filter: asked.filter,
        };
        let brands: BTreeSet<_> = in_reach
            .result(&shop.rows)
            .iter()
            .map(|row| row.brand.clone())
            .collect();
        assert_eq!(groups, brands.len().min(20), "{at}: {near}");
    });
}

#[test]
fn a_sort_by_score_ranks_the_whole_result_and_breaks_ties_by_the_next_key() {
    let rows: Vec<Value> = (0..300)
        .map(|id| json!({"id": id, "name": if id % 3 == 0 { "red rug" } else { "red" }, "price": id % 7}))
        .collect();
    let shop = Shop::with(BY_WORDS, &rows);
    let answer = shop.search(&json!({"query": "rug red", "sort": ["_score", "-price"], "limit": 300}));
    let hits = answer["hits"].as_array().unwrap();
    let order = |hit: &Value| {
        let id: i64 = hit["key"].as_str().unwrap().parse().unwrap();
        (id % 3 != 0, -(id % 7), id.to_string())
    };
    assert_eq!(hits.len(), 300);
    assert!(hits.is_sorted_by_key(order), "{answer}");
    assert!(
        hits.iter()
            .all(|hit| hit["keyword"]["score"] == hit["score"] && hit["sort"][1].is_number())
    );
    // The worst first: not the worst of the best hundred, but of all.
    let worst = shop.search(&json!({"query": "rug red", "sort": {"_score": "asc"}, "limit": 1}));
    assert_eq!(worst["hits"][0]["key"], "1", "{worst}");
    // The order that hits have anyway.
    let usual = shop.search(&json!({"query": "rug red", "sort": "_score", "limit": 20}));
    let plain = shop.search(&json!({"query": "rug red", "limit": 20}));
    assert_eq!(keys(&usual["hits"]), keys(&plain["hits"]));
}

#[test]
fn a_total_is_counted_to_its_bound_and_only_where_it_is_asked_for() {
    let rows: Vec<Value> = (0..12).map(|id| json!({"id": id, "name": "red"})).collect();
    let shop = Shop::with(BY_WORDS, &rows);
    let total = |total: Value| shop.search(&json!({"query": "red", "total": total}))["total"].clone();
    assert_eq!(
        total(json!({"up_to": 12})),
        json!({"value": 12, "relation": "eq"})
    );
    assert_eq!(
        total(json!({"up_to": 11})),
        json!({"value": 11, "relation": "gte"})
    );
    assert_eq!(total(json!(false)), json!(null));
    assert!(shop.search(&json!({"query": "red"})).get("total").is_none());
}

#[test]
fn words_are_highlighted_as_their_field_is_analysed() {
    let long = format!(
        "{} The red rugs are here: red, RED! {}",
        "far away. ".repeat(60),
        "the end. ".repeat(60)
    );
    let shop = Shop::with(
        BY_WORDS,
        &[
            json!({"id": 1, "name": "Rugs for <ragged> rooms", "note": "a rug is no rugs"}),
            json!({"id": 2, "name": "Rug", "note": long}),
            json!({"id": 3, "name": "Lamp of the rug"}),
        ],
    );
    let highlights = |request: Value| -> Value {
        let answer = shop.search(&request);
        let hits = answer["hits"].as_array().unwrap().iter();
        hits.map(|hit| (hit["key"].as_str().unwrap().to_owned(), hit["highlight"].clone()))
            .collect()
    };
    let shown = highlights(json!({"query": "rug", "highlight": {"fragment": 60}}));
    assert_eq!(
        shown["1"],
        json!({"name": ["<em>Rugs</em> for <ragged> rooms"], "note": ["a <em>rug</em> is no rugs"]}),
        "stems match in `name`, whole words in `note`"
    );
    assert_eq!(shown["3"], json!({"name": ["Lamp of the <em>rug</em>"]}));
    let shown = highlights(json!({
        "query": "red rugs", "filter": "price IS NULL",
        "highlight": {"fields": ["note"], "pre": "[", "post": "]", "fragment": 45, "fragments": 1},
    }));
    assert_eq!(
        shown["2"],
        json!({"note": ["The [red] [rugs] are here: [red], [RED]! the"]})
    );
    assert_eq!(
        shown["3"],
        Value::Null,
        "its note is null, and `name` was not asked for"
    );
    let shown = highlights(json!({"query": "rug", "highlight": {"fields": ["name"], "encode": "html"}}));
    assert_eq!(
        shown["1"],
        json!({"name": ["<em>Rugs</em> for &lt;ragged&gt; rooms"]})
    );
    // Hits that the order of a field brings, too.
    let sorted = highlights(json!({"query": "lamp", "sort": "price", "highlight": {}}));
    assert_eq!(sorted, json!({"3": {"name": ["<em>Lamp</em> of the rug"]}}));
}

#[test]
fn what_a_search_has_found_is_highlighted_and_nothing_else() {
    let dataflow = format!("{BY_WORDS}synonyms = [\"tent => marquee tarpaulin\", [\"cup\", \"mug\"]]\n");
    let shop = Shop::with(
        &dataflow,
        &[
            json!({"id": 1, "name": "Shoehorn for shoes", "note": "red shoes and a red old shoe"}),
            json!({"id": 2, "name": "Backpacks", "note": "a backpack for mugs"}),
            json!({"id": 3, "name": "Marquee tarpaulin", "note": "marquee or tarpaulin, tent"}),
        ],
    );
    let check = |query: &str, key: &str, expected: Value| {
        let answer = shop.search(&json!({"query": query, "highlight": {"pre": "[", "post": "]"}}));
        let hits = answer["hits"].as_array().unwrap();
        let hit = hits.iter().find(|hit| hit["key"] == key);
        let hit = hit.unwrap_or_else(|| panic!("{query}: {answer}"));
        assert_eq!(hit["highlight"], expected, "{query}");
    };
    check(
        "sho*",
        "1",
        json!({"name": ["[Shoehorn] for [shoes]"], "note": ["red [shoes] and a red old [shoe]"]}),
    );
    check(
        "\"red shoes\"",
        "1",
        json!({"note": ["[red shoes] and a red old shoe"]}),
    );
    check(
        "\"red shoe\"~1",
        "1",
        json!({"note": ["red shoes and a [red] old [shoe]"]}),
    );
    check(
        "note:shoe",
        "1",
        json!({"note": ["red shoes and a red old [shoe]"]}),
    );
    check(
        "horn shoehorn -kettle -\"old shoes\" -no*",
        "1",
        json!({"name": ["[Shoehorn] for shoes"]}),
    );
    check(
        "backpakcs",
        "2",
        json!({"name": ["[Backpacks]"], "note": ["a [backpack] for mugs"]}),
    );
    check(
        "tent",
        "3",
        json!({"name": ["[Marquee tarpaulin]"], "note": ["marquee or tarpaulin, [tent]"]}),
    );
    check("mugs", "2", json!({"note": ["a backpack for [mugs]"]}));
    // The document is found without the typing error's help: what stands near it is not what was found.
    shop.push(format!(
        "{}\n",
        json!({"id": 4, "name": "shoehorn", "note": "shoehorm"})
    ));
    check("shoehorn", "4", json!({"name": ["[shoehorn]"]}));
}

#[test]
fn a_text_that_is_found_by_parts_of_words_is_completed_by_words() {
    for analyzer in ["ngram", "edge_ngram"] {
        let analyzer = format!("analyzer = \"{analyzer}\", min = 2, max = 4");
        let dataflow = BY_WORDS.replace("analyzer = \"simple\"", &analyzer);
        let rows = ["Running shoes", "running runner", "run", "Rune", "brunch"];
        let rows: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(id, note)| json!({"id": id, "name": "red", "note": note, "price": id}))
            .collect();
        let shop = Shop::with(&dataflow, &rows);
        let suggest = |prefix: &str| -> Vec<String> {
            let request = json!({"prefix": prefix, "field": "note", "filter": "price < 4"});
            let (_, answer) = shop.node.post("/v1/indexes/shop/suggest", request.to_string());
            let suggestions = answer["suggestions"]
                .as_array()
                .unwrap_or_else(|| panic!("{answer}"));
            let text = |one: &Value| format!("{} {}", one["text"].as_str().unwrap(), one["count"]);
            suggestions.iter().map(text).collect()
        };
        assert_eq!(
            suggest("run"),
            ["running 2", "run 1", "rune 1", "runner 1"],
            "{analyzer}"
        );
        assert_eq!(
            suggest("runni"),
            ["running 2"],
            "longer than any part: {analyzer}"
        );
        assert_eq!(suggest("r"), suggest("run"), "shorter than any part: {analyzer}");
        assert_eq!(suggest("shoes Runn"), ["shoes running 1"], "{analyzer}");
        assert_eq!(suggest("unn"), [""; 0], "{analyzer}");
    }
}

#[test]
fn several_searches_are_answered_from_one_snapshot_while_changes_arrive() {
    let mut random = Random::new(5);
    let mut shop = Shop::open(BY_WORDS, 1);
    shop.change(&mut random, 50, 50);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                shop.push(format!(
                    "{}\n",
                    Row::random(&mut Random::new(id), id as i64 % 50).json()
                ));
            }
        });
        let ticks = || -> BTreeSet<u64> {
            let all = json!({"total": true, "limit": 0});
            let searches = vec![all; 32];
            let (status, body) = shop.node.post(
                "/v1/indexes/shop/msearch",
                json!({ "searches": searches }).to_string(),
            );
            assert_eq!(status, 200, "{body}");
            let answers = body["answers"].as_array().unwrap();
            assert_eq!(answers.len(), 32);
            answers
                .iter()
                .map(|one| one["as_of"]["tick"].as_u64().unwrap())
                .collect()
        };
        // Until changes were seen to arrive in between.
        let mut seen = BTreeSet::new();
        let _stop = Stop(&stop);
        while seen.len() < 5 {
            let one = ticks();
            assert_eq!(one.len(), 1, "one snapshot for all: {one:?}");
            seen.extend(one);
        }
    });
}

#[test]
fn an_error_of_one_search_is_its_own_answer() {
    let shop = Shop::with(BY_WORDS, &[json!({"id": 1, "name": "red"})]);
    let post = |body: String| shop.node.post("/v1/indexes/shop/msearch", body);
    let searches = json!({"searches": [
        {"query": "red"}, {"querry": "red"}, {"query": "red", "filter": "nothing > 1"}, {"query": "blue"}, 7,
    ]});
    let (status, body) = post(searches.to_string());
    assert_eq!(status, 200, "{body}");
    let answers = &body["answers"];
    assert_eq!(keys(&answers[0]["hits"]), ["1"]);
    assert_eq!(answers[1]["error"]["code"], "bad_request");
    assert_eq!(answers[2]["error"]["code"], "unknown_field");
    assert_eq!(answers[3]["hits"], json!([]));
    assert_eq!(answers[4]["error"]["code"], "bad_request");
    for (count, expected) in [(0, 400), (32, 200), (33, 400)] {
        let searches = vec![json!({"query": "red"}); count];
        let (status, body) = post(json!({ "searches": searches }).to_string());
        assert_eq!(status, expected, "{count}: {body}");
        if status == 400 {
            assert_eq!(body["error"]["code"], "bad_searches");
        }
    }
}

#[test]
fn completions_are_those_of_the_plain_model_at_every_tick() {
    at_every_tick(BY_WORDS, |shop, random, at| {
        let filter = random.percent(40).then(|| random.below(model::FILTERS.len()));
        let before: Vec<&str> = (0..random.below(3))
            .map(|_| WORDS[random.below(WORDS.len())])
            .collect();
        let word = WORDS[random.below(WORDS.len())];
        let typed = &word[..1 + random.below(word.len())];
        let prefix = before.iter().map(|word| format!("{word} ")).collect::<String>();
        let in_reach = Asked { words: None, filter };
        let in_reach = in_reach.result(&shop.rows);
        let narrowed = in_reach
            .iter()
            .filter(|row| before.iter().all(|word| row.words().contains(word)));
        let narrowed: Vec<_> = narrowed.collect();
        let mut expected: Vec<(i64, String)> = WORDS
            .iter()
            .filter(|word| word.starts_with(typed))
            .map(|word| {
                let has = |row: &&&&Row| row.note.as_ref().is_some_and(|note| note.contains(word));
                (
                    -(narrowed.iter().filter(has).count() as i64),
                    format!("{prefix}{word}"),
                )
            })
            .filter(|(count, _)| *count < 0)
            .collect();
        expected.sort();
        let mut request = json!({"prefix": format!("{prefix}{typed}"), "field": "note", "limit": 10});
        if let Some(filter) = filter {
            request["filter"] = json!(model::FILTERS[filter].0);
        }
        let suggested = |request: &Value| -> Vec<(i64, String)> {
            let (status, answer) = shop.node.post("/v1/indexes/shop/suggest", request.to_string());
            assert_eq!(status, 200, "{answer}");
            let suggestions = answer["suggestions"].as_array().unwrap().iter();
            suggestions
                .map(|one| {
                    (
                        -one["count"].as_i64().unwrap(),
                        one["text"].as_str().unwrap().to_owned(),
                    )
                })
                .collect()
        };
        assert_eq!(suggested(&request), expected, "{at}: {request}");

        // Values of a keyword field, whatever the case.
        let typed = format!("b{}", random.below(4));
        let mut brands: Vec<(i64, String)> = Vec::new();
        for brand in in_reach.iter().filter_map(|row| row.brand.clone()) {
            match brands.iter_mut().find(|(_, known)| *known == brand) {
                Some((count, _)) => *count -= 1,
                None if brand.to_lowercase().starts_with(&typed) => brands.push((-1, brand)),
                None => {}
            }
        }
        brands.sort();
        brands.truncate(3);
        request["prefix"] = json!(typed);
        request["field"] = json!("brand");
        request["limit"] = json!(3);
        assert_eq!(suggested(&request), brands, "{at}: {request}");
    });
}

#[test]
fn a_word_is_completed_as_it_is_written_though_its_stem_is_indexed() {
    let shop = Shop::with(
        BY_WORDS,
        &[
            json!({"id": 1, "name": "Running shoes"}),
            json!({"id": 2, "name": "Running tights"}),
            json!({"id": 3, "name": "A happy run"}),
            json!({"id": 4, "name": "Happy batteries"}),
        ],
    );
    let suggest = |prefix: &str| -> Vec<String> {
        let (_, answer) = shop.node.post(
            "/v1/indexes/shop/suggest",
            json!({ "prefix": prefix }).to_string(),
        );
        let suggestions = answer["suggestions"].as_array().unwrap().iter();
        suggestions
            .map(|one| format!("{} {}", one["text"].as_str().unwrap(), one["count"]))
            .collect()
    };
    assert_eq!(
        suggest("runnin"),
        ["running 3"],
        "documents with the word in any of its forms"
    );
    assert_eq!(suggest("ru"), ["running 3"]);
    assert_eq!(suggest("happy"), ["happy 2"]);
    assert_eq!(
        suggest("the happy bat"),
        ["the happy batteries 1"],
        "`the` narrows nothing"
    );
    assert_eq!(suggest("batteries"), ["batteries 1"]);
    assert_eq!(suggest("lamp ru"), [""; 0]);
    assert_eq!(suggest(" - "), [""; 0]);
}

#[test]
fn what_cannot_be_asked_is_refused_and_says_what_could() {
    let shop = Shop::with(BY_WORDS, &[json!({"id": 1, "name": "red"})]);
    let fields = &["prize", "`category`", "`price`"];
    for request in [
        json!({"query": "red", "facets": {"prize": {"terms": {}}}}),
        json!({"query": "red", "facets": {"p": {"field": "prize", "stats": {}}}}),
        json!({"query": "red", "sort": "-prize"}),
        json!({"query": "red", "sort": [{"prize": {"order": "asc"}}]}),
        json!({"query": "red", "group_by": {"field": "prize"}}),
        json!({"query": "red", "distinct": "prize"}),
    ] {
        shop.refused("search", &request, "unknown_field", fields);
    }
    let note = json!({"query": "red", "highlight": {"fields": ["price"]}});
    shop.refused("search", &note, "unknown_field", &["price", "`name`, `note`"]);
    for (facet, said) in [
        (json!({}), "stats"),
        (json!({"terms": {}, "stats": {}}), "one way"),
        (json!({"terms": {"size": 0}}), "10000"),
        (json!({"field": "brand", "stats": {}}), "no numbers"),
        (
            json!({"field": "sale", "histogram": {"interval": 1}}),
            "no numbers",
        ),
        (json!({"histogram": {"interval": 0}}), "more than 0"),
        (json!({"ranges": []}), "100"),
        (json!({"date_histogram": {"interval": "day"}}), "no times"),
        (json!({"ranges": [{"from": "2026-01-01"}]}), "no number"),
        (json!({"field": "made", "ranges": [{"to": "soon"}]}), "ISO 8601"),
        (
            json!({"field": "made", "histogram": {"interval": 1}}),
            "date_histogram",
        ),
        (json!({"field": "spot", "terms": {}}), "places"),
        (json!({"field": "spot", "stats": {}}), "geo_distance"),
    ] {
        let request = json!({"query": "red", "facets": {"price": facet}});
        shop.refused("search", &request, "bad_facet", &["price", said]);
    }
    for (request, code) in [
        (json!({"query": "red", "sort": []}), "bad_sort"),
        (
            json!({"query": "red", "sort": {"price": "asc", "stock": "asc"}}),
            "bad_sort",
        ),
        (json!({"query": "red", "sort": {"price": "up"}}), "bad_request"),
        (json!({"query": "red", "sort": "spot"}), "bad_sort"),
        (json!({"query": "red", "sort": "_geo_distance"}), "bad_sort"),
        (
            json!({"query": "red", "sort": {"_geo_distance": {"field": "price", "lat": 1, "lon": 1}}}),
            "bad_sort",
        ),
        (
            json!({"query": "red", "sort": {"_geo_distance": {"field": "spot", "lat": 91, "lon": 1}}}),
            "bad_sort",
        ),
        (
            json!({"query": "red", "sort": {"spot": {"field": "spot", "lat": 1, "lon": 1}}}),
            "bad_sort",
        ),
        (
            json!({"query": "red", "search_after": [1, "1"]}),
            "bad_search_after",
        ),
        (
            json!({"query": "red", "sort": "price", "search_after": []}),
            "bad_search_after",
        ),
        (
            json!({"query": "red", "sort": "price", "search_after": ["x"]}),
            "bad_search_after",
        ),
        (
            json!({"query": "red", "sort": "made", "search_after": ["soon"]}),
            "bad_search_after",
        ),
        (
            json!({"query": "red", "sort": "price", "search_after": [1, "1", 2]}),
            "bad_search_after",
        ),
        (
            json!({"query": "red", "sort": "price", "search_after": [1], "distinct": "brand"}),
            "bad_search_after",
        ),
        (
            json!({"query": "red", "sort": "price", "search_after": [[1]]}),
            "bad_request",
        ),
        (json!({"query": "red", "total": 5}), "bad_request"),
        (
            json!({"query": "red", "group_by": {"field": "brand", "size": 0}}),
            "bad_group",
        ),
        (
            json!({"query": "red", "limit": 5_000, "group_by": {"field": "brand", "size": 3}}),
            "bad_group",
        ),
        (
            json!({"query": "red", "distinct": "brand", "group_by": {"field": "brand"}}),
            "bad_group",
        ),
        (
            json!({"query": "red", "highlight": {"fragment": 0}}),
            "bad_highlight",
        ),
        (
            json!({"query": "red", "highlight": {"pre": "x".repeat(101)}}),
            "bad_highlight",
        ),
        (json!({}), "missing_query"),
        (json!({"mode": "keyword", "filter": "price < 3"}), "missing_query"),
    ] {
        shop.refused("search", &request, code, &[]);
    }
    for (request, code) in [
        (json!({"prefix": "r", "field": "price"}), "unknown_field"),
        (json!({"prefix": "r", "filter": "prize < 3"}), "unknown_field"),
        (json!({"prefix": "r", "limit": 0}), "bad_limit"),
        (json!({"prefix": "r".repeat(1_001)}), "bad_prefix"),
        (json!({"limit": 3}), "bad_request"),
    ] {
        shop.refused("suggest", &request, code, &[]);
    }
}
