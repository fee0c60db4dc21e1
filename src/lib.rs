//! The commands of otapress, what they show people, and the relay of events over MQTT.
//!
//! The layers below are crates of their own: see ARCHITECTURE.md.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod cli;
pub mod cmd;
pub mod import;
pub mod relay;
pub mod report;
