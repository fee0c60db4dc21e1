//! What several tests are built with.

pub mod canned;
pub mod hosts;
pub mod jar;
pub mod project;
pub mod process;
pub mod server;
pub mod tree;
