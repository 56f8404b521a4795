//! What could not be decoded, or not be embedded: kept with its reason, its position and its raw bytes until somebody
//! has seen to it.
//!
//! | a letter                     | then                                                              |
//! |------------------------------|-------------------------------------------------------------------|
//! | is delivered again           | is not kept again, even if it was dropped                         |
//! | is dropped                   | is gone                                                           |
//! | is replayed and decodes      | is gone when a checkpoint covers what came of it                  |
//! | is replayed and fails        | stays, with its new reason                                        |
//! | cannot be written            | waits in memory and is tried again; the log and a metric say so   |

mod file;
mod letter;
mod replay;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use letter::{DeadLetter, Letter, LetterDocument, UnembeddedText};
pub use replay::{ReplayError, Replayed};

use crate::decode::Cause;
use crate::metrics::Metrics;
pub use store::Dropped;
use store::Store;

/// Bytes of letters that are in memory at once, to be listed or replayed.
const PAGE_BYTES_MAX: u64 = 16 << 20;

/// Where dead letters go. Clones share the file.
#[derive(Clone)]
pub struct DeadLetters(Option<Arc<Shared>>);

/// Told of each letter that is kept, once.
pub type Also = Box<dyn Fn(&Letter) + Send + Sync>;

struct Shared {
    store: Mutex<Store>,
    also: OnceLock<Also>,
    metrics: OnceLock<Metrics>,
}

/// Some of the kept letters, in the order in which they came.
#[derive(Debug, Default)]
pub struct Page {
    /// And whether what came of the letter waits for its checkpoint.
    pub letters: Vec<(Letter, bool)>,
    /// Whether others follow.
    pub more: bool,
    /// Kept letters, on this page or not.
    pub total: usize,
    /// Letters that the disk has not taken yet; they are not listed.
    pub waiting: usize,
}

impl DeadLetters {
    /// Opens or makes a file of letters. `covered` are positions, by `table/partition`, up to which nothing is delivered
    /// again: what was dropped there may be forgotten.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, covered: &BTreeMap<String, u64>) -> io::Result<DeadLetters> {
        Ok(DeadLetters(Some(Arc::new(Shared {
            store: Mutex::new(Store::open(path, covered)?),
            also: OnceLock::new(),
            metrics: OnceLock::new(),
        }))))
    }

    /// Appends to a file, in which nothing is forgotten.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn append_to(path: &Path) -> io::Result<DeadLetters> {
        DeadLetters::open(path, &BTreeMap::new())
    }

    /// Keeps none; they are still counted.
    pub fn discard() -> DeadLetters {
        DeadLetters(None)
    }

    /// Gives each letter that is kept from now on to `also`, too. The first call counts.
    pub fn also(&self, also: Also) {
        if let Some(shared) = &self.0 {
            let _ = shared.also.set(also);
        }
    }

    /// Counts there what waits and what is lost. The first call counts.
    pub(super) fn count_in(&self, metrics: &Metrics) {
        if let Some(shared) = &self.0 {
            let _ = shared.metrics.set(metrics.clone());
        }
    }

    /// Keeps those that are not known yet. What the disk refuses is logged and tried again: it must not stop the stream.
    pub fn keep(&self, letters: &[DeadLetter<'_>]) {
        let _ = self.keep_if(letters, || Ok::<(), std::convert::Infallible>(()));
    }

    /// Keeps letters if `take` takes what they belong to. A [`DeadLetters::sync`] that finds it taken finds them kept.
    pub(super) fn keep_if<T, E>(
        &self,
        letters: &[DeadLetter<'_>],
        take: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(shared) = self.0.as_ref().filter(|_| !letters.is_empty()) else {
            let taken = take()?;
            letters.iter().for_each(log);
            return Ok(taken);
        };
        let mut store = shared.store();
        let taken = take()?;
        shared.keep(&mut store, letters.iter().map(Letter::of_message));
        drop(store);
        letters.iter().for_each(log);
        Ok(taken)
    }

    /// Keeps a text that its embedder refuses for good, and the document that has it.
    pub fn keep_text(&self, text: &UnembeddedText<'_>) {
        tracing::warn!(
            index = text.index,
            key = text.key,
            reason = text.reason,
            "a text cannot be embedded"
        );
        if let Some(shared) = &self.0 {
            let mut store = shared.store();
            shared.keep(&mut store, [Letter::of_text(text)]);
        }
    }

    /// Makes everything durable that was kept so far.
    ///
    /// # Errors
    /// The disk refuses a letter or the sync. No checkpoint may cover their positions then.
    pub fn sync(&self) -> io::Result<()> {
        let Some(shared) = &self.0 else { return Ok(()) };
        let mut store = shared.store();
        let synced = store.sync();
        shared.count_waiting(&store);
        synced
    }

    /// Kept letters after one of them, of one table or of all; up to `limit`, and fewer where they are large. `None`
    /// where there never was a letter `after`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn page(&self, table: Option<&str>, after: Option<&str>, limit: usize) -> io::Result<Option<Page>> {
        let Some(shared) = &self.0 else {
            return Ok(after.is_none().then(Page::default));
        };
        let store = shared.store();
        let after = match after.map(|id| store.number(id)) {
            None => None,
            Some(Some(number)) => Some(number),
            Some(None) => return Ok(None),
        };
        let (letters, more) = store.page(table, after, limit, PAGE_BYTES_MAX)?;
        Ok(Some(Page {
            letters,
            more,
            total: store.count(table),
            waiting: store.waiting(),
        }))
    }

    /// The kept letter with this id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, id: &str) -> io::Result<Option<Letter>> {
        self.0.as_ref().map_or(Ok(None), |shared| shared.store().get(id))
    }

    /// Drops letters.
    ///
    /// # Errors
    /// The file cannot be read or written: some may have been dropped.
    pub fn drop_letters(&self, ids: &[String]) -> io::Result<Dropped> {
        self.0.as_ref().map_or_else(
            || Ok(Dropped::default()),
            |shared| shared.store().drop_letters(ids),
        )
    }

    fn note_replayed(&self, id: &str) {
        if let Some(shared) = &self.0 {
            shared.store().note_replayed(id);
        }
    }

    /// Notes why a letter has failed again. Its old reason stays where that cannot be written.
    fn note_reason(&self, id: &str, reason: &str) {
        if let Some(shared) = &self.0
            && let Err(error) = shared.store().note_reason(id, reason)
        {
            tracing::error!(%error, id, reason, "the new reason of a dead letter cannot be written");
        }
    }
}

impl Shared {
    fn keep(&self, store: &mut Store, letters: impl IntoIterator<Item = Letter>) {
        let kept = store.keep(letters);
        self.count_waiting(store);
        if let Some(error) = &kept.refused {
            tracing::error!(
                %error,
                waiting = store.waiting(),
                "dead letters cannot be written; they are tried again with the next one and at each checkpoint"
            );
        }
        for letter in &kept.lost {
            let (id, reason) = (&letter.id, &letter.reason);
            tracing::error!(id, reason, "a dead letter is lost: too many wait for the disk");
        }
        if let Some(metrics) = self.metrics.get() {
            metrics.dead_letters_lost(kept.lost.len() as u64);
        }
        if let Some(also) = self.also.get() {
            kept.new.iter().for_each(also);
        }
    }

    fn count_waiting(&self, store: &Store) {
        if let Some(metrics) = self.metrics.get() {
            metrics.set_dead_letters_waiting(store.waiting());
        }
    }

    /// Whole even after a panic elsewhere: what is in memory follows what is written.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(letter: &DeadLetter<'_>) {
    // A change of the table is told once, by whoever decodes, and not for each of its rows.
    if letter.cause == Cause::Malformed {
        tracing::warn!(
            partition = &*letter.partition,
            offset = letter.message.offset.0,
            reason = letter.reason,
            "dead letter"
        );
    }
}
