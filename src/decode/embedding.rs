//! `embedding-json`.
