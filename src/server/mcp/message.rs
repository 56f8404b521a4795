//! Messages of JSON-RPC 2.0, as far as a server needs them that never asks.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

/// What a client has sent.
pub enum Incoming {
    Request(Request),
    /// A notification, or the answer to a request that nobody has sent.
    Unanswered,
}

pub struct Request {
    /// A number or a text, which comes back as it is.
    pub id: Value,
    pub method: String,
    pub params: Option<Box<RawValue>>,
}

/// What is wrong with a message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fault {
    /// As JSON-RPC has it: -32700, -32600, -32601, -32602 or -32603.
    code: i32,
    message: String,
}

impl Fault {
    pub fn unreadable(error: &serde_json::Error) -> Fault {
        match error.is_data() {
            true => Fault::request(format!("not a message of JSON-RPC 2.0: {error}")),
            false => Fault {
                code: -32700,
                message: format!("the body is not JSON: {error}"),
            },
        }
    }

    pub fn request(message: impl Into<String>) -> Fault {
        Fault {
            code: -32600,
            message: message.into(),
        }
    }

    pub fn method(name: &str) -> Fault {
        Fault {
            code: -32601,
            message: format!("there is no method {name:?}"),
        }
    }

    pub fn params(message: impl Into<String>) -> Fault {
        Fault {
            code: -32602,
            message: message.into(),
        }
    }

    fn internal(error: &serde_json::Error) -> Fault {
        Fault {
            code: -32603,
            message: format!("the answer cannot be written as JSON: {error}"),
        }
    }
}

/// All members that a message may have.
#[derive(Deserialize)]
struct Members {
    jsonrpc: String,
    #[serde(default, deserialize_with = "even_null")]
    id: Option<Value>,
    method: Option<String>,
    params: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "even_null")]
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

/// A member that is there and null is not one that is missing: a request with such an id is no notification.
fn even_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(member: D) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}

impl Incoming {
    pub fn read(body: &[u8]) -> Result<Incoming, Fault> {
        let message: Members = serde_json::from_slice(body).map_err(|error| Fault::unreadable(&error))?;
        if message.jsonrpc != "2.0" {
            return Err(Fault::request("`jsonrpc` is not \"2.0\""));
        }
        match (message.method, message.id) {
            (Some(method), Some(id)) if is_id(&id) => Ok(Incoming::Request(Request {
                id,
                method,
                params: message.params,
            })),
            (Some(_), Some(_)) => Err(Fault::request("`id` is neither a whole number nor a text")),
            (Some(_), None) => Ok(Incoming::Unanswered),
            (None, _) if message.result.is_some() || message.error.is_some() => Ok(Incoming::Unanswered),
            (None, _) => Err(Fault::request("the message has no `method`")),
        }
    }
}

fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

/// The parameters of a method.
pub fn params<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, Fault> {
    let text = params.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|error| Fault::params(format!("`params` cannot be read: {error}")))
}

pub fn raw<T: Serialize>(result: &T) -> Result<Box<RawValue>, Fault> {
    to_raw_value(result).map_err(|error| Fault::internal(&error))
}

/// JSON that was written before.
pub fn from_json(json: Vec<u8>) -> Result<Box<RawValue>, Fault> {
    serde_json::from_slice(&json).map_err(|error| Fault::internal(&error))
}

/// What is sent back: a result or a fault, with the id of its request.
#[derive(Serialize)]
pub struct Outgoing {
    jsonrpc: &'static str,
    id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

impl Outgoing {
    pub fn new(id: Value, answered: Result<Box<RawValue>, Fault>) -> Outgoing {
        let (result, error) = match answered {
            Ok(result) => (Some(result), None),
            Err(fault) => (None, Some(fault)),
        };
        Outgoing {
            jsonrpc: "2.0",
            id,
            result,
            error,
        }
    }

    /// To a message whose id is not known.
    pub fn refusal(fault: Fault) -> Outgoing {
        Outgoing::new(Value::Null, Err(fault))
    }
}

/// A message of JSON-RPC 2.0: `initialize`, `ping`, `tools/list`, `tools/call`, or a notification.
#[derive(ToSchema)]
#[schema(as = JsonRpcMessage, example = json!({
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {"name": "search", "arguments": {"query": "red shoe", "limit": 3}}
}))]
#[expect(dead_code, reason = "what the description says of `Members`")]
pub struct Message {
    /// `2.0`.
    jsonrpc: String,
    /// A whole number or a text; a notification has none.
    #[schema(value_type = Option<Value>)]
    id: Option<Value>,
    method: Option<String>,
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
}

/// The answer to a request, with its `id`: a `result`, or an `error`.
#[derive(ToSchema)]
#[schema(as = JsonRpcAnswer)]
#[expect(dead_code, reason = "what the description says of `Outgoing`")]
pub struct Answer {
    /// `2.0`.
    jsonrpc: String,
    #[schema(value_type = Value)]
    id: Value,
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    error: Option<Fault>,
}

/// A fault of a message that cannot be told apart.
#[derive(ToSchema)]
#[schema(as = JsonRpcRefusal)]
#[expect(dead_code, reason = "what the description says of `Outgoing::refusal`")]
pub struct Refusal {
    /// `2.0`.
    jsonrpc: String,
    error: Fault,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message is: `request`, `unanswered`, or the code of its fault.
    fn check(message: &str, expected: &str) {
        let read = match Incoming::read(message.as_bytes()) {
            Ok(Incoming::Request(request)) => format!("request {} {}", request.id, request.method),
            Ok(Incoming::Unanswered) => "unanswered".to_owned(),
            Err(fault) => fault.code.to_string(),
        };
        assert_eq!(read, expected, "{message}");
    }

    #[test]
    fn a_message_is_told_apart_by_its_members() {
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1 ping");
        check(
            r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{},"more":0}"#,
            r#"request "a" ping"#,
        );
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "unanswered",
        );
        check(r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "unanswered");
        check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, "unanswered");
        for id in ["null", "1.5", "{}", "[]", "true"] {
            check(
                &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#),
                "-32600",
            );
        }
        check(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "-32600");
        check(r#"{"id":1,"method":"ping"}"#, "-32600");
        check(r#"{"jsonrpc":"2.0","id":1}"#, "-32600");
        check("null", "-32600");
        check(r#"{"jsonrpc":"2.0","#, "-32700");
        check("", "-32700");
    }
}
