//! `model = { path = ... }` and `model = { url = ... }` -> what runs or asks it.

use std::time::Duration;

use super::World;
use super::written::{Entry, Section};
use crate::definition::{Api, LocalModel, Model, ServiceModel};

/// A service that embeds a batch on a busy processor takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What services take in one request unless they are set otherwise.
const BATCH_TOKENS: usize = 8_192;

pub(super) fn read(entry: &Entry<'_>, world: &World<'_>) -> Option<Model> {
    const EXPECTED: &str = "`{ path = \"FOLDER\" }` or `{ url = \"https://...\", api = \"openai\", name = \"...\", dimensions = N }`";
    let mut section = entry.section(EXPECTED)?;
    match (section.optional("path"), section.optional("url")) {
        (Some(path), None) => local(&path, section, world).map(Model::Local),
        (None, Some(url)) => service(&url, section).map(Model::Service),
        (Some(_), Some(url)) => {
            url.wrong(
                "the model has `path` and `url`",
                "it either lies on this machine or is asked for over HTTP",
            );
            None
        }
        (None, None) => {
            entry.wrong(
                format!("`{}` has neither `path` nor `url`", entry.path),
                format!("it must be {EXPECTED}"),
            );
            None
        }
    }
}

fn local(path: &Entry<'_>, mut section: Section<'_>, world: &World<'_>) -> Option<LocalModel> {
    let path = path.text("the folder of a model, or its ONNX file");
    let (query_prefix, document_prefix) = prefixes(&mut section);
    let tokens_max = match section.optional("max_tokens") {
        None => Some(None),
        Some(entry) => entry
            .integer(3..65_537, "a number of tokens from 3 to 65536")
            .map(|tokens| Some(tokens as usize)),
    };
    section.finish();
    Some(LocalModel {
        path: world.base.join(path?),
        query_prefix: query_prefix?,
        document_prefix: document_prefix?,
        tokens_max: tokens_max?,
    })
}

fn service(url: &Entry<'_>, mut section: Section<'_>) -> Option<ServiceModel> {
    let url = endpoint(url, "https://api.openai.com/v1/embeddings");
    let api = section
        .required("api", "one of `openai`, `tei`, `ollama`")
        .and_then(|entry| entry.choice("api", &Api::ALL));
    let expected = "the name by which the service knows the model";
    let name = section
        .required("name", expected)
        .and_then(|entry| entry.text(expected));
    let expected = "the length of the model's vectors, from 2 to 4096";
    let dimensions = section
        .required("dimensions", expected)
        .and_then(|entry| entry.integer(2..4097, expected));
    let (query_prefix, document_prefix) = prefixes(&mut section);
    let key_variable = match section.optional("key_env") {
        None => Some(None),
        Some(entry) => variable(&entry).map(Some),
    };
    let timeout = match section.optional("timeout") {
        None => Some(TIMEOUT),
        Some(entry) => super::duration(&entry),
    };
    let batch_tokens = match section.optional("batch_tokens") {
        None => Some(BATCH_TOKENS),
        Some(entry) => entry
            .integer(1..10_000_001, "a number of tokens from 1 to 10000000")
            .map(|tokens| tokens as usize),
    };
    section.finish();
    Some(ServiceModel {
        url: url?,
        api: api?,
        name: name?.to_owned(),
        dimensions: dimensions? as usize,
        query_prefix: query_prefix?,
        document_prefix: document_prefix?,
        key_variable: key_variable?,
        timeout: timeout?,
        batch_tokens: batch_tokens?,
    })
}

/// The URL of an endpoint, such as `example`, without a secret: it stands in logs.
pub(super) fn endpoint(entry: &Entry<'_>, example: &str) -> Option<String> {
    let expected = format!("the URL of the endpoint itself, such as `{example}`");
    let url = entry.text(&expected)?;
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let plain = |c: char| c.is_ascii_graphic();
    match host {
        Some(host) if host.contains('@') => {
            entry.wrong(
                format!("`{}` has a name or a password", entry.path),
                "a key comes from the environment: `key_env = \"NAME_OF_THE_VARIABLE\"`",
            );
            None
        }
        Some(host) if !host.is_empty() && url.chars().all(plain) => Some(url.to_owned()),
        _ => {
            entry.wrong(
                format!("`{}` is no URL", entry.path),
                format!("it must be {expected}"),
            );
            None
        }
    }
}

/// The name of an environment variable. It is read where the service is asked, so a file can be checked without it.
pub(super) fn variable(entry: &Entry<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of the environment variable that has the key, such as `OPENAI_API_KEY`";
    let name = entry.text(EXPECTED)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(name.to_owned());
    }
    // What stands here may be the key itself, so it is not repeated.
    entry.wrong(
        format!("`{}` is no name of a variable", entry.path),
        format!("it must be {EXPECTED}"),
    );
    None
}

type Prefix = Option<Option<String>>;

/// `query_prefix` and `document_prefix`; an empty one overrides what the model's files say.
fn prefixes(section: &mut Section<'_>) -> (Prefix, Prefix) {
    let read = |entry: Option<Entry<'_>>| match entry {
        None => Some(None),
        Some(entry) if entry.is_text() => entry.scalar().map(Some),
        Some(entry) => entry.text("a text such as `\"query: \"`").map(|_| None),
    };
    (
        read(section.optional("query_prefix")),
        read(section.optional("document_prefix")),
    )
}
