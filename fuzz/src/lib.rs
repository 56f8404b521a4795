//! The targets: each takes any bytes, and panics where something does not hold. The product's tests run them too.

#[path = "../../tests/malformed/changes.rs"]
mod changes;
#[path = "../../tests/malformed/dataflows.rs"]
mod dataflows;

#[path = "../../tests/malformed/decode.rs"]
pub mod decode;
#[path = "../../tests/malformed/definition.rs"]
pub mod definition;
#[path = "../../tests/malformed/http_body.rs"]
pub mod http_body;
#[path = "../../tests/malformed/sql.rs"]
pub mod sql;
#[path = "../../tests/malformed/stored.rs"]
pub mod stored;
