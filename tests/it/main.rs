//! The programs as their users and the devices meet them.

mod add;
mod build;
mod cases;
mod cgi;
mod commits;
mod device;
mod golden;
mod http;
mod invalid;
mod life;
mod properties;
mod show;
mod support;
mod trouble;
