//! Turns a fleet file, MIDlet JARs and templates into a directory that any HTTP server can host.
//!
//! ```text
//! fleet.yaml ─ raw ─► validate ─► Fleet ─► resolve ─► render ─► Tree ─► diff(out/) ─► apply
//! jars/ ─ jar ─► Catalog ─┘                 template ─┘
//! out/ ─► View ─► plan ◄─ View ◄─ Tree       (what a build would change)
//! ```

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

pub mod catalog;
mod clutter;
pub mod diag;
pub mod edit;
pub mod files;
pub mod fleet;
pub mod jad;
pub mod jar;
pub mod password;
pub mod plan;
pub mod price;
pub mod provision;
pub mod publish;
pub mod regression;
pub mod release_checks;
pub mod render;
pub mod resolve;
pub mod rollout;
pub mod settings;
pub mod signing;
pub mod template;
pub mod traffic;
pub mod tree;
