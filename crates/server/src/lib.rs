//! What `otapress serve` adds to the responder: HTTP, and records in PostgreSQL.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod http;
pub mod location;
pub mod postgres;
