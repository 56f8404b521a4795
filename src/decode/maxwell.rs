//! `maxwell-json`.
