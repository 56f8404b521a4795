//! An embedder of your own in an index: here one that only counts letters.
//!
//! The contract is the trait's: the same text gives the same vector, whatever the batch; failures say whether
//! trying again can help. Run it with `cargo run --example own_embedder`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond::change::TableId;
use millpond::definition;
use millpond::embed::{EmbedError, Embedder};
use millpond::intake::DeadLetters;
use millpond::query::{Mode, SearchRequest};
use millpond::replay::Replay;

/// Words made of the same letters are close.
#[derive(Default)]
struct Letters {
    embedded: AtomicUsize,
}

impl Embedder for Letters {
    fn model(&self) -> &str {
        "letters@1"
    }

    fn dimensions(&self) -> usize {
        26
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embedded.fetch_add(texts.len(), Ordering::Relaxed);
        let count = |text: &&str| {
            let mut counts = vec![0.0; 26];
            for letter in text.bytes().filter(u8::is_ascii_lowercase) {
                counts[usize::from(letter - b'a')] += 1.0;
            }
            counts
        };
        Ok(texts.iter().map(count).collect())
    }
}

const DATAFLOW: &str = r#"
name = "words"
[tables.words]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, word, seen FROM words"
key = "id"
embed = "{word}"
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let embedder = Arc::new(Letters::default());
    let definition = Arc::new(definition::parse(DATAFLOW, "words", Path::new("."))?);
    let mut replay = Replay::new(definition, vec![Some(embedder.clone())], DeadLetters::discard());
    let lines: [&[u8]; 5] = [
        br#"{"id": 1, "word": "listen", "seen": 1}"#,
        br#"{"id": 2, "word": "banana", "seen": 1}"#,
        br#"{"id": 3, "word": "enlist", "seen": 1}"#,
        // Neither a repeated text nor a change beside the text is embedded again.
        br#"{"id": 4, "word": "banana", "seen": 1}"#,
        br#"{"id": 1, "word": "listen", "seen": 2}"#,
    ];
    for (line, offset) in lines.into_iter().zip(0..) {
        replay.feed_values(TableId(0), offset, &[line]);
        replay.tick();
    }
    assert_eq!(embedder.embedded.load(Ordering::Relaxed), 3);

    let request = SearchRequest {
        query: Some("silent".into()),
        mode: Mode::Vector,
        ..SearchRequest::default()
    };
    let answer = replay
        .searcher()
        .ok_or("the dataflow has an index")?
        .search_in(&replay.snapshot(), &request)?;
    for hit in answer.hits {
        println!("{:.3}  {}", hit.score, hit.document);
    }
    Ok(())
}
