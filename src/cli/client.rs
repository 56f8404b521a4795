//! A running node, as the commands ask it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::access::Access;

use crate::server::{ErrorBody, ErrorDetail};

/// Longer than a node takes for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// An answer of 10,000 hits with large documents; more is not for a terminal.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("nothing answers at {url}: is `millpond serve` running?")]
    Unreachable { url: String, source: Box<ureq::Error> },
    #[error("ask {url}")]
    Failed { url: String, source: Box<ureq::Error> },
    #[error("{url} does not answer as a Millpond node does")]
    NotMillpond { url: String, source: serde_json::Error },
    #[error("the environment variable {0} has no key")]
    NoKey(String),
    #[error("read {}, the certificates to trust", path.display())]
    NoRoots { path: PathBuf, source: std::io::Error },
    #[error("{}", with_hint(.0))]
    Refused(ErrorDetail),
}

fn with_hint(detail: &ErrorDetail) -> String {
    match &detail.hint {
        Some(hint) => format!("{}\n  {hint}", detail.message),
        None => detail.message.clone(),
    }
}

/// A node, as seen from here.
pub(super) struct Node {
    url: String,
    agent: ureq::Agent,
    /// The value of the Authorization header.
    authorization: Option<String>,
}

impl Node {
    /// # Errors
    /// The key or the certificates that `access` names are not there.
    pub fn new(url: &str, access: &Access) -> Result<Node, NodeError> {
        Node::patient(url, access, ANSWER_MAX)
    }

    /// A node that may take so long for an answer.
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn patient(url: &str, access: &Access, answer_max: Duration) -> Result<Node, NodeError> {
        // Statuses are read with their bodies, and a proxy knows nothing of a node on this machine.
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(answer_max))
            .tls_config(tls(access)?)
            .build();
        Ok(Node {
            url: url.trim_end_matches('/').to_owned(),
            agent: settings.into(),
            authorization: access.key()?.map(|key| format!("Bearer {key}")),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The body, whatever the status.
    pub fn get_any(&self, path: &str) -> Result<Vec<u8>, NodeError> {
        let response = self
            .authorized(self.agent.get(format!("{}{path}", self.url)))
            .call();
        Ok(self.receive(response)?.1)
    }

    /// The body of an answer that is no error.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, NodeError> {
        let response = self
            .authorized(self.agent.get(format!("{}{path}", self.url)))
            .call();
        self.accept(self.receive(response)?)
    }

    /// The body of an answer that is no error.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Vec<u8>, NodeError> {
        let request = self.authorized(self.agent.post(format!("{}{path}", self.url)));
        let response = request.send_json(body);
        self.accept(self.receive(response)?)
    }

    /// The body of an answer that is no error.
    pub fn delete(&self, path: &str) -> Result<Vec<u8>, NodeError> {
        let response = self
            .authorized(self.agent.delete(format!("{}{path}", self.url)))
            .call();
        self.accept(self.receive(response)?)
    }

    fn authorized<Body>(&self, request: ureq::RequestBuilder<Body>) -> ureq::RequestBuilder<Body> {
        match &self.authorization {
            None => request,
            Some(value) => request.header("authorization", value),
        }
    }

    pub fn read<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, NodeError> {
        serde_json::from_slice(body).map_err(|source| NodeError::NotMillpond {
            url: self.url.clone(),
            source,
        })
    }

    fn accept(&self, (ok, body): (bool, Vec<u8>)) -> Result<Vec<u8>, NodeError> {
        if ok {
            return Ok(body);
        }
        let ErrorBody { error } = self.read(&body)?;
        Err(NodeError::Refused(error))
    }

    /// Whether the status is a success, and the body.
    fn receive(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(bool, Vec<u8>), NodeError> {
        let failed = |error: ureq::Error| {
            let (url, source) = (self.url.clone(), Box::new(error));
            match *source {
                ureq::Error::Io(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                    NodeError::Unreachable { url, source }
                }
                _ => NodeError::Failed { url, source },
            }
        };
        let mut response = response.map_err(failed)?;
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(failed)?;
        Ok((response.status().is_success(), body))
    }
}

/// Which nodes are trusted.
fn tls(access: &Access) -> Result<TlsConfig, NodeError> {
    let Some(pem) = access.roots()? else {
        return Ok(TlsConfig::default());
    };
    let roots: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let roots = RootCerts::Specific(Arc::new(roots));
    Ok(TlsConfig::builder().root_certs(roots).build())
}

/// A text as one segment of a path.
pub(super) fn percent_encode(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_name_stays_one_segment_of_the_path() {
        assert_eq!(percent_encode("shop-1.a_b~c"), "shop-1.a_b~c");
        assert_eq!(percent_encode("a/b ü?"), "a%2Fb%20%C3%BC%3F");
    }
}
