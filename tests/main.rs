//! One binary for all tests: it links once.

mod shared;
mod binary;

mod dataflow;
mod decode;
mod definition;
mod dataflows;
mod http;
mod kafka;
mod keyword;
mod query;
mod readme;
mod node;
mod index;
mod scenarios;
mod sources;
mod malformed;
mod tidy;
mod vector;
