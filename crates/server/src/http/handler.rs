//! From a request to its response.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::watch;

use super::Limits;
use super::auth::{CHALLENGE, Credentials};
use super::connections::{Connections, Phase};
use super::content::Content;
use super::log_limit::LogLimit;
use super::site::{Published, Snapshot};
use super::store_worker::Questions;
use super::strays::Strays;
use super::stream::Progress;
use otapress_core::out::Served;
use otapress_responder::files::{open, out_path};
use otapress_responder::message::{self, BODY_LIMIT, Route};
use otapress_responder::service::{Reply, Step};

/// [`otapress_core::wire::DECISION`], in small letters as hyper wants it.
const DECISION: HeaderName = HeaderName::from_static("x-otapress");

/// Files below this size, in bytes, are read at once.
const SMALL: u64 = 8 * 1024;

/// What every connection shares.
pub struct App {
    published: Published,
    out: PathBuf,
    prefix: String,
    pub(super) log_limit: Arc<LogLimit>,
    strays: Strays,
    pub(super) connections: Arc<Connections>,
    questions: Questions,
    credentials: watch::Receiver<Credentials>,
    pub(super) limits: Limits,
}

/// The beginning of a request's body.
struct Kept {
    bytes: Vec<u8>,
    end: End,
}

/// Where reading a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At its end; all of it is kept.
    Whole,
    /// At its end; the rest was dropped.
    Long,
    /// Before its end, because it is beyond all limits.
    Endless,
    /// Before its end, because it stopped coming.
    Broken,
}

impl App {
    /// Serves `out`.
    pub fn new(
        out: PathBuf,
        prefix: String,
        questions: Questions,
        credentials: watch::Receiver<Credentials>,
        limits: Limits,
    ) -> Self {
        let connections = Connections::new(&limits);
        App {
            published: Published::new(&out),
            out,
            prefix,
            log_limit: Arc::default(),
            strays: Strays::default(),
            connections,
            questions,
            credentials,
            limits,
        }
    }

    /// Answers a request, whatever it is.
    pub async fn handle(&self, request: Request<Incoming>, progress: &Progress) -> Response<Content> {
        let (head, body) = request.into_parts();
        let posts = is_post(&head.method);
        let kept = if posts {
            progress.place().set(Phase::Body);
            self.read(body, progress).await
        } else {
            Kept { bytes: Vec::new(), end: End::Whole }
        };
        progress.place().set(Phase::Answering);
        // Without a length, what follows the head is taken for the next request; it may be the body.
        let unframed = posts
            && !head.headers.contains_key(header::CONTENT_LENGTH)
            && !head.headers.contains_key(header::TRANSFER_ENCODING);
        let now = self.published.current();
        let target = self.with_prefix(head.uri.path_and_query().map_or("/", |target| target.as_str()));
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let asked = message::Request {
            method: if posts { "POST" } else { head.method.as_str() },
            target: &target,
            host: head.uri.host().or(host),
            agent: head.headers.get(header::USER_AGENT).map(HeaderValue::as_bytes),
            body: &kept.bytes,
            is_complete: kept.end == End::Whole,
        };
        let mut response = match self.reply(&now, &asked, kept.end).await {
            Some(reply) => {
                self.log(&reply);
                from_reply(reply)
            }
            None => self.file(&now, &head.method, &self.with_prefix(head.uri.path()), &head.headers),
        };
        let unread = unframed || matches!(kept.end, End::Endless | End::Broken);
        if unread {
            progress.expect_more();
        }
        if unread || head.version == Version::HTTP_10 || self.connections.are_crowded() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        progress.place().set(Phase::Sending);
        response
    }

    fn log(&self, reply: &Reply) {
        if let Some(line) = &reply.log
            && self.log_limit.admits(reply.log_kind, Instant::now())
        {
            tracing::info!("{line}");
        }
    }

    /// The path as the device sent it.
    fn with_prefix<'a>(&self, target: &'a str) -> Cow<'a, str> {
        if self.prefix.is_empty() { target.into() } else { format!("{}{target}", self.prefix).into() }
    }

    /// The responder's reply; `None` if the request is not for it.
    async fn reply(&self, now: &Snapshot, asked: &message::Request<'_>, end: End) -> Option<Reply> {
        let acknowledges = || matches!(message::route(now.responder.site().ok(), asked), Route::Notify(_));
        if end == End::Broken && acknowledges() {
            // Half a result may be another result.
            return Some(emergency(true, "a result ended early"));
        }
        match catch_unwind(AssertUnwindSafe(|| now.responder.prepare(asked))) {
            Ok(Step::NotOurs) => None,
            Ok(Step::Done(reply)) => Some(reply),
            Ok(Step::Ask(question)) => {
                if let (Some((imei, at)), Ok(site)) = (question.stray(), now.responder.site()) {
                    self.strays.note(imei, at, &site.site);
                }
                match self.questions.ask(question).await {
                    Some(reply) => Some(reply),
                    None => Some(emergency(acknowledges(), "the server is shutting down")),
                }
            }
            Err(_) if asked.method == "POST" => {
                let acknowledges = catch_unwind(AssertUnwindSafe(acknowledges)).unwrap_or(false);
                Some(emergency(acknowledges, "the responder panicked"))
            }
            Err(_) => None,
        }
    }

    /// Reads a body to its end, as far as the limits go, and keeps its beginning.
    async fn read(&self, mut body: Incoming, progress: &Progress) -> Kept {
        let mut bytes = Vec::new();
        let drain = async {
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return End::Broken };
                if let Ok(data) = frame.into_data() {
                    let missing = BODY_LIMIT.saturating_sub(bytes.len());
                    bytes.extend_from_slice(&data[..data.len().min(missing)]);
                    read += data.len() as u64;
                }
                if read > self.limits.drain {
                    return End::Endless;
                }
            }
            if read > BODY_LIMIT as u64 { End::Long } else { End::Whole }
        };
        let end = tokio::select! {
            biased;
            end = drain => end,
            () = tokio::time::sleep(self.limits.body) => End::Broken,
            () = progress.is_cut() => End::Broken,
        };
        Kept { bytes, end }
    }

    fn file(&self, now: &Snapshot, method: &Method, path: &str, headers: &HeaderMap) -> Response<Content> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return response(StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], Bytes::new());
        }
        let Some((path, served)) = out_path(&now.prefix, path).and_then(|path| {
            let served = Served::of(&path)?;
            Some((path, served))
        }) else {
            return empty(StatusCode::NOT_FOUND);
        };
        // Asked before the file is looked for: without credentials nobody learns which devices exist.
        if served.is_protected() && !self.lets_in(now, headers) {
            return response(StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, CHALLENGE)], Bytes::new());
        }
        match open(&self.out, &path).and_then(|found| found.map(content).transpose()) {
            Ok(Some(content)) => response(
                StatusCode::OK,
                [
                    (header::CONTENT_TYPE, served.content_type()),
                    (header::CACHE_CONTROL, served.cache_control()),
                ],
                content,
            ),
            Ok(None) => empty(StatusCode::NOT_FOUND),
            Err(error) => {
                if self.log_limit.admits("unreadable file", Instant::now()) {
                    tracing::error!(%error, "cannot read `{path}`");
                }
                empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    fn lets_in(&self, now: &Snapshot, headers: &HeaderMap) -> bool {
        let credentials = self.credentials.borrow();
        let open = credentials.is_empty() && !now.responder.site().is_ok_and(|site| site.auth);
        open || credentials.accept(headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes))
    }
}

/// What is sent where the responder could not be asked: no upgrade, or 500 if an answer would
/// acknowledge a result.
fn emergency(acknowledges: bool, why: &str) -> Reply {
    if acknowledges { Reply::empty(500, Some(why.into())) } else { Reply::no(why) }
}

/// Bytes that a proxy has left before a request are taken for the begin of its method.
fn is_post(method: &Method) -> bool {
    method.as_str().to_ascii_uppercase().ends_with("POST")
}

/// A small file in memory, so that it is not open while it is sent; of a larger one the file.
fn content((mut file, metadata): (File, Metadata)) -> io::Result<Content> {
    let size = metadata.len();
    if size >= SMALL {
        return Ok(Content::File { file, at: 0, end: size });
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact(&mut bytes)?;
    Ok(Bytes::from(bytes).into())
}

fn from_reply(reply: Reply) -> Response<Content> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        reply.content_type.map(|value| (header::CONTENT_TYPE, value)),
        reply.allow.map(|value| (header::ALLOW, value)),
    ];
    let body = match reply.body {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    let mut response = response(status, headers.into_iter().flatten(), body);
    if let Some(decision) = reply.decision.and_then(|decision| HeaderValue::from_str(&decision).ok()) {
        response.headers_mut().insert(DECISION, decision);
    }
    response
}

fn empty(status: StatusCode) -> Response<Content> {
    response(status, [], Bytes::new())
}

/// A response with its exact length, never chunked.
fn response(
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, &'static str)>,
    content: impl Into<Content>,
) -> Response<Content> {
    let content = content.into();
    let length = HeaderValue::from(content.len());
    let mut response = Response::new(content);
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}
