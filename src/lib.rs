//! The commands of otapress, what they show people, and the relay of events over MQTT.
//!
//! The layers below are crates of their own: see ARCHITECTURE.md. Here, `cli` dispatches to `cmd`, and both
//! build on `context`.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

pub mod cli;
mod cmd;
mod context;
pub mod import;
mod relay;
pub mod report;
