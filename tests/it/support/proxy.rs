//! A server that is broken in a chosen way: it hands requests on to a good one and twists the replies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

use super::canned::{Seen, read};

/// A reply, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `HTTP/1.1 200 OK`.
    pub status: String,
    /// The header lines.
    pub headers: Vec<String>,
    /// Everything behind the head, as it goes over the wire.
    pub body: Vec<u8>,
}

impl Reply {
    /// A whole reply with its length.
    pub fn new(status: &str, body: impl AsRef<[u8]>) -> Reply {
        let body = body.as_ref().to_vec();
        let headers = vec![format!("Content-Length: {}", body.len())];
        Reply { status: format!("HTTP/1.1 {status}"), headers, body }
    }

    /// The same without a header.
    pub fn without(mut self, name: &str) -> Reply {
        let is = |line: &String| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        self.headers.retain(|line| !is(line));
        self
    }

    /// The same with a header of that value.
    pub fn with(self, name: &str, value: &str) -> Reply {
        let mut reply = self.without(name);
        reply.headers.push(format!("{name}: {value}"));
        reply
    }

    /// The same with another body and its length.
    pub fn body(self, body: impl AsRef<[u8]>) -> Reply {
        let body = body.as_ref().to_vec();
        let mut reply = self.with("Content-Length", &body.len().to_string());
        reply.body = body;
        reply
    }

    /// The same in chunks.
    pub fn chunked(self) -> Reply {
        let chunk = [format!("{:x}\r\n", self.body.len()).as_bytes(), &self.body, b"\r\n0\r\n\r\n"].concat();
        let mut reply = self.without("Content-Length").with("Transfer-Encoding", "chunked");
        reply.body = chunk;
        reply
    }

    fn parse(bytes: &[u8]) -> Reply {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n").map(String::from);
        Reply { status: lines.next().unwrap(), headers: lines.collect(), body: bytes[end + 4..].into() }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.status);
        self.headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// A running proxy.
pub struct Proxy {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Hands requests on to `upstream` and sends what `twist` makes of the replies.
    pub fn start(upstream: SocketAddr, twist: impl Fn(&Seen, Reply) -> Reply + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let seen = read(&stream);
                let reply = twist(&seen, Reply::parse(&forward(upstream, &seen)));
                stream.write_all(&reply.to_bytes()).unwrap();
            }
        });
        Proxy { address, stop, thread: Some(thread) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Asks `upstream` the same, and hands back its reply.
pub fn forward(upstream: SocketAddr, seen: &Seen) -> Vec<u8> {
    let mut stream = TcpStream::connect(upstream).unwrap();
    let mut head = format!("{}\r\nConnection: close\r\n", seen.line);
    seen.headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
    stream.write_all(&[head.as_bytes(), b"\r\n", &seen.body].concat()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}
