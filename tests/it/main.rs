//! The integration tests, in one binary.

mod device;
mod http;
mod life;
mod support;
mod trouble;
