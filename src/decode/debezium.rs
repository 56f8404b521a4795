//! `debezium-json`.
