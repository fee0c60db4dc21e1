//! Values that every part of otapress shares: identities, versions, digests, the layout of `out/`, and the
//! formats in which answers are published.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests"))]

mod as_json;
pub mod digest;
pub mod finding;
pub mod id;
pub mod out;
pub mod out_path;
pub mod stamp;
pub mod version;
pub mod wire;
pub mod words;
