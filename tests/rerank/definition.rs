//! `[reranker]` in a dataflow file.

use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use millpond::definition::{LocalReranker, RerankApi, RerankModel, RerankService, parse};

use super::searches::{dataflow, definition};
use super::settings;

#[test]
fn what_is_not_said_is_as_usual() {
    let read = settings("model = { path = \"models/ranks\" }\ntext = \"{word}: {text}\"");
    assert_eq!((read.window, read.timeout), (50, Duration::from_millis(200)));
    let local = LocalReranker {
        path: "models/ranks".into(),
        tokens_max: None,
    };
    assert_eq!(read.model, RerankModel::Local(local));

    let read = settings(
        "model = { url = \"https://api.cohere.com/v2/rerank\", api = \"cohere\", name = \"rerank-v3.5\", key_env = \"KEY\" }\ntext = \"{text}\"\nwindow = 200\ntimeout = \"1.5s\"",
    );
    assert_eq!((read.window, read.timeout), (200, Duration::from_millis(1500)));
    let service = RerankService {
        url: "https://api.cohere.com/v2/rerank".to_owned(),
        api: RerankApi::Cohere,
        name: "rerank-v3.5".to_owned(),
        key_variable: Some("KEY".to_owned()),
    };
    assert_eq!(read.model, RerankModel::Service(service));
}

#[test]
fn the_index_before_a_rebuild_has_the_same_one() {
    let here = definition("model = { path = \"/models/ranks\", max_tokens = 128 }\ntext = \"{text}\"");
    let kept = here.kept.parse().unwrap();
    assert_eq!(kept.reranker, here.reranker);
}

#[test]
fn all_faults_are_told_at_once_with_what_would_be_right() {
    let faults = |section: &str| {
        let faults = parse(&dataflow(section), "x.toml", Path::new("")).unwrap_err();
        faults.to_string()
    };
    let shown = [
        "",
        "model = { path = \"a\", url = \"http://b/\" }\ntext = \"none\"",
        "model = {}\ntext = \"{title}\"\nwindow = 0\ntimeout = 5\nspeed = 1",
        "model = { url = \"b\", api = \"openai\", key_env = \"a-secret\" }\ntext = \"{text}\"\nwindow = 201",
        "model = { path = \"a\", max_tokens = 7, name = \"b\" }\ntext = \"{text}\"",
    ]
    .map(faults);
    expect![[r#"
        x.toml:12: `reranker` lacks `model`
            it must be `{ path = "FOLDER" }` or `{ url = "https://...", api = "tei", name = "..." }`
        x.toml:12: `reranker` lacks `text`
            it must be a template such as `"{name}\n{description}"`
        2 faults
        x.toml:13: the model has `path` and `url`
            it either lies on this machine or is asked for over HTTP
        x.toml:14: `reranker.text`: the template names no column
            a column is `{name}`
        2 faults
        x.toml:13: `reranker.model` has neither `path` nor `url`
            it must be `{ path = "FOLDER" }` or `{ url = "https://...", api = "tei", name = "..." }`
        x.toml:14: `reranker.text`: `title` is not a column of the query
            it selects `id`, `text`, `word`, `kind`
        x.toml:15: `reranker.window` is out of range
            it must be a number of hits from 1 to 200
        x.toml:16: `reranker.timeout` is an integer
            it must be a time with its unit, such as `"500ms"`, `"5s"` or `"1m"`, from 10ms to 24h
        x.toml:17: unknown key `speed` in `reranker`
            one of `model`, `text`, `window`, `timeout`
        5 faults
        x.toml:13: `reranker.model.url` is no URL
            it must be the URL of the endpoint itself, such as `https://api.cohere.com/v2/rerank`
        x.toml:13: unknown api `openai`
            one of `tei`, `cohere`, `jina`
        x.toml:13: `reranker.model` lacks `name`
            it must be the name by which the service knows the model
        x.toml:13: `reranker.model.key_env` is no name of a variable
            it must be the name of the environment variable that has the key, such as `OPENAI_API_KEY`
        x.toml:15: `reranker.window` is out of range
            it must be a number of hits from 1 to 200
        5 faults
        x.toml:13: `reranker.model.max_tokens` is out of range
            it must be a number of tokens from 8 to 65536
        x.toml:13: unknown key `name` in `reranker.model`
            one of `path`, `url`, `max_tokens`
        2 faults"#]]
    .assert_eq(&shown.join("\n"));
    let without = "name = \"x\"\n[tables.x]\nsource = { kind = \"http\" }\nformat = \"upsert-json\"\nkey = [\"id\"]\n[reranker]\nmodel = { path = \"a\" }\ntext = \"{text}\"";
    let faults = parse(without, "x.toml", Path::new("")).unwrap_err().to_string();
    assert!(
        faults.contains("x.toml:6: there is nothing to re-rank without `[index]`"),
        "{faults}"
    );
}
