//! What a file says of the embedding lane: what it may keep, how long searches wait, what a token costs.

use std::time::Duration;

use expect_test::{Expect, expect};
use millpond::definition::{Freshness, Index, LaneSettings, VectorSource};

use super::{read, with_index};

const INDEX: &str = "[index]\nquery = \"SELECT id, name FROM products\"\nkey = 'id'\nembed = '{name}'";

fn index(rest: &str) -> Index {
    let definition =
        read(&with_index(&format!("{INDEX}\n{rest}"))).unwrap_or_else(|faults| panic!("{faults}"));
    definition.index.unwrap()
}

fn lane(rest: &str) -> LaneSettings {
    match &index(rest).vectors[0].source {
        VectorSource::Embed { embedder, .. } => embedder.lane,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_may_be_left_out_and_everything_may_be_said() {
    let default = LaneSettings {
        cache_bytes: 64 << 20,
        query_timeout: Duration::from_secs(2),
        price_per_million_tokens: None,
    };
    assert_eq!(lane(""), default);
    assert_eq!(lane("[embedder]\nmodel = 'hash'"), default);
    assert_eq!(
        lane("[embedder]\ncache = '1GiB'\nquery_timeout = '300ms'\nprice_per_million_tokens = 0.02"),
        LaneSettings {
            cache_bytes: 1 << 30,
            query_timeout: Duration::from_millis(300),
            price_per_million_tokens: Some(0.02),
        }
    );
    assert_eq!(index("").freshness, Freshness::Split);
    assert_eq!(index("freshness = 'split'").freshness, Freshness::Split);
    assert_eq!(index("freshness = 'together'").freshness, Freshness::Together);
}

#[test]
fn faults_name_their_lines_and_what_would_be_right() {
    let check = |rest: &str, expected: Expect| {
        let faults = read(&with_index(&format!("{INDEX}\n{rest}"))).unwrap_err();
        expected.assert_eq(&faults);
    };
    check(
        "freshness = 'togehter'\n[embedder]\ncache = 'much'\nquery_timeout = 2\nprice_per_million_tokens = -1",
        expect![[r#"
            x.toml:12: unknown freshness `togehter`
                did you mean `together`?
            x.toml:14: `much` is no size for `embedder.cache`
                it must be a size with its unit, such as `"64KiB"`, `"256MiB"` or `"1GiB"`, from 1KiB
            x.toml:15: `embedder.query_timeout` is an integer
                it must be a time with its unit, such as `"500ms"`, `"5s"` or `"1m"`, from 10ms to 24h
            x.toml:16: `embedder.price_per_million_tokens` is out of range
                it must be a price from 0 to 1000000
            4 faults"#]],
    );
}
