//! Events as POSTs to a URL: CloudEvents, signed by the Standard Webhooks convention.
//!
//! One at a time, in their order; one that does not arrive is sent again until it does, under the same id.

use std::collections::BTreeSet;
use std::fmt;
use std::future::ready;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION, USER_AGENT};
use http::uri::Scheme;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::feed::{Message, Sink};
use super::outbox::Acknowledgement;
use super::payload::cloud_event;
use super::signature::Secrets;
use otapress_core::digest::Sha256;
use otapress_responder::message::printable;
use otapress_responder::record::EventKind;

/// As much of an answer is read as lets the connection be used again.
const MAX_ANSWER: usize = 64 << 10;

/// Where events are posted. What is behind the host may be a secret, and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address(Uri);

/// Why a text is not an address. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("a receiver is named as `https://HOST[:PORT]/PATH`, or without TLS as `http://…`")]
    Shape,
    /// A password in an argument can be read by everybody who lists processes.
    #[error("credentials do not belong into the URL of a receiver: let it check signatures")]
    Credentials,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::Shape)?;
        let authority = uri.authority().ok_or(AddressError::Shape)?.as_str();
        if authority.contains('@') {
            return Err(AddressError::Credentials);
        }
        let is_known = uri.scheme() == Some(&Scheme::HTTPS) || uri.scheme() == Some(&Scheme::HTTP);
        let has_port = authority.rsplit_once(']').map_or(authority, |(_, port)| port).contains(':');
        if !is_known || text.contains('#') || has_port && uri.port_u16().is_none_or(|port| port == 0) {
            return Err(AddressError::Shape);
        }
        Ok(Address(uri))
    }
}

impl Address {
    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// The name of the cursor and of the lease. A query, which may hold a token that changes, is no part of
    /// it.
    pub(crate) fn name(&self) -> String {
        let place = format!("{self}{}", self.0.path());
        format!("webhook-{:016x}", Sha256::of(place.as_bytes()).prefix64())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{}", self.0.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why an event did not arrive; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it answers {0}{1}")]
    Refused(StatusCode, String),
    #[error("it answers {0}, a redirect{1}, which is not followed: name the receiver itself")]
    Redirect(StatusCode, String),
}

/// What is needed to post events.
pub(crate) struct Hook {
    pub(crate) address: Address,
    pub(super) name: String,
    /// The origin of the events: the URL of the site.
    source: String,
    /// The kinds that are sent; all, if empty.
    only: BTreeSet<EventKind>,
    /// Time limit for one POST with its answer.
    patience: Duration,
    poster: Arc<Poster>,
}

struct Poster {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    secrets: Secrets,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// What all receivers have in common.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) secrets: Secrets,
    pub(crate) only: BTreeSet<EventKind>,
    pub(crate) source: String,
    pub(crate) patience: Duration,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Hook {
    pub(crate) fn new(address: Address, tls: ClientConfig, manner: Manner) -> Self {
        let Manner { secrets, only, source, patience, clock } = manner;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let poster = Arc::new(Poster { client, uri: address.0.clone(), secrets, clock });
        Hook { name: address.name(), address, source, only, patience, poster }
    }
}

impl Sink for Hook {
    type Error = HookError;

    async fn send(&self, message: &Message) -> Result<Acknowledgement<HookError>, HookError> {
        if !self.only.is_empty() && !self.only.contains(&message.event.kind) {
            return Ok(Box::pin(ready(Ok(()))));
        }
        let (id, body) = cloud_event(&self.source, message.seq, &message.event, message.client.as_ref());
        let (poster, patience) = (Arc::clone(&self.poster), self.patience);
        // It begins when the one before has arrived.
        Ok(Box::pin(async move {
            let posted = timeout(patience, poster.post(&id, body)).await;
            posted.unwrap_or(Err(HookError::Silent(patience)))
        }))
    }
}

impl Poster {
    async fn post(&self, id: &str, body: String) -> Result<(), HookError> {
        let at = (self.clock)();
        let mut request = Request::post(&self.uri)
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header(USER_AGENT, concat!("otapress/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", at);
        if let Some(signature) = self.secrets.sign(id, at, &body) {
            request = request.header("webhook-signature", signature);
        }
        let unreachable = |error: &dyn std::error::Error| HookError::Unreachable(causes(error));
        let request = request.body(Full::from(body)).map_err(|error| unreachable(&error))?;
        let answer = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        judge(answer).await
    }
}

async fn judge(answer: Response<Incoming>) -> Result<(), HookError> {
    let (head, body) = answer.into_parts();
    let status = head.status;
    // Only that it has been read lets the connection be used again; what is wrong with it does not matter.
    let body = Limited::new(body, MAX_ANSWER).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        let to = head.headers.get(LOCATION).and_then(|to| to.to_str().ok()?.parse::<Address>().ok());
        return Err(HookError::Redirect(status, to.map(|to| format!(" to {to}")).unwrap_or_default()));
    }
    let said = printable(&body, 200);
    Err(HookError::Refused(status, if said.is_empty() { String::new() } else { format!(": `{said}`") }))
}

/// An error with what is behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text += &format!(": {cause}");
        below = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_named_by_a_url_whose_secrets_are_not_shown() {
        let address = |text: &str| text.parse::<Address>();
        let shown = |text: &str| address(text).unwrap().to_string();
        assert_eq!(shown("https://hooks.example.com/services/T0/geheim?t=1"), "https://hooks.example.com");
        assert_eq!(shown("http://127.0.0.1:2000"), "http://127.0.0.1:2000");
        assert_eq!(format!("{:?}", address("http://[::1]:80/x").unwrap()), "http://[::1]:80");
        for bad in [
            "",
            "/x",
            "example.com",
            "ftp://a/",
            "mqtt://a",
            "http://",
            "http://a:x/",
            "http://a:0/",
            "http://a/#x",
            "http://a b",
        ] {
            assert_eq!(address(bad), Err(AddressError::Shape), "{bad}");
        }
        assert_eq!(address("https://a:geheim@b/"), Err(AddressError::Credentials));
    }

    #[test]
    fn a_sink_keeps_its_cursor_when_its_token_changes() {
        let name = |text: &str| text.parse::<Address>().unwrap().name();
        assert_eq!(name("https://a.example/x?token=1"), name("https://a.example/x?token=2"));
        assert_ne!(name("https://a.example/x"), name("https://a.example/y"));
        assert_ne!(name("https://a.example/x"), name("http://a.example/x"));
        assert_eq!(name("https://a.example/x").len(), "webhook-".len() + 16);
    }
}
