//! The programs as their users and the devices meet them.

// A test that panics fails, helpers included.
#![allow(clippy::unwrap_used)]
// Tests make files, and ask for the time.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod add;
mod bad_jars;
mod book;
mod bounds;
mod broken_hosts;
mod build;
mod cases;
mod cgi;
mod commits;
mod config;
mod departed;
mod device;
mod diff;
mod edit;
mod gitops;
mod golden;
mod hostile;
mod hosting;
mod http;
mod import;
mod init;
mod instances;
mod interrupted;
mod invalid;
mod jars;
mod java;
mod kill;
mod kit;
mod life;
mod load;
mod make;
mod moving;
mod operator;
mod packaging;
mod parity;
mod plan;
mod postgres;
mod probe;
mod promote;
mod properties;
mod publish;
mod pushed;
mod rehearsal;
mod relay;
mod report;
mod rsync;
mod scale;
mod schema;
mod secrets;
mod serve;
mod show;
mod simulate;
mod state;
mod status;
mod supply;
mod support;
mod threats;
mod tidy;
mod trouble;
mod untrusted;
mod usage;
