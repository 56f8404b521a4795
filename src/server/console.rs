//! The page for people: one file in the binary, which asks the port as any client does.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;

const PAGE: &str = include_str!("console.html");

/// The page talks to this node alone, and nothing that a document holds can run in it.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page to search with, and to see how fresh the index is.
#[utoipa::path(get, path = "/", tag = "node", responses((status = 200, content_type = "text/html")))]
pub async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        // A new version of the node shows its own page at once.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE)
}
