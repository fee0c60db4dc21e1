//! Values that every part of otapress shares: identities, versions, digests, the layout of `out/`, and the formats
//! in which answers are published.

pub mod digest;
pub mod id;
pub mod out;
pub mod out_path;
pub mod stamp;
pub mod version;
pub mod wire;
