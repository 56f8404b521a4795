//! Errors as OpenSearch writes them: `{"error":{"root_cause":[..],"type","reason"},"status"}`.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::query::{ErrorKind, QueryError};
use crate::server::error::ApiError;

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// A word for programs, such as `parsing_exception`.
    pub kind: String,
    pub reason: String,
}

pub type Read<T> = Result<T, Refusal>;

impl Refusal {
    /// It can be read, and asks for what is not there or not supported.
    pub fn illegal(reason: impl Into<String>) -> Refusal {
        Refusal::new(400, "illegal_argument_exception", reason)
    }

    /// It cannot be read.
    pub fn parsing(reason: impl Into<String>) -> Refusal {
        Refusal::new(400, "parsing_exception", reason)
    }

    pub fn new(status: u16, kind: &str, reason: impl Into<String>) -> Refusal {
        let (kind, reason) = (kind.to_owned(), reason.into());
        Refusal { status, kind, reason }
    }

    /// What stands for an item of several that is not answered.
    pub fn error(&self) -> Value {
        let cause = json!({"type": self.kind, "reason": self.reason});
        json!({"root_cause": [cause], "type": self.kind, "reason": self.reason})
    }

    pub fn body(&self) -> Value {
        json!({"error": self.error(), "status": self.status})
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Refusal {
        let (status, kind) = match error.kind {
            ErrorKind::Request => (400, "illegal_argument_exception"),
            ErrorKind::Forbidden => (403, "security_exception"),
            ErrorKind::Gone => (404, "search_context_missing_exception"),
            ErrorKind::NotYet => (408, "timeout_exception"),
            ErrorKind::Unavailable => (503, "search_phase_execution_exception"),
        };
        let reason = match &error.hint {
            Some(hint) => format!("{}: {hint}", error.message),
            None => error.message,
        };
        Refusal::new(status, kind, reason)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        let status = error.status().as_u16();
        let detail = error.into_body().error;
        let kind = match (status, &*detail.code) {
            (404, "unknown_index") => "index_not_found_exception",
            (400 | 404 | 405 | 409 | 413 | 415, _) => "illegal_argument_exception",
            (401 | 403, _) => "security_exception",
            (429, _) => "circuit_breaking_exception",
            (408 | 504, _) => "timeout_exception",
            _ => "exception",
        };
        let reason = match detail.hint {
            Some(hint) => format!("{}: {hint}", detail.message),
            None => detail.message,
        };
        Refusal::new(status, kind, reason)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body())).into_response();
        if matches!(self.status, 429 | 503) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
