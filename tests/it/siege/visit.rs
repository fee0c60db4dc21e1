//! Hostile requests, made up by chance that repeats itself, and what may be answered.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use otapress_simulation::Prng;
use serde_json::Value;

/// What a request must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// 200 and JSON with an integer `upgrade`: a device may have asked.
    Json,
    /// 200: a modem may have posted a result.
    Ok,
    /// Anything but an error of the server.
    Reply,
    /// The same, without a body.
    Head,
    /// A reply, or the end of the connection.
    Whatever,
}

/// Some requests on one connection.
pub struct Visit {
    bytes: Vec<u8>,
    due: Vec<Due>,
}

/// Where devices of the besieged fleet ask, and who is in it.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub check: &'a str,
    pub notify: &'a str,
    /// IMEIs that attackers know.
    pub known: &'a [String],
}

const JUNK: [&[u8]; 8] = [
    b"X-Junk: \x80\xff\r\n",
    b"Accept-Encoding: gzip, br\r\n",
    b"Cookie: a=b; c=\"d\r\n",
    b"X-Forwarded-For: 127.0.0.1, ' OR 1=1 --\r\n",
    b"Range: bytes=0-0,5-1,-99999999999999999999\r\n",
    b"If-None-Match: *\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
];

impl Visit {
    /// The requests of a visit, up to a dozen; the last one may be no HTTP at all.
    pub fn new(chance: &mut Prng, target: Target<'_>) -> Visit {
        let mut visit = Visit { bytes: Vec::new(), due: Vec::new() };
        for _ in 0..chance.below(12) {
            visit.well_formed(chance, target);
        }
        if chance.below(3) > 0 || visit.due.is_empty() {
            visit.malformed(chance, target);
        }
        visit
    }

    /// How many requests it has.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    fn well_formed(&mut self, chance: &mut Prng, target: Target<'_>) {
        let junk = JUNK[pick(chance, JUNK.len())];
        let path = path(chance, target);
        let (agent, due) = match chance.below(8) {
            0..3 => (device(chance, target), Due::Json),
            3 => (format!("SIMU/{}", imei(chance, target)), Due::Ok),
            4 => (format!("TC65i/{} Profile/IMP-NG", imei(chance, target)), Due::Ok),
            5 => ("curl/8.5.0".into(), Due::Ok),
            6 => return self.files(chance, target),
            _ => (String::new(), Due::Ok),
        };
        // What starts a line is skipped.
        self.bytes.extend(b"\r\n".repeat(chance.below(3) as usize));
        let body = body(chance);
        self.bytes.extend(format!("POST {path} HTTP/1.1\r\nUser-Agent: {agent}\r\n").bytes());
        self.bytes.extend(junk);
        if chance.below(4) == 0 {
            self.bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            // Extensions of a good many chunks break a body, and half a result is not acknowledged.
            for chunk in body.chunks(64 + pick(chance, 700)) {
                self.bytes.extend(format!("{:x};a=\"b\"\r\n", chunk.len()).bytes());
                self.bytes.extend(chunk);
                self.bytes.extend(b"\r\n");
            }
            self.bytes.extend(b"0\r\nTrailer: x\r\n\r\n");
        } else {
            self.bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            self.bytes.extend(body);
        }
        self.due.push(due);
    }

    /// Files that there are and that there are not, and methods that nobody knows.
    fn files(&mut self, chance: &mut Prng, target: Target<'_>) {
        let path = path(chance, target);
        let (method, due) = [
            ("GET", Due::Reply),
            ("HEAD", Due::Head),
            ("PUT", Due::Reply),
            ("OPTIONS", Due::Reply),
            ("PROPFIND", Due::Reply),
            ("post", Due::Reply),
        ][pick(chance, 6)];
        let junk = String::from_utf8_lossy(JUNK[pick(chance, 6)]).into_owned();
        self.bytes
            .extend(format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{junk}\r\n", "h".repeat(9)).bytes());
        self.due.push(due);
    }

    /// A device's POST that is hardly HTTP, or nothing that anybody reads.
    fn malformed(&mut self, chance: &mut Prng, target: Target<'_>) {
        let (path, agent) = (path(chance, target), format!("User-Agent: {}\r\n", device(chance, target)));
        let head = |version: &str, more: &str| format!("POST {path} {version}\r\n{agent}{more}\r\n");
        let long = "x".repeat(20_000 + pick(chance, 100_000));
        let many = "X-Header: 1\r\n".repeat(200 + pick(chance, 400));
        let length = "Content-Length: 7\r\n";
        let text = match chance.below(16) {
            0 => head("HTTP/1.1", "") + "0.10.65",
            1 => head("HTTP/1.0", "") + "0.10.65",
            2 => head("HTTP/1.1", "Content-Length: -7\r\n") + "0.10.65",
            3 => head("HTTP/1.1", "Content-Length: 7\r\nContent-Length: 8\r\n") + "0.10.65",
            4 => head("HTTP/1.0", "Transfer-Encoding: chunked\r\n") + "7\r\n0.10.65\r\n0\r\n\r\n",
            5 => head("HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "zz\r\n0.10.65\r\n0\r\n\r\n",
            6 => head("HTTP/1.1", "Transfer-Encoding: chunked, gzip\r\n") + "7\r\n0.10.65\r\n0\r\n\r\n",
            7 => head("HTTP/1.1", &format!("X-Header: {long}\r\n{length}")) + "0.10.65",
            8 => head("HTTP/1.1", &format!("{many}{length}")) + "0.10.65",
            9 => format!("POST /{long} HTTP/1.1\r\n{agent}{length}\r\n0.10.65"),
            10 => head("HTTP/3.7", length) + "0.10.65",
            11 => format!("POST {path}\u{1}\u{7f} HTTP/1.1\r\n{agent}{length}\r\n0.10.65"),
            12 => head("HTTP/1.1", &format!("no colon\r\n folded: {length}")) + "0.10.65",
            13 => head("HTTP/1.1", "Content-Length: 99999999999999999999\r\n") + "0.10.65",
            14 => head("HTTP/1.1", "Content-Length: 4000\r\n") + "0.1",
            _ => return self.garbage(chance, head("HTTP/1.1", length) + "0.10.65"),
        };
        self.bytes.extend(text.bytes());
        self.due.push(Due::Json);
    }

    /// Random bytes, or a request with some changed.
    fn garbage(&mut self, chance: &mut Prng, request: String) {
        let mut bytes = request.into_bytes();
        if chance.below(2) == 0 {
            bytes = (0..pick(chance, 3000)).map(|_| chance.draw() as u8).collect();
        } else {
            for _ in 0..=chance.below(8) {
                let at = pick(chance, bytes.len());
                bytes[at] = chance.draw() as u8;
            }
            bytes.truncate(pick(chance, bytes.len() + 1));
        }
        self.bytes.extend(bytes);
        self.due.push(Due::Whatever);
    }

    /// Sends everything, and judges what comes back.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pay(&self, address: SocketAddr, patience: Duration) -> Result<(), String> {
        let told = |error: std::io::Error| format!("{error}, after {:?}", self.due);
        let mut stream = TcpStream::connect(address).map_err(told)?;
        stream.set_read_timeout(Some(patience)).map_err(told)?;
        stream.set_write_timeout(Some(patience)).map_err(told)?;
        // The server may hang up on what it has answered already.
        let _ = stream.write_all(&self.bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut replies = Vec::new();
        match stream.read_to_end(&mut replies) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(told(error)),
        }
        self.judge(&replies).map_err(|why| {
            format!("{why}\n--- sent\n{}\n--- got\n{}", self.bytes.escape_ascii(), replies.escape_ascii())
        })
    }

    fn judge(&self, mut replies: &[u8]) -> Result<(), String> {
        for (n, &due) in self.due.iter().enumerate() {
            if due == Due::Whatever {
                return Ok(());
            }
            let Some(Reply { status, body, rest, is_last }) = reply(replies, due == Due::Head) else {
                return Err(format!("no reply to request {n}, {due:?}"));
            };
            replies = rest;
            let is_right = match due {
                Due::Json => status == 200 && is_answer(body),
                Due::Ok => status == 200,
                Due::Reply | Due::Head | Due::Whatever => (200..500).contains(&status),
            };
            if !is_right {
                return Err(format!("status {status} for request {n}, {due:?}"));
            }
            if is_last {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn is_answer(body: &[u8]) -> bool {
    let json = serde_json::from_slice::<Value>(body);
    json.is_ok_and(|json| json["upgrade"].is_u64())
}

struct Reply<'a> {
    status: u16,
    body: &'a [u8],
    /// The server hangs up after it.
    is_last: bool,
    rest: &'a [u8],
}

/// The next reply.
fn reply(bytes: &[u8], is_head: bool) -> Option<Reply<'_>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = (std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase(), &bytes[end + 4..]);
    let status = head.get(9..12)?.parse().ok()?;
    if status == 100 {
        return reply(rest, is_head);
    }
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let length = if is_head || status == 304 { 0 } else { length };
    let is_last = head.contains("connection: close");
    Some(Reply { status, body: rest.get(..length)?, is_last, rest: &rest[length..] })
}

fn pick(chance: &mut Prng, n: usize) -> usize {
    chance.below(n as u64) as usize
}

fn device(chance: &mut Prng, target: Target<'_>) -> String {
    let product = if chance.below(4) == 0 { "XAK" } else { "GW" };
    let more = ["", " UNTRUSTED/1.0", " Profile/IMP-NG", "/x"][pick(chance, 4)];
    format!("{product}/{}{more}", imei(chance, target))
}

fn imei(chance: &mut Prng, target: Target<'_>) -> String {
    match chance.below(4) {
        0 => target.known[pick(chance, target.known.len())].clone(),
        1 => "x' OR '1'='1".into(),
        2 => "../../etc/passwd".into(),
        _ => format!("{:015}", 490_000_000_000_000 + chance.below(100_000)),
    }
}

fn path(chance: &mut Prng, target: Target<'_>) -> String {
    match chance.below(12) {
        0..2 => target.check.into(),
        2 => format!("{}?id=dev{}", target.notify, chance.below(3)),
        3 => format!("{}?x={}", target.check, "y".repeat(pick(chance, 2000))),
        4 => "/vc/352099001761481.json".into(),
        5 => "/files/../../fleet.yaml".into(),
        6 => "/%2e%2e/%2e%2e/state/otapress.db".into(),
        7 => "/a%00b".into(),
        8 => "/%zz%".into(),
        9 => format!("http://ota.example.com{}", target.check),
        10 => "//".into(),
        _ => format!("/{:x}", chance.draw()),
    }
}

fn body(chance: &mut Prng) -> Vec<u8> {
    match chance.below(12) {
        0 => Vec::new(),
        1 => b"0.10.65".to_vec(),
        2 => b"0.10.66".to_vec(),
        3 => b"904 JAR size mismatch".to_vec(),
        4 => b"900 Success\r\n".to_vec(),
        5 => format!("{}.{}.{}", chance.below(200), chance.below(200), chance.draw()).into_bytes(),
        // Longer ones are cut off, and so is the connection.
        6 => (0..pick(chance, 9000)).map(|_| chance.draw() as u8).collect(),
        _ => (0..pick(chance, 1000)).map(|_| chance.draw() as u8).collect(),
    }
}
