//! The records in a PostgreSQL database, which several responders share.

mod url;

pub use url::{PostgresUrl, UrlError};
