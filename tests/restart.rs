//! Stops and starts of a node on one data directory, as a user sees them.
