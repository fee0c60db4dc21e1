//! A server that plays a script: one connection, one reply, byte for byte; and none at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// Where nobody listens. A port that was free a moment ago may be another test's by now.
pub const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a request looked like on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The request line.
    pub line: String,
    /// The header lines in order.
    pub headers: Vec<String>,
    /// Everything behind the head, chunk marks included.
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// A script that is being played.
pub struct Canned {
    pub address: SocketAddr,
    thread: JoinHandle<Vec<Seen>>,
}

impl Canned {
    /// Plays `replies`, one for each connection in their order.
    pub fn play<R: Into<Vec<u8>>>(replies: impl IntoIterator<Item = R>) -> Canned {
        let replies: Vec<Vec<u8>> = replies.into_iter().map(Into::into).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = spawn(move || {
            let serve = |reply: &Vec<u8>| {
                let (mut stream, _) = listener.accept().unwrap();
                let seen = read(&stream);
                stream.write_all(reply).unwrap();
                seen
            };
            replies.iter().map(serve).collect()
        });
        Canned { address, thread }
    }

    /// Waits for the end of the script: every reply must have been asked for.
    pub fn seen(self) -> Vec<Seen> {
        self.thread.join().unwrap()
    }
}

/// Reads one request.
pub fn read(stream: &TcpStream) -> Seen {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    read_from(stream)
}

/// Reads one request from anything.
pub fn read_from(stream: impl Read) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").expect("every line ends with CRLF");
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let mut seen = Seen { line: lines.remove(0), headers: lines, body: Vec::new() };
    if let Some(length) = seen.header("Content-Length") {
        seen.body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut seen.body).unwrap();
    } else if seen.header("Transfer-Encoding").is_some() {
        while !seen.body.ends_with(b"0\r\n\r\n") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            seen.body.push(byte[0]);
        }
    } else if seen.line.starts_with("POST") {
        reader.read_to_end(&mut seen.body).unwrap();
    }
    seen
}
