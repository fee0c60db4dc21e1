//! What several tests are built with.

pub mod canned;
pub mod jar;
pub mod proxy;
pub mod server;
pub mod tree;
