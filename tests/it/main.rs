//! The integration tests, in one binary.

mod commits;
mod device;
mod http;
mod life;
mod support;
mod trouble;
