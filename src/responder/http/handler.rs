//! From a request to its response.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use super::Limits;
use super::auth::{CHALLENGE, Credentials};
use super::files::{Files, Kind, out_path};
use super::site::{Published, Snapshot};
use super::stream::Progress;
use super::writer::Questions;
use crate::responder::message::{self, BODY_LIMIT, Route};
use crate::responder::service::{Reply, Step};
use crate::wire::NO;

/// What every connection shares.
pub struct App {
    published: Published,
    files: Files,
    questions: Questions,
    credentials: watch::Receiver<Credentials>,
    pub(super) limits: Limits,
}

/// The beginning of a request's body.
struct Kept {
    bytes: Vec<u8>,
    /// Whether all of the body was read.
    whole: bool,
}

impl App {
    /// Serves `out`.
    pub fn new(
        out: PathBuf,
        questions: Questions,
        credentials: watch::Receiver<Credentials>,
        limits: Limits,
    ) -> Self {
        App { published: Published::new(&out), files: Files::new(out), questions, credentials, limits }
    }

    /// Answers a request, whatever it is.
    pub async fn handle(&self, request: Request<Incoming>, progress: &Progress) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let posts = head.method == Method::POST;
        let kept = if posts { self.read(body).await } else { Kept { bytes: Vec::new(), whole: true } };
        // Without a length, what follows the head is taken for the next request; it may be the body.
        let unframed = posts
            && !head.headers.contains_key(header::CONTENT_LENGTH)
            && !head.headers.contains_key(header::TRANSFER_ENCODING);
        let now = self.published.current();
        let asked = message::Request {
            method: head.method.as_str(),
            target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
            agent: head.headers.get(header::USER_AGENT).map(HeaderValue::as_bytes),
            body: &kept.bytes,
        };
        let mut response = match self.reply(&now, &asked, &kept).await {
            Some(reply) => from_reply(reply),
            None => self.file(&now, &head.method, head.uri.path(), &head.headers),
        };
        if unframed || !kept.whole {
            progress.expect_more();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The responder's reply; `None` if the request is not for it.
    async fn reply(&self, now: &Snapshot, asked: &message::Request<'_>, kept: &Kept) -> Option<Reply> {
        let acknowledges = || matches!(message::route(now.site.as_ref(), asked), Route::Notify(_));
        if !kept.whole && asked.body.len() <= BODY_LIMIT {
            // Half a version may be another version, and half a result another result.
            return Some(emergency(acknowledges(), "the body ended early"));
        }
        match catch_unwind(AssertUnwindSafe(|| now.responder.prepare(asked))) {
            Ok(Step::NotOurs) => None,
            Ok(Step::Done(reply)) => Some(reply),
            Ok(Step::Ask(question)) => match self.questions.ask(question).await {
                Some(reply) => Some(reply),
                None => Some(emergency(acknowledges(), "the server is shutting down")),
            },
            Err(_) if asked.method == "POST" => {
                let acknowledges = catch_unwind(AssertUnwindSafe(acknowledges)).unwrap_or(false);
                Some(emergency(acknowledges, "the responder panicked"))
            }
            Err(_) => None,
        }
    }

    /// Reads a body to its end, as far as the limits go, and keeps its beginning.
    async fn read(&self, mut body: Incoming) -> Kept {
        let mut bytes = Vec::new();
        let drain = async {
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                if let Ok(data) = frame.into_data() {
                    let missing = (BODY_LIMIT + 1).saturating_sub(bytes.len());
                    bytes.extend_from_slice(&data[..data.len().min(missing)]);
                    read += data.len() as u64;
                }
                if read > self.limits.drain {
                    return false;
                }
            }
            true
        };
        let whole = tokio::time::timeout(self.limits.body, drain).await.unwrap_or(false);
        Kept { bytes, whole }
    }

    fn file(
        &self,
        now: &Snapshot,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return response(StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], Bytes::new());
        }
        let Some((path, kind)) = out_path(&now.prefix, path).and_then(|path| {
            let kind = Kind::of(&path)?;
            Some((path, kind))
        }) else {
            return empty(StatusCode::NOT_FOUND);
        };
        // Asked before the file is looked for: without credentials nobody learns which devices exist.
        if kind.is_protected() && !self.lets_in(now, headers) {
            return response(StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, CHALLENGE)], Bytes::new());
        }
        match self.files.read(&path) {
            Ok(Some(bytes)) => response(
                StatusCode::OK,
                [(header::CONTENT_TYPE, kind.content_type()), (header::CACHE_CONTROL, kind.cache_control())],
                bytes,
            ),
            Ok(None) => empty(StatusCode::NOT_FOUND),
            Err(error) => {
                tracing::error!(%error, "cannot read `{path}`");
                empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    fn lets_in(&self, now: &Snapshot, headers: &HeaderMap) -> bool {
        let credentials = self.credentials.borrow();
        let open = credentials.is_empty() && !now.site.as_ref().is_some_and(|site| site.auth);
        open || credentials.accept(headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes))
    }
}

/// What is sent where the responder could not be asked: no upgrade, or 500 if an answer would
/// acknowledge a result.
fn emergency(acknowledges: bool, why: &str) -> Reply {
    tracing::error!("{why}");
    Reply {
        status: if acknowledges { 500 } else { 200 },
        body: Cow::Borrowed(if acknowledges { "" } else { NO }),
        content_type: (!acknowledges).then_some("application/json"),
        allow: None,
        log: None,
    }
}

fn from_reply(reply: Reply) -> Response<Full<Bytes>> {
    if let Some(line) = &reply.log {
        tracing::info!("{line}");
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        reply.content_type.map(|value| (header::CONTENT_TYPE, value)),
        reply.allow.map(|value| (header::ALLOW, value)),
    ];
    let body = match reply.body {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    response(status, headers.into_iter().flatten(), body)
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    response(status, [], Bytes::new())
}

/// A response with its exact length, never chunked.
fn response(
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, &'static str)>,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}
