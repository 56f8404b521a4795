//! `upsert-json`.
