//! The programs as their users and the devices meet them.

// A test that panics fails, helpers included.
#![allow(clippy::unwrap_used)]

mod cases;
mod cgi;
mod commits;
mod device;
mod http;
mod jars;
mod kill;
mod life;
mod load;
mod operator;
mod serve;
mod support;
mod tidy;
mod trouble;
