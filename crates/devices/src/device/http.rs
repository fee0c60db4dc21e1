//! A small HTTP client that shows everything: headers are sent exactly as given, redirects are never
//! followed, and the status line, the headers and the framing of the reply are handed back as they came.
//!
//! Every exchange has a connection of its own. What a device's platform would choke on is an
//! [`Error`]; what it may choke on (chunked bodies) is decoded and told in [`Reply::framing`].

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::Scheme;
use rustls::{ClientConnection, StreamOwned};

use crate::tls::Tls;

/// The most that is read of one header section, in bytes.
const MAX_HEAD: u64 = 64 * 1024;

/// The most that is read of one body, in bytes: far more than fits the flash of any device.
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// An absolute `http` or `https` URL, split where HTTP needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Host and port as written: the value of the Host header.
    pub authority: String,
    /// The host's name or address.
    pub host: String,
    /// The port; that of the scheme if none is written.
    pub port: u16,
    /// The scheme is `https`.
    pub tls: bool,
    /// Path and query as written, at least `/`; no fragment.
    pub target: String,
}

impl Url {
    /// Splits `text`; `None` if it is not such a URL, or has user information.
    pub fn parse(text: &str) -> Option<Url> {
        let uri: Uri = text.parse().ok()?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let authority = uri.authority()?;
        let host = authority.host();
        // `http` reports no port where it is not a number.
        let port = match authority.as_str().len() - host.len() {
            0 => {
                if tls {
                    443
                } else {
                    80
                }
            }
            _ => authority.port_u16()?,
        };
        if !(tls || uri.scheme() == Some(&Scheme::HTTP))
            || host.is_empty()
            || authority.as_str().contains('@')
        {
            return None;
        }
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(Url {
            authority: authority.to_string(),
            host: host.trim_matches(['[', ']']).into(),
            port,
            tls,
            target: format!("{}{query}", if uri.path().is_empty() { "/" } else { uri.path() }),
        })
    }
}

/// How a request marks the end of its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Content-Length.
    #[default]
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the connection's sending side.
    Close,
}

/// A request as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: &'static str,
    /// The URL as the device has it.
    pub url: String,
    /// Whether the request says HTTP/1.0.
    pub http10: bool,
    /// The headers in order. Host and the framing headers are here, too; nothing is added.
    pub headers: Vec<(String, String)>,
    /// The body, before any chunking.
    pub body: Vec<u8>,
    /// How the body goes over the wire.
    pub framing: Framing,
}

impl Request {
    /// A GET of `url` with a Host header.
    pub fn get(url: &str) -> Request {
        let mut request = Request {
            method: "GET",
            url: url.into(),
            http10: false,
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length,
        };
        if let Some(url) = Url::parse(url) {
            request = request.header("Host", &url.authority);
        }
        request
    }

    /// A POST of `body` to `url` with a Host header and the headers of the framing.
    pub fn post(url: &str, body: &[u8], framing: Framing) -> Request {
        let mut request = Request { method: "POST", body: body.into(), framing, ..Request::get(url) };
        match framing {
            Framing::Length => request = request.header("Content-Length", &body.len().to_string()),
            Framing::Chunked => request = request.header("Transfer-Encoding", "chunked"),
            Framing::Close => {}
        }
        request
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The first header of this name, whatever its case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    fn to_bytes(&self, target: &str) -> Vec<u8> {
        let version = if self.http10 { "1.0" } else { "1.1" };
        let mut bytes = format!("{} {target} HTTP/{version}\r\n", self.method).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        match self.framing {
            Framing::Length | Framing::Close => bytes.extend_from_slice(&self.body),
            Framing::Chunked => {
                for chunk in self.body.chunks(4096) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// How a reply marked the end of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFraming {
    /// Content-Length, or a status or method without a body.
    Length,
    /// Chunked; the body is handed back decoded.
    Chunked,
    /// The end of the connection.
    Close,
}

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// The reason, trimmed; empty if the status line has none.
    pub reason: String,
    /// The headers in order, values trimmed.
    pub headers: Vec<(String, String)>,
    /// The body as the application sees it.
    pub body: Vec<u8>,
    /// How the reply marked the end of its body.
    pub framing: ReplyFraming,
}

impl Reply {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

/// Why there is no complete reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not an absolute URL of a scheme that the asking part of the device knows.
    #[error("`{0}` is not an absolute http URL")]
    Url(String),
    /// No server with an acceptable certificate.
    #[error("no encrypted connection: {0}")]
    Tls(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The time limit was reached.
    #[error("no reply in time")]
    Timeout,
    /// The connection broke, or ended before the reply did.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The reply is not HTTP/1.
    #[error("the reply is not HTTP/1: {0}")]
    NotHttp(String),
    /// Longer than any device would take.
    #[error("the reply is too long")]
    TooLong,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout,
            _ => Error::Broken(error.to_string()),
        }
    }
}

/// The address and the time limit of requests.
#[derive(Clone, Debug)]
pub struct Network {
    /// Connect here in clear text, whatever host and scheme a URL names (the Host header stays as the URL has
    /// it): to the server itself, without what ends TLS in front of it.
    pub connect_to: Option<SocketAddr>,
    /// The authorities for https; without, those of the system.
    pub tls: Option<Tls>,
    /// The time for one whole exchange.
    pub timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Network { connect_to: None, tls: None, timeout: Duration::from_secs(60) }
    }
}

impl Network {
    /// Sends `request` over a new connection and reads the whole reply.
    ///
    /// # Errors
    /// If there is no complete reply of HTTP/1 within the time.
    pub fn exchange(&self, request: &Request) -> Result<Reply, Error> {
        let url = Url::parse(&request.url).ok_or_else(|| Error::Url(request.url.clone()))?;
        let deadline = Instant::now() + self.timeout;
        let stream = self.connect(&url)?;
        stream.set_nodelay(true)?;
        let stream = Deadline { stream, deadline };
        let mut stream = match url.tls && self.connect_to.is_none() {
            true => self.shake_hands(&url.host, stream)?,
            false => Stream::Plain(stream),
        };
        // A server may answer and close before it has read a long body; its answer counts.
        let sent = stream.write_all(&request.to_bytes(&url.target)).and_then(|()| stream.flush());
        if request.framing == Framing::Close {
            stream.end()?;
        }
        let reply = read_reply(&mut BufReader::new(stream), request.method == "HEAD");
        match (sent, reply) {
            (_, Ok(reply)) => Ok(reply),
            (Err(error), Err(_)) => Err(error.into()),
            (Ok(()), Err(error)) => Err(error),
        }
    }

    fn shake_hands(&self, host: &str, stream: Deadline) -> Result<Stream, Error> {
        let wrong = |error: &dyn Display| Error::Tls(error.to_string());
        let tls = self.tls.clone().map_or_else(Tls::system, Ok).map_err(|error| wrong(&error))?;
        let stream = tls.connect(host, stream).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout,
            _ => wrong(&error),
        })?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn connect(&self, url: &Url) -> Result<TcpStream, Error> {
        let addresses = match self.connect_to {
            Some(address) => vec![address],
            None => (url.host.as_str(), url.port)
                .to_socket_addrs()
                .map_err(|e| Error::Connect(e.to_string()))?
                .collect(),
        };
        let mut last = Error::Connect(format!("`{}` has no address", url.host));
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(stream) => return Ok(stream),
                Err(e) => last = Error::Connect(e.to_string()),
            }
        }
        Err(last)
    }
}

/// A stream whose every call ends by one common deadline, so that a server that trickles is given up.
struct Deadline {
    stream: TcpStream,
    deadline: Instant,
}

impl Deadline {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Deadline {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buf)
    }
}

impl Write for Deadline {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A connection, encrypted or not.
enum Stream {
    Plain(Deadline),
    Tls(Box<StreamOwned<ClientConnection, Deadline>>),
}

impl Stream {
    /// Tells the server that nothing more is sent.
    fn end(&mut self) -> io::Result<()> {
        let connection = match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                &mut stream.sock
            }
        };
        connection.stream.shutdown(std::net::Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buf),
            Stream::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(buf),
            Stream::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

fn read_reply(stream: &mut impl BufRead, head_only: bool) -> Result<Reply, Error> {
    let mut head = stream.take(MAX_HEAD);
    let mut status = read_status(&mut head)?;
    while (100..200).contains(&status.1) {
        read_headers(&mut head)?;
        status = read_status(&mut head)?;
    }
    let (version, status, reason) = status;
    let headers = read_headers(&mut head)?;
    let stream = head.into_inner();

    let chunked =
        find(&headers, "Transfer-Encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
    let (framing, body) = if head_only || matches!(status, 204 | 304) {
        (ReplyFraming::Length, Vec::new())
    } else if chunked {
        (ReplyFraming::Chunked, read_chunks(stream)?)
    } else if let Some(length) = find(&headers, "Content-Length") {
        let length: u64 = length.parse().map_err(|_| Error::NotHttp(format!("Content-Length `{length}`")))?;
        (ReplyFraming::Length, read_exactly(stream, length)?)
    } else {
        let mut body = Vec::new();
        stream.take(MAX_BODY + 1).read_to_end(&mut body)?;
        if body.len() as u64 > MAX_BODY {
            return Err(Error::TooLong);
        }
        (ReplyFraming::Close, body)
    };
    Ok(Reply { version, status, reason, headers, body, framing })
}

fn read_status(head: &mut impl BufRead) -> Result<(String, u16, String), Error> {
    let line = read_line(head)?;
    let bad = || Error::NotHttp(format!("status line {line:?}"));
    let (version, rest) = line.split_once(' ').ok_or_else(bad)?;
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let good = version.starts_with("HTTP/1.") && status.len() == 3;
    match status.parse() {
        Ok(number @ 100..=999) if good => Ok((version.into(), number, reason.trim().into())),
        _ => Err(bad()),
    }
}

fn read_headers(head: &mut impl BufRead) -> Result<Vec<(String, String)>, Error> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(head)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| Error::NotHttp(format!("header line {line:?}")))?;
        headers.push((name.into(), value.trim().into()));
    }
}

/// Reads a line as Latin-1 and drops its end.
fn read_line(head: &mut impl BufRead) -> Result<String, Error> {
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(Error::Broken("it ended within the head of the reply".into()));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(latin1(&line).into_owned())
}

/// Decodes Latin-1, as a device reads text.
pub(super) fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => bytes.iter().copied().map(char::from).collect(),
    }
}

fn read_exactly(stream: &mut impl BufRead, length: u64) -> Result<Vec<u8>, Error> {
    if length > MAX_BODY {
        return Err(Error::TooLong);
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(Error::Broken(format!("it ended after {} of {length} bytes", body.len())));
    }
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    loop {
        let line = read_line(&mut stream.take(MAX_HEAD))?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length =
            u64::from_str_radix(digits, 16).map_err(|_| Error::NotHttp(format!("chunk length {line:?}")))?;
        if length == 0 {
            while !read_line(&mut stream.take(MAX_HEAD))?.is_empty() {}
            return Ok(body);
        }
        if body.len() as u64 + length > MAX_BODY {
            return Err(Error::TooLong);
        }
        body.extend(read_exactly(stream, length)?);
        if read_exactly(stream, 2)? != b"\r\n" {
            return Err(Error::NotHttp("a chunk that does not end where it should".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Reply, Error> {
        read_reply(&mut &bytes[..], false)
    }

    #[test]
    fn urls_are_split_and_others_refused() {
        let url = Url::parse("http://h:81/a/@?b=c#d").unwrap();
        assert_eq!(
            (url.authority.as_str(), url.host.as_str(), url.port, url.target.as_str()),
            ("h:81", "h", 81, "/a/@?b=c")
        );
        assert_eq!(Url::parse("HTTP://h?x").unwrap().target, "/?x");
        assert_eq!(Url::parse("http://[::1]:8/").unwrap().host, "::1");
        assert_eq!(Url::parse("http://[::1]/").unwrap().port, 80);
        let url = Url::parse("https://h/").unwrap();
        assert_eq!((url.tls, url.port, Url::parse("https://h:8443").unwrap().port), (true, 443, 8443));
        for bad in ["ftp://h/", "h/a.jad", "http:///a", "http://u@h/", "http://h:x/", "http://h/ a", ""] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn replies_are_read_by_length_chunks_and_end() {
        let reply = read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhix").unwrap();
        assert_eq!((reply.status, reply.reason.as_str(), &reply.body[..]), (200, "OK", &b"hi"[..]));
        let reply = read(
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n",
        )
        .unwrap();
        assert_eq!((reply.framing, &reply.body[..]), (ReplyFraming::Chunked, &b"hi!"[..]));
        assert_eq!(reply.reason, "");
        let reply = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\n\nall").unwrap();
        assert_eq!(
            (reply.version.as_str(), reply.reason.as_str(), reply.framing, &reply.body[..]),
            ("HTTP/1.0", "Not Found", ReplyFraming::Close, &b"all"[..])
        );
    }

    #[test]
    fn incomplete_and_foreign_replies_are_errors() {
        for (bytes, broken) in [
            (&b""[..], true),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", true),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", true),
            (b"ICY 200 OK\r\n\r\n", false),
            (b"HTTP/1.1 20 OK\r\n\r\n", false),
            (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", false),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n", false),
        ] {
            let error = read(bytes).unwrap_err();
            assert_eq!(matches!(error, Error::Broken(_)), broken, "{error}");
        }
    }
}
