//! Every metric of the node: name, unit, meaning.
//!
//! [`Metrics::default`] is the table. All names begin with `millpond_`; counters end in `_total`, and a unit
//! follows the name: `millpond_tick_seconds`. What is called for each batch, tick or query allocates nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of one node; clones share the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Table>);

/// One of the two ways to find a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    Keyword,
    Vector,
}

/// How a query was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryMode {
    Keyword,
    Vector,
    Hybrid,
}

/// What became of texts to embed. Those that the embedder refuses are counted where that is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts {
    pub needed: u64,
    pub embedded: u64,
    pub saved_shared: u64,
    pub saved_unchanged: u64,
    pub saved_cached: u64,
    pub withdrawn: u64,
    pub tokens: u64,
    pub time: Duration,
}

type Gauge = prometheus_client::metrics::gauge::Gauge<u64, AtomicU64>;
type Seconds = Counter<f64, AtomicU64>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTable {
    table: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVector {
    vector: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPartition {
    table: String,
    partition: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLeg {
    leg: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMode {
    mode: &'static str,
}

#[derive(Debug)]
struct Table {
    messages: Family<OfTable, Counter>,
    changes: Family<OfTable, Counter>,
    dead_letters: Family<OfTable, Counter>,
    dead_letters_not_produced: Counter,
    schema_refused: Family<OfTable, Counter>,
    dead_letters_waiting: Gauge,
    dead_letters_lost: Counter,
    texts_refused: Counter,
    source_up: Family<OfTable, Gauge>,
    source_lag: Family<OfPartition, Gauge>,
    source_lost: Family<OfTable, Counter>,
    push_rejected: Counter,
    push_waiting: Gauge,
    push_log: Family<OfTable, Gauge>,
    push_lost: Family<OfTable, Counter>,
    intake_wait: Seconds,
    queue_intake_batches: Gauge,
    queue_intake: Gauge,
    queue_embed_texts: Gauge,
    collapsed: Counter,
    texts_embedded: Counter,
    texts_needed: Counter,
    texts_saved: Counter,
    texts_saved_shared: Counter,
    texts_saved_unchanged: Counter,
    texts_saved_cached: Counter,
    texts_withdrawn: Counter,
    embedding: Seconds,
    embedding_tokens: Counter,
    embedder_breaker: Family<OfVector, Gauge>,
    tick: Histogram,
    freshness: Histograms<OfLeg>,
    searchable: Histograms<OfLeg>,
    documents: Gauge,
    vectors: Gauge,
    vectors_pending: Gauge,
    vectors_unbuilt: Gauge,
    query: Histograms<OfMode>,
    query_errors: Counter,
    rerank: Histogram,
    rerank_skipped: Counter,
    checkpoint: Histogram,
    checkpoint_errors: Counter,
    documents_corrected: Counter,
    registry: Registry,
}

impl From<Leg> for OfLeg {
    fn from(leg: Leg) -> OfLeg {
        let leg = match leg {
            Leg::Keyword => "keyword",
            Leg::Vector => "vector",
        };
        OfLeg { leg }
    }
}

impl From<QueryMode> for OfMode {
    fn from(mode: QueryMode) -> OfMode {
        let mode = match mode {
            QueryMode::Keyword => "keyword",
            QueryMode::Vector => "vector",
            QueryMode::Hybrid => "hybrid",
        };
        OfMode { mode }
    }
}

impl Default for Metrics {
    #[rustfmt::skip] // A table, one metric a line.
    fn default() -> Metrics {
        let mut book = Book(Registry::with_prefix("millpond"));
        let table = Table {
            messages: book.family("messages", "Messages read"),
            changes: book.family("changes", "Row changes decoded, before collapse"),
            dead_letters: book.family("dead_letters", "Messages or rows that could not be decoded"),
            dead_letters_not_produced: book.plain("dead_letters_not_produced", "Dead letters that did not reach their topic; the store keeps them"),
            schema_refused: book.family("schema_refused", "Rows that are dead letters because their table changed: a column that the index needs was dropped or has another type"),
            dead_letters_waiting: book.plain("dead_letters_waiting", "Dead letters that the disk has not taken yet"),
            dead_letters_lost: book.plain("dead_letters_lost", "Dead letters that found no room while the disk took none"),
            texts_refused: book.plain("texts_refused", "Texts that the embedder refuses for good"),
            source_up: book.family("source_up", "1 while the source gives what there is, 0 while it cannot"),
            source_lag: book.family("source_lag_messages", "Messages known to be waiting at the source"),
            source_lost: book.family("source_lost_messages", "Messages removed at the source before they were read, at most"),
            push_rejected: book.plain("push_rejected", "Pushes answered with 429 because the node was behind"),
            push_waiting: book.plain("push_waiting", "Pushes taken whose answers wait until they are durable or visible"),
            push_log: book.family_bytes("push_log", "Size of the log of pushes"),
            push_lost: book.family("push_lost", "Pushed lines that damage took from the log"),
            intake_wait: book.seconds("intake_wait", "Time that sources have waited for room in the queue, all together", Seconds::default()),
            queue_intake_batches: book.plain("queue_intake_batches", "Decoded batches waiting for the dataflow"),
            queue_intake: book.bytes("queue_intake", "Size of the decoded batches waiting for the dataflow"),
            queue_embed_texts: book.plain("queue_embed_texts", "Texts waiting for the embedder"),
            collapsed: book.plain("collapsed", "Row changes that led to no write: overtaken, repeated or without effect"),
            texts_embedded: book.plain("texts_embedded", "Texts turned into vectors"),
            texts_needed: book.plain("texts_needed", "Documents, new or changed, that came with a text to embed"),
            texts_saved: book.plain("texts_saved", "Documents whose text needed no embedding: shared, unchanged or known"),
            texts_saved_shared: book.plain("texts_saved_shared", "Those of them whose text another document has"),
            texts_saved_unchanged: book.plain("texts_saved_unchanged", "Those of them that had the text before they changed"),
            texts_saved_cached: book.plain("texts_saved_cached", "Those of them whose text was in use before, and its vector still known"),
            texts_withdrawn: book.plain("texts_withdrawn", "Texts that no document had any more when their turn came"),
            embedding: book.seconds("embedding", "Time spent in the embedder, by all threads together", Seconds::default()),
            embedding_tokens: book.plain("embedding_tokens", "Tokens of the texts embedded, estimated as a quarter of their bytes"),
            embedder_breaker: book.family("embedder_breaker", "Whether the embedding service is asked: 0 it is, 1 one request finds out whether it is back, 2 it is left alone"),
            tick: book.seconds("tick", "From the start of a tick to its publication", tick_buckets()),
            freshness: book.histograms("freshness", "From the commit at the source, or the arrival where the message has none, to searchable", fresh_buckets),
            searchable: book.histograms("searchable", "From the arrival at the node to searchable", fresh_buckets),
            documents: book.plain("documents", "Visible documents"),
            vectors: book.plain("vectors", "Searchable vectors"),
            vectors_pending: book.plain("vectors_pending", "Documents whose current vector is not searchable yet"),
            vectors_unbuilt: book.plain("vectors_unbuilt", "Searchable vectors due for a graph and not in one yet"),
            query: book.histograms("query", "Time to answer a search, without the network", query_buckets),
            query_errors: book.plain("query_errors", "Searches answered with an error"),
            rerank: book.seconds("rerank", "Time that a search has waited to have its hits re-ranked, of those that ask for it", query_buckets()),
            rerank_skipped: book.plain("rerank_skipped", "Searches whose hits were to be re-ranked and were not: too late, or it failed"),
            checkpoint: book.seconds("checkpoint", "Time to write a checkpoint", checkpoint_buckets()),
            checkpoint_errors: book.plain("checkpoint_errors", "Checkpoints that could not be written"),
            documents_corrected: book.plain("documents_corrected", "Documents that were stored otherwise than their rows: none, unless something went wrong"),
            registry: book.0,
        };
        // Known labels are there from the start: a rate needs a zero to begin from.
        for leg in [Leg::Keyword, Leg::Vector] {
            drop(table.freshness.get_or_create(&leg.into()));
            drop(table.searchable.get_or_create(&leg.into()));
        }
        for mode in [QueryMode::Keyword, QueryMode::Vector, QueryMode::Hybrid] {
            drop(table.query.get_or_create(&mode.into()));
        }
        Metrics(Arc::new(table))
    }
}

/// A tick of one change takes a fraction of a millisecond, one under load some tens.
fn tick_buckets() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
    ])
}

/// 1 ms to 1 h: from a calm stream to a node that catches up.
fn fresh_buckets() -> Histogram {
    Histogram::new([
        0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        30.0, 60.0, 300.0, 900.0, 3600.0,
    ])
}

/// From a few rows to a base of millions.
fn checkpoint_buckets() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

fn query_buckets() -> Histogram {
    Histogram::new([
        0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1,
        0.5, 1.0, 5.0,
    ])
}

/// Registers metrics, and hands them back.
struct Book(Registry);

impl Book {
    fn plain<M: Metric + Clone + Default>(&mut self, name: &str, meaning: &str) -> M {
        let metric = M::default();
        self.0.register(name, meaning, metric.clone());
        metric
    }

    fn bytes(&mut self, name: &str, meaning: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0
            .register_with_unit(name, meaning, Unit::Bytes, gauge.clone());
        gauge
    }

    fn seconds<M: Metric + Clone>(&mut self, name: &str, meaning: &str, metric: M) -> M {
        self.0
            .register_with_unit(name, meaning, Unit::Seconds, metric.clone());
        metric
    }

    fn family_bytes(&mut self, name: &str, meaning: &str) -> Family<OfTable, Gauge> {
        let family = Family::default();
        self.0
            .register_with_unit(name, meaning, Unit::Bytes, family.clone());
        family
    }

    fn family<L, M>(&mut self, name: &str, meaning: &str) -> Family<L, M>
    where
        L: Clone + std::hash::Hash + Eq,
        M: Default,
        Family<L, M>: Metric,
    {
        self.plain(name, meaning)
    }

    fn histograms<L>(&mut self, name: &str, meaning: &str, buckets: fn() -> Histogram) -> Histograms<L>
    where
        L: Clone + std::hash::Hash + Eq,
        Histograms<L>: Metric,
    {
        let family = Family::new_with_constructor(buckets);
        self.0
            .register_with_unit(name, meaning, Unit::Seconds, family.clone());
        family
    }
}

/// The counters of one table, to be held by whoever reads it.
#[derive(Clone, Debug)]
pub struct TableMetrics {
    messages: Counter,
    changes: Counter,
    dead_letters: Counter,
    schema_refused: Counter,
}

impl TableMetrics {
    pub fn read(&self, messages: u64, changes: u64) {
        self.messages.inc_by(messages);
        self.changes.inc_by(changes);
    }

    pub fn dead_letters(&self, count: u64) {
        self.dead_letters.inc_by(count);
    }

    /// A row does not have what the index needs any more.
    pub fn schema_refused(&self) {
        self.schema_refused.inc();
    }
}

/// A push whose answer waits.
pub struct PushWaits<'a>(&'a Gauge);

impl Drop for PushWaits<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// The counters of a table, by its name.
    pub fn table(&self, table: &str) -> TableMetrics {
        let label = OfTable {
            table: table.to_owned(),
        };
        TableMetrics {
            messages: self.0.messages.get_or_create_owned(&label),
            changes: self.0.changes.get_or_create_owned(&label),
            dead_letters: self.0.dead_letters.get_or_create_owned(&label),
            schema_refused: self.0.schema_refused.get_or_create_owned(&label),
        }
    }

    /// How a table's source is doing; `lost` is messages since the start, `lag` messages waiting, by partition name.
    pub fn set_source<'a>(
        &self,
        table: &str,
        up: bool,
        lost: u64,
        lag: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let label = OfTable {
            table: table.to_owned(),
        };
        self.0.source_up.get_or_create(&label).set(up.into());
        // Several may tell at once: the greatest is the newest.
        let counter = self.0.source_lost.get_or_create(&label);
        counter.inner().fetch_max(lost, Ordering::Relaxed);
        for (partition, messages) in lag {
            let label = OfPartition {
                table: table.to_owned(),
                partition: partition.to_owned(),
            };
            self.0.source_lag.get_or_create(&label).set(messages);
        }
    }

    /// A dead letter did not reach its topic.
    pub fn dead_letter_not_produced(&self) {
        self.0.dead_letters_not_produced.inc();
    }

    /// A push was answered with 429.
    pub fn push_rejected(&self) {
        self.0.push_rejected.inc();
    }

    pub fn set_dead_letters_waiting(&self, letters: usize) {
        self.0.dead_letters_waiting.set(letters as u64);
    }

    pub fn dead_letters_lost(&self, letters: u64) {
        self.0.dead_letters_lost.inc_by(letters);
    }

    /// A text will never have a vector.
    pub fn text_refused(&self) {
        self.0.texts_refused.inc();
    }

    /// A push was taken, and its answer waits for more, until the end of what is returned.
    pub fn push_waits(&self) -> PushWaits<'_> {
        self.0.push_waiting.inc();
        PushWaits(&self.0.push_waiting)
    }

    /// The size of a table's log of pushes.
    pub fn set_push_log(&self, table: &str, bytes: u64) {
        let label = OfTable {
            table: table.to_owned(),
        };
        self.0.push_log.get_or_create(&label).set(bytes);
    }

    /// Damage has taken lines from a table's log of pushes.
    pub fn push_lost(&self, table: &str, lines: u64) {
        let label = OfTable {
            table: table.to_owned(),
        };
        self.0.push_lost.get_or_create(&label).inc_by(lines);
    }

    /// A source has waited for room in the queue.
    pub fn intake_waited(&self, duration: Duration) {
        self.0.intake_wait.inc_by(duration.as_secs_f64());
    }

    /// What waits between the sources and the dataflow.
    pub fn set_intake(&self, batches: usize, bytes: usize) {
        self.0.queue_intake_batches.set(batches as u64);
        self.0.queue_intake.set(bytes as u64);
    }

    /// What waits for the embedder.
    pub fn set_embed_texts(&self, texts: usize) {
        self.0.queue_embed_texts.set(texts as u64);
    }

    pub fn collapsed(&self, changes: u64) {
        self.0.collapsed.inc_by(changes);
    }

    /// What became of texts, and what it took.
    pub fn texts(&self, texts: &Texts) {
        let table = &self.0;
        let saved = [
            (&table.texts_saved_shared, texts.saved_shared),
            (&table.texts_saved_unchanged, texts.saved_unchanged),
            (&table.texts_saved_cached, texts.saved_cached),
        ];
        for (counter, documents) in saved {
            counter.inc_by(documents);
            table.texts_saved.inc_by(documents);
        }
        table.texts_needed.inc_by(texts.needed);
        table.texts_embedded.inc_by(texts.embedded);
        table.texts_withdrawn.inc_by(texts.withdrawn);
        table.embedding_tokens.inc_by(texts.tokens);
        table.embedding.inc_by(texts.time.as_secs_f64());
    }

    /// The state of the breaker of a vector field's embedder, by its name.
    pub fn set_embedder(&self, vector: &str, breaker: &str) {
        let vector = vector.to_owned();
        let state = match breaker {
            "open" => 2,
            "half-open" => 1,
            _ => 0,
        };
        let gauge = self.0.embedder_breaker.get_or_create_owned(&OfVector { vector });
        gauge.set(state);
    }

    /// A tick was published, so long after it started.
    pub fn tick(&self, duration: Duration) {
        self.0.tick.observe(duration.as_secs_f64());
    }

    /// A change became searchable, in seconds since its commit at the source (or its arrival, if that is unknown).
    ///
    /// Below zero, where clocks differ, counts as zero.
    pub fn fresh(&self, leg: Leg, seconds: f64) {
        self.0
            .freshness
            .get_or_create(&leg.into())
            .observe(seconds.max(0.0));
    }

    /// A change became searchable, so long after it arrived.
    pub fn searchable(&self, leg: Leg, since_arrival: Duration) {
        self.0
            .searchable
            .get_or_create(&leg.into())
            .observe(since_arrival.as_secs_f64());
    }

    /// A checkpoint took so long, or could not be written.
    pub fn checkpoint(&self, took: Option<Duration>) {
        match took {
            Some(took) => self.0.checkpoint.observe(took.as_secs_f64()),
            None => drop(self.0.checkpoint_errors.inc()),
        }
    }

    pub fn documents_corrected(&self, documents: u64) {
        self.0.documents_corrected.inc_by(documents);
    }

    pub fn set_documents(&self, documents: usize) {
        self.0.documents.set(documents as u64);
    }

    pub fn set_vectors(&self, searchable: usize, pending: usize, unbuilt: usize) {
        self.0.vectors.set(searchable as u64);
        self.0.vectors_pending.set(pending as u64);
        self.0.vectors_unbuilt.set(unbuilt as u64);
    }

    /// A search was answered.
    pub fn query(&self, mode: QueryMode, duration: Duration) {
        self.0
            .query
            .get_or_create(&mode.into())
            .observe(duration.as_secs_f64());
    }

    /// A search was answered with an error.
    pub fn query_failed(&self) {
        self.0.query_errors.inc();
    }

    /// A search has waited so long to have its hits re-ranked, and perhaps in vain.
    pub fn reranked(&self, waited: Duration, is_skipped: bool) {
        self.0.rerank.observe(waited.as_secs_f64());
        self.0.rerank_skipped.inc_by(u64::from(is_skipped));
    }

    /// All metrics as OpenMetrics text, which Prometheus reads; see [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.0.registry).expect("writing to a string cannot fail");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_shows_in_the_text_under_its_name_and_labels() {
        let metrics = Metrics::default();
        let table = metrics.table("products");
        table.read(3, 5);
        metrics.table("products").read(1, 1);
        table.dead_letters(2);
        metrics.set_source("products", false, 18, [("topic:0", 17)]);
        metrics.set_source("products", false, 16, [("topic:0", 17)]);
        metrics.dead_letter_not_produced();
        table.schema_refused();
        metrics.set_dead_letters_waiting(13);
        metrics.dead_letters_lost(14);
        metrics.text_refused();
        metrics.push_rejected();
        let _waits = metrics.push_waits();
        drop(metrics.push_waits());
        metrics.set_push_log("products", 13);
        metrics.push_lost("products", 14);
        metrics.intake_waited(Duration::from_millis(1500));
        metrics.set_intake(2, 300);
        metrics.set_embed_texts(4);
        metrics.collapsed(6);
        metrics.texts(&Texts {
            needed: 20,
            embedded: 7,
            saved_shared: 1,
            saved_unchanged: 3,
            saved_cached: 4,
            withdrawn: 5,
            tokens: 15,
            time: Duration::from_millis(2500),
        });
        metrics.set_embedder("default", "half-open");
        metrics.tick(Duration::from_micros(1500));
        metrics.fresh(Leg::Vector, -0.5);
        metrics.fresh(Leg::Vector, 0.003);
        metrics.searchable(Leg::Keyword, Duration::from_millis(7));
        metrics.set_documents(9);
        metrics.set_vectors(10, 11, 12);
        metrics.query(QueryMode::Hybrid, Duration::from_micros(400));
        metrics.query_failed();
        metrics.reranked(Duration::from_micros(400), false);
        metrics.reranked(Duration::from_millis(3), true);

        let text = metrics.encode();
        for line in [
            "millpond_messages_total{table=\"products\"} 4",
            "millpond_changes_total{table=\"products\"} 6",
            "millpond_dead_letters_total{table=\"products\"} 2",
            "millpond_schema_refused_total{table=\"products\"} 1",
            "millpond_dead_letters_waiting 13",
            "millpond_dead_letters_lost_total 14",
            "millpond_texts_refused_total 1",
            "millpond_source_up{table=\"products\"} 0",
            "millpond_source_lag_messages{table=\"products\",partition=\"topic:0\"} 17",
            "millpond_source_lost_messages_total{table=\"products\"} 18",
            "millpond_dead_letters_not_produced_total 1",
            "millpond_push_rejected_total 1",
            "millpond_push_waiting 1",
            "millpond_push_log_bytes{table=\"products\"} 13",
            "millpond_push_lost_total{table=\"products\"} 14",
            "millpond_intake_wait_seconds_total 1.5",
            "millpond_queue_intake_batches 2",
            "millpond_queue_intake_bytes 300",
            "millpond_queue_embed_texts 4",
            "millpond_collapsed_total 6",
            "millpond_texts_embedded_total 7",
            "millpond_texts_needed_total 20",
            "millpond_texts_saved_total 8",
            "millpond_texts_saved_shared_total 1",
            "millpond_texts_saved_unchanged_total 3",
            "millpond_texts_saved_cached_total 4",
            "millpond_texts_withdrawn_total 5",
            "millpond_embedding_seconds_total 2.5",
            "millpond_embedding_tokens_total 15",
            "millpond_embedder_breaker{vector=\"default\"} 1",
            "millpond_tick_seconds_bucket{le=\"0.001\"} 0",
            "millpond_tick_seconds_bucket{le=\"0.002\"} 1",
            "millpond_freshness_seconds_bucket{le=\"0.001\",leg=\"vector\"} 1",
            "millpond_freshness_seconds_count{leg=\"vector\"} 2",
            "millpond_freshness_seconds_count{leg=\"keyword\"} 0",
            "millpond_searchable_seconds_bucket{le=\"0.008\",leg=\"keyword\"} 1",
            "millpond_documents 9",
            "millpond_vectors 10",
            "millpond_vectors_pending 11",
            "millpond_vectors_unbuilt 12",
            "millpond_query_seconds_bucket{le=\"0.0005\",mode=\"hybrid\"} 1",
            "millpond_query_errors_total 1",
            "millpond_rerank_seconds_bucket{le=\"0.0005\"} 1",
            "millpond_rerank_seconds_count 2",
            "millpond_rerank_skipped_total 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "`{line}` is not in\n{text}"
            );
        }
    }
}
