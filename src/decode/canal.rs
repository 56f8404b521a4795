//! `canal-json`.
