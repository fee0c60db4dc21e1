//! Fleets of simulated devices in simulated time.
//!
//! ```text
//! agenda (the clock) ─► play (lives of devices) ─► World: servers, or a responder in this process
//! ```
//!
//! A device is [`otapress_devices::device::Device`], and a decision the responder's own: what is here brings
//! them together, with chance from a seed.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

mod agenda;
pub mod memory;
mod play;
mod player;
mod prng;
pub mod published;
pub mod rehearsal;
mod report;
#[cfg(any(test, feature = "testing"))]
pub mod world;

pub use agenda::Agenda;
pub use play::{Checked, Play, Servers, World, play, starts_with};
pub use player::Player;
pub use prng::Prng;
pub use report::{Report, Sent};
