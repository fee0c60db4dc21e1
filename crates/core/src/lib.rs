//! Values that every part of otapress shares: identities, versions, digests, paths below `out/`, and the formats
//! in which answers are published.

pub mod digest;
pub mod id;
pub mod out_path;
pub mod version;
pub mod wire;
