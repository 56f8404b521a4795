//! Dataflow files, their SQL, their templates, and the expressions of filters.

mod expressions;
mod faulty;
mod good;
mod hostile;
mod lane;
mod numbers;

use std::path::Path;

use millpond::definition::{self, Definition};

/// The definition, or all faults as a user sees them.
fn read(text: &str) -> Result<Definition, String> {
    definition::parse(text, "x.toml", Path::new("/flows")).map_err(|faults| faults.to_string())
}

/// A file that is right, with this in place of its `[index]` and what follows.
fn with_index(rest: &str) -> String {
    format!(
        r#"name = "products"

[tables.products]
source = {{ kind = "http" }}
format = "canal-json"
key = ["id"]

{rest}"#
    )
}
