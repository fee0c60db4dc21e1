//! otapress turns a fleet file, MIDlet JARs and templates into a directory that any HTTP server can host,
//! and answers the two requests that a static server cannot.

pub mod catalog;
pub mod diag;
pub mod digest;
pub mod fleet;
pub mod id;
pub mod jad;
pub mod jar;
pub mod out_path;
pub mod settings;
pub mod report;
pub mod resolve;
pub mod rollout;
pub mod tree;
pub mod template;
pub mod render;
pub mod publish;
pub mod version;
pub mod wire;
