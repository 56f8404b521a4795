//! `millpond search`: asks a running node, and prints what it found.

use std::fmt;
use std::io::{self, Write};

use clap::Args;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::access::Access;
use super::client::{Node, NodeError, percent_encode};
use crate::query::{Hit, LegHit, SearchAnswer, VectorState};
use crate::server::Readiness;

/// Columns of a terminal that does not say how many it has.
const WIDTH: usize = 80;

/// Searches a running node.
#[derive(Clone, Debug, Args)]
pub struct SearchArgs {
    /// What to search for, in words
    #[arg(required = true, value_name = "TEXT")]
    pub text: Vec<String>,
    /// Where the node listens
    #[arg(long, default_value = "http://127.0.0.1:7700")]
    pub url: String,
    /// A condition in SQL: "category = 'shoes' AND price < 50"
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// Which legs to ask
    #[arg(long, value_parser = ["hybrid", "keyword", "vector"], default_value = "hybrid")]
    pub mode: String,
    /// Which vectors to search, by their name in [index.vectors]
    #[arg(long, value_name = "NAME")]
    pub using: Option<String>,
    /// How many hits to print
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub limit: usize,
    /// The share of the nearest vectors to find, such as 0.99
    #[arg(long, value_name = "SHARE")]
    pub accuracy: Option<f32>,
    /// Compare every vector with that of TEXT
    #[arg(long, conflicts_with = "accuracy")]
    pub exact: bool,
    /// The name of the index, if it is not to be asked for
    #[arg(long, value_name = "NAME")]
    pub index: Option<String>,
    /// Print the node's answer as it is
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub access: Access,
}

/// Why nothing could be printed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the node at {url} keeps tables only: its dataflow has no [index]")]
    NoIndex { url: String },
    #[error("print the hits")]
    Print(#[source] io::Error),
}

/// What is sent; the node's defaults hold for the rest.
#[derive(Serialize)]
struct Search<'a> {
    query: &'a str,
    mode: &'a str,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    using: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exact: bool,
}

/// Searches, and prints the hits on standard output. A reader of the output may go away at any time.
pub fn run(args: &SearchArgs) -> Result<(), SearchError> {
    let node = Node::new(&args.url, &args.access)?;
    let index = match &args.index {
        Some(index) => index.clone(),
        None => index_of(&node)?,
    };
    let search = Search {
        query: &args.text.join(" "),
        mode: &args.mode,
        limit: args.limit,
        filter: args.filter.as_deref(),
        using: args.using.as_deref(),
        accuracy: args.accuracy,
        exact: args.exact,
    };
    let path = format!("/v1/indexes/{}/search", percent_encode(&index));
    let answer = node.post(&path, &search)?;

    let mut out = io::stdout().lock();
    let printed = match args.json {
        true => out.write_all(&answer).and_then(|()| out.write_all(b"\n")),
        false => print(&mut out, &node.read(&answer)?, width()),
    };
    match printed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(SearchError::Print(error)),
        _ => Ok(()),
    }
}

/// The name of the node's index. It says so even while it is starting.
fn index_of(node: &Node) -> Result<String, SearchError> {
    let readiness: Readiness = node.read(&node.get_any("/readyz")?)?;
    readiness.index.ok_or_else(|| SearchError::NoIndex {
        url: node.url().to_owned(),
    })
}

/// The width of the terminal, as far as it is known.
pub(super) fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    columns.and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH)
}

/// Prints an answer for people.
pub(super) fn print(out: &mut impl Write, answer: &SearchAnswer, width: usize) -> io::Result<()> {
    for (i, hit) in answer.hits.iter().enumerate() {
        print_hit(out, i + 1, hit, width)?;
    }
    for failed in &answer.failed {
        let leg = format!("{:?}", failed.leg).to_lowercase();
        writeln!(out, "The {leg} leg did not answer: {}", plain(&failed.reason))?;
    }
    let hits = match answer.hits.len() {
        0 => "Nothing found".to_owned(),
        1 => "1 hit".to_owned(),
        many => format!("{many} hits"),
    };
    let took = answer
        .took_ms
        .map(|took_ms| format!(", in {took_ms:.1} ms"))
        .unwrap_or_default();
    writeln!(out, "{hits} as of tick {}{took}", answer.as_of.tick)
}

fn print_hit(out: &mut impl Write, rank: usize, hit: &Hit, width: usize) -> io::Result<()> {
    let leg = |name, leg: &Option<LegHit>| {
        leg.map(|leg| format!("  {name} #{}", leg.rank))
            .unwrap_or_default()
    };
    let (keyword, vector) = (leg("keyword", &hit.keyword), leg("vector", &hit.vector));
    let state = match hit.vector_state {
        None | Some(VectorState::Current) => "",
        Some(VectorState::Pending) => "  vector pending",
        Some(VectorState::Stale) => "  vector stale",
        Some(VectorState::Failed) => "  vector failed",
    };
    writeln!(
        out,
        "{rank:>3}. {}  {:.4}{keyword}{vector}{state}",
        plain(&hit.key),
        hit.score
    )?;

    // What a node writes is an object; anything else has no columns.
    let Columns(columns) = serde_json::from_str(hit.document.get()).unwrap_or_default();
    let name_width = columns
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or_default();
    for (name, value) in &columns {
        let value = match value {
            Value::String(text) => plain(text),
            other => other.to_string(),
        };
        let line = format!("     {:name_width$}  {value}", plain(name));
        writeln!(out, "{}", shortened(line.trim_end(), width))?;
    }
    writeln!(out)
}

/// Text on one line, without what could steer a terminal.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

pub(super) fn shortened(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A document's columns in the order in which the node sent them.
#[derive(Default)]
struct Columns(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Columns, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(Columns(columns))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(answer: &str, width: usize, expected: Expect) {
        let mut out = Vec::new();
        print(&mut out, &serde_json::from_str(answer).unwrap(), width).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn hits_are_printed_with_their_columns_in_order_and_cut_to_the_width() {
        check(
            r#"{"hits":[
                {"key":"28","score":0.91,"keyword":{"rank":1,"score":7.5},"vector":{"rank":3,"score":0.61},
                 "document":{"name":"Red shoe","description":"Läuft leicht auf jedem Weg, auch nass","price":19.9}},
                {"key":"acme/7","score":0.5,"vector":{"rank":1,"score":0.7},"document":{}}],
               "as_of":{"tick":12,"positions":{}},"took_ms":0.44}"#,
            40,
            expect![[r#"
                  1. 28  0.9100  keyword #1  vector #3
                     name         Red shoe
                     description  Läuft leicht auf jede…
                     price        19.9

                  2. acme/7  0.5000  vector #1

                2 hits as of tick 12, in 0.4 ms
            "#]],
        );
    }

    #[test]
    fn what_a_document_holds_cannot_steer_the_terminal() {
        check(
            r#"{"hits":[{"key":"1","score":1,"document":{"name":"a\u001b[2Jb\nc\u009b"}}],
               "as_of":{"tick":1,"positions":{}},"failed":[{"leg":"vector","reason":"no\r model"}]}"#,
            80,
            expect![[r#"
                  1. 1  1.0000
                     name  a [2Jb c

                The vector leg did not answer: no  model
                1 hit as of tick 1
            "#]],
        );
    }
}
