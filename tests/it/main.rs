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
mod hosting;
mod http;
mod invalid;
mod jars;
mod kill;
mod life;
mod load;
mod operator;
mod properties;
mod scale;
mod schema;
mod serve;
mod show;
mod support;
mod tidy;
mod trouble;
mod usage;
