//! The write side of one shard: applies a tick's documents to both legs.

/// One shard; lives on its worker.
pub struct Shard {}
