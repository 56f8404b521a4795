//! One shape for all errors: `{"error":{"code","message","hint"}}` with the fitting status.

use std::borrow::Cow;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::query::{ErrorKind, QueryError};

/// The body of every answer that is an error.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A word for programs, such as `unknown_index`.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// Why a request was not answered as asked.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    detail: ErrorDetail,
    /// When the same request may succeed, in seconds.
    retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        let detail = ErrorDetail {
            code: code.into(),
            message: message.into(),
            hint: None,
        };
        ApiError {
            status,
            detail,
            retry_after_s: None,
        }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Nobody knows who asks.
    pub fn unauthorized(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, code, message)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, code, message)
    }

    pub fn wrong_method(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
    }

    pub fn slow_body(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message)
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, code, message)
    }

    pub fn too_large(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub fn unsupported_encoding(message: impl Into<String>) -> ApiError {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            message,
        )
    }

    pub fn unsupported_type(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_type", message)
    }

    /// The node is behind and has taken nothing.
    pub fn behind(message: impl Into<String>) -> ApiError {
        let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "behind", message);
        error.retry_after_s = Some(1);
        error.hint("send the same again after a second: nothing of it was taken")
    }

    /// Who asks has asked for too much.
    pub fn exceeded(what: &str, wait: Duration) -> ApiError {
        let message = format!("the budget of {what} is used up");
        let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "budget_exceeded", message);
        let wait_s = wait.as_secs_f64().ceil().max(1.0) as u64;
        error.retry_after_s = Some(wait_s);
        error.hint(format!("wait {wait_s} s"))
    }

    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The request contradicts one before it.
    pub fn contradiction(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// The node was asked to keep something and does not know whether it could.
    pub fn not_kept(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, code, message)
    }

    /// The disk is full.
    pub fn no_space(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::INSUFFICIENT_STORAGE, code, message)
    }

    /// The node is starting or stopping, or its disk fails.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> ApiError {
        let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        error.retry_after_s = Some(1);
        error
    }

    pub fn timeout(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, code, message)
    }

    /// Whether it came from [`ApiError::behind`].
    pub fn is_behind(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is said, where it is a part of an answer.
    pub fn into_body(self) -> ErrorBody {
        ErrorBody { error: self.detail }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> ApiError {
        self.detail.hint = Some(hint.into());
        self
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> ApiError {
        let status = match error.kind {
            ErrorKind::Request => StatusCode::BAD_REQUEST,
            ErrorKind::Gone => StatusCode::GONE,
            ErrorKind::NotYet => StatusCode::REQUEST_TIMEOUT,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        };
        let detail = ErrorDetail {
            code: error.code.into(),
            message: error.message,
            hint: error.hint,
        };
        ApiError {
            status,
            detail,
            retry_after_s: None,
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> ApiError {
        ApiError::bad_request("bad_path", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> ApiError {
        ApiError::bad_request("bad_parameter", rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(ErrorBody { error: self.detail });
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="millpond""#);
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
