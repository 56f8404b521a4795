//! The embedding lane through a running node, with a service that hangs, fails and comes back as the tests say.

mod cache;
mod freshness;
mod order;
mod service;
mod storm;
