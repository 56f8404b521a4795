//! Messages too large for the broker: TiCDC puts them into files and sends a claim check.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json::Fields;

/// Reads a claim-check file by its name without directories.
pub type ClaimCheck = Box<dyn Fn(&str) -> io::Result<Vec<u8>> + Send>;

/// TiDB's largest row is 120 MiB; JSON and base64 make it larger.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Reads from a directory.
pub(super) fn directory(path: Option<PathBuf>) -> ClaimCheck {
    Box::new(move |name| {
        let Some(directory) = &path else {
            return Err(io::Error::other("the table has no `claim_check` directory"));
        };
        let mut bytes = Vec::new();
        File::open(directory.join(name))?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

/// The message that a claim check stands for: the file's text, or its `value` in base64.
///
/// # Errors
/// Says why the file cannot be read, and what is expected of it.
pub(super) fn redeem(location: &str, read: &ClaimCheck) -> Result<String, String> {
    let name = location.rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") {
        return Err(format!(
            "`_tidb.claimCheckLocation` is `{location}`: expected the path of a file"
        ));
    }
    let file = |why: &dyn std::fmt::Display| format!("claim-check file `{name}`: {why}");
    let text = String::from_utf8(read(name).map_err(|error| file(&error))?).map_err(|error| file(&error))?;
    let fields = Fields::parse(&text).map_err(|error| file(&error))?;
    if fields.get("type").is_some() {
        return Ok(text);
    }
    let bytes = STANDARD
        .decode(&*fields.text("value"))
        .map_err(|error| file(&error))?;
    String::from_utf8(bytes).map_err(|error| file(&error))
}
