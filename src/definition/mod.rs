//! A dataflow file: as a person wrote it -> as the node needs it, with all its faults at once.
//!
//! [`load`] is the door. Behind it nobody asks again whether a column exists or a format is known:
//! what a [`Definition`] holds can be built.

mod file;
pub(crate) mod fault;
mod types;
pub(crate) mod moment;
pub(crate) mod point;
pub(crate) mod field;
mod tuning;
pub mod expression;
pub mod plan;
mod sql;
pub mod template;
mod model;
mod reranker;
mod needs;
mod filter;
pub mod server;
pub(crate) mod worth;
mod picture;
mod analyzer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use analyzer::{Analyzer, Language, Sizes, Split, Synonyms, Vocabulary};
pub use expression::Expression;
pub use fault::{Fault, Faults};
pub use field::{Field, FieldKind};
pub use file::{load, parse, parse_embedder};
pub use filter::{FilterFault, Filters};
pub use model::{Api, LocalModel, Model, ServiceModel};
pub use moment::Interval;
pub use needs::Need;
pub use plan::Plan;
pub use reranker::{LocalReranker, RerankApi, RerankModel, RerankService, RerankerSettings};
pub use server::ServerSettings;
pub use sql::parse_filter;
pub use template::Template;
pub use tuning::{Builder, Effort, Originals, Quantization, Reduce, Tuning};
pub use types::ColumnType;

use crate::change::{Row, TableId};

/// One dataflow: what is read, and what is kept searchable.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Also the name of the index at the query port.
    pub name: String,
    /// In the order of the file; `TableId(n)` is the n-th.
    pub tables: Vec<Table>,
    pub index: Option<Index>,
    /// What puts the best hits of searches that ask for it into a better order.
    pub reranker: Option<RerankerSettings>,
    pub checkpoint: CheckpointSettings,
    /// Where dead letters are produced to, beside the node's own store.
    pub dead_letters: Option<DeadLetterTopic>,
    /// Who may ask the port, and how.
    pub server: ServerSettings,
    /// A dataflow file of the same tables and index, kept with what is stored: it reads what this one has made.
    pub kept: KeptFile,
    /// Where the file lies: relative paths are relative to it.
    pub folder: PathBuf,
}

/// A dataflow file without its sources, which may hold secrets and are not there on another machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptFile(pub(in crate::definition) String);

impl KeptFile {
    /// What the file defines; its tables take pushes.
    ///
    /// # Errors
    /// A file that was kept by another version may have faults in this one.
    pub fn parse(&self) -> Result<Definition, Faults> {
        parse(&self.0, "the dataflow file before", Path::new(""))
    }
}

/// When a checkpoint is written; whichever comes first. Without changes none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointSettings {
    pub interval: Duration,
    /// After so many bytes of messages.
    pub bytes: u64,
}

impl Default for CheckpointSettings {
    fn default() -> CheckpointSettings {
        CheckpointSettings {
            interval: Duration::from_secs(5),
            bytes: 256 << 20,
        }
    }
}

impl Definition {
    pub fn table(&self, name: &str) -> Option<(TableId, &Table)> {
        let position = self.tables.iter().position(|table| table.name == name)?;
        Some((TableId(position as u16), &self.tables[position]))
    }
}

/// A table kept from one change stream.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    pub source: SourceSettings,
    pub format: Format,
    /// Key columns, at least one.
    pub key: Vec<String>,
    /// `database.table` or `schema.table` as messages name it; empty takes everything.
    pub select: Vec<String>,
    /// Types that the messages do not carry.
    pub columns: BTreeMap<String, ColumnType>,
    /// Where TiCDC's claim-check files lie.
    pub claim_check: Option<PathBuf>,
    /// The columns that the index takes ready-made vectors from: decoded as vectors and checked.
    pub vectors: Vec<VectorColumn>,
    /// What the index needs of the rows; nothing where it is made of another table.
    pub needs: Vec<Need>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorColumn {
    pub name: String,
    /// 2 to 4,096.
    pub dimensions: usize,
    /// Under cosine a vector of zero length has no direction and is refused.
    pub metric: Metric,
    /// Whether there are vectors of several models, which may be of other lengths.
    pub is_mixed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    CanalJson,
    DebeziumJson,
    MaxwellJson,
    UpsertJson,
    EmbeddingJson,
}

impl Format {
    pub const ALL: [Format; 5] = [
        Format::CanalJson,
        Format::DebeziumJson,
        Format::MaxwellJson,
        Format::UpsertJson,
        Format::EmbeddingJson,
    ];

    /// The name in a dataflow file.
    pub fn name(self) -> &'static str {
        match self {
            Format::CanalJson => "canal-json",
            Format::DebeziumJson => "debezium-json",
            Format::MaxwellJson => "maxwell-json",
            Format::UpsertJson => "upsert-json",
            Format::EmbeddingJson => "embedding-json",
        }
    }

    /// Whether each row has all columns of its source table, so that one that is missing is not there any more.
    pub fn has_whole_rows(self) -> bool {
        match self {
            Format::CanalJson | Format::DebeziumJson | Format::MaxwellJson => true,
            Format::UpsertJson | Format::EmbeddingJson => false,
        }
    }
}

/// Where a table's messages come from.
#[derive(Clone, Debug)]
pub enum SourceSettings {
    File(FileSettings),
    Kafka(KafkaSettings),
    /// Pushed to `POST /v1/tables/{table}/changes`.
    Http,
}

#[derive(Clone, Debug)]
pub struct FileSettings {
    /// Relative paths are relative to the dataflow file. `.gz` and `.zst` are decompressed.
    pub path: PathBuf,
    pub framing: Framing,
    /// Go on reading as the file grows.
    pub follow: bool,
    /// Messages a second, for demonstrations; unlimited without.
    pub rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line is a message's value.
    Values,
    /// A line is `{"topic","partition","offset","key","value","headers","timestamp"}`.
    Records,
}

#[derive(Clone)]
pub struct KafkaSettings {
    pub brokers: String,
    pub topics: Vec<String>,
    pub group: String,
    pub start: KafkaStart,
    pub on_gap: OnGap,
    /// librdkafka settings passed through, such as `security.protocol` or `sasl.password`. May hold secrets.
    pub options: BTreeMap<String, String>,
}

/// Shows the names of the options only: values may be secrets.
impl std::fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("group", &self.group)
            .field("start", &self.start)
            .field("on_gap", &self.on_gap)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Where reading starts in a partition of which no position is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KafkaStart {
    Earliest,
    Latest,
    /// The same offset in every partition, or one each: `{ 0 = 120, 1 = 80 }`, others from the earliest.
    Offset(u64),
    Offsets(BTreeMap<i32, u64>),
}

/// What happens where Kafka has removed messages that a partition was to be read from next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// The partition is read no more until a person has decided; the others go on. The default: once reading has gone
    /// on, rows and deletes of the gap are missing from the index without end, and no position says so any more.
    Stop,
    /// Reading goes on at the earliest message there is.
    Continue,
}

/// A topic of Kafka that dead letters are produced to.
#[derive(Clone)]
pub struct DeadLetterTopic {
    pub brokers: String,
    pub topic: String,
    /// librdkafka settings passed through. May hold secrets.
    pub options: BTreeMap<String, String>,
}

/// Shows the names of the options only: values may be secrets.
impl std::fmt::Debug for DeadLetterTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterTopic")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// What is kept searchable.
#[derive(Clone, Debug)]
pub struct Index {
    /// Yields the documents; the numbers below are places in its columns.
    pub plan: Plan,
    /// The columns that are the key of the plan's table, in the order of the file.
    pub key: Vec<usize>,
    pub text: Vec<TextField>,
    /// Of all texts.
    pub vocabulary: Vocabulary,
    pub fields: Vec<Field>,
    /// The field, of kind keyword, by whose value documents belong to tenants.
    pub tenant: Option<String>,
    /// What the vector leg searches: the first is the one that a query asks which names none. None: keyword search only.
    pub vectors: Vec<VectorField>,
    pub freshness: Freshness,
    /// How the legs are fused where a query does not say.
    pub fusion: Fusion,
}

/// When a row is shown whose vectors are not there yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// In the tick in which it came: until its vector is there, the vector leg keeps the one before.
    #[default]
    Split,
    /// With its vectors: until then the row before is shown, with the vectors before.
    Together,
}

/// A column searched by words.
#[derive(Clone, Debug, PartialEq)]
pub struct TextField {
    pub name: String,
    pub column: usize,
    pub boost: f32,
    pub analyzer: Analyzer,
}

/// One vector of each document, searched by itself.
#[derive(Clone, Debug)]
pub struct VectorField {
    pub name: String,
    pub source: VectorSource,
    pub metric: Metric,
    pub tuning: Tuning,
}

impl VectorField {
    /// The name of what `[index]` says itself, with `embed` or `vector`.
    pub const DEFAULT: &str = "default";
}

/// Where a document's vector comes from.
// There is one of a vector field.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum VectorSource {
    /// The rendered template goes through the embedder.
    Embed {
        template: Template,
        embedder: EmbedderSettings,
        /// How long texts are cut; `None`: never.
        chunk: Option<Chunk>,
    },
    Column(ReadyMade),
}

/// A column holds the vector, as [`crate::change::Datum::Vector`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyMade {
    pub column: usize,
    pub dimensions: usize,
    /// `None`: all vectors are of one model, whatever its name.
    pub model: Option<VectorModel>,
}

/// Which of the ready-made vectors are searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorModel {
    /// The column that names the model of a row's vector.
    pub column: usize,
    /// The model whose vectors are searched. A row whose vector is of another one waits for one of this.
    pub name: String,
}

impl VectorModel {
    /// Whether the vector of a row is of this model.
    pub fn made(&self, row: &Row) -> bool {
        let named = row.value(self.column).and_then(expression::text_of);
        named.is_some_and(|named| named == self.name)
    }
}

/// How long texts are cut into pieces that are embedded by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Of a piece at most, estimated by its bytes: 8 to 8,192.
    pub tokens: usize,
    /// Of the piece before that a piece repeats; at most half of `tokens`.
    pub overlap: usize,
}

/// The embedder, as the dataflow file names it.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedderSettings {
    pub model: Model,
    /// Texts given to the embedder at once.
    pub batch: usize,
    /// Threads that embed beside the dataflow.
    pub parallel: usize,
    pub lane: LaneSettings,
}

/// What embedding may hold, wait for and cost, whatever the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneSettings {
    /// Of vectors whose texts are not in use.
    pub cache_bytes: usize,
    /// How long a search waits for the vector of its query.
    pub query_timeout: Duration,
    /// In whatever currency the model is paid.
    pub price_per_million_tokens: Option<f64>,
}

impl Default for LaneSettings {
    fn default() -> LaneSettings {
        LaneSettings {
            cache_bytes: 64 << 20,
            query_timeout: Duration::from_secs(2),
            price_per_million_tokens: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Cosine,
    Dot,
    L2,
}

/// How the two legs' hits become one list.
#[derive(Clone, Debug, PartialEq)]
pub enum Fusion {
    /// `weight` times the vector leg's min-max-normalised score plus `1 - weight` times the keyword score over its maximum.
    Relative { weight: f32 },
    /// The same with scores normalised by their distribution: three standard deviations below the mean are 0, three above 1.
    Distribution { weight: f32 },
    /// The weighted mean of both legs' scores, each normalised from its leg's worst hit to its best. No dataflow file has it.
    Mean(LegAmounts),
    /// The scores as they are, each times its leg's weight.
    Linear(LegAmounts),
    /// Reciprocal rank: sum of `weight / (k + rank)`, over the best `window` of each leg, or all.
    Rrf {
        k: f32,
        weights: LegAmounts,
        window: Option<usize>,
    },
}

/// What each leg counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LegAmounts {
    pub keyword: f32,
    pub vector: f32,
}
