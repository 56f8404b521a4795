//! Tokens: only those signed by the one key, by the one algorithm, for this node, and now.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::rig::{Port, dataflow, key, keys, row};

/// A variable that is there wherever tests run, and long enough for a secret.
const SECRET_ENV: &str = "PATH";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).unwrap()
}

fn secret() -> EncodingKey {
    EncodingKey::from_secret(std::env::var(SECRET_ENV).unwrap().as_bytes())
}

fn with(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    claims
}

#[test]
fn only_a_token_of_the_one_key_and_algorithm_for_this_node_and_now_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let public = pair.public_key_pem();
    std::fs::write(folder.path().join("jwt.pem"), &public).unwrap();
    let jwt = "[server.jwt]\nalgorithm = \"ES256\"\npublic_key = \"jwt.pem\"\nissuer = \"https://id.example\"\naudience = \"search\"";
    let port = Port::open_in(&dataflow(jwt), folder.path());
    let mine = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let good =
        json!({"sub": "ann", "iss": "https://id.example", "aud": ["search", "else"], "exp": now() + 600});
    let es256 = |claims: &Value| signed(Algorithm::ES256, &mine, claims);
    let ask = |token: &str| port.search(token, &json!({"query": "shoe"}));
    assert_eq!(ask(&es256(&good)).status, 200);
    assert_eq!(ask(&es256(&with(&good, json!({"nbf": now() - 5})))).status, 200);

    let other =
        EncodingKey::from_ec_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = es256(&good);
    let parts: Vec<&str> = token.split('.').collect();
    let none = part(&json!({"alg": "none", "typ": "JWT"}));
    let admin = part(&with(&good, json!({"scope": "admin"})));
    let refused = [
        ("expired", es256(&with(&good, json!({"exp": now() - 600})))),
        ("without an end", es256(&with(&good, json!({"exp": null})))),
        ("not valid yet", es256(&with(&good, json!({"nbf": now() + 600})))),
        (
            "of another issuer",
            es256(&with(&good, json!({"iss": "https://evil.example"}))),
        ),
        ("of no issuer", es256(&with(&good, json!({"iss": null})))),
        (
            "for another audience",
            es256(&with(&good, json!({"aud": "mail"}))),
        ),
        ("for no audience", es256(&with(&good, json!({"aud": null})))),
        ("signed by another", signed(Algorithm::ES256, &other, &good)),
        ("not signed", format!("{none}.{}.", parts[1])),
        (
            "not signed, with a signature",
            format!("{none}.{}.{}", parts[1], parts[2]),
        ),
        ("changed", format!("{}.{admin}.{}", parts[0], parts[2])),
        // The classic: the public key taken as a secret.
        (
            "of another algorithm",
            signed(
                Algorithm::HS256,
                &EncodingKey::from_secret(public.as_bytes()),
                &good,
            ),
        ),
        ("no token", "a.b.c".to_owned()),
        ("nothing", "..".to_owned()),
    ];
    for (what, token) in refused {
        let answer = ask(&token);
        assert_eq!(
            (answer.status, answer.code()),
            (401, "unauthorized".to_owned()),
            "{what}"
        );
        assert!(!answer.body.contains(&token), "{what}");
    }
    // A token is no key.
    let headers = [("authorization", format!("ApiKey {token}"))];
    assert_eq!(
        port.send("POST".parse().unwrap(), "/v1/indexes/shop/search", &headers, "{}")
            .status,
        401
    );
    // Without the name of a claim for scopes, a token is for searching.
    let all = es256(&with(&good, json!({"scope": "search write admin"})));
    assert_eq!(port.get("/v1/dead-letters", &all).status, 403);
}

#[test]
fn claims_say_the_tenant_the_filter_and_the_scopes() {
    let (writer, section) = key("writer", r#"scopes = ["write"]"#);
    let jwt = format!(
        "tenant = \"owner\"\n[server.jwt]\nalgorithm = \"HS256\"\nsecret_env = \"{SECRET_ENV}\"\ntenant = {{ claim = \"org\", optional = true }}\nfilter = {{ claim = \"see\", optional = true }}\nscope = \"scope\"\n{section}"
    );
    let port = Port::open(&dataflow(&jwt));
    let rows: Vec<Value> = (1..=6)
        .map(|id| row(id, ["acme", "7"][id % 2], "red shoe", id as f64))
        .collect();
    port.push(&writer, &rows);

    let token = |claims: Value| {
        let claims = with(
            &json!({"sub": "ann", "exp": now() + 600, "scope": "openid search"}),
            claims,
        );
        signed(Algorithm::HS256, &secret(), &claims)
    };
    let request = json!({"query": "shoe", "mode": "keyword"});
    let found = |claims: Value| {
        let mut found = keys(&port.search(&token(claims), &request));
        found.sort();
        found
    };
    assert_eq!(found(json!({"org": "acme"})), ["2", "4", "6"]);
    assert_eq!(found(json!({"org": 7})), ["1", "3", "5"]);
    assert_eq!(found(json!({"org": "acme", "see": "price > 3"})), ["4", "6"]);
    assert_eq!(
        found(json!({"org": "acme", "scope": ["search"]})),
        ["2", "4", "6"]
    );
    assert_eq!(found(json!({"scope": "search admin"})).len(), 6);
    assert!(found(json!({"org": "nobody"})).is_empty());

    for (claims, status) in [
        (json!({}), 403),
        (json!({"org": "acme", "scope": null}), 403),
        (json!({"org": "acme", "scope": "searching"}), 403),
        (json!({"org": ["acme", "7"]}), 401),
        (json!({"org": ""}), 401),
        (json!({"org": true}), 401),
        (json!({"org": "acme", "see": "price >"}), 401),
        (json!({"org": "acme", "see": 7}), 401),
        (json!({"org": "acme", "see": "color = 1"}), 400),
    ] {
        let answer = port.search(&token(claims.clone()), &request);
        assert_eq!(answer.status, status, "{claims}: {}", answer.body);
    }
    // What a tenant's token says beyond searching does not count.
    let greedy = token(json!({"org": "acme", "scope": "search write admin"}));
    assert_eq!(port.get("/v1/dead-letters", &greedy).status, 403);
    assert_eq!(
        port.post("/v1/tables/rows/changes", &greedy, &json!({})).status,
        403
    );
    assert_eq!(keys(&port.search(&greedy, &request)).len(), 3);
    assert_eq!(
        port.get("/v1/dead-letters", &token(json!({"scope": "admin"})))
            .status,
        200
    );
}

#[test]
fn a_token_that_lacks_a_claim_which_restricts_is_refused_and_told_which() {
    let (writer, section) = key("writer", r#"scopes = ["write"]"#);
    let jwt = format!(
        "[server.jwt]\nalgorithm = \"HS256\"\nsecret_env = \"{SECRET_ENV}\"\nscope = \"scope\"\nfilter = \"see\""
    );
    let token = |claims: Value| {
        let all = json!({"sub": "ann", "exp": now() + 600, "scope": "search admin"});
        signed(Algorithm::HS256, &secret(), &with(&all, claims))
    };
    let rows = [row(1, "acme", "red shoe", 1.0), row(2, "zeta", "red shoe", 2.0)];
    let request = json!({"query": "shoe", "mode": "keyword"});
    let lacks = |port: &Port, claims: Value, claim: &str| {
        for path in [
            "/v1/indexes/shop/search",
            "/shop/_search",
            "/mcp",
            "/v1/dead-letters",
        ] {
            let answer = port.post(path, &token(claims.clone()), &json!({}));
            assert_eq!(
                (answer.status, answer.code()),
                (401, "unauthorized".to_owned()),
                "{path}"
            );
            let said = format!("it lacks the claim {claim}");
            assert!(answer.body.contains(&said), "{path}: {}", answer.body);
        }
    };

    let port = Port::open(&dataflow(&format!("{jwt}\n{section}")));
    port.push(&writer, &rows);
    lacks(&port, json!({}), "see");
    // JSON has two ways to say nothing.
    let null = encode(
        &Header::new(Algorithm::HS256),
        &json!({"exp": now() + 600, "scope": "search", "see": null}),
        &secret(),
    );
    assert_eq!(port.search(&null.unwrap(), &request).status, 401);
    let cheap = token(json!({"see": "price < 2"}));
    assert_eq!(keys(&port.search(&cheap, &request)), ["1"]);

    let port = Port::open(&dataflow(&format!(
        "tenant = \"owner\"\n{jwt}\ntenant = \"org\"\n{section}"
    )));
    port.push(&writer, &rows);
    lacks(&port, json!({"org": "acme"}), "see");
    lacks(&port, json!({"see": "price < 2"}), "org");
    let both = |tenant: &str| token(json!({"see": "price < 2", "org": tenant}));
    assert_eq!(keys(&port.search(&both("acme"), &request)), ["1"]);
    assert!(keys(&port.search(&both("zeta"), &request)).is_empty());
}

#[test]
fn a_public_key_of_rsa_checks_tokens_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/security");
    let jwt = "[server.jwt]\nalgorithm = \"RS256\"\npublic_key = \"rsa_public.pem\"";
    let port = Port::open_in(&dataflow(jwt), &folder);
    let private = std::fs::read(folder.join("rsa_private.pem")).unwrap();
    let mine = EncodingKey::from_rsa_pem(&private).unwrap();
    let claims = json!({"exp": now() + 600});
    let ask = |algorithm| {
        port.search(&signed(algorithm, &mine, &claims), &json!({"query": "shoe"}))
            .status
    };
    assert_eq!(ask(Algorithm::RS256), 200);
    assert_eq!(
        ask(Algorithm::RS512),
        401,
        "the algorithm is that of the settings"
    );
    assert_eq!(ask(Algorithm::PS256), 401);
}

#[test]
fn a_node_does_not_start_on_a_secret_that_is_missing_or_short() {
    let data = tempfile::tempdir().unwrap();
    for (variable, expected) in [
        ("MILLPOND_NO_SUCH_SECRET", "is not set"),
        ("CARGO_PKG_VERSION_MAJOR", "fewer than 32 bytes"),
    ] {
        let jwt = format!("[server.jwt]\nalgorithm = \"HS256\"\nsecret_env = \"{variable}\"");
        let definition = super::rig::definition(&dataflow(&jwt), Path::new(""));
        let node = millpond::node::Node::start(definition, &super::rig::options(data.path())).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            millpond::server::serve(listener, node.app().clone(), std::future::pending()).await
        });
        let error = served.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        node.stop().unwrap();
    }
}
