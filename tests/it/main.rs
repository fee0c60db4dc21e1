//! The programs as their users and the devices meet them.

mod cases;
mod cgi;
mod commits;
mod device;
mod http;
mod kill;
mod life;
mod load;
mod operator;
mod serve;
mod support;
mod trouble;
