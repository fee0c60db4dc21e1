//! otapress turns a fleet file, MIDlet JARs and templates into a directory that any HTTP server can host,
//! and answers the two requests that a static server cannot.

#[cfg(feature = "cli")]
pub mod catalog;
#[cfg(feature = "cli")]
pub mod device;
pub mod diag;
pub mod digest;
pub mod id;
#[cfg(feature = "cli")]
pub mod jad;
#[cfg(feature = "cli")]
pub mod jar;
pub mod out_path;
pub mod responder;
pub mod store;
pub mod version;
pub mod wire;
