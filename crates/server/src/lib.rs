//! What `otapress serve` adds to the responder: HTTP, and records in PostgreSQL.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

pub mod http;
pub mod location;
pub mod postgres;
