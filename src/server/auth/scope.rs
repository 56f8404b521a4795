//! A method and a path -> the scope that they need.

use axum::http::Method;

use crate::definition::server::Scope;

/// `None`: open to everybody. Whatever is not named here, fallbacks and routes to come included, is for who administers the node.
pub fn scope_of(method: &Method, path: &str) -> Option<Scope> {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).splitn(5, '/').collect();
    match segments[..] {
        // The description and the page say nothing of this node's data.
        ["healthz" | "readyz" | "openapi.json" | ""] => None,
        ["v1", "indexes", _, "search" | "msearch" | "suggest" | "stats"]
        | ["v1", "indexes", _, "documents", _]
        | ["mcp"] => Some(Scope::Search),
        ["v1", "tables", _, "changes"] => Some(Scope::Write),
        // The paths of OpenSearch.
        ["_search" | "_msearch" | "_mget"] | ["_cluster", "health"] => Some(Scope::Search),
        ["_cat", "indices"] | ["_cat", "indices", _] => Some(Scope::Search),
        ["_bulk"] => Some(Scope::Write),
        // Metrics are answered to HEAD too, though without a word.
        [index] if method == Method::HEAD && index != "metrics" => Some(Scope::Search),
        [_, "_search" | "_count" | "_msearch" | "_mget" | "_mapping"] => Some(Scope::Search),
        [_, "_doc", _] if matches!(*method, Method::GET | Method::HEAD) => Some(Scope::Search),
        [_, "_bulk" | "_doc"] | [_, "_doc" | "_create", _] => Some(Scope::Write),
        _ => Some(Scope::Admin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_names_is_for_administrators() {
        let scope_of = |path| scope_of(&Method::POST, path);
        for open in ["/", "/healthz", "/readyz", "/openapi.json"] {
            assert_eq!(scope_of(open), None, "{open}");
        }
        for search in [
            "/v1/indexes/shop/search",
            "/v1/indexes/shop/stats",
            "/v1/indexes/shop/documents/a/b/c",
            "/mcp",
        ] {
            assert_eq!(scope_of(search), Some(Scope::Search), "{search}");
        }
        assert_eq!(scope_of("/v1/tables/t/changes"), Some(Scope::Write));
        for admin in [
            "/metrics",
            "/v1/dead-letters",
            "/v1/dead-letters/t/0/7",
            "/v1/indexes/shop/upgrade/switch",
            "/v1/indexes/shop/search/more",
            "/v1/indexes/shop/documents",
            "/v1/tables/t/changes/",
            "//healthz",
            "/healthz/",
            "/mcp/",
            "/nothing",
            "/shop/_settings",
            "/shop/_doc/7/more",
            "/_snapshot",
        ] {
            assert_eq!(scope_of(admin), Some(Scope::Admin), "{admin}");
        }
    }

    #[test]
    fn a_document_of_opensearch_is_read_or_written_by_its_method() {
        for (method, path, scope) in [
            (Method::GET, "/shop/_doc/7", Scope::Search),
            (Method::HEAD, "/shop/_doc/7", Scope::Search),
            (Method::PUT, "/shop/_doc/7", Scope::Write),
            (Method::POST, "/shop/_doc/7", Scope::Write),
            (Method::DELETE, "/shop/_doc/7", Scope::Write),
            (Method::POST, "/shop/_doc", Scope::Write),
            (Method::PUT, "/shop/_create/7", Scope::Write),
            (Method::POST, "/_bulk", Scope::Write),
            (Method::POST, "/shop/_search", Scope::Search),
            (Method::HEAD, "/shop", Scope::Search),
            (Method::GET, "/shop", Scope::Admin),
            (Method::HEAD, "/metrics", Scope::Admin),
        ] {
            assert_eq!(scope_of(&method, path), Some(scope), "{method} {path}");
        }
    }
}
