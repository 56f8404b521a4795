//! What a path names: an index and a document, where it has places for them.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::check_index;
use super::refusal::{Read, Refusal};
use crate::server::error::ApiError;

/// The names in a path.
pub struct Named {
    index: Option<String>,
    pub id: Option<String>,
}

impl Named {
    /// The index that is meant: the one that there is, where the path names none.
    pub fn index_or(self, index: &str) -> String {
        self.index.unwrap_or_else(|| index.to_owned())
    }

    /// # Errors
    /// The path names an index that there is not.
    pub fn check(&self, index: &str) -> Read<()> {
        self.index
            .as_deref()
            .map_or(Ok(()), |named| check_index(index, named))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Refusal> {
        let names = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let Path(mut names) = names.map_err(ApiError::from)?;
        Ok(Named {
            index: names.remove("index"),
            id: names.remove("id"),
        })
    }
}
