//! `model = { path = ... }` and `model = { url = ... }` -> what runs or asks it.

use std::time::Duration;

use super::World;
use super::place::{Place, endpoint, key_variable, name, place, tokens_max};
use super::written::{Entry, Section};
use crate::definition::{Api, LocalModel, Model, ServiceModel};

/// A service that embeds a batch on a busy processor takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What services take in one request unless they are set otherwise.
const BATCH_TOKENS: usize = 8_192;

pub(super) fn read(entry: &Entry<'_>, world: &World<'_>) -> Option<Model> {
    const EXPECTED: &str = "`{ path = \"FOLDER\" }` or `{ url = \"https://...\", api = \"openai\", name = \"...\", dimensions = N }`";
    let mut section = entry.section(EXPECTED)?;
    match place(entry, &mut section, EXPECTED)? {
        Place::Path(path) => local(&path, section, world).map(Model::Local),
        Place::Url(url) => service(&url, section).map(Model::Service),
    }
}

fn local(path: &Entry<'_>, mut section: Section<'_>, world: &World<'_>) -> Option<LocalModel> {
    let path = path.text("the folder of a model, or its ONNX file");
    let (query_prefix, document_prefix) = prefixes(&mut section);
    let tokens_max = tokens_max(&mut section, 3);
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
    let name = name(&mut section);
    let expected = "the length of the model's vectors, from 2 to 4096";
    let dimensions = section
        .required("dimensions", expected)
        .and_then(|entry| entry.integer(2..4097, expected));
    let (query_prefix, document_prefix) = prefixes(&mut section);
    let key_variable = key_variable(&mut section);
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
        name: name?,
        dimensions: dimensions? as usize,
        query_prefix: query_prefix?,
        document_prefix: document_prefix?,
        key_variable: key_variable?,
        timeout: timeout?,
        batch_tokens: batch_tokens?,
    })
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
