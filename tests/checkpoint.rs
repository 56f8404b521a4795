//! Checkpoints against a plain model: what is written comes back, whatever the storage does in between.

mod support;
mod crash;
mod faults;
mod shapes;
mod snapshots;
mod writer;
