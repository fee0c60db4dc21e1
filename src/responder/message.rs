//! What a request is and who sent it: pure readings of method, path, User-Agent and body.

use crate::id::{ClientId, Imei};
use crate::wire::Site;

/// How many bytes of a body are looked at. Adapters read on to its end, keep this many and one more (so
/// that a longer body can be told) and drop the rest.
pub const BODY_LIMIT: usize = 4096;

/// A request as an adapter hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `POST`, `GET` …
    pub method: &'a str,
    /// The path with its query, as sent.
    pub target: &'a str,
    /// The User-Agent header.
    pub agent: Option<&'a [u8]>,
    /// At most [`BODY_LIMIT`] + 1 bytes of the body, decoded if it was chunked.
    pub body: &'a [u8],
}

/// Who says that they send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Which program.
    pub program: Program,
    /// On which modem.
    pub imei: Option<Imei>,
}

/// The program that sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The firmware's own HTTP: `GW/`, formerly `XAK/`.
    Midlet,
    /// A simulated device, `SIMU/`, which leaves no trace in any record.
    Simulator,
    /// The modem's OTAP: any other product before an IMEI.
    Modem,
    /// Anything else, or nothing.
    Other,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A version check.
    Check,
    /// An OTAP result, of the clientID in the path if one is there.
    Notify(Option<ClientId>),
    /// One of the responder's paths with another method than POST.
    Method,
    /// Nothing of the responder's: a static file, perhaps.
    Other,
}

impl Agent {
    /// Reads a User-Agent.
    pub fn parse(_header: Option<&[u8]>) -> Agent {
        todo!()
    }
}

/// Tells what a request is. Every POST is a version check or a result, whatever its path.
pub fn route(_site: Option<&Site>, _request: &Request<'_>) -> Route {
    todo!()
}
