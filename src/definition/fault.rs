//! What is wrong in a dataflow file: where, what, and what would be right.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// 1-based line, where one can be named.
    pub line: Option<usize>,
    /// What is wrong: "unknown format `canal`".
    pub message: String,
    /// What would be right: "did you mean `canal-json`?".
    pub hint: Option<String>,
}

/// All faults of one file, at least one.
#[derive(Debug, thiserror::Error)]
pub struct Faults {
    /// The path, as the user gave it.
    pub origin: String,
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
