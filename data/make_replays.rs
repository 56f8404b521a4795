//! Writes `replays/`: a recorded topic for each dataflow that reads Kafka, and the rows it must end in.
//!
//!     cargo run --example make_replays [-- FOLDER]
//!
//! Each replay simulates the source database as a plain map and records what its connector would send: duplicates,
//! late arrivals, moved keys and rubbish included. `NAME.ndjson` is the recording; `NAME.expect.jsonl` is the map at
//! the end, which never went through a message. Everything comes from seeds: the same program writes the same bytes.

#[path = "make/canal.rs"]
mod canal;
#[path = "make/catalogue.rs"]
mod catalogue;
#[path = "make/clock.rs"]
mod clock;
#[path = "make/json.rs"]
mod json;
#[path = "make/random.rs"]
mod random;
mod replays {
    #[path = "../make/replays/documents.rs"]
    pub mod documents;
    #[path = "../make/replays/embeddings.rs"]
    pub mod embeddings;
    #[path = "../make/replays/log.rs"]
    pub mod log;
    #[path = "../make/replays/mariadb.rs"]
    pub mod mariadb;
    #[path = "../make/replays/products.rs"]
    pub mod products;
}

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/replays"));
    for (name, replay) in [
        ("tidb-documents", replays::documents::replay()),
        ("tidb-products", replays::products::replay()),
        ("embedding-firehose", replays::embeddings::replay()),
        ("mariadb-products", replays::mariadb::replay()),
    ] {
        std::fs::write(folder.join(format!("{name}.ndjson")), replay.log.to_text())?;
        let rows: String = replay.rows.iter().flat_map(|row| [row, "\n"]).collect();
        std::fs::write(folder.join(format!("{name}.expect.jsonl")), rows)?;
        let (messages, changes, rubbish) = replay.log.counts();
        println!(
            "{name}: {messages} messages, {changes} row changes, {rubbish} dead letters, {} rows, {} of them published",
            replay.rows.len(),
            replay.published,
        );
    }
    Ok(())
}
