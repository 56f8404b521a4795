//! Drives an index by hand, message by message, as a test of a dataflow file would.
//!
//! There are no threads and no clock: the same messages give the same answers, at every step. Run it with
//! `cargo run --example replay`.

use std::path::Path;
use std::sync::Arc;

use millpond::change::TableId;
use millpond::definition;
use millpond::intake::DeadLetters;
use millpond::node::open_embedders;
use millpond::query::SearchRequest;
use millpond::replay::Replay;

const DATAFLOW: &str = r#"
name = "articles"
[tables.articles]
source = { kind = "http" }
format = "maxwell-json"
key = ["id"]
[index]
query = "SELECT id, title FROM articles WHERE status = 'published'"
key = "id"
text = { title = {} }
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let definition = Arc::new(definition::parse(DATAFLOW, "articles", Path::new("."))?);
    let mut replay = Replay::new(
        definition.clone(),
        open_embedders(&definition)?,
        DeadLetters::discard(),
    );

    let published = br#"{"database":"blog","table":"articles","type":"insert","ts":1700000000,"data":{"id":1,"title":"red shoes","status":"published"}}"#;
    replay.feed_values(TableId(0), 0, &[published]);
    replay.tick();
    assert_eq!(found(&replay, "shoe")?, ["1"]);

    // An article that goes back to draft leaves the index, and a late repetition of its insert does not bring it back.
    let drafted = br#"{"database":"blog","table":"articles","type":"update","ts":1700000001,"data":{"id":1,"title":"red shoes","status":"draft"},"old":{"status":"published"}}"#;
    replay.feed_values(TableId(0), 1, &[drafted]);
    replay.tick();
    assert!(found(&replay, "shoe")?.is_empty());
    replay.feed_values(TableId(0), 0, &[published]);
    replay.tick();
    assert!(found(&replay, "shoe")?.is_empty());

    let counters = replay.snapshot().counters;
    println!(
        "{} messages, {} changes, {} collapsed",
        counters.messages, counters.changes, counters.collapsed
    );
    Ok(())
}

/// The keys of the hits for a text, best first.
fn found(replay: &Replay, text: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let searcher = replay.searcher().ok_or("the dataflow has an index")?;
    let request = SearchRequest {
        query: Some(text.into()),
        ..SearchRequest::default()
    };
    let answer = searcher.search_in(&replay.snapshot(), &request)?;
    Ok(answer.hits.into_iter().map(|hit| hit.key.to_string()).collect())
}
