//! The doors for clients of OpenSearch and for agents: the same keys, scopes and tenants as for all other routes.

use serde_json::{Value, json};

use super::rig::{Answer, Port, dataflow, key, row};
use super::tenants::{some_row, told};
use crate::shared::Random;

fn ask(port: &Port, key: &str, method: &str, path: &str, body: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if !key.is_empty() {
        headers.push(("authorization", format!("Bearer {key}")));
    }
    port.send(method.parse().unwrap(), path, &headers, body)
}

/// A call of a tool for agents.
fn call(tool: &str, arguments: &Value) -> String {
    let params = json!({"name": tool, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
}

#[test]
fn a_search_key_cannot_write_and_a_write_key_cannot_read_through_any_door() {
    let (searcher, search) = key("searcher", r#"scopes = ["search"]"#);
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let (administrator, admin) = key("administrator", r#"scopes = ["admin"]"#);
    let port = Port::open(&dataflow(&format!("{search}{write}{admin}")));
    port.push(&writer, &[row(1, "a", "red shoe", 2.0)]);
    let lines = "{}\n{}\n";
    let bulk = "{\"index\":{\"_id\":\"5\"}}\n{\"name\":\"x\"}\n";
    let document = r#"{"name":"x"}"#;
    let ids = r#"{"ids":["1"]}"#;
    let (find, get, stats) = (
        call("search", &json!({"query": "shoe"})),
        call("get", &json!({"key": "1"})),
        call("stats", &json!({})),
    );
    let batch = format!("[{get},{stats}]");
    let routes = [
        ("GET", "/shop/_search", "", "search"),
        ("POST", "/shop/_search", "{}", "search"),
        ("POST", "/_search", "{}", "search"),
        ("GET", "/_search", "", "search"),
        ("POST", "/shop/_count", "{}", "search"),
        ("GET", "/shop/_count", "", "search"),
        ("POST", "/shop/_msearch", lines, "search"),
        ("POST", "/_msearch", lines, "search"),
        ("POST", "/shop/_mget", ids, "search"),
        ("POST", "/_mget", ids, "search"),
        ("GET", "/shop/_doc/1", "", "search"),
        ("HEAD", "/shop/_doc/1", "", "search"),
        ("HEAD", "/shop", "", "search"),
        ("GET", "/shop/_mapping", "", "search"),
        ("GET", "/_cat/indices", "", "search"),
        ("GET", "/_cat/indices/shop", "", "search"),
        ("GET", "/_cluster/health", "", "search"),
        ("POST", "/mcp", &find, "search"),
        ("POST", "/mcp", &get, "search"),
        ("POST", "/mcp", &stats, "search"),
        ("POST", "/mcp", &batch, "search"),
        ("POST", "/shop/_bulk", bulk, "write"),
        ("PUT", "/shop/_bulk", bulk, "write"),
        ("POST", "/_bulk", bulk, "write"),
        ("PUT", "/_bulk", bulk, "write"),
        ("PUT", "/shop/_doc/5", document, "write"),
        ("POST", "/shop/_doc/5", document, "write"),
        ("POST", "/shop/_doc", r#"{"id":5,"name":"x"}"#, "write"),
        ("PUT", "/shop/_create/6", document, "write"),
        ("POST", "/shop/_create/7", document, "write"),
        ("DELETE", "/shop/_doc/5", "", "write"),
    ];
    let described = port.get("/openapi.json", "").json();
    for (method, path, body, needed) in routes {
        let mut template = path.replacen("shop", "{index}", 1);
        if let Some((start, id)) = template.rsplit_once('/')
            && id.parse::<u32>().is_ok()
        {
            template = format!("{start}/{{id}}");
        }
        let operation = &described["paths"][&template][method.to_lowercase()];
        assert!(
            operation["responses"].is_object(),
            "{method} {template} is not described"
        );
        for (scope, key) in [
            ("search", &searcher),
            ("write", &writer),
            ("admin", &administrator),
        ] {
            let answer = ask(&port, key, method, path, body);
            let context = format!("{method} {path} by {scope}: {}", answer.body);
            match scope == needed {
                true => assert!((200..=201).contains(&answer.status), "{context}"),
                false => assert_eq!(answer.status, 403, "{context}"),
            }
            if scope != needed && method != "HEAD" {
                assert_eq!(answer.code(), "missing_scope", "{context}");
            }
        }
        assert_eq!(ask(&port, "", method, path, body).status, 401, "{method} {path}");
    }
    // Of what was refused nothing was done: the writer deleted 5 at the end, and made 6 and 7.
    let waits = ask(&port, &writer, "PUT", "/shop/_doc/8?refresh=true", document);
    assert_eq!(waits.status, 201, "{}", waits.body);
    let count = ask(&port, &searcher, "POST", "/shop/_count", "{}").json();
    assert_eq!(count["count"], 4, "{count}");
}

/// Requests whose answers depend on every document that is there.
fn requests(random: &mut Random) -> Vec<(&'static str, String)> {
    let [one, two, three, four, five] =
        [(); 5].map(|()| ["red", "blue", "shoe", "lamp", "tea", "cup"][random.below(6)]);
    let match_two = json!({"match": {"name": format!("{one} {two}")}});
    let start = &three[..2];
    let prefix = json!({"prefix": {"name": start}});
    let line = json!({"query_string": {"query": format!("{four} -{five}")}});
    let below = json!({"range": {"price": {"lt": random.below(50)}}});
    let ids: Vec<String> = (0..20).map(|_| random.below(60).to_string()).collect();
    let near = json!({"place": {"vector": [random.below(9) as f64 - 4.0, 1.0, 0.5], "k": 8}});
    let aggs = json!({
        "owners": {"terms": {"field": "owner"}},
        "price": {"stats": {"field": "price"}},
        "different": {"cardinality": {"field": "owner"}},
        "lacking": {"missing": {"field": "owner"}},
    });
    let others = json!({"bool": {"should": [{"term": {"owner": "bolt"}}, {"match_all": {}}], "must_not": [{"term": {"owner": "acme"}}]}});
    let searches = [
        json!({"size": 100}),
        json!({"query": match_two, "size": 100, "explain": true}),
        json!({"query": match_two, "aggs": aggs, "size": 0, "track_total_hits": true}),
        json!({"aggs": aggs, "size": 2, "sort": [{"price": "desc"}, "_id"]}),
        json!({"query": prefix, "sort": [{"price": "desc"}, "_id"], "size": 3}),
        json!({"query": {"bool": {"must": match_two, "filter": below}}, "size": 100}),
        json!({"query": others, "size": 100}),
        json!({"query": line, "size": 100, "highlight": {"fields": {"name": {}}}}),
        json!({"query": {"ids": {"values": ids}}, "size": 100}),
        json!({"query": {"exists": {"field": "owner"}}, "size": 100}),
        json!({"query": {"knn": near}}),
        json!({"query": {"hybrid": {"queries": [match_two, {"knn": near}]}}}),
    ];
    let several: String = searches
        .iter()
        .map(|search| format!("{{}}\n{search}\n"))
        .collect();
    let docs: Vec<Value> = ids
        .iter()
        .map(|id| json!({"_id": id, "_source": ["name", "owner"]}))
        .collect();
    let mut requests = vec![
        ("/shop/_msearch", several.clone()),
        ("/_msearch", several),
        ("/shop/_mget", json!({"ids": ids}).to_string()),
        ("/_mget", json!({"docs": docs}).to_string()),
        ("/_search?q=shoe&size=50", String::new()),
        (
            "/mcp",
            call(
                "search",
                &json!({"query": one, "mode": "keyword", "limit": 50, "total": true}),
            ),
        ),
        (
            "/mcp",
            call(
                "search",
                &json!({"query": "", "filter": "price < 100", "facets": {"owner": {"terms": {}}}}),
            ),
        ),
        ("/mcp", call("get", &json!({"key": ids[0]}))),
        (
            "/v1/indexes/shop/suggest",
            json!({"prefix": start, "limit": 20}).to_string(),
        ),
    ];
    for query in [&match_two, &prefix, &line, &below, &others] {
        requests.push(("/shop/_count", json!({"query": query}).to_string()));
    }
    requests.extend(searches.map(|search| ("/shop/_search", search.to_string())));
    requests
}

/// An answer without what is of the node: as text, whatever it is.
fn comparable(answer: &Answer) -> String {
    let Ok(mut json) = serde_json::from_str::<Value>(&answer.body) else {
        return answer.body.clone();
    };
    told(&mut json);
    if let Some(result) = json.get_mut("result").and_then(Value::as_object_mut) {
        // The same once more, as text.
        result.remove("content");
    }
    json.to_string()
}

#[test]
fn through_any_door_a_tenant_sees_what_a_node_with_its_rows_alone_shows() {
    let tenants = ["acme", "bolt", "core"];
    let held = tenants.map(|tenant| key(tenant, &format!("scopes = [\"search\"]\ntenant = \"{tenant}\"")));
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let sections: String = held.iter().map(|(_, section)| section.as_str()).collect();
    for seed in Random::seeds(2) {
        let mut random = Random::new(seed);
        let all = Port::open(&dataflow(&format!("tenant = \"owner\"\n{sections}{write}")));
        let alone = tenants.map(|_| Port::open(&dataflow("")));
        for round in 0..2 {
            let rows: Vec<Value> = (0..60)
                .map(|_| {
                    let id = random.below(60);
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
                let same = |method: &str, path: &str, body: &str| {
                    let got = ask(&all, holder, method, path, body);
                    let expected = ask(node, "", method, path, body);
                    let context = format!("seed {seed}, round {round}, {tenant}: {method} {path} {body}");
                    assert_eq!(got.status, expected.status, "{context}: {}", got.body);
                    assert_eq!(comparable(&got), comparable(&expected), "{context}");
                    got
                };
                for (path, body) in &asked {
                    let answer = same("POST", path, body);
                    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
                }
                for path in [
                    "/_cat/indices",
                    "/_cat/indices/shop?format=json",
                    "/shop/_mapping",
                    "/_cluster/health",
                ] {
                    assert_eq!(same("GET", path, "").status, 200, "{path}");
                }
                let mut found = 0;
                for id in 0..60 {
                    let path = format!("/shop/_doc/{id}");
                    found += usize::from(same("GET", &path, "").status == 200);
                    same("HEAD", &path, "");
                }
                let owned = ask(&all, holder, "POST", "/shop/_count", "").json()["count"].as_u64();
                assert_eq!(Some(found as u64), owned, "{tenant}");
            }
        }
    }
}

#[test]
fn a_key_of_no_tenant_gets_nothing_through_any_door() {
    let (operator, all) = key("operator", r#"scopes = ["search", "admin"]"#);
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let (acme, one) = key("acme", "scopes = [\"search\"]\ntenant = \"acme\"");
    let port = Port::open(&dataflow(&format!("tenant = \"owner\"\n{all}{write}{one}")));
    port.push(
        &writer,
        &[row(1, "acme", "red shoe", 1.0), row(2, "bolt", "red shoe", 2.0)],
    );
    let count =
        |key: &str| ask(&port, key, "POST", "/_search", "{}").json()["hits"]["total"]["value"].clone();
    assert_eq!((count(&operator), count(&acme)), (json!(2), json!(1)));
    // What a write meets is there, whoever may see it; the writer sees nothing of it.
    let met = ask(&port, &writer, "PUT", "/shop/_create/2", r#"{"owner":"acme"}"#);
    assert_eq!(met.status, 409, "{}", met.body);
    assert!(!met.body.contains("bolt"), "{}", met.body);
    assert_eq!(ask(&port, &writer, "GET", "/shop/_doc/2", "").status, 403);
}
