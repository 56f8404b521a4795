//! A tenant sees what a node would show that holds the tenant's rows alone.

use millpond::query::{Caller, SearchRequest, Tenants};
use serde_json::{Value, json};

use super::rig::{Port, dataflow, key, keys, row};
use crate::shared::Random;

const WORDS: [&str; 8] = ["red", "blue", "shoe", "lamp", "tea", "cup", "light", "old"];

pub(super) fn some_row(random: &mut Random, id: usize) -> Value {
    let owner = ["acme", "bolt", "core"][random.below(3)];
    let words: Vec<&str> = (0..1 + random.below(4))
        .map(|_| WORDS[random.below(WORDS.len())])
        .collect();
    let mut number = || random.below(200) as f64 / 100.0 - 1.0;
    let place = [number(), number(), number() + 2.0];
    json!({"id": id, "owner": owner, "name": words.join(" "), "price": random.below(50), "place": place})
}

/// Requests to all routes that read, whose answers depend on every document that is there.
fn requests(random: &mut Random) -> Vec<(&'static str, Value)> {
    let word = |random: &mut Random| WORDS[random.below(WORDS.len())];
    let query = format!("{} {}", word(random), word(random));
    let vector = [random.below(9) as f64 - 4.0, 1.0, 0.5];
    let filter = format!("price < {} OR owner = 'bolt'", random.below(50));
    let facets = json!({"owner": {"terms": {}}, "price": {"stats": {}}});
    let searches = vec![
        json!({"vector": vector, "mode": "vector", "exact": true, "limit": 1_000}),
        json!({"vector": vector, "mode": "vector", "limit": 7, "offset": 2}),
        json!({"vector": vector, "mode": "vector", "filter": filter, "limit": 5}),
        json!({"query": query, "mode": "keyword", "limit": 1_000}),
        json!({"query": query, "mode": "keyword", "filter": filter, "limit": 1_000}),
        json!({"query": "shooe ligth", "mode": "keyword", "limit": 1_000}),
        json!({"query": format!("+{query}"), "mode": "keyword", "limit": 5, "explain": true}),
        json!({"query": query, "vector": vector, "limit": 1_000}),
        json!({"query": query, "vector": vector, "limit": 9, "fusion": {"method": "rrf"}, "total": true}),
        json!({"query": query, "mode": "keyword", "limit": 3, "total": true, "facets": facets}),
        json!({"filter": filter, "limit": 4, "total": true, "facets": facets, "sort": ["-price"]}),
        json!({"query": query, "mode": "keyword", "group_by": {"field": "owner"}}),
        json!({"query": query, "mode": "keyword", "distinct": "owner"}),
        // Of one's own or of another: then there is no such document.
        json!({"like": random.below(120).to_string(), "mode": "vector", "limit": 5}),
    ];
    let suggests = [
        json!({"prefix": &word(random)[..2], "limit": 20}),
        json!({"prefix": format!("{} {}", word(random), &word(random)[..1])}),
        json!({"prefix": "", "field": "owner", "limit": 20}),
    ];
    let several = json!({"searches": searches});
    let search = searches.into_iter().map(|search| ("search", search));
    let suggest = suggests.into_iter().map(|suggest| ("suggest", suggest));
    search.chain(suggest).chain([("msearch", several)]).collect()
}

/// What of an answer is of the documents: ticks and times are of the node.
pub(super) fn told(answer: &mut Value) {
    match answer {
        Value::Object(fields) => {
            let of_node = ["as_of", "took_ms", "took", "_seq_no"];
            fields.retain(|name, _| !of_node.contains(&name.as_str()));
            fields.values_mut().for_each(told);
        }
        Value::Array(values) => values.iter_mut().for_each(told),
        _ => {}
    }
}

#[test]
fn a_tenant_sees_what_a_node_with_its_rows_alone_shows() {
    let tenants = ["acme", "bolt", "core"];
    let held: Vec<(String, String)> = tenants
        .iter()
        .map(|tenant| key(tenant, &format!("scopes = [\"search\"]\ntenant = \"{tenant}\"")))
        .collect();
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let sections: String = held
        .iter()
        .map(|(_, section)| section.as_str())
        .chain([write.as_str()])
        .collect();
    for seed in Random::seeds(2) {
        let mut random = Random::new(seed);
        let all = Port::open(&dataflow(&format!("tenant = \"owner\"\n{sections}")));
        let alone: Vec<Port> = tenants.iter().map(|_| Port::open(&dataflow(""))).collect();
        for round in 0..4 {
            // Rows move between tenants, too: they leave the one and come to the other.
            let rows: Vec<Value> = (0..60)
                .map(|_| {
                    let id = random.below(120);
                    some_row(&mut random, id)
                })
                .collect();
            all.push(&writer, &rows);
            for (tenant, node) in tenants.iter().zip(&alone) {
                let own = rows.iter().map(|row| match row["owner"] == *tenant {
                    true => row.clone(),
                    false => json!({"id": row["id"], "_op": "delete"}),
                });
                node.push("", &own.collect::<Vec<_>>());
            }
            let asked = requests(&mut random);
            for ((tenant, node), (holder, _)) in tenants.iter().zip(&alone).zip(&held) {
                for (route, request) in &asked {
                    let path = format!("/v1/indexes/shop/{route}");
                    let (got, expected) = (all.post(&path, holder, request), node.post(&path, "", request));
                    let context = format!("seed {seed}, round {round}, {tenant}: {route} {request}");
                    assert_eq!(got.status, expected.status, "{context}: {}", got.body);
                    let (mut got, mut expected) = (got.json(), expected.json());
                    told(&mut got);
                    told(&mut expected);
                    assert_eq!(got, expected, "{context}");
                }
                for id in 0..120 {
                    let path = format!("/v1/indexes/shop/documents/{id}");
                    let (got, expected) = (all.get(&path, holder), node.get(&path, ""));
                    assert_eq!(got.status, expected.status, "seed {seed}, {tenant}: {id}");
                    let (got, expected) = (got.json(), expected.json());
                    // Whether it is another's or nobody's is not told.
                    assert_eq!(got["document"], expected["document"]);
                    assert_eq!(got["error"], expected["error"]);
                }
                let (got, expected) = ("/v1/indexes/shop/stats", "/v1/indexes/shop/stats");
                let (got, expected) = (all.get(got, holder).json(), node.get(expected, "").json());
                for count in ["documents", "vectors", "vectors_pending"] {
                    assert_eq!(got[count], expected[count], "seed {seed}, {tenant}: {count}");
                }
                assert!(got.get("messages").is_none(), "that is of all tenants: {got}");
            }
        }
    }
}

#[test]
fn without_a_tenant_nothing_is_read_unless_by_who_administers_the_node() {
    let (operator, all) = key("operator", r#"scopes = ["search", "admin", "write"]"#);
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let (acme, one) = key("acme", "scopes = [\"search\"]\ntenant = \"acme\"");
    let (quoted, other) = key("quoted", "scopes = [\"search\"]\ntenant = \"x' OR '1' = '1\"");
    let port = Port::open(&dataflow(&format!(
        "tenant = \"owner\"\n{all}{write}{one}{other}"
    )));
    port.push(
        &writer,
        &[
            row(1, "acme", "red shoe", 1.0),
            row(2, "bolt", "red shoe", 2.0),
            json!({"id": 3, "owner": null, "name": "red shoe", "price": 3, "place": [0, 0, 1]}),
            row(4, "Acme", "red shoe", 4.0),
            row(5, "acme ", "red shoe", 5.0),
            row(6, "", "red shoe", 6.0),
        ],
    );
    let request = json!({"query": "shoe", "mode": "keyword"});
    assert_eq!(keys(&port.search(&operator, &request)).len(), 6);
    assert_eq!(keys(&port.search(&acme, &request)), ["1"]);
    assert!(keys(&port.search(&quoted, &request)).is_empty());
    assert_eq!(port.search(&writer, &request).status, 403);
    // A filter cannot lead out.
    for filter in [
        "1 = 1",
        "owner = 'bolt'",
        "owner IS NULL OR NOT (owner = 'acme')",
        "1 = 1) OR (1 = 1",
    ] {
        let answer = port.search(
            &acme,
            &json!({"query": "shoe", "mode": "keyword", "filter": filter}),
        );
        let found = if answer.status == 400 {
            vec![]
        } else {
            keys(&answer)
        };
        assert!(found.iter().all(|key| key == "1"), "{filter}: {found:?}");
    }
    for path in [
        "/v1/dead-letters",
        "/metrics",
        "/v1/snapshots",
        "/v1/indexes/shop/upgrade",
    ] {
        assert_eq!(port.get(path, &acme).status, 403, "{path} is of all tenants");
    }
}

#[test]
fn a_searcher_that_was_given_to_nobody_shows_nothing_of_tenants() {
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let port = Port::open(&dataflow(&format!("tenant = \"owner\"\n{write}")));
    port.push(&writer, &[row(1, "acme", "red shoe", 1.0)]);
    let request = SearchRequest {
        query: Some("shoe".to_owned()),
        ..SearchRequest::default()
    };
    let searcher = port.app().searcher.as_ref().unwrap();
    assert_eq!(searcher.search(&request).unwrap_err().code, "no_tenant");
    assert!(searcher.document("1").is_none());
    assert_eq!(searcher.stats().documents, 0);
    assert_eq!(searcher.stats().messages, 0);
    assert_eq!(searcher.seen_by_operator().stats().documents, 1);

    // A tenant of an index that has none: nobody knows which documents are theirs.
    let other = Port::open(&dataflow(""));
    other.push("", &[row(1, "acme", "red shoe", 1.0)]);
    let searcher = other.app().searcher.as_ref().unwrap();
    assert_eq!(searcher.search(&request).unwrap().hits.len(), 1);
    let tenant = Caller {
        tenants: Tenants::One("acme".into()),
        ..Caller::default()
    };
    let tenants = searcher.seen_by(&tenant).unwrap();
    assert!(tenants.search(&request).is_err() && tenants.document("1").is_none());
    assert_eq!(tenants.stats().documents, 0);
}
