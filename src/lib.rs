//! otapress turns a fleet file, MIDlet JARs and templates into a directory that any HTTP server can host,
//! and answers the two requests that a static server cannot.
//!
//! # The flow
//!
//! ```text
//! fleet.yaml ─ raw ─► validate ─► Fleet ─► resolve ─► render ─► Tree ─► diff(out/) ─► apply
//! jars/ ─ jar ─► Catalog ─┘                 template ─┘
//! out/ ─► View ─► plan ◄─ View ◄─ Tree       (what a build would change)
//! out/vc ─ wire ─► decide ◄─ store          (request ─► answer + events)
//! ```
//!
//! # The layers
//!
//! A module imports from lower layers, and from its own without circles; what stands with a `+` is one module in
//! two halves. `tests/it/tidy.rs` reads this table and holds it.
//!
//! | layer | modules | what they are |
//! |---|---|---|
//! | 0 | [`diag`], [`id`], [`version`], [`digest`], [`out_path`] | values |
//! | 1 | [`wire`], [`settings`], [`jar`], [`jad`], [`catalog`], [`fleet`], [`tree`] | parsing and the types of the domain |
//! | 2 | [`rollout`], [`resolve`], [`template`], [`render`], [`plan`], [`import`], [`responder::code`], [`responder::record`], [`responder::message`], [`responder::offer`], [`responder::outcome`], [`responder::decide`] | decisions; no I/O but reading a template |
//! | 3 | [`publish`], [`store`], [`responder::service`] + `responder::plan`, [`responder::operate`], [`responder::files`], [`responder::cgi`], [`responder::http`] | the world |
//! | 4 | [`device`], [`report`], [`relay`] | a simulated device; what people are shown; events over MQTT |
//! | 5 | [`probe`], [`simulate`] | simulated devices against a live site |
//! | 6 | [`cli`] + [`cmd`] | the commands |
//!
//! # Invariants
//!
//! - out/ is a pure function of fleet.yaml, the JARs and the template: no clock, no network, no state.
//! - Only [`publish::apply`] writes in out/.
//! - Only [`fleet::raw`] and [`wire`] derive serde on file formats.
//! - The clock and the environment are read in [`cmd`] and in the adapters and passed on.
//! - [`responder`] and [`store`] know nothing of [`fleet`]: what they judge by is published in out/.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

#[cfg(feature = "cli")]
pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod cmd;
#[cfg(feature = "cli")]
pub mod device;
pub mod diag;
pub mod digest;
#[cfg(feature = "cli")]
pub mod fleet;
pub mod id;
#[cfg(feature = "cli")]
pub mod import;
#[cfg(feature = "cli")]
pub mod jad;
#[cfg(feature = "cli")]
pub mod jar;
pub mod out_path;
#[cfg(feature = "cli")]
pub mod plan;
#[cfg(feature = "cli")]
pub mod probe;
#[cfg(feature = "cli")]
pub mod publish;
#[cfg(feature = "cli")]
pub mod relay;
#[cfg(feature = "cli")]
pub mod render;
#[cfg(feature = "cli")]
pub mod report;
#[cfg(feature = "cli")]
pub mod resolve;
pub mod responder;
#[cfg(feature = "cli")]
pub mod rollout;
pub mod settings;
#[cfg(feature = "cli")]
pub mod simulate;
pub mod store;
#[cfg(feature = "cli")]
pub mod template;
#[cfg(feature = "cli")]
pub mod tree;
pub mod version;
pub mod wire;
