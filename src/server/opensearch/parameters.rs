//! The parameters of a path, read by closed sets as the keys of bodies are.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde_json::{Map, Value, json};

use super::refusal::{Read, Refusal};

/// What changes nothing here: how an answer is written, where it is looked for, how it is cached.
const WITHOUT_EFFECT: [&str; 13] = [
    "pretty",
    "human",
    "error_trace",
    "preference",
    "request_cache",
    "ignore_unavailable",
    "allow_no_indices",
    "expand_wildcards",
    "ccs_minimize_roundtrips",
    "batched_reduce_size",
    "max_concurrent_searches",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
];

/// The parameters that nobody has taken yet.
pub struct Parameters(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Parameters, Refusal> {
        let query = Query::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let Query(mut parameters) = query
            .map_err(|rejection| Refusal::illegal(format!("the parameters cannot be read: {rejection}")))?;
        parameters.retain(|name, _| !WITHOUT_EFFECT.contains(&name.as_str()));
        Ok(Parameters(parameters))
    }
}

impl Parameters {
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Whether it is set to true; given without a value, it is.
    pub fn flag(&mut self, name: &str) -> Read<bool> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(Refusal::illegal(format!("[{name}] is [{other}]: true or false"))),
        }
    }

    /// `_source`, `_source_includes` and `_source_excludes`, as a body says them.
    pub fn source(&mut self) -> Option<Value> {
        let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (includes, excludes) = (self.take("_source_includes"), self.take("_source_excludes"));
        let whole = self.take("_source");
        if includes.is_some() || excludes.is_some() {
            return Some(json!({
                "includes": includes.map(list).unwrap_or_default(),
                "excludes": excludes.map(list).unwrap_or_default(),
            }));
        }
        whole.map(|text| match &*text {
            "true" | "" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => json!(list(text)),
        })
    }

    /// Puts what a search may say in its path into its body, where that does not say it.
    pub fn into_search(mut self, body: &mut Map<String, Value>) -> Read<()> {
        let mut add = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(key.to_owned(), value);
            }
        };
        for key in ["from", "size"] {
            add(key, self.take(key).map(Value::from));
        }
        add("timeout", self.take("timeout").map(Value::from));
        add("explain", self.take("explain").map(Value::from));
        add("_source", self.source());
        let sort = self.take("sort");
        add(
            "sort",
            sort.map(|keys| keys.split(',').map(str::to_owned).collect()),
        );
        let total = self.take("track_total_hits");
        add(
            "track_total_hits",
            total.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
        );
        if let Some(line) = self.take("q") {
            let mut query = json!({"query": line});
            for (name, key) in [("default_operator", "default_operator"), ("df", "default_field")] {
                if let Some(value) = self.take(name) {
                    query[key] = value.into();
                }
            }
            add("query", Some(json!({"query_string": query})));
        }
        for (name, usual) in [
            ("search_type", "query_then_fetch"),
            ("allow_partial_search_results", "true"),
        ] {
            self.only(name, usual)?;
        }
        self.end()
    }

    /// A parameter that may say what is so anyway.
    pub fn only(&mut self, name: &str, usual: &str) -> Read<()> {
        match self.take(name) {
            Some(value) if value != usual => {
                Err(Refusal::illegal(format!("[{name}] does not support [{value}]")))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// There is a parameter that nobody has taken.
    pub fn end(self) -> Read<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::illegal(format!(
                "the parameter [{name}] is not supported here"
            ))),
        }
    }
}
