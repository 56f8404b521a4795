//! Who may ask the port for what: real connections to a node in this process.

pub mod rig;

mod doors;
mod keys;
mod limits;
mod tenants;
mod tls;
mod tokens;
