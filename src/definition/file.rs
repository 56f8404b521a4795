//! The dataflow file as written: TOML -> [`Definition`].

use std::path::Path;

use super::{Definition, Faults};

/// Reads and checks a dataflow file.
pub fn load(path: &Path) -> Result<Definition, Faults> {
    let _ = path;
    todo!()
}

/// Checks the text of a dataflow file. `origin` names it in faults; relative paths in it are relative to `base`.
pub fn parse(text: &str, origin: &str, base: &Path) -> Result<Definition, Faults> {
    let _ = (text, origin, base);
    todo!()
}
