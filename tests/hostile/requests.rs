//! Requests of the right shape with wrong parts, and some of no shape.
//!
//! JSON is put together as text: much of what is sent has no value that a library would write.

use crate::shared::Random;

/// Whether what is sent is HTTP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Whole,
    Broken,
}

pub struct Request {
    pub bytes: Vec<u8>,
    pub sent: Sent,
}

impl Request {
    /// Its beginning, for a message.
    pub fn shown(&self) -> String {
        let shown = String::from_utf8_lossy(&self.bytes);
        let mut short: String = shown.chars().take(2_000).collect();
        if short.len() < shown.len() {
            short.push_str(&format!("... ({} bytes)", shown.len()));
        }
        short
    }
}

pub fn request(random: &mut Random) -> Request {
    let (mut method, path, mut body) = match random.below(100) {
        0..40 => ("POST", "/v1/indexes/shop/search".to_owned(), search(random)),
        40..48 => ("POST", "/v1/indexes/shop/msearch".to_owned(), searches(random)),
        48..56 => (
            "POST",
            "/v1/indexes/shop/suggest".to_owned(),
            object(random, SUGGEST),
        ),
        56..68 => ("POST", push_path(random), pushes(random)),
        68..80 => ("POST", "/mcp".to_owned(), message(random)),
        80..84 => (
            "POST",
            "/v1/indexes/shop/upgrade/compare".to_owned(),
            object(random, COMPARE),
        ),
        84..92 => ("GET", document(random), String::new()),
        92..96 => ("GET", letters(random), String::new()),
        _ => ("GET", pick(random, PLACES).to_owned(), String::new()),
    };
    if random.percent(3) {
        method = pick(
            random,
            &["PUT", "PATCH", "OPTIONS", "GET", "POST", "TRACE", "BREW"],
        );
    }
    if random.percent(5) {
        body = hostile(random);
    }
    let mut bytes = body.into_bytes();
    if random.percent(15) {
        damage(random, &mut bytes);
    }
    let mut headers = String::from("host: x\r\ncontent-type: application/json\r\n");
    if random.percent(5) {
        headers.push_str(pick(random, HEADERS));
    }
    let head = |headers: &str, length: usize| {
        format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n").into_bytes()
    };
    if random.percent(4) {
        return broken(random, &head, &headers, &bytes);
    }
    let mut sent = head(&headers, bytes.len());
    sent.append(&mut bytes);
    Request {
        bytes: sent,
        sent: Sent::Whole,
    }
}

/// What is no HTTP, or says a wrong length.
fn broken(random: &mut Random, head: &dyn Fn(&str, usize) -> Vec<u8>, headers: &str, body: &[u8]) -> Request {
    let length = body.len();
    let mut bytes = match random.below(7) {
        0 => head(headers, length + 1 + random.below(1_000)),
        1 => head(headers, length.saturating_sub(1 + random.below(100))),
        2 => head(&format!("{headers}content-length: {}\r\n", length + 1), length),
        3 => head(&format!("{headers}x: {}\r\n", "y".repeat(600_000)), length),
        4 => head(&format!("{headers}transfer-encoding: chunked\r\n"), length),
        5 => head(&"a: b\r\n".repeat(500), length),
        _ => (0..random.below(300)).map(|_| random.next() as u8).collect(),
    };
    bytes.extend_from_slice(body);
    Request {
        bytes,
        sent: Sent::Broken,
    }
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let place = random.below(bytes.len());
    match random.below(4) {
        0 => bytes.truncate(place),
        1 => bytes[place] = random.next() as u8,
        2 => drop(bytes.splice(place..place, [0xFF, 0xC0, 0x80])),
        _ => bytes.extend_from_within(place..),
    }
}

/// Names, and good values of each as JSON.
type Shape = &'static [(&'static str, &'static [&'static str])];

fn search(random: &mut Random) -> String {
    let mut search = object(random, SEARCH);
    // A search may wait a minute for what never comes: these do not.
    if random.percent(10) {
        let wanted = pick(random, CONSISTENCY);
        let wait = pick(random, &["0", "1", "-1", "\"5\"", "null", "1e3"]);
        search = search.replacen('{', &format!("{{\"consistency\":{wanted},\"wait_ms\":{wait},"), 1);
        search = search.replacen(",}", "}", 1);
    }
    search
}

fn searches(random: &mut Random) -> String {
    let count = random.below(5) * random.below(10);
    let searches: Vec<String> = (0..count).map(|_| search(random)).collect();
    format!("{{\"searches\":[{}]}}", searches.join(","))
}

fn message(random: &mut Random) -> String {
    let arguments = match random.percent(60) {
        true => search(random),
        false => object(random, &[("key", &["\"1\"", "\"399\""])]),
    };
    let params = match random.percent(80) {
        true => {
            let tool = pick(random, &["\"search\"", "\"get\"", "\"stats\"", "\"drop\"", "7"]);
            format!("{{\"name\":{tool},\"arguments\":{arguments}}}")
        }
        false => value(random, &["{\"protocolVersion\":\"2025-06-18\"}"]),
    };
    let id = value(random, &["1", "\"a\"", "2"]);
    let method = value(
        random,
        &[
            "\"tools/call\"",
            "\"tools/call\"",
            "\"tools/list\"",
            "\"initialize\"",
        ],
    );
    let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method},\"params\":{params}}}");
    match random.percent(10) {
        true => format!("[{}]", vec![message; random.below(40)].join(",")),
        false => message,
    }
}

fn pushes(random: &mut Random) -> String {
    let count = 1 + random.below(4);
    let line = |random: &mut Random| {
        let mut row = object(random, ROW);
        // The same few hundred documents: what grows shall not be their number.
        if random.percent(90) {
            let id = random.below(500);
            row = row
                .replacen('{', &format!("{{\"id\":\"{id}\","), 1)
                .replacen(",}", "}", 1);
        }
        row
    };
    let lines: Vec<String> = (0..count).map(|_| line(random)).collect();
    lines.join(pick(random, &["\n", "\r\n", "\n\n"]))
}

fn push_path(random: &mut Random) -> String {
    let table = pick(random, &["rows", "rows", "rows", "rows", "none", "%FF", "a%2Fb"]);
    let wait = pick(
        random,
        &[
            "",
            "?wait=visible",
            "?wait=durable",
            "?wait=",
            "?wait=x&wait=y",
            "?%FF",
            "?",
        ],
    );
    format!("/v1/tables/{table}/changes{wait}")
}

fn document(random: &mut Random) -> String {
    let key = match random.below(4) {
        0 => random.below(600).to_string(),
        1 => "%2F".repeat(random.below(2_000)),
        _ => pick(
            random,
            &[
                "",
                "%FF",
                "%00",
                "../..",
                "a/b/c",
                "%",
                "%zz",
                "1?x=y",
                "%F0%9F%98%80",
                "1//",
            ],
        )
        .to_owned(),
    };
    format!("/v1/indexes/shop/documents/{key}")
}

fn letters(random: &mut Random) -> String {
    match random.percent(30) {
        true => format!("/v1/dead-letters/rows/0/{}", random.below(100)),
        false => {
            let limit = pick(
                random,
                &["1", "1000", "0", "-1", "1001", "18446744073709551616", "x", ""],
            );
            let after = pick(
                random,
                &[
                    "",
                    "&after=rows/0/1",
                    "&after=%00",
                    "&table=rows",
                    "&table=%FF",
                    "&x=1",
                ],
            );
            format!("/v1/dead-letters?limit={limit}{after}")
        }
    }
}

/// Some of the names with a value each, good or not.
fn object(random: &mut Random, shape: Shape) -> String {
    let mut members = Vec::new();
    for (place, (name, good)) in shape.iter().enumerate() {
        // The first is what most of a request is about.
        if random.percent(if place == 0 { 80 } else { 12 }) {
            members.push(format!("\"{name}\":{}", value(random, good)));
        }
    }
    if random.percent(2) {
        members.push(format!("\"unknown\":{}", hostile(random)));
    }
    format!("{{{}}}", members.join(","))
}

fn value(random: &mut Random, good: &[&str]) -> String {
    match random.percent(85) {
        true => pick(random, good).to_owned(),
        false => hostile(random),
    }
}

/// JSON that fits nothing, or is none.
fn hostile(random: &mut Random) -> String {
    let times = 1 << random.below(17);
    match random.below(12) {
        0 => format!("\"{}\"", "a".repeat(times)),
        1 => format!("\"{}\"", pick(random, TEXTS).repeat(times / 16 + 1)),
        2 => "[".repeat(times),
        3 => format!("{}{}", "[".repeat(times), "]".repeat(times)),
        4 => format!("{}1{}", "{\"a\":".repeat(times), "}".repeat(times)),
        5 => format!("[{}]", vec!["1e38"; times].join(",")),
        6 => format!("[{}]", vec!["\"x\""; times].join(",")),
        _ => pick(random, VALUES).to_owned(),
    }
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-0.0",
    "-1",
    "1e308",
    "1e309",
    "1e-320",
    "3.5e38",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "9223372036854775807",
    "0.1",
    "NaN",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"NaN\"",
    "{\"\":{}}",
    "\"2026-02-30\"",
    "01",
    "+1",
    "'x'",
];

const TEXTS: &[&str] = &[
    "+",
    "-",
    "*",
    "a* ",
    "\\\"",
    "(",
    ")",
    "name:",
    "~",
    "^9 ",
    "\u{202e}",
    "e\u{301}",
    "\u{1f468}\u{200d}\u{1f469}",
    "\\u0000",
    "ﷺ",
    "漢字 ",
    "a\\\\",
    "<em>",
    "İ",
    "shoe~2 ",
    "-shoe ",
];

const PLACES: &[&str] = &[
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/indexes/shop/stats",
    "/v1/indexes/none/stats",
    "/v1/indexes/%FF/stats",
    "/v1/indexes/shop/upgrade",
    "/v1/snapshots",
    "/mcp",
    "/nothing",
    "//",
    "/%00",
    "/v1/dead-letters/x",
];

const HEADERS: &[&str] = &[
    "content-encoding: gzip\r\n",
    "authorization: Bearer \u{fc}\r\n",
    "origin: https://evil.example\r\n",
    "origin: null\r\n",
    "mcp-protocol-version: 1\r\n",
    "idempotency-key: \r\n",
    "idempotency-key: a\r\nidempotency-key: b\r\n",
    "accept: text/html\r\n",
    "content-type: text/plain\r\n",
    "range: bytes=0-1\r\n",
    "connection: close\r\n",
    "te: trailers\r\n",
];

const CONSISTENCY: &[&str] = &[
    "\"any\"",
    "{\"at_least\":{\"rows/0\":1}}",
    "{\"at_least\":{\"rows/0\":18446744073709551615}}",
    "{\"at_least\":{\"none/0\":1}}",
    "{\"at_least\":{\"commit_ts\":18446744073709551615}}",
    "{\"max_staleness_ms\":0}",
    "{\"pinned\":0}",
    "{\"pinned\":-1}",
    "{\"at_least\":{}}",
    "[]",
];

const FILTERS: &[&str] = &[
    "\"price < 50\"",
    "\"brand = 'acme' AND NOT (stock IN (1, 2, 3) OR sold)\"",
    "\"price = 1e999\"",
    "\"price / 0 > 1\"",
    "\"stock = 9223372036854775808\"",
    "\"brand LIKE '%%%%%%%%%%a%b%c%'\"",
    "\"made > now() - interval '99999999999 years'\"",
    "\"made > '0000-00-00'\"",
    "\"nothing = 1\"",
    "\"brand = 'x\"",
    "\"1 = 1; DROP TABLE rows\"",
    "\"\"",
    "\"brand\"",
    "\"stock + 9223372036854775807 > 0\"",
    "\"price IS NULL\"",
    "\"brand < 5\"",
    "\"CAST(brand AS BIGINT) = 1\"",
    "{\"and\":[]}",
    "{\"or\":[]}",
    "{\"not\":{\"eq\":{\"brand\":\"acme\"}}}",
    "{\"range\":{\"price\":{\"lt\":1e308,\"gt\":-1e308}}}",
    "{\"eq\":{\"brand\":null}}",
    "{\"in\":{\"stock\":[]}}",
    "{\"prefix\":{\"brand\":\"\"}}",
    "{\"exists\":\"spot\"}",
    "{\"geo_distance\":{\"field\":\"spot\",\"lat\":91,\"lon\":181,\"meters\":-1}}",
    "{\"geo_box\":{}}",
    "{\"and\":[\"price <\"]}",
];

const SEARCH: Shape = &[
    (
        "query",
        &[
            "\"red shoe\"",
            "\"+shoe -blue\"",
            "\"sho*\"",
            "\"\\\"red shoe\\\"~3\"",
            "\"shoo hta\"",
            "\"name:red^2\"",
            "\"don't <b>C++</b>\"",
            "\"\"",
        ],
    ),
    (
        "vector",
        &[
            "[1,0,0]",
            "[0,0,0]",
            "[1e38,1e38,-1e38]",
            "[1e-45,0,0]",
            "[1,2]",
            "[1,2,3,4]",
            "[1e39,0,0]",
        ],
    ),
    ("like", &["\"1\"", "\"none\""]),
    ("model", &["\"m\""]),
    ("using", &["\"place\"", "\"none\""]),
    ("mode", &["\"hybrid\"", "\"keyword\"", "\"vector\"", "\"Hybrid\""]),
    ("operator", &["\"or\"", "\"and\""]),
    (
        "minimum_match",
        &["1", "2", "0", "\"75%\"", "\"101%\"", "18446744073709551615"],
    ),
    ("fuzzy", &["\"auto\"", "\"off\""]),
    (
        "text_fields",
        &[
            "[\"name^2\"]",
            "[\"name^1e39\",\"text\"]",
            "[]",
            "[\"name\",\"name\"]",
            "[\"name^\"]",
        ],
    ),
    ("filter", FILTERS),
    ("filter", FILTERS),
    ("limit", &["1", "0", "10000", "10001", "100"]),
    ("offset", &["1", "9990", "18446744073709551615"]),
    ("fields", &["[]", "[\"name\"]", "[\"none\"]"]),
    (
        "fusion",
        &[
            "{\"method\":\"relative\",\"weight\":0.5}",
            "{\"method\":\"rrf\",\"k\":0}",
            "{\"method\":\"rrf\",\"k\":1e38,\"window\":1}",
            "{\"method\":\"linear\",\"weights\":{\"keyword\":1e38,\"vector\":1e38}}",
            "{\"method\":\"distribution\",\"weight\":1}",
            "{\"method\":\"none\"}",
        ],
    ),
    ("min_score", &["0", "-1e38", "1e38", "1e39"]),
    (
        "mmr",
        &[
            "{}",
            "{\"lambda\":0,\"window\":1000}",
            "{\"lambda\":2}",
            "{\"window\":1}",
        ],
    ),
    ("explain", &["true", "false"]),
    ("ef", &["1", "10000", "0"]),
    ("accuracy", &["0.5", "1", "1e-30"]),
    ("timeout_ms", &["1", "0", "1000"]),
    ("vectors", &["\"any\"", "\"current\""]),
    ("keep_alive_ms", &["1", "1000", "600001", "0"]),
    ("cursor", &["\"\"", "\"AAAA\"", "\"eyJ0IjoxfQ==\""]),
    ("origin", &["true"]),
    ("exact", &["true"]),
    ("total", &["true", "{\"up_to\":10}", "{\"up_to\":0}"]),
    (
        "facets",
        &[
            "{\"brand\":{\"terms\":{}}}",
            "{\"p\":{\"field\":\"price\",\"histogram\":{\"interval\":1e-300}}}",
            "{\"price\":{\"histogram\":{\"interval\":1,\"offset\":1e308}}}",
            "{\"made\":{\"date_histogram\":{\"interval\":\"day\"}}}",
            "{\"price\":{\"ranges\":[{\"from\":1e308,\"to\":-1e308}]}}",
            "{\"stock\":{\"stats\":{}}}",
            "{\"none\":{\"terms\":{\"size\":0}}}",
            "{\"spot\":{\"terms\":{\"size\":10000}}}",
        ],
    ),
    (
        "sort",
        &[
            "\"price\"",
            "[\"-price\",\"_score\"]",
            "{\"price\":{\"order\":\"desc\",\"missing\":\"first\"}}",
            "[]",
            "\"none\"",
            "\"spot\"",
        ],
    ),
    (
        "group_by",
        &[
            "{\"field\":\"brand\"}",
            "{\"field\":\"price\",\"size\":100}",
            "{\"field\":\"none\",\"size\":0}",
        ],
    ),
    ("distinct", &["\"brand\"", "\"none\""]),
    (
        "highlight",
        &[
            "{}",
            "{\"fragment\":1,\"fragments\":100}",
            "{\"fragments\":0,\"pre\":\"\"}",
            "{\"fragment\":0}",
        ],
    ),
];

const SUGGEST: Shape = &[
    (
        "prefix",
        &["\"re\"", "\"red sh\"", "\"\"", "\"  \"", "\"ü\"", "\"\\u0000\""],
    ),
    ("limit", &["1", "100", "0", "101"]),
    ("field", &["\"name\"", "\"brand\"", "\"price\""]),
    ("filter", FILTERS),
];

const COMPARE: Shape = &[("queries", &["[]", "[\"shoe\"]"])];

const ROW: Shape = &[
    (
        "name",
        &["\"red shoe\"", "\"\"", "null", "\"don't <b>C++</b>\"", "7"],
    ),
    ("text", &["\"light\"", "[\"a\",\"b\"]"]),
    ("brand", &["\"acme\"", "[\"acme\",\"Zeta\"]", "null"]),
    ("price", &["1", "\"19.99\"", "1e308", "\"1e400\""]),
    ("stock", &["1", "9223372036854775807", "-1"]),
    ("sold", &["true", "1", "\"yes\""]),
    ("made", &["\"2026-01-01\"", "1e300", "-62135596800000"]),
    ("spot", &["[1,2]", "{\"lat\":1,\"lon\":2}", "\"1,2\"", "[181,91]"]),
    (
        "place",
        &[
            "[1,2,3]",
            "[0,0,0]",
            "[1,2]",
            "[1e39,0,0]",
            "\"AACAPwAAAEAAAEBA\"",
        ],
    ),
    ("__op", &["\"delete\"", "\"d\""]),
];
