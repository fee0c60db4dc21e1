//! A simulated tracker, and what walks a live site as one does.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

pub mod device;
pub mod probe;
pub mod tls;
