//! Every metric of the node: name, unit, meaning.

/// The metrics of one node; clones share the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {}
