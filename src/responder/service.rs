//! From a request to its reply: reads `out/`, asks [`super::decide`], keeps the store.
//!
//! Two steps, so that a server can take the first on any thread and the second for many requests in one
//! transaction: [`Responder::prepare`] reads the request and the files, [`answer`] reads and writes records.

use std::borrow::Cow;
use std::path::PathBuf;

use super::message::Request;
use crate::store::{Durability, Store};

/// The published directory, as the responder knows it.
///
/// It holds what `otapress.json` says; make a new one when that file has changed. The answer files are
/// read anew for every check.
#[derive(Clone, Debug)]
pub struct Responder {
    #[allow(dead_code)]
    out: PathBuf,
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200, 405 or 500.
    pub status: u16,
    /// The body; empty except for version checks.
    pub body: Cow<'static, str>,
    /// `application/json` for version checks.
    pub content_type: Option<&'static str>,
    /// The value of `Allow`, for 405.
    pub allow: Option<&'static str>,
    /// A line for the log, free of control characters.
    pub log: Option<String>,
}

/// What [`Responder::prepare`] makes of a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// It is not for the responder: a static file, perhaps.
    NotOurs,
    /// It is answered without any records.
    Done(Reply),
    /// It takes records: hand it to [`answer`].
    Ask(Question),
}

/// A request that takes records.
#[derive(Clone, Debug)]
pub struct Question {}

impl Responder {
    /// Reads `otapress.json` in `out`. If that fails, every check is answered with no upgrade and the
    /// reason, and results are recorded as far as the User-Agent names the device.
    pub fn new(_out: impl Into<PathBuf>) -> Self {
        todo!()
    }

    /// Reads a request, and the answer file that it needs.
    pub fn prepare(&self, _request: &Request<'_>) -> Step {
        todo!()
    }
}

/// Answers questions in their order, all of their records in one transaction, or those that change nothing
/// in none. Never fails: where the store does, a check gets no upgrade and a result 500.
///
/// Returns one reply per question.
pub fn answer<S: Store + ?Sized>(
    _store: &mut S,
    _durability: Durability,
    _questions: &[Question],
    _now: i64,
) -> Vec<Reply> {
    todo!()
}

/// The reply where there is no store: no upgrade to a check, 500 to a result.
pub fn answer_without_store(_question: &Question, _why: &str) -> Reply {
    todo!()
}
