//! One request, and what its answer means.

use std::time::Duration;

use jiff::Timestamp;
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode};
use ureq::{Agent, Body, Proxy};

/// A service that does not even take a connection for so long is not there.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Bytes of an answer for each number in it, and beside them. JSON takes 10 to 22 for a number.
const NUMBER_BYTES_MAX: usize = 40;
const BESIDE_BYTES_MAX: usize = 64 << 10;

/// Of what a service says of an error, so much is passed on.
const REASON_CHARS_MAX: usize = 200;

/// Where a service is, and what opens it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub url: String,
    /// The environment variable that has the key.
    pub key_variable: Option<String>,
}

/// A request, and how its answer is read.
pub struct Question<'a, T> {
    pub body: &'a [u8],
    /// Numbers of its answer, which bound how much of one is read.
    pub numbers: usize,
    /// From the first byte sent to the last received.
    pub timeout: Duration,
    pub read: &'a dyn Fn(&[u8]) -> Result<T, Wrong>,
}

/// What is wrong with an answer that came with status 200.
#[derive(Debug, PartialEq)]
pub enum Wrong {
    /// It is not what was asked for; another try may be better.
    Answer(String),
    /// A number of a vector is none: so it is with this text.
    Numbers,
}

/// Asks a service.
pub struct Client {
    url: String,
    agent: Agent,
    key: Option<Key>,
}

/// A secret. It is in the header of requests, and nowhere else.
struct Key {
    text: String,
    header: HeaderValue,
}

/// What came of a request.
pub enum Answer<T> {
    Read(T),
    /// One of the texts at least cannot be taken.
    Refused(String),
    Busy {
        retry_after: Option<Duration>,
    },
    Failed(String),
}

impl Client {
    /// # Errors
    /// The environment variable with the key is not set, or holds what cannot stand in a header.
    pub fn new(endpoint: &Endpoint) -> Result<Client, String> {
        let key = match &endpoint.key_variable {
            None => None,
            Some(variable) => Some(Key::read(variable)?),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A request that went elsewhere would take its key along.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(if is_here(&endpoint.url) {
                None
            } else {
                Proxy::try_from_env()
            })
            .build();
        Ok(Client {
            url: endpoint.url.clone(),
            agent: config.into(),
            key,
        })
    }

    /// Asks once.
    pub fn ask<T>(&self, question: &Question<'_, T>) -> Answer<T> {
        let request = self.agent.post(&self.url).content_type("application/json");
        let mut request = request
            .config()
            .timeout_connect(Some(CONNECT_MAX.min(question.timeout)))
            .timeout_global(Some(question.timeout))
            .build();
        if let Some(key) = &self.key {
            request = request.header("authorization", key.header.clone());
        }
        match request.send(question.body) {
            Ok(response) => self.answer(response, question),
            Err(error) => Answer::Failed(self.without_key(&format!("{}: {error}", self.url))),
        }
    }

    fn answer<T>(&self, mut response: Response<Body>, question: &Question<'_, T>) -> Answer<T> {
        let url = &self.url;
        let limit = question.numbers * NUMBER_BYTES_MAX + BESIDE_BYTES_MAX;
        let body = response
            .body_mut()
            .with_config()
            .limit(limit as u64)
            .read_to_vec();
        let status = response.status();
        let said = |body: &[u8]| {
            // Before it is cut short: half a key is a secret too.
            let body = self.without_key(&String::from_utf8_lossy(body));
            format!("{url} says {}{}", status.as_u16(), reason(&body))
        };
        match (status, body) {
            (StatusCode::OK, Ok(body)) => match (question.read)(&body) {
                Ok(read) => Answer::Read(read),
                Err(Wrong::Answer(reason)) => Answer::Failed(self.without_key(&format!("{url}: {reason}"))),
                Err(Wrong::Numbers) => {
                    Answer::Refused("the vector has numbers that are not finite".to_owned())
                }
            },
            (StatusCode::OK, Err(error)) => Answer::Failed(self.without_key(&format!("{url}: {error}"))),
            // What else it says is of no use.
            (StatusCode::TOO_MANY_REQUESTS, _) => Answer::Busy {
                retry_after: retry_after(response.headers()),
            },
            (StatusCode::SERVICE_UNAVAILABLE, _) if retry_after(response.headers()).is_some() => {
                Answer::Busy {
                    retry_after: retry_after(response.headers()),
                }
            }
            (
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY,
                body,
            ) => Answer::Refused(said(&body.unwrap_or_default())),
            // Also what another key or name would cure: the texts are not at fault.
            (_, body) => Answer::Failed(said(&body.unwrap_or_default())),
        }
    }

    /// Some services repeat the key in what they say.
    fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(&key.text, "(the key)"),
            None => text.to_owned(),
        }
    }
}

impl Key {
    fn read(variable: &str) -> Result<Key, String> {
        let text = std::env::var(variable).unwrap_or_default().trim().to_owned();
        if text.is_empty() {
            return Err(format!(
                "the environment variable {variable} with its key is not set"
            ));
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}"))
            .map_err(|_| format!("the environment variable {variable} holds what no key can"))?;
        header.set_sensitive(true);
        Ok(Key { text, header })
    }
}

/// What a body says of an error, as one short line: the text in it, or the body itself.
fn reason(body: &str) -> String {
    let text = match serde_json::from_str::<serde_json::Value>(body) {
        Ok(json) => {
            let error = json.get("error").unwrap_or(&json);
            let message = error.get("message").unwrap_or(error);
            message
                .as_str()
                .map_or_else(|| message.to_string(), str::to_owned)
        }
        Err(_) => body.to_owned(),
    };
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.is_empty() {
        true => String::new(),
        false => format!(": {}", line.chars().take(REASON_CHARS_MAX).collect::<String>()),
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let wait = date.timestamp().duration_since(Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

/// Whether the service is on this machine: a proxy knows nothing of it.
fn is_here(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else {
        return false;
    };
    matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_of_an_error_is_one_short_line() {
        assert_eq!(
            reason(r#"{"error":{"message":"no\n such  model"}}"#),
            ": no such model"
        );
        assert_eq!(
            reason(r#"{"error":"overloaded","error_type":"x"}"#),
            ": overloaded"
        );
        assert_eq!(reason("<html>"), ": <html>");
        assert_eq!(reason(""), "");
        assert_eq!(reason(&"ä".repeat(5000)).chars().count(), REASON_CHARS_MAX + 2);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_str(value).unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("3"), Some(Duration::from_secs(3)));
        assert_eq!(read(" 0.5 "), Some(Duration::from_millis(500)));
        assert_eq!(read("-1"), None);
        assert_eq!(read("soon"), None);
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = read("Wed, 21 Oct 2099 07:28:00 GMT").unwrap();
        assert!(later > Duration::from_secs(86_400 * 365));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn services_on_this_machine_are_asked_without_a_proxy() {
        for url in [
            "http://127.0.0.1:8080/embed",
            "http://localhost/embed",
            "http://[::1]:80/embed",
        ] {
            assert!(is_here(url), "{url}");
        }
        assert!(!is_here("https://api.openai.com/v1/embeddings"));
    }
}
