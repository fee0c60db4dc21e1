//! otapress turns a fleet file, MIDlet JARs and templates into a directory that any HTTP server can host,
//! and answers the two requests that a static server cannot.

pub mod catalog;
pub mod device;
pub mod diag;
pub mod digest;
pub mod id;
pub mod jad;
pub mod jar;
pub mod out_path;
pub mod responder;
pub mod store;
pub mod version;
pub mod wire;
