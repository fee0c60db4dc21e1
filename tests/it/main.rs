//! The programs as their users and the devices meet them.

mod cases;
mod cgi;
mod commits;
mod device;
mod http;
mod life;
mod probe;
mod simulate;
mod support;
mod trouble;
