//! The keyword leg against a model that scores every document by the formula, and its own other layouts.

mod analysis;
mod filter;
mod filter_kinds;
mod language;
mod model;
mod quality;
mod ranking;
mod support;
