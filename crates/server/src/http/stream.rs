//! A connection's bytes, watched: whether they move, and that a version check is not refused.
//!
//! Hyper answers a request that it cannot read with 400, 414 or 431 by itself. To a device these mean
//! "no answer", and it posts again every second; so on a connection that starts with a POST they are
//! replaced by the answer that never hurts. Nothing above this layer answers with one of these.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use otapress_core::wire::NO;

/// How long the rest of a request that is not wanted is read before the connection is closed, and how
/// much of it. Closing with unread bytes makes the kernel send a reset, which can overtake the answer.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

/// What hyper answers by itself, as it follows `HTTP/1.1` in the status line.
const REFUSALS: [&[u8]; 3] = [b" 400 ", b" 414 ", b" 431 "];

/// What is known of a connection while it is served.
#[derive(Debug, Default)]
pub struct Progress {
    moves: AtomicU64,
    reads: AtomicU64,
    busy: AtomicU64,
    blocked: AtomicBool,
    linger: AtomicBool,
}

impl Progress {
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

/// A connection's bytes.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    progress: Arc<Progress>,
    /// The first bytes that came, as many as are in `POST `.
    start: Vec<u8>,
    /// What is left to write in place of a refusal.
    instead: Option<(Vec<u8>, usize)>,
}

impl Stream {
    /// Watches a new connection.
    pub fn new(inner: TcpStream) -> Self {
        Stream { inner, progress: Arc::default(), start: Vec::new(), instead: None }
    }

    /// What is known of it.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Waits for a request, or for the end, and says which it is. Nothing is read.
    pub async fn speaks(&mut self) -> bool {
        self.start.clear();
        matches!(self.inner.peek(&mut [0]).await, Ok(1..))
    }

    /// Closes the connection so that what was sent arrives.
    pub async fn close(self) {
        if !self.progress.linger.load(Ordering::Relaxed) {
            return;
        }
        let drain = async {
            let mut rest = vec![0; 16 * 1024];
            let mut left = LINGER.1;
            while left > 0 && self.inner.readable().await.is_ok() {
                match self.inner.try_read(&mut rest) {
                    Ok(n @ 1..) => left = left.saturating_sub(n),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    _ => break,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER.0, drain).await;
    }

    /// Whether `bytes`, about to be written, refuse what may be a version check.
    fn refuses(&self, bytes: &[u8]) -> bool {
        self.start == b"POST "
            && bytes.starts_with(b"HTTP/1.")
            && bytes.get(8..13).is_some_and(|status| REFUSALS.contains(&status))
    }

    /// Writes the answer that never hurts and says that `len` bytes were written.
    fn poll_instead(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let (bytes, written) = self.instead.get_or_insert_with(|| {
            tracing::warn!("a request that starts with POST is not HTTP and was answered without an upgrade");
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
            let missing = 5 - self.start.len();
            self.start.extend_from_slice(&new[..new.len().min(missing)]);
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
