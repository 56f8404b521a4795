//! A path -> the scope that it needs.

use crate::definition::server::Scope;

/// `None`: open to everybody. Whatever is not named here, fallbacks and routes to come included, is for who administers the node.
pub fn scope_of(path: &str) -> Option<Scope> {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).splitn(5, '/').collect();
    match segments[..] {
        // The description and the page say nothing of this node's data.
        ["healthz" | "readyz" | "openapi.json" | ""] => None,
        ["v1", "indexes", _, "search" | "msearch" | "suggest" | "stats"]
        | ["v1", "indexes", _, "documents", _]
        | ["mcp"] => Some(Scope::Search),
        ["v1", "tables", _, "changes"] => Some(Scope::Write),
        _ => Some(Scope::Admin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_names_is_for_administrators() {
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
        ] {
            assert_eq!(scope_of(admin), Some(Scope::Admin), "{admin}");
        }
    }
}
