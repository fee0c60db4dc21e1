//! The programs as their users and the devices meet them.

mod cases;
mod cgi;
mod commits;
mod device;
mod golden;
mod http;
mod invalid;
mod life;
mod properties;
mod support;
mod trouble;
