//! The tools: what an agent is told of them, and what a call of one gives.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::Server;
use super::super::auth::Identity;
use super::super::error::ApiError;
use super::super::search::{found, index_stats, search_bytes, written};
use super::message::{self, Fault};
use crate::definition::{Definition, Index};

/// A call of a tool.
#[derive(Deserialize)]
pub struct ToolCall {
    name: String,
    arguments: Option<Box<RawValue>>,
}

/// What a tool gives. An error is given to the model, too: its hint says what would be right.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<'a> {
    content: [Text<'a>; 1],
    structured_content: &'a RawValue,
    is_error: bool,
}

/// The same once more, for clients that know no structured content.
#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// Calls a tool, for who asks: it sees what a search of theirs sees.
pub async fn call(server: &Arc<Server>, identity: &Identity, call: ToolCall) -> Result<Box<RawValue>, Fault> {
    let arguments = call
        .arguments
        .map_or_else(|| "{}".to_owned(), |given| given.get().to_owned());
    let answered = match call.name.as_str() {
        "search" => search(server, identity, arguments).await,
        "get" => get(server, identity, &arguments).await,
        "stats" => stats(server, identity, &arguments).await,
        name => return Err(Fault::params(format!("there is no tool {name:?}"))),
    };
    let (answer, is_error) = match answered {
        Ok(answer) => (answer, false),
        Err(error) => (written(&error.into_body()).unwrap_or_default(), true),
    };
    let answer = message::from_json(answer)?;
    message::raw(&ToolResult {
        content: [Text {
            r#type: "text",
            text: answer.get(),
        }],
        structured_content: &answer,
        is_error,
    })
}

async fn search(server: &Arc<Server>, identity: &Identity, arguments: String) -> Result<Vec<u8>, ApiError> {
    search_bytes(
        server,
        identity,
        &server.app.definition.name,
        arguments.into_bytes(),
    )
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetArguments {
    key: String,
}

async fn get(server: &Arc<Server>, identity: &Identity, arguments: &str) -> Result<Vec<u8>, ApiError> {
    let GetArguments { key } = read(arguments, r#"such as {"key": "28"}"#)?;
    written(&found(server, identity, &server.app.definition.name, vec![key]).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArguments {}

async fn stats(server: &Arc<Server>, identity: &Identity, arguments: &str) -> Result<Vec<u8>, ApiError> {
    let NoArguments {} = read(arguments, "the tool takes none: {}")?;
    written(&index_stats(server, identity, &server.app.definition.name).await?)
}

fn read<T: DeserializeOwned>(arguments: &str, hint: &str) -> Result<T, ApiError> {
    serde_json::from_str(arguments).map_err(|error| {
        ApiError::bad_request("bad_request", format!("the arguments cannot be read: {error}")).hint(hint)
    })
}

/// What a model is told before it sees the tools.
pub fn instructions(definition: &Definition) -> String {
    let name = &definition.name;
    match &definition.index {
        None => format!("The node {name} keeps tables only: it has nothing to search."),
        Some(index) => format!(
            "The index {name} is kept up to date from a change stream; `as_of` of an answer says how fresh it is. Find documents \
             by `search`, then read one whole by `get` with its `key`. {}",
            columns(index)
        ),
    }
}

/// The tools with their schemas, of the index that there is.
pub fn list(definition: &Definition) -> Vec<Value> {
    let Some(index) = &definition.index else {
        return Vec::new();
    };
    vec![
        tool(
            "search",
            "Search",
            &format!(
                "Finds documents of the index {} by words and by meaning. {}",
                definition.name,
                columns(index)
            ),
            search_schema(index, definition.server.limits.hits),
        ),
        tool(
            "get",
            "Get a document",
            "One document with all its columns, by the key that `search` has given.",
            json!({
                "type": "object",
                "properties": { "key": { "type": "string", "description": "Such as \"28\"" } },
                "required": ["key"],
                "additionalProperties": false,
            }),
        ),
        tool(
            "stats",
            "Statistics",
            "How many documents there are, and up to which change of its sources the index has come.",
            json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        ),
    ]
}

fn tool(name: &str, title: &str, description: &str, schema: Value) -> Value {
    json!({
        "name": name,
        "title": title,
        "description": description,
        "inputSchema": schema,
        "annotations": {
            "title": title,
            "readOnlyHint": true,
            "destructiveHint": false,
            "idempotentHint": true,
            "openWorldHint": false,
        },
    })
}

/// What an index can be asked by.
fn columns(index: &Index) -> String {
    let texts: Vec<&str> = index.text.iter().map(|text| text.name.as_str()).collect();
    let fields: Vec<String> = index
        .fields
        .iter()
        .map(|field| format!("{} ({})", field.name, field.kind.name()))
        .collect();
    let or_none = |names: String| match names.is_empty() {
        true => "none".to_owned(),
        false => names,
    };
    format!(
        "Texts that are searched: {}. Fields to filter, sort and count by: {}.",
        or_none(texts.join(", ")),
        or_none(fields.join(", "))
    )
}

/// The part of a search that serves a model. The others of `POST /v1/indexes/{index}/search` are taken all the same.
fn search_schema(index: &Index, hits_max: usize) -> Value {
    let columns = &index.plan.columns;
    let fields: Vec<&str> = index.fields.iter().map(|field| field.name.as_str()).collect();
    json!({
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "description": "Words, as a person types them: +must -not \"a phrase\" prefix*. Without it, `filter` lists documents."
            },
            "like": { "type": "string", "description": "The key of a document, to find others like it" },
            "filter": {
                "type": ["string", "object"],
                "description": "Which documents may be found: an SQL condition over the fields, such as category = 'shoes' AND price < 50"
            },
            "mode": {
                "type": "string",
                "enum": ["hybrid", "keyword", "vector"],
                "description": "By words and meaning (the default), by words alone, or by meaning alone"
            },
            "limit": { "type": "integer", "minimum": 0, "maximum": hits_max, "default": 10 },
            "offset": { "type": "integer", "minimum": 0, "maximum": hits_max, "default": 0 },
            "fields": {
                "type": "array",
                "items": { "type": "string", "enum": columns },
                "description": "The columns of the hits' documents; all where left out"
            },
            "sort": {
                "type": ["string", "array"],
                "items": { "type": "string" },
                "description": "A field, or several: \"price\" the least first, \"-price\" the greatest; the best first where left out"
            },
            "total": { "type": "boolean", "description": "Whether to count all documents of the result" },
            "facets": {
                "type": "object",
                "maxProperties": 32,
                "description": "What to count over the whole result, by name, such as {\"category\": {\"terms\": {\"size\": 10}}, \"price\": {\"stats\": {}}}",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "field": { "type": "string", "enum": fields },
                        "terms": { "type": "object", "properties": { "size": { "type": "integer", "minimum": 1, "maximum": 10_000 } } },
                        "stats": { "type": "object" },
                        "histogram": { "type": "object", "properties": { "interval": { "type": "number", "exclusiveMinimum": 0 } } }
                    }
                }
            },
            "distinct": { "type": "string", "description": "A field of which each value is shown once, by its best document" },
            "min_score": { "type": "number" },
            "highlight": { "type": "object", "description": "{} shows where the texts have the words of the query" }
        },
    })
}
