//! `[reranker]` -> what puts the best hits into a better order.

use std::time::Duration;

use super::World;
use super::place::{Place, endpoint, key_variable, name, place, tokens_max};
use super::vectors::template_over;
use super::written::{Entry, Section};
use crate::definition::{LocalReranker, RerankApi, RerankModel, RerankService, RerankerSettings};

/// One batch of a small model on two cores, and what people scroll through.
const WINDOW: usize = 50;

/// With the search itself still at once for a person.
const TIMEOUT: Duration = Duration::from_millis(200);

/// `columns` are those of the index; `None` where it is at fault, so that nothing is known of them.
pub(super) fn read(
    entry: &Entry<'_>,
    columns: Option<&[String]>,
    world: &World<'_>,
) -> Option<RerankerSettings> {
    let mut section = entry.section("a section with `model` and `text`")?;
    let model = section
        .required("model", MODEL)
        .and_then(|entry| model(&entry, world));
    let text = section
        .required("text", "a template such as `\"{name}\\n{description}\"`")
        .and_then(|entry| template_over(&entry, columns));
    let window = match section.optional("window") {
        None => Some(WINDOW),
        Some(entry) => {
            let range = 1..RerankerSettings::WINDOW_MAX as u64 + 1;
            let window = entry.integer(range, "a number of hits from 1 to 200");
            window.map(|window| window as usize)
        }
    };
    let timeout = match section.optional("timeout") {
        None => Some(TIMEOUT),
        Some(entry) => super::duration(&entry),
    };
    section.finish();
    Some(RerankerSettings {
        model: model?,
        text: text?,
        window: window?,
        timeout: timeout?,
    })
}

const MODEL: &str = "`{ path = \"FOLDER\" }` or `{ url = \"https://...\", api = \"tei\", name = \"...\" }`";

fn model(entry: &Entry<'_>, world: &World<'_>) -> Option<RerankModel> {
    let mut section = entry.section(MODEL)?;
    match place(entry, &mut section, MODEL)? {
        Place::Path(path) => local(&path, section, world).map(RerankModel::Local),
        Place::Url(url) => service(&url, section).map(RerankModel::Service),
    }
}

fn local(path: &Entry<'_>, mut section: Section<'_>, world: &World<'_>) -> Option<LocalReranker> {
    let path = path.text("the folder of a cross-encoder, or its ONNX file");
    let tokens_max = tokens_max(&mut section, 8);
    section.finish();
    Some(LocalReranker {
        path: world.base.join(path?),
        tokens_max: tokens_max?,
    })
}

fn service(url: &Entry<'_>, mut section: Section<'_>) -> Option<RerankService> {
    let url = endpoint(url, "https://api.cohere.com/v2/rerank");
    let api = section
        .required("api", "one of `tei`, `cohere`, `jina`")
        .and_then(|entry| entry.choice("api", &RerankApi::ALL));
    let name = name(&mut section);
    let key_variable = key_variable(&mut section);
    section.finish();
    Some(RerankService {
        url: url?,
        api: api?,
        name: name?,
        key_variable: key_variable?,
    })
}
