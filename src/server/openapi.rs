//! The port's description, generated from the code of its routes.
//!
//! A route says what it answers itself. What every route with a key, a body or a path can answer is added here, by the
//! same rules by which it is answered.

use std::sync::OnceLock;

use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Header, Object, Ref, RefOr, Response, ResponseBuilder, Schema, Type};
use utoipa::{Modify, OpenApi};

use super::auth::scope_of;
use super::opensearch;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millpond",
        description = "A search node fed by change streams. Where the dataflow file has keys or tokens, requests without one \
                       are answered by 401, those whose scopes do not suffice by 403, and those beyond a budget by 429.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Common),
    paths(
        super::search::search,
        super::msearch::msearch,
        super::suggest::suggest,
        super::search::document,
        super::search::stats,
        super::upgrade::status::status,
        super::upgrade::begin::begin,
        super::upgrade::switch::switch,
        super::upgrade::switch::rollback,
        super::upgrade::switch::drop_second,
        super::upgrade::compare::compare,
        super::changes::push,
        super::dead_letters::list,
        super::dead_letters::show,
        super::dead_letters::replay,
        super::dead_letters::drop_letters,
        super::snapshots::create,
        super::snapshots::list,
        super::snapshots::restore,
        super::mcp::post,
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
        (name = "opensearch", description = "The same for clients of OpenSearch: `docs/opensearch.md` says what is supported."),
        (name = "agents", description = "The index as tools for language models."),
        (name = "node", description = "How the node is doing."),
    )
)]
struct Description;

/// What several routes have in common.
struct Common;

impl Modify for Common {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key of the dataflow file, or a token by its [server.jwt]"))
            .build();
        let api_key = ApiKeyValue::with_description(
            "Authorization",
            "`ApiKey KEY`, as clients of other search nodes send it; tokens are not taken here",
        );
        opensearch::describe(description);
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(api_key)));
        // Who sees a part of the documents gets a part of the same numbers: all of them fit both.
        if let Some(RefOr::T(Schema::OneOf(stats))) = components.schemas.get("IndexStats") {
            let either = stats.items.iter().cloned();
            let either = either.fold(AnyOfBuilder::new(), AnyOfBuilder::item).build();
            let either = RefOr::T(Schema::AnyOf(either));
            components.schemas.insert("IndexStats".to_owned(), either);
        }
        for (path, item) in &mut description.paths.paths {
            let operations = [
                (Method::GET, &mut item.get),
                (Method::HEAD, &mut item.head),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    complete(&method, path, operation);
                }
            }
        }
    }
}

/// Adds what a route can answer besides what it says itself.
fn complete(method: &Method, path: &str, operation: &mut Operation) {
    let Some(scope) = scope_of(method, path) else {
        operation.security = Some(Vec::new());
        return;
    };
    let scopes: [&str; 0] = [];
    operation.security = Some(vec![
        // Where the dataflow file has neither keys nor tokens.
        SecurityRequirement::default(),
        SecurityRequirement::new("key", scopes),
        SecurityRequirement::new("api_key", scopes),
    ]);
    let forbidden = format!(
        "The key has no scope `{}`, or a web page of another host asks",
        scope.name()
    );
    let mut answers = vec![
        ("401", "Nobody knows who asks".to_owned()),
        ("403", forbidden),
        (
            "429",
            "A budget is used up, or the node is behind; nothing was done".to_owned(),
        ),
        ("500", "A fault of the node: its log says more".to_owned()),
    ];
    if operation.request_body.is_some() {
        answers.extend([
            ("400", "The body broke off, or cannot be read".to_owned()),
            ("408", "The body did not arrive in time".to_owned()),
            ("413", "The body is too large".to_owned()),
            (
                "415",
                "The body is compressed, or of another type than JSON where that is asked for".to_owned(),
            ),
        ]);
    }
    let has_parameters = |place| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| parameter.parameter_in == place)
    };
    if has_parameters(ParameterIn::Path) || has_parameters(ParameterIn::Query) {
        answers.push((
            "400",
            "A part of the path or a parameter cannot be read".to_owned(),
        ));
    }
    let responses = &mut operation.responses.responses;
    for (status, meaning) in answers {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| error(meaning).into());
    }
    for (status, name, kind, meaning) in [
        ("401", WWW_AUTHENTICATE, Type::String, "How to say who asks"),
        (
            "429",
            RETRY_AFTER,
            Type::Integer,
            "When the same may succeed, in seconds",
        ),
    ] {
        if let Some(RefOr::T(response)) = responses.get_mut(status) {
            let mut header = Header::new(Object::with_type(kind));
            header.description = Some(meaning.to_owned());
            response.headers.insert(name.to_string(), header);
        }
    }
}

fn error(meaning: String) -> Response {
    let body = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ErrorBody")))
        .build();
    ResponseBuilder::new()
        .description(meaning)
        .content("application/json", body)
        .build()
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
