//! Answers the two requests that a static server cannot: version checks and OTAP results.
//!
//! ```text
//! cgi, http ─ Request ─► message (who asks what) ─► question ─► exchange ─ Reply ─► cgi, http
//!                                  out/vc ─ offer ─┘    │         ▲│
//!                                                     keys  records  changes
//!                                                       ▼         │▼
//!                                                      load ─ store ─ put
//! ```
//!
//! [`exchange`] and what it calls ([`decide`], [`outcome`]) are pure: they change a value. [`service`] reads
//! `out/` and the store around them. Nothing here knows the fleet file, and a version check is answered 200
//! whatever happens.

#![cfg_attr(not(any(test, feature = "testing")), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

pub mod cgi;
pub mod code;
pub mod decide;
pub mod departed;
mod durability;
pub mod event;
pub mod event_budget;
pub mod exchange;
pub mod files;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;

#[cfg(test)]
mod memory;
pub mod message;
mod moved;
mod names;
pub mod offer;
pub mod operate;
pub mod outcome;
#[cfg(test)]
mod properties;
pub mod question;
pub mod record;
pub mod records;
pub mod retention;
pub mod service;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod start_and_trigger_tests;
pub mod store;
mod turns;
#[cfg(test)]
mod wave_history_tests;
mod wave_record;
#[cfg(test)]
mod wave_tests;
pub mod waves;
pub mod weakened;
