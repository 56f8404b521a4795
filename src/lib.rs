//! A search node fed by change streams: latest row per key, keyword and vector index, one snapshot.
//!
//! The modules stand in the order in which data moves; `ARCHITECTURE.md` walks through them.

mod floats;
pub mod change;
pub mod definition;
pub mod metrics;
mod priority;
pub mod storage;
pub mod source;
pub mod decode;
pub mod embed;
pub mod rerank;
pub mod index;
pub mod checkpoint;
pub mod intake;
pub mod dataflow;
pub mod query;
pub mod replay;
pub mod server;
pub mod node;
pub mod cli;
