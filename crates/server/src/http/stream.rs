//! A connection's bytes, watched: whether they move, and that a version check is not refused.
//!
//! Hyper answers a request that it cannot read with 400, 414 or 431 by itself. To a device these mean
//! "no answer", and it posts again every second; so they are replaced by the answer that never hurts, except
//! on a connection that has only asked for files. Nothing above this layer answers with one of these.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::connections::{Phase, Place};
use super::log_limit::LogLimit;
use otapress_core::wire::NO;

/// How long the rest of a request that is not wanted is read before the connection is closed, and how
/// much of it. Closing with unread bytes makes the kernel send a reset, which can overtake the answer.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

/// What hyper answers by itself, as it follows `HTTP/1.1` in the status line.
const REFUSALS: [&[u8]; 3] = [b" 400 ", b" 414 ", b" 431 "];

/// The method of a device's request.
const POST: &[u8] = b"POST";

/// What is known of a connection while it is served.
#[derive(Debug)]
pub struct Progress {
    place: Place,
    /// Tells the reader of a body to stop.
    cut: Notify,
    moves: AtomicU64,
    reads: AtomicU64,
    busy: AtomicU64,
    blocked: AtomicBool,
    linger: AtomicBool,
}

impl Progress {
    /// Of a new connection.
    pub fn new(place: Place) -> Self {
        Progress {
            place,
            cut: Notify::new(),
            moves: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            linger: AtomicBool::new(false),
        }
    }

    /// Its place among all connections.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Tells the reader of a body to stop.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until the body should be read no further.
    pub async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// A request was read and is being answered, until the guard is dropped.
    pub fn busy(self: &Arc<Self>) -> impl Drop + use<> {
        struct Busy(Arc<Progress>);
        impl Drop for Busy {
            fn drop(&mut self) {
                self.0.busy.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.moves.fetch_add(1, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Where it stands; `None` while a request is being answered.
    pub fn still(&self) -> Option<Still> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.busy) == 0).then(|| Still { moves: load(&self.moves), reads: load(&self.reads) })
    }

    /// Whether an answer waits for the client to read.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// The request may go on after its answer.
    pub fn expect_more(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }
}

/// Where a connection stands; worth comparing with a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Still {
    /// Counts requests and writes.
    pub moves: u64,
    /// Counts reads.
    pub reads: u64,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// The client may finish what it is sending, so that it sees its answer.
    Patient,
    /// Others wait for the place.
    Hurried,
}

/// A connection's bytes.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    progress: Arc<Progress>,
    asks: Asks,
    /// What is left to write in place of a refusal.
    instead: Option<(Vec<u8>, usize)>,
    /// Hyper has refused a request, and so answered it.
    refused: bool,
    log_limit: Arc<LogLimit>,
}

/// Tells whether a device may have sent what is read.
#[derive(Debug, Default)]
struct Asks {
    /// The first bytes, without line ends, as many as are in `POST`.
    start: Vec<u8>,
    /// The last bytes, one fewer than are in `POST`.
    last: Vec<u8>,
    /// `POST` is among what was read.
    posts: bool,
}

impl Asks {
    fn read(&mut self, new: &[u8]) {
        let begin = |b: &&u8| !self.start.is_empty() || !matches!(b, b'\r' | b'\n');
        let missing = POST.len() - self.start.len();
        let first: Vec<u8> = new.iter().skip_while(|b| !begin(b)).take(missing).copied().collect();
        self.start.extend(first);
        let is_post = |bytes: &[u8]| bytes.windows(POST.len()).any(|window| window == POST);
        if !self.posts {
            self.last.extend_from_slice(&new[..new.len().min(POST.len() - 1)]);
            self.posts = is_post(&self.last) || is_post(new);
            let both = [&self.last[..], new].concat();
            self.last = both[both.len().saturating_sub(POST.len() - 1)..].to_vec();
        }
    }

    /// Whatever stood before it: a device's request may follow on what a proxy has left on the connection.
    fn may_be_a_device(&self) -> bool {
        self.posts || !matches!(&*self.start, b"GET " | b"HEAD")
    }
}

impl Stream {
    /// Watches a new connection.
    pub fn new(inner: TcpStream, place: Place, log_limit: Arc<LogLimit>) -> Self {
        // Answers are small and written at once: waiting for more would only delay them.
        let _ = inner.set_nodelay(true);
        let progress = Arc::new(Progress::new(place));
        Stream { inner, progress, asks: Asks::default(), instead: None, refused: false, log_limit }
    }

    /// What is known of it.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Waits for a request, or for the end, and says which it is. Nothing is read.
    pub async fn speaks(&mut self) -> bool {
        self.asks = Asks::default();
        matches!(self.inner.peek(&mut [0]).await, Ok(1..))
    }

    /// Closes the connection so that what was sent arrives. `unanswered` is what was read and belongs to no
    /// request.
    pub async fn close(mut self, unanswered: &[u8], manners: Manners) {
        let progress = self.progress();
        tokio::select! {
            // A client that takes nothing cannot keep us.
            _ = tokio::time::timeout(LINGER.0, self.finish(unanswered.trim_ascii_start(), manners)) => {}
            () = progress.place.should_give_way() => {}
        }
    }

    async fn finish(&mut self, unanswered: &[u8], manners: Manners) -> io::Result<()> {
        if !self.refused && unanswered.starts_with(POST) {
            // Half a head, whose rest did not come.
            poll_fn(|cx| self.poll_instead(cx, 0)).await?;
        }
        self.inner.shutdown().await?;
        if manners == Manners::Hurried || !self.progress.linger.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut rest = vec![0; 16 * 1024];
        let mut left = LINGER.1;
        while left > 0 {
            self.inner.readable().await?;
            match self.inner.try_read(&mut rest) {
                Ok(n @ 1..) => left = left.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// Whether `bytes`, about to be written, refuse what may be a version check.
    fn refuses(&mut self, bytes: &[u8]) -> bool {
        let refuses = bytes.starts_with(b"HTTP/1.")
            && bytes.get(8..13).is_some_and(|status| REFUSALS.contains(&status));
        self.refused |= refuses;
        refuses && self.asks.may_be_a_device()
    }

    /// Writes the answer that never hurts and says that `len` bytes were written.
    fn poll_instead(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let (bytes, written) = self.instead.get_or_insert_with(|| {
            if self.log_limit.admits("not HTTP", Instant::now()) {
                tracing::warn!("a request that is not HTTP was answered without an upgrade");
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            (format!("{head}Content-Length: {}\r\n\r\n{NO}", NO.len()).into_bytes(), 0)
        });
        while *written < bytes.len() {
            let n = ready!(Pin::new(&mut self.inner).poll_write(cx, &bytes[*written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n;
        }
        self.instead = None;
        self.progress.expect_more();
        Poll::Ready(Ok(len))
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = result {
            self.progress.moves.fetch_add(1, Ordering::Relaxed);
            if self.progress.place.phase() == Phase::Sending {
                self.progress.place.set(Phase::Sending);
            }
        }
        self.progress.blocked.store(result.is_pending(), Ordering::Relaxed);
        result
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        if !new.is_empty() {
            self.progress.reads.fetch_add(1, Ordering::Relaxed);
            self.asks.read(new);
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_some() || self.refuses(buf) {
            return self.poll_instead(cx, buf.len());
        }
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_some() || bufs.first().is_some_and(|buf| self.refuses(buf)) {
            let len = bufs.iter().map(|buf| buf.len()).sum();
            return self.poll_instead(cx, len);
        }
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Left to [`Stream::close`], which may have something to add.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::Asks;

    #[test]
    fn a_device_may_have_sent_it_unless_only_files_are_asked_for() {
        for (pieces, may_be) in [
            (&["POST /x"][..], true),
            (&["\r\n\nPO", "ST /x"], true),
            (&["P", "O", "S", "T"], true),
            (&["GET /x HTTP/1.1\r\n\r\nPO", "ST /y"], true),
            (&["HEAD /x HTTP/1.1\r\n\r\n", "POST /y"], true),
            (&["garbage"], true),
            (&["\r\n", "GET /x"], false),
            (&["GE", "T ", "/POS"], false),
            (&["HEAD", " /", "x"], false),
        ] {
            let mut asks = Asks::default();
            pieces.iter().for_each(|piece| asks.read(piece.as_bytes()));
            assert_eq!(asks.may_be_a_device(), may_be, "{pieces:?}");
        }
    }
}
