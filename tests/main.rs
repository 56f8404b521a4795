//! One binary for all tests: it links once.

mod shared;
mod embedding_service;
mod binary;
mod checkpoint;

mod dataflow;
mod dead_letters;
mod decode;
mod definition;
mod dataflows;
mod embedders;
mod http;
mod kafka;
mod kill;
mod lane;
mod keyword;
mod query;
mod readme;
mod rebuild;
mod restart;
mod named_vectors;
mod pieces;
mod node;
mod snapshots;
mod push;
mod index;
mod scenarios;
mod schema_change;
mod sources;
mod stored;
mod malformed;
mod tidy;
mod tuning;
mod upgrade;
mod vector;
mod vector_bench;
