//! The port's description, generated from the code of its routes.

use std::sync::OnceLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millpond",
        description = "A search node fed by change streams. Where the dataflow file has keys or tokens, requests without one \
                       are answered by 401, those whose scopes do not suffice by 403, and those beyond a budget by 429."
    ),
    modifiers(&Keys),
    security((), ("key" = [])),
    paths(
        super::search::search,
        super::msearch::msearch,
        super::suggest::suggest,
        super::search::document,
        super::search::stats,
        super::upgrade::status,
        super::upgrade::begin,
        super::upgrade::switch,
        super::upgrade::rollback,
        super::upgrade::drop_second,
        super::upgrade::compare,
        super::changes::push,
        super::dead_letters::list,
        super::dead_letters::show,
        super::dead_letters::replay,
        super::dead_letters::drop_letters,
        super::snapshots::create,
        super::snapshots::list,
        super::snapshots::restore,
        super::health::healthz,
        super::health::readyz,
        super::health::metrics,
        document,
        super::console::page,
    ),
    tags(
        (name = "indexes", description = "Searching what is kept. An index has the name of its dataflow."),
        (name = "tables", description = "Changing it, where a table takes pushes."),
        (name = "dead-letters", description = "What could not be decoded or embedded."),
        (name = "snapshots", description = "Keeping what is searchable, for backups and for other machines."),
        (name = "node", description = "How the node is doing."),
    )
)]
struct Description;

/// Keys and tokens come in one header.
struct Keys;

impl Modify for Keys {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("key", scheme);
    }
}

/// This description, as OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "node", responses((status = 200, content_type = "application/json")))]
pub async fn document() -> impl IntoResponse {
    static JSON: OnceLock<String> = OnceLock::new();
    let json = JSON.get_or_init(|| {
        Description::openapi()
            .to_json()
            .expect("the description serialises into memory")
    });
    ([(CONTENT_TYPE, "application/json")], json.as_str())
}
