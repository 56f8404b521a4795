//! Letters, decoded once more from their raw bytes: the definition may have been corrected since.
//!
//! A replayed change keeps its partition and offset, so that it never replaces a newer row; it does not move the
//! partition's position.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::PAGE_BYTES_MAX;
use super::letter::{Letter, RawMessage};
use crate::change::{TableId, Tick};
use crate::decode::{Decoded, Decoder, Refusal};
use crate::intake::{Batch, Intake};
use crate::source::Closed;

/// What came of letters that were decoded again.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Ids of letters whose changes are on their way.
    pub decoded: Vec<String>,
    /// Ids of letters that stay, and why.
    pub failed: Vec<(String, String)>,
    /// Ids of no kept letter.
    pub unknown: Vec<String>,
    /// Tell the ticks that the changes enter.
    entered: Vec<oneshot::Receiver<Tick>>,
}

impl Replayed {
    /// The tick with which all changes are in; zero where there were none, `None` where the node has stopped.
    pub async fn tick(&mut self) -> Option<Tick> {
        let mut newest = Tick(0);
        for entered in self.entered.drain(..) {
            newest = newest.max(entered.await.ok()?);
        }
        Some(newest)
    }
}

/// Why letters were not replayed. They stay, and may be replayed again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error("read dead letters")]
    Read(#[from] io::Error),
}

/// A message's place: its letters are decoded together. Those of one partition come in the order of their offsets.
type MessagePlace<'a> = (&'a str, &'a str, Option<u64>, u64);

impl Intake {
    /// Decodes kept letters again and sends what comes of them into the dataflow; waits while that is full.
    ///
    /// Letters that fail stay with their new reason. The caller drops the others with
    /// [`DeadLetters::drop_letters`](super::DeadLetters::drop_letters) when a checkpoint covers their tick.
    ///
    /// # Errors
    /// The node is stopping, or the file cannot be read.
    pub fn replay(&self, ids: &[String]) -> Result<Replayed, ReplayError> {
        let mut replayed = Replayed::default();
        let (mut letters, mut bytes) = (Vec::new(), 0);
        for id in ids {
            let Some(letter) = self.dead_letters.get(id)? else {
                replayed.unknown.push(id.clone());
                continue;
            };
            bytes += letter.value.as_ref().map_or(0, String::len) as u64;
            letters.push(letter);
            if bytes > PAGE_BYTES_MAX {
                self.decode_again(&letters, &mut replayed)?;
                letters.clear();
                bytes = 0;
            }
        }
        self.decode_again(&letters, &mut replayed)?;
        for (id, reason) in &replayed.failed {
            self.dead_letters.note_reason(id, reason);
        }
        for id in &replayed.decoded {
            self.dead_letters.note_replayed(id);
        }
        Ok(replayed)
    }

    fn decode_again(&self, letters: &[Letter], replayed: &mut Replayed) -> Result<(), Closed> {
        let mut messages: BTreeMap<MessagePlace<'_>, Vec<&Letter>> = BTreeMap::new();
        for letter in letters {
            if letter.document.is_some() {
                let reason = "a text is embedded again when its row changes, not by a replay".to_owned();
                replayed.failed.push((letter.id.clone(), reason));
                continue;
            }
            let place = (
                &*letter.table,
                &*letter.partition,
                letter.offset,
                letter.content(),
            );
            messages.entry(place).or_default().push(letter);
        }
        let mut partitions: HashMap<(&str, &str), (Decoder, Batch)> = HashMap::new();
        for ((table, partition, ..), letters) in &messages {
            let Some((id, definition)) = self.definition.table(table) else {
                let reason = format!("the dataflow has no table `{table}` any more");
                fail(replayed, letters.iter().map(|letter| (*letter, reason.clone())));
                continue;
            };
            let (Some(letter), Some(raw)) =
                (letters.first(), letters.first().and_then(|letter| letter.raw()))
            else {
                let reason = "its key, value or headers are not base64 any more".to_owned();
                fail(replayed, letters.iter().map(|letter| (*letter, reason.clone())));
                continue;
            };
            let (decoder, batch) = partitions.entry((table, partition)).or_insert_with(|| {
                let decoder = Decoder::new(definition);
                decoder.expect_columns(definition.needs.iter().map(|need| &*need.column));
                (decoder, empty(id, format!("{table}/{partition}").into()))
            });
            let number = self.partition_number(&batch.partition);
            let mut decoded = Decoded::default();
            decoder.decode(&raw.as_message(letter, number), &mut decoded);
            batch.bytes += size(&raw);
            batch.changes.append(&mut decoded.changes);
            for letter in letters {
                let is_its = |refusal: &&Refusal| refusal.row == letter.row || letter.row == Refusal::OTHERS;
                match decoded.refusals.iter().find(is_its) {
                    Some(Refusal { reason, .. }) => fail(replayed, [(*letter, reason.clone())]),
                    None => replayed.decoded.push(letter.id.clone()),
                }
            }
        }
        for (_, (_, mut batch)) in partitions {
            if batch.changes.is_empty() {
                continue;
            }
            let (entered, enters) = oneshot::channel();
            batch.entered = Some(entered);
            self.send(batch)?;
            replayed.entered.push(enters);
        }
        Ok(())
    }
}

fn fail<'a>(replayed: &mut Replayed, letters: impl IntoIterator<Item = (&'a Letter, String)>) {
    let failed = letters
        .into_iter()
        .map(|(letter, reason)| (letter.id.clone(), reason));
    replayed.failed.extend(failed);
}

fn empty(table: TableId, partition: Arc<str>) -> Batch {
    Batch {
        table,
        partition,
        last: None,
        messages: 0,
        dead_letters: 0,
        committed_ms: None,
        newest_ms: None,
        arrived: Instant::now(),
        bytes: 0,
        changes: Vec::new(),
        entered: None,
    }
}

fn size(raw: &RawMessage) -> usize {
    [&raw.key, &raw.value].into_iter().flatten().map(Vec::len).sum()
}
