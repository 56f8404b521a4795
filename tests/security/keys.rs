//! Keys and scopes, and where a node without keys may listen.

use std::path::Path;

use millpond::definition::parse;
use serde_json::json;

use super::rig::{Port, dataflow, definition, key, keys, options, row};
use crate::binary::{Served, millpond};

const SEARCH: &str = "/v1/indexes/shop/search";

#[test]
fn each_route_needs_its_scope_and_names_the_one_that_is_missing() {
    let (searcher, search) = key("searcher", r#"scopes = ["search"]"#);
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let (administrator, admin) = key("administrator", r#"scopes = ["admin"]"#);
    let port = Port::open(&dataflow(&format!("{search}{write}{admin}")));
    port.push(&writer, &[row(1, "a", "red shoe", 2.0)]);

    let routes = [
        ("POST", SEARCH, r#"{"query":"shoe"}"#, "search"),
        ("GET", "/v1/indexes/shop/documents/1", "", "search"),
        ("GET", "/v1/indexes/shop/stats", "", "search"),
        ("POST", "/v1/tables/rows/changes", "", "write"),
        ("GET", "/v1/dead-letters", "", "admin"),
        ("POST", "/v1/dead-letters/drop", r#"{"ids":[]}"#, "admin"),
        ("GET", "/v1/snapshots", "", "admin"),
        ("GET", "/v1/indexes/shop/upgrade", "", "admin"),
        ("GET", "/metrics", "", "admin"),
    ];
    for (method, path, body, needed) in routes {
        for (scope, key) in [
            ("search", &searcher),
            ("write", &writer),
            ("admin", &administrator),
        ] {
            for scheme in ["Bearer", "bearer", "ApiKey"] {
                let headers = [("authorization", format!("{scheme} {key}"))];
                let answer = port.send(method.parse().unwrap(), path, &headers, body);
                if scope == needed {
                    assert!((200..=202).contains(&answer.status), "{path}: {}", answer.body);
                } else {
                    assert_eq!((answer.status, answer.code()), (403, "missing_scope".to_owned()));
                    assert!(answer.body.contains(&format!("`{needed}`")), "{}", answer.body);
                }
            }
        }
        let answer = port.send(method.parse().unwrap(), path, &[], body);
        assert_eq!(
            (answer.status, answer.code()),
            (401, "unauthorized".to_owned()),
            "{path}"
        );
    }
    for open in ["/healthz", "/readyz", "/openapi.json", "/"] {
        assert_eq!(port.get(open, "").status, 200, "{open}");
    }
}

#[test]
fn every_route_of_the_description_asks_who_it_is_but_for_the_open_ones() {
    let (_, section) = key("somebody", r#"scopes = ["search", "write", "admin"]"#);
    let port = Port::open(&dataflow(&section));
    let description = port.get("/openapi.json", "").json();
    let mut asked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase().parse().unwrap();
            let status = port.send(method, path, &[], "").status;
            match path.as_str() {
                "/healthz" | "/readyz" | "/openapi.json" | "/" => assert_eq!(status, 200, "{path}"),
                _ => {
                    assert_eq!(status, 401, "{path}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 14, "{asked}");
    assert_eq!(port.get("/v1/nothing/here", "").status, 401);
}

#[test]
fn what_is_no_known_key_is_refused_and_not_repeated() {
    let (good, section) = key("shop", r#"scopes = ["search"]"#);
    let port = Port::open(&dataflow(&section));
    assert_eq!(port.search(&good, &json!({"query": "x"})).status, 200);

    let mut changed = good.clone();
    changed.pop();
    changed.push(if good.ends_with('A') { 'B' } else { 'A' });
    let hash = section.split('"').nth(1).unwrap().to_owned();
    let headers = [
        format!("Bearer {changed}"),
        format!("Bearer {good}x"),
        format!("Bearer {}", &good[..good.len() - 1]),
        format!("Bearer {}", good.to_uppercase()),
        // What is in the dataflow file opens nothing.
        format!("Bearer {hash}"),
        format!("Bearer {}", &hash["sha256:".len()..]),
        format!("Basic {good}"),
        format!("Token {good}"),
        good.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
        "x".repeat(7_000),
    ];
    for header in headers {
        let answer = port.send(
            "POST".parse().unwrap(),
            SEARCH,
            &[("authorization", header.clone())],
            "{}",
        );
        assert_eq!(answer.status, 401, "{header}: {}", answer.body);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        assert!(!answer.body.contains(&good[9..20]), "{}", answer.body);
    }
    let twice = [
        ("authorization", format!("Bearer {good}")),
        ("authorization", format!("Bearer {good}")),
    ];
    assert_eq!(
        port.send("POST".parse().unwrap(), SEARCH, &twice, "{}").status,
        401
    );
}

#[test]
fn a_filter_of_a_key_holds_for_all_that_it_reads() {
    let (cheap, section) = key("cheap", "scopes = [\"search\"]\nfilter = \"price < 10\"");
    let (all, all_section) = key("all", r#"scopes = ["search", "write"]"#);
    let port = Port::open(&dataflow(&format!("{section}{all_section}")));
    let rows: Vec<_> = (1..=20).map(|id| row(id, "a", "red shoe", id as f64)).collect();
    port.push(&all, &rows);

    let request = json!({"query": "shoe", "limit": 100, "mode": "keyword"});
    assert_eq!(keys(&port.search(&all, &request)).len(), 20);
    assert_eq!(keys(&port.search(&cheap, &request)).len(), 9);
    let vector = json!({"vector": [0.0, 1.0, 1.0], "limit": 100});
    assert_eq!(keys(&port.search(&cheap, &vector)).len(), 9);
    let narrowed = json!({"query": "shoe", "filter": "price > 8 OR price > 15", "limit": 100});
    assert_eq!(keys(&port.search(&cheap, &narrowed)), ["9"]);
    assert_eq!(port.get("/v1/indexes/shop/documents/9", &cheap).status, 200);
    assert_eq!(port.get("/v1/indexes/shop/documents/10", &cheap).status, 404);
    assert_eq!(port.get("/v1/indexes/shop/stats", &cheap).json()["documents"], 9);
    assert_eq!(port.get("/v1/indexes/shop/stats", &all).json()["documents"], 20);
}

#[test]
fn without_keys_a_node_listens_on_loopback_only_and_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let serve = |text: &str, listen: &str| {
        let mut options = options(data.path());
        options.listen = listen.parse().unwrap();
        millpond::node::serve(definition(text, Path::new("")), &options)
            .unwrap_err()
            .to_string()
    };
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = serve(&dataflow(""), listen);
        assert!(refused.starts_with(listen), "{refused}");
        assert!(
            refused.contains("millpond key new") && refused.contains("open = true"),
            "{refused}"
        );
    }
    // With keys, or where it is said to be open, it is the address that is wrong here.
    let (_, section) = key("shop", r#"scopes = ["search"]"#);
    for allowed in [section.as_str(), "[server]\nopen = true"] {
        let refused = serve(&dataflow(allowed), "192.0.2.1:0");
        assert!(refused.contains("cannot listen on 192.0.2.1:0"), "{refused}");
    }
    let tenants = serve(&dataflow("tenant = \"owner\""), "127.0.0.1:0");
    assert!(tenants.contains("--tenant"), "{tenants}");
    // Also who only uses the server is told.
    let node = millpond::node::Node::start(
        definition(&dataflow("tenant = \"owner\""), Path::new("")),
        &options(data.path()),
    );
    let node = node.unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        millpond::server::serve(listener, node.app().clone(), std::future::pending()).await
    });
    assert!(refused.unwrap_err().to_string().contains("--tenant"));
    node.stop().unwrap();
}

#[test]
fn a_key_made_by_the_command_opens_the_port_to_the_commands() {
    let made = millpond(&["key", "new", "shop", "--scopes", "search,write,admin"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let key = made.stdout.trim();
    assert!(!made.stderr.contains(key), "the key is shown once");
    let (_, section) = made.stderr.split_once("[server").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.toml");
    std::fs::write(&path, dataflow(&format!("[server{section}"))).unwrap();

    let node = Served::start(&path);
    let refused = millpond(&["search", "--url", node.url(), "shoe"]).failure();
    assert!(refused.contains("says nothing of who asks"), "{refused}");
    let unset = millpond(&[
        "search",
        "--url",
        node.url(),
        "--key-env",
        "MILLPOND_NO_SUCH_KEY",
        "shoe",
    ])
    .failure();
    assert!(unset.contains("MILLPOND_NO_SUCH_KEY has no key"), "{unset}");
    for command in [
        &["search", "shoe"][..],
        &["dead-letters", "list"],
        &["snapshot", "list"],
        &["model", "status", "shop"],
    ] {
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(command)
            .args(["--url", node.url(), "--key-env", "SHOP_KEY"])
            .env("SHOP_KEY", key)
            .output()
            .unwrap();
        assert!(
            ended.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    assert!(!node.log().contains(key), "{}", node.log());
}

#[test]
fn the_log_says_that_only_this_machine_can_ask() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.toml");
    std::fs::write(&path, dataflow("")).unwrap();
    let node = Served::start(&path);
    assert!(node.log().contains("only this machine can ask"), "{}", node.log());
}

#[test]
fn faults_of_the_server_section_name_their_line_and_never_a_secret() {
    let faults = |more: &str| {
        let text = dataflow(more);
        let faults = parse(&text, "shop.toml", Path::new("")).unwrap_err().to_string();
        let line = text
            .lines()
            .position(|line| line.contains("HERE"))
            .map(|place| place + 1);
        if let Some(line) = line {
            assert!(faults.contains(&format!("shop.toml:{line}:")), "{faults}");
        }
        faults
    };
    let hash = format!("sha256:{}", "0a".repeat(32));
    let with = |more: &str| format!("[server.keys.k] # HERE\nhash = \"{hash}\"\n{more}");
    let of_tenants = |more: &str| format!("tenant = \"owner\"\n{}", with(more));
    for (more, expected) in [
        (
            "[server.keys.k]\nhash = \"millpond_SECRET\" # HERE\nscopes = [\"search\"]".to_owned(),
            "no hash of a key",
        ),
        (
            with("scopes = [\"read\"]").replace(" # HERE", ""),
            "unknown scope `read`",
        ),
        (
            with("scopes = [\"search\", \"admin\"]\nfilter = \"price < 5\""),
            "may do more than search",
        ),
        (
            with("scopes = [\"search\"]\ntenant = \"a\""),
            "the index has no tenants",
        ),
        (of_tenants("scopes = [\"search\"]"), "of no tenant"),
        (
            of_tenants("scopes = [\"search\", \"write\"]\ntenant = \"a\""),
            "may do more than search",
        ),
        (
            with("scopes = [\"search\"]\nfilter = \"color = 1\"").replace(" # HERE", ""),
            "`color`",
        ),
        (
            with("scopes = [\"search\"]\nrate = 0").replace(" # HERE", ""),
            "out of range",
        ),
        (
            format!(
                "{}\n[server.keys.l]\nhash = \"{hash}\"\nscopes = [\"write\"]",
                with("scopes = [\"search\"]").replace(" # HERE", "")
            ),
            "the same key as `k`",
        ),
        (
            format!(
                "[server]\nopen = true\n{}",
                with("scopes = [\"search\"]").replace(" # HERE", "")
            ),
            "there are keys",
        ),
        (
            "tenant = \"price\" # HERE".to_owned(),
            "not a field of kind `keyword`",
        ),
        ("tenant = \"ovner\" # HERE".to_owned(), "`ovner`"),
        (
            "[server.jwt]\nalgorithm = \"none\" # HERE".to_owned(),
            "unknown algorithm `none`",
        ),
        (
            "[server.jwt] # HERE\nalgorithm = \"RS256\"".to_owned(),
            "lacks `public_key`",
        ),
        (
            "tenant = \"owner\"\n[server.jwt] # HERE\nalgorithm = \"HS256\"\nsecret_env = \"S\"".to_owned(),
            "names no claim for the tenant",
        ),
        (
            "[server.cors]\norigins = [\"https://shop.example/path\"]".to_owned(),
            "no origin",
        ),
        ("[server.limits]\nhits = 20000 # HERE".to_owned(), "out of range"),
        ("[server.tls] # HERE\ncert = \"c.pem\"".to_owned(), "lacks `key`"),
        ("[server]\nport = 7 # HERE".to_owned(), "unknown key `port`"),
    ] {
        let faults = faults(&more);
        assert!(faults.contains(expected), "{expected} in {faults}");
        assert!(!faults.contains("SECRET"), "{faults}");
    }
}
