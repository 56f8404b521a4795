//! The door for clients of OpenSearch: its paths, its queries and its answers, over the same searches and pushes as `/v1`.
//!
//! A request is read by closed sets of keys: whatever is not supported is refused by its name, and never read as something else.
//! Reading and writing are pure (`body`, `bulk`, `answer`); the handlers around them are in `search`, `documents`, `write` and `about`.

mod refusal;
mod keys;
mod names;
mod clause;
mod words;
mod exact;
mod query_string;
mod simple_query_string;
mod hybrid;
mod highlight;
mod aggregations;
mod body;
mod answer;
mod parameters;
mod path;
mod search;
mod documents;
mod bulk;
mod in_flight;
mod writer;
mod write;
mod about;
mod description;

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post, put};
use serde::Serialize;

use super::Server;
pub use description::describe;
pub use in_flight::InFlight;
use refusal::{Read, Refusal};

/// The paths of OpenSearch that there are.
pub fn routes() -> Router<Arc<Server>> {
    let searches = || get(search::searches).post(search::searches);
    let search = || get(search::search).post(search::search);
    let documents = || get(documents::get_several).post(documents::get_several);
    let bulk = || post(write::bulk).put(write::bulk);
    Router::new()
        .route("/", get(about::root))
        .route("/_cat/indices", get(about::indices))
        .route("/_cat/indices/{index}", get(about::indices))
        .route("/_cluster/health", get(about::health))
        .route("/_search", search())
        .route("/_msearch", searches())
        .route("/_mget", documents())
        .route("/_bulk", bulk())
        .route("/{index}", head(about::exists).fallback(super::unknown_route))
        .route("/{index}/_mapping", get(about::mapping))
        .route("/{index}/_search", search())
        .route("/{index}/_count", get(search::count).post(search::count))
        .route("/{index}/_msearch", searches())
        .route("/{index}/_mget", documents())
        .route("/{index}/_bulk", bulk())
        .route("/{index}/_doc", post(write::index))
        .route(
            "/{index}/_doc/{id}",
            get(documents::get)
                .put(write::index)
                .post(write::index)
                .delete(write::delete),
        )
        .route("/{index}/_create/{id}", put(write::create).post(write::create))
}

/// What is said of a path of OpenSearch that there is none of here.
pub fn unsupported(path: &str) -> Option<Response> {
    is_theirs(path).then(|| Refusal::illegal(format!("[{path}] is not supported")).into_response())
}

/// What is said of a path of OpenSearch that does not take a method.
pub fn wrong_method(method: &Method, path: &str) -> Option<Response> {
    let reason = format!("[{path}] does not take [{method}]");
    is_theirs(path).then(|| Refusal::new(405, "illegal_argument_exception", reason).into_response())
}

/// Whether one of its segments begins with `_`.
fn is_theirs(path: &str) -> bool {
    path.split('/').any(|segment| segment.starts_with('_'))
}

/// # Errors
/// The name is not that of the index.
fn check_index(index: &str, named: &str) -> Read<()> {
    match named == index {
        true => Ok(()),
        false => Err(Refusal::new(
            404,
            "index_not_found_exception",
            format!("no such index [{named}]"),
        )),
    }
}

fn written<T: Serialize>(answer: &T) -> Read<Response> {
    let body = serde_json::to_vec(answer)
        .map_err(|error| Refusal::new(500, "exception", format!("the answer cannot be written: {error}")))?;
    Ok(([(CONTENT_TYPE, "application/json; charset=UTF-8")], body).into_response())
}

#[cfg(test)]
fn test_index() -> crate::definition::Index {
    let definition = crate::definition::parse(
        r#"
        name = "shop"
        [tables.products]
        source = { kind = "http" }
        format = "upsert-json"
        key = ["id"]
        [index]
        query = "SELECT id, name, description, category, price, made, embedding FROM products"
        key = "id"
        text = { name = { boost = 2.0 }, description = {} }
        vector = "embedding"
        fields = { category = "keyword", price = "f64", made = "date" }
        [embedder]
        model = "none"
        dimensions = 3
        "#,
        "test",
        std::path::Path::new(""),
    );
    definition
        .expect("the definition is right")
        .index
        .expect("it has an index")
}

#[cfg(test)]
mod tests;
