//! Another model for an index that goes on answering: begin, look, compare, switch, go back, drop.

pub mod status;
pub mod begin;
pub mod compare;
pub mod switch;
mod change;
mod error;

pub use error::UpgradeError;
pub use status::{SecondStatus, UpgradePhase, UpgradeStatus};

/// What the node does for the routes here. Each takes effect at a tick soon after; the snapshot shows that it has.
pub trait Upgrades: Send + Sync {
    /// Begins a second set of vectors for a vector field, by an embedder of these settings.
    fn begin(&self, field: u16, settings: &str) -> Result<(), UpgradeError>;

    /// The second set answers from the next tick on, and the one that answers is the second.
    fn switch(&self) -> Result<(), UpgradeError>;

    fn drop_second(&self) -> Result<(), UpgradeError>;
}
