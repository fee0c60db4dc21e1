//! A simulated tracker, and what plays one or many of them against a live site.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

pub mod device;
pub mod probe;
pub mod simulate;
pub mod tls;
