//! Request bodies: read whole, each up to its limit, all together within a budget of memory.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Server;
use super::error::ApiError;

/// Memory for the bodies of all requests at once: four pushes of the largest size.
const BUDGET_BYTES: usize = 256 << 20;

/// The budget is given out in steps of this size.
const STEP_BYTES: usize = 1 << 10;

/// How long a body may take. 64 MiB arrive within it at 5 Mbit/s.
const READ_MAX: Duration = Duration::from_secs(110);

/// How much of a refused body is read and dropped, in multiples of its limit: a client that still writes when the
/// connection closes sees a reset and not the error.
const DRAIN_FACTOR: usize = 4;

/// Room for a search of an agent, or for the queries of a comparison.
const JSON_BYTES_MAX: usize = 1 << 20;

/// Reads bodies within the budget.
pub struct Bodies(Arc<Semaphore>);

/// A body, and its part of the budget.
pub struct TakenBody {
    bytes: Vec<u8>,
    _budget: OwnedSemaphorePermit,
}

impl std::ops::Deref for TakenBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies(Arc::new(Semaphore::new(BUDGET_BYTES / STEP_BYTES)))
    }
}

impl Bodies {
    /// The whole body of a request, of at most `bytes_max`.
    ///
    /// # Errors
    /// 413 where it is larger, 415 where it is compressed, 429 where the budget is used up, 408 where it takes too long.
    pub async fn read(&self, request: Request, bytes_max: usize) -> Result<TakenBody, ApiError> {
        let (parts, body) = request.into_parts();
        match timeout(READ_MAX, self.read_parts(&parts.headers, body, bytes_max)).await {
            Ok(read) => read,
            Err(_) => Err(ApiError::slow_body(format!(
                "the body did not arrive within {} s",
                READ_MAX.as_secs()
            ))),
        }
    }

    async fn read_parts(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        bytes_max: usize,
    ) -> Result<TakenBody, ApiError> {
        let refusal = match self.admit(headers, bytes_max) {
            Ok(budget) => match collect(&mut body, content_length(headers), bytes_max).await? {
                Some(bytes) => {
                    return Ok(TakenBody {
                        bytes,
                        _budget: budget,
                    });
                }
                None => too_large(bytes_max),
            },
            Err(refusal) => refusal,
        };
        // Who asked first whether to send the body has not sent it.
        if !headers.contains_key(EXPECT) {
            drain(&mut body, bytes_max * DRAIN_FACTOR).await;
        }
        Err(refusal)
    }

    fn admit(&self, headers: &HeaderMap, bytes_max: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Some(encoding) = headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(
                ApiError::unsupported_encoding(format!("the body is encoded as {encoding:?}"))
                    .hint("send it as it is, without Content-Encoding"),
            );
        }
        let length = content_length(headers).unwrap_or(bytes_max);
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        // At most 64 MiB in steps of 1 KiB: far inside a u32.
        let steps = length.div_ceil(STEP_BYTES) as u32;
        self.0
            .clone()
            .try_acquire_many_owned(steps)
            .map_err(|_| ApiError::behind("too many bodies are being read at once"))
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::too_large(format!("the body has more than {bytes_max} bytes"))
        .hint("send it in several requests")
}

/// The whole body, or `None` where it has more than `bytes_max`.
async fn collect(
    body: &mut Body,
    length: Option<usize>,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, ApiError> {
    let mut bytes = Vec::with_capacity(length.unwrap_or_default().min(bytes_max));
    while let Some(data) = next(body).await? {
        if bytes.len() + data.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

async fn drain(body: &mut Body, bytes_max: usize) {
    let mut drained = 0;
    while let Ok(Some(data)) = next(body).await {
        drained += data.len();
        if drained > bytes_max {
            return;
        }
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => {
                return Err(ApiError::bad_request(
                    "broken_body",
                    format!("the body broke off: {error}"),
                ));
            }
        }
    }
}

impl Server {
    /// A body of JSON, or none. What a web page may send to another host unasked is not taken for it.
    pub(super) async fn json_body(&self, request: Request) -> Result<TakenBody, ApiError> {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
        let is_json = kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        let body = self.bodies.read(request, JSON_BYTES_MAX).await?;
        match is_json || body.is_empty() {
            true => Ok(body),
            false => Err(ApiError::unsupported_type("the body is not said to be JSON")
                .hint("send it with `Content-Type: application/json`")),
        }
    }
}

/// What a body says.
///
/// # Errors
/// It cannot be read; the hint is an example.
pub(super) fn from_json<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request("bad_request", format!("the body cannot be read: {error}")).hint(example)
    })
}
