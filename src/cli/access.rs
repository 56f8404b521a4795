//! How a command shows a node who asks, and knows which node it is.

use std::path::PathBuf;

use clap::Args;

use super::client::NodeError;

/// Where the key is unless a command says otherwise.
const KEY_ENV: &str = "MILLPOND_API_KEY";

#[derive(Clone, Debug, Default, Args)]
pub struct Access {
    /// The environment variable that has the key for the node [default: MILLPOND_API_KEY, if it is set]
    #[arg(long, global = true, value_name = "VARIABLE")]
    pub key_env: Option<String>,
    /// A PEM file with the certificates that an https node is trusted by, in place of the usual ones
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

impl Access {
    /// The key, if there is one. It stands in a variable, since a command line can be read by others.
    pub(super) fn key(&self) -> Result<Option<String>, NodeError> {
        match &self.key_env {
            None => Ok(std::env::var(KEY_ENV).ok().filter(|key| !key.is_empty())),
            Some(name) => std::env::var(name)
                .map(Some)
                .map_err(|_| NodeError::NoKey(name.clone())),
        }
    }

    /// The certificates of `--ca`, in PEM.
    pub(super) fn roots(&self) -> Result<Option<Vec<u8>>, NodeError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| NodeError::NoRoots {
                path: path.clone(),
                source,
            })
        };
        self.ca.as_ref().map(read).transpose()
    }
}
