//! What several tests are built with.

pub mod asked;
pub mod balancers;
pub mod broker;
pub mod browser;
pub mod canned;
pub mod clock;
pub mod git;
pub mod host_check;
pub mod hosted;
pub mod hosts;
pub mod jar;
pub mod json_schema;
pub mod mosquitto;
pub mod mounts;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod project;
pub mod proxy;
pub mod release;
pub mod server;
pub mod servers;
pub mod story;
pub mod tls;
pub mod tree;
