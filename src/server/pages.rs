//! Web pages: which of them may ask, in whatever browser they are shown.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::changes::IDEMPOTENCY_KEY;
use super::error::ApiError;
use crate::definition::ServerSettings;

/// How long a browser remembers what it may send.
const AGE: Duration = Duration::from_secs(600);

/// What web pages of other origins may send and read; nothing where there are no origins.
pub fn cors(settings: &ServerSettings) -> CorsLayer {
    let layer = CorsLayer::new();
    if settings.origins.is_empty() {
        return layer;
    }
    let origins = match settings.origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => {
            let origins = settings.origins.iter();
            AllowOrigin::list(origins.filter_map(|origin| HeaderValue::from_str(origin).ok()))
        }
    };
    layer
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static(IDEMPOTENCY_KEY),
        ])
        .expose_headers([RETRY_AFTER])
        .max_age(AGE)
}

/// Keeps pages of other hosts off a node that asks nobody for a key.
///
/// Such a node trusts whoever is on its machine, and a browser there sends what any page wants. It says for which page, though, where more
/// than a plain GET is sent.
pub struct Pages {
    /// `None`: a page has no more rights than its reader's key.
    trusted: Option<Vec<String>>,
}

impl Pages {
    pub fn new(settings: &ServerSettings) -> Pages {
        let trusts_the_machine = !settings.asks_for_keys() && !settings.open;
        Pages {
            trusted: trusts_the_machine.then(|| settings.origins.clone()),
        }
    }

    /// # Errors
    /// 403, where a page of another host has asked.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match &self.trusted {
            Some(trusted) => trust(trusted, headers),
            None => Ok(()),
        }
    }
}

/// Whether no page asks, or one of this machine, or of one of these origins.
///
/// # Errors
/// 403, where another one does.
pub fn trust(origins: &[String], headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    match is_here(origin) || origins.iter().any(|known| known == origin || known == "*") {
        true => Ok(()),
        false => Err(
            ApiError::forbidden("foreign_page", "a web page of another host asks")
                .hint("name its origin in [server.cors] of the dataflow file"),
        ),
    }
}

/// Whether a page is of this machine.
fn is_here(origin: &str) -> bool {
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    name == "localhost" || name.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(settings: &ServerSettings, origin: &'static str) -> bool {
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
        Pages::new(settings).check(&headers).is_ok()
    }

    #[test]
    fn pages_of_other_hosts_do_not_ask_a_node_without_keys() {
        let closed = ServerSettings::default();
        for here in [
            "http://localhost:7700",
            "http://127.0.0.1:7700",
            "http://[::1]:7700",
            "https://localhost",
        ] {
            assert!(asks(&closed, here), "{here}");
        }
        for foreign in [
            "https://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example:7700",
            "http://192.0.2.1",
            "null",
            "",
        ] {
            assert!(!asks(&closed, foreign), "{foreign}");
        }
        assert!(
            Pages::new(&closed).check(&HeaderMap::new()).is_ok(),
            "no page asks"
        );
        let named = ServerSettings {
            origins: vec!["https://shop.example".to_owned()],
            ..ServerSettings::default()
        };
        assert!(asks(&named, "https://shop.example"));
        assert!(!asks(&named, "https://evil.example"));
        let open = ServerSettings {
            open: true,
            ..ServerSettings::default()
        };
        assert!(asks(&open, "https://evil.example"), "something else decides");
    }
}
