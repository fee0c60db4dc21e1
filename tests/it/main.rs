//! The programs as their users and the devices meet them.

// A test that panics fails, helpers included.
#![allow(clippy::unwrap_used)]

mod add;
mod build;
mod cases;
mod cgi;
mod commits;
mod device;
mod golden;
mod http;
mod invalid;
mod jars;
mod life;
mod properties;
mod scale;
mod schema;
mod show;
mod support;
mod tidy;
mod trouble;
mod usage;
