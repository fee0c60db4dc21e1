//! The programs as their users and the devices meet them.

mod cases;
mod cgi;
mod commits;
mod config;
mod device;
mod hosting;
mod http;
mod life;
mod support;
mod trouble;
