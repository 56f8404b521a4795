//! The tools for agents: the wire of the Model Context Protocol, and its official client.

use serde_json::{Value, json};

use crate::openapi::python;
use crate::security::rig::{Answer, Port, dataflow, key, row};

const REVISION: &str = "mcp-protocol-version";

fn shop() -> Port {
    let port = Port::open(&dataflow(""));
    port.push(
        "",
        &[
            row(1, "acme", "red shoe", 30.0),
            row(2, "zeta", "blue shoe", 50.0),
            row(3, "acme", "green hat", 10.0),
        ],
    );
    port
}

fn post(port: &Port, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![("content-type", "application/json".to_owned())];
    all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    port.send(ureq::http::Method::POST, "/mcp", &all, body)
}

/// The answer to a request with the id 7.
#[track_caller]
fn ask(port: &Port, headers: &[(&str, &str)], method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let answer = post(port, headers, &body.to_string());
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json"),
        "{}",
        answer.body
    );
    let answer = answer.json();
    assert_eq!(
        (&answer["jsonrpc"], &answer["id"]),
        (&json!("2.0"), &json!(7)),
        "{answer}"
    );
    answer
}

/// What a tool gives, which is the same as structure and as text.
#[track_caller]
fn call(port: &Port, headers: &[(&str, &str)], tool: &str, arguments: Value) -> (bool, Value) {
    let params = json!({"name": tool, "arguments": arguments});
    let result = ask(port, headers, "tools/call", params)["result"].take();
    let text = result["content"][0]["text"].as_str().unwrap();
    let structured = &result["structuredContent"];
    assert_eq!(
        serde_json::from_str::<Value>(text).unwrap(),
        *structured,
        "{result}"
    );
    assert_eq!(result["content"][0]["type"], "text");
    (result["isError"].as_bool().unwrap(), structured.clone())
}

#[test]
fn a_client_is_answered_in_its_revision_or_the_newest() {
    let port = shop();
    for (asked, spoken) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let hello = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let result = &ask(&port, &[], "initialize", hello)["result"];
        assert_eq!(result["protocolVersion"], spoken);
        assert_eq!(result["capabilities"], json!({"tools": {}}));
        assert_eq!(result["serverInfo"]["name"], "millpond");
        let told = result["instructions"].as_str().unwrap();
        assert!(
            told.contains("owner (keyword), price (f64)") && told.contains("searched: name."),
            "{told}"
        );
    }
    let answer = ask(&port, &[], "initialize", json!({}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let answer = post(&port, &[(REVISION, "2025-06-18")], initialized);
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    assert_eq!(ask(&port, &[], "ping", json!({}))["result"], json!({}));
}

#[test]
fn the_tools_give_what_the_routes_give() {
    let port = shop();
    let tools = ask(&port, &[], "tools/list", json!({}))["result"]["tools"].take();
    let names: Vec<&str> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["search", "get", "stats"]);
    for tool in tools.as_array().unwrap() {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    }

    let search = json!({"query": "shoe", "mode": "keyword", "filter": "owner = 'acme'", "facets": {"owner": {"terms": {}}}});
    let (is_error, mut by_tool) = call(&port, &[], "search", search.clone());
    let mut by_route = port.search("", &search).json();
    for answer in [&mut by_tool, &mut by_route] {
        assert!(answer["took_ms"].take().is_number());
    }
    assert!(!is_error);
    assert_eq!(by_tool, by_route);
    assert_eq!(by_tool["hits"][0]["key"], "1", "{by_tool}");

    let (is_error, by_tool) = call(&port, &[], "get", json!({"key": "3"}));
    let by_route = port.get("/v1/indexes/shop/documents/3", "").json();
    assert_eq!((is_error, by_tool), (false, by_route));
    let (is_error, by_tool) = call(&port, &[], "stats", json!({}));
    assert_eq!((is_error, &by_tool["documents"]), (false, &json!(3)), "{by_tool}");
    assert_eq!(by_tool, port.get("/v1/indexes/shop/stats", "").json());
}

#[test]
fn what_is_wrong_with_a_search_is_told_to_the_model_and_else_to_the_client() {
    let port = shop();
    for (tool, arguments, code, hint) in [
        (
            "search",
            json!({"query": "shoe", "filter": "colour = 'red'"}),
            "unknown_field",
            "price",
        ),
        ("search", json!({"quer": "shoe"}), "bad_request", "query"),
        ("get", json!({"key": "99"}), "unknown_document", "deleted"),
        ("get", json!({"key": 3}), "bad_request", "key"),
        ("stats", json!({"of": "shop"}), "bad_request", "none"),
    ] {
        let (is_error, told) = call(&port, &[], tool, arguments);
        assert!(is_error);
        assert_eq!(told["error"]["code"], code, "{told}");
        assert!(told["error"]["hint"].as_str().unwrap().contains(hint), "{told}");
    }
    for (method, params, code) in [
        ("tools/call", json!({"name": "drop"}), -32602),
        ("tools/call", json!({}), -32602),
        ("tools/call", json!({"name": "search", "arguments": [1]}), 0),
        ("resources/list", json!({}), -32601),
    ] {
        let answer = ask(&port, &[], method, params);
        match code {
            0 => assert_eq!(answer["result"]["isError"], true, "{answer}"),
            code => assert_eq!(answer["error"]["code"], code, "{answer}"),
        }
    }
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("7", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
    ] {
        let answer = post(&port, &[], body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        let answer = answer.json();
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
        assert_eq!(answer["id"], Value::Null);
    }
}

#[test]
fn several_messages_at_once_are_of_the_first_revision_alone() {
    let port = shop();
    let ping = |id: i32| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
    let batch = format!("[{},{notification},3,{}]", ping(1), ping(2));
    let answer = post(&port, &[], &batch);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answers = answer.json();
    let ids: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| &answer["id"])
        .collect();
    assert_eq!(ids, [&json!(1), &Value::Null, &json!(2)], "{answers}");
    assert_eq!(post(&port, &[], &format!("[{notification}]")).status, 202);

    let many = format!("[{}]", vec![ping(1); 33].join(","));
    for (headers, body) in [
        (&[(REVISION, "2025-06-18")][..], batch.as_str()),
        (&[], "[]"),
        (&[], &many),
        (&[(REVISION, "1999-01-01")], &ping(1)),
    ] {
        let answer = post(&port, headers, body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        assert_eq!(answer.json()["error"]["code"], -32600, "{body}");
    }
}

#[test]
fn there_is_no_stream_and_no_page_of_another_host() {
    let port = shop();
    let get = port.get("/mcp", "");
    assert_eq!((get.status, get.header("allow")), (405, "POST"), "{}", get.body);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let foreign = post(&port, &[("origin", "https://evil.example")], ping);
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "foreign_page"));
    assert_eq!(
        post(&port, &[("origin", "http://localhost:3000")], ping).status,
        200
    );
    let text = [("content-type", "text/plain".to_owned())];
    let answer = port.send(ureq::http::Method::POST, "/mcp", &text, ping);
    assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_type"));
}

#[test]
fn agents_have_the_scopes_and_tenants_of_their_keys() {
    let (acme, acme_section) = key("acme", "scopes = [\"search\"]\ntenant = \"acme\"");
    let (writer, writer_section) = key("writer", "scopes = [\"write\", \"admin\"]");
    let port = Port::open(&dataflow(&format!(
        "tenant = \"owner\"\n{acme_section}{writer_section}"
    )));
    port.push(
        &writer,
        &[
            row(1, "acme", "red shoe", 30.0),
            row(2, "zeta", "blue shoe", 50.0),
        ],
    );
    let (acme, writer) = (format!("Bearer {acme}"), format!("Bearer {writer}"));
    let acme = [("authorization", acme.as_str())];
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(post(&port, &[], ping).status, 401);
    assert_eq!(post(&port, &[("authorization", &writer)], ping).status, 403);
    let foreign = [acme[0], ("origin", "https://evil.example")];
    assert_eq!(
        post(&port, &foreign, ping).status,
        403,
        "a key makes no page a friend"
    );

    let (_, found) = call(
        &port,
        &acme,
        "search",
        json!({"query": "shoe", "mode": "keyword"}),
    );
    assert_eq!(found["hits"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["hits"][0]["key"], "1");
    assert!(
        call(&port, &acme, "get", json!({"key": "2"})).0,
        "another tenant's"
    );
    assert_eq!(call(&port, &acme, "stats", json!({})).1["documents"], 1);
}

/// Needs the package `mcp`: the official client says whether it understands what it gets.
#[test]
fn the_official_client_uses_the_tools() {
    let port = shop();
    let url = format!("http://{}/mcp", port.address);
    if let Some(said) = python("mcp", "tests/mcp/run.py", &[&url]) {
        assert!(said.contains("3 tools"), "{said}");
    }
}
