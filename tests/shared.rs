//! What several tests need.

use std::path::PathBuf;

/// Public data that is not in the repository, or `None` with the reason printed.
pub fn public_data(path: &str) -> Option<PathBuf> {
    let found = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: {} is absent", found.display());
    None
}
