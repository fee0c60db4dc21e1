//! `otapress serve`: the published directory and the two POST endpoints over HTTP, in one process.
//!
//! ```text
//! listener ─► stream ─► hyper ─► handler ─ GET ──► files (auth)
//!                                   └──── POST ─► service::prepare ─► store_worker (one thread, one store)
//! ```
//!
//! Everything is bounded: connections, header and body sizes, the time that a client may be silent, the
//! time that a shutdown takes. A version check is answered 200 whatever happens, also where hyper itself
//! would refuse (`stream`) and where the store is gone (`store_worker`).

mod auth;
mod files;
mod handler;
mod site;
mod store_worker;
mod stream;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior};

pub use auth::{Credentials, token};
pub use store_worker::OpenStore;

use handler::App;
use stream::{Still, Stream};

/// The most that is read of a request's head, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Gives the time in seconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a server needs to know.
pub struct Config {
    /// The published directory. It may be replaced, and need not exist yet: `otapress.json` is read again
    /// whenever it has changed, everything else for each request.
    pub out: PathBuf,
    /// Opens the store, at the start and after trouble.
    pub open_store: OpenStore,
    /// Who may fetch JADs and JARs: everybody, if empty, unless the site asks for credentials; nobody
    /// then. Send a new value to change it while the server runs.
    pub credentials: watch::Receiver<Credentials>,
    /// How much of everything.
    pub limits: Limits,
    /// What time it is.
    pub clock: Clock,
}

/// How much of everything a server allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// How long a connection may be silent between two requests, and how long the head of a request may
    /// take. Half of it is enough without a single byte of a head that has begun.
    pub idle: Duration,
    /// How long an answer may wait for the client to take any more of it.
    pub stall: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How many bytes of a body are read at most; all but the first few are dropped.
    pub drain: u64,
    /// How long a shutdown waits for answers that are under way.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 16_384,
            idle: Duration::from_secs(60),
            // As long as modems give the whole OTAP procedure.
            stall: Duration::from_secs(600),
            body: Duration::from_secs(30),
            drain: 64 * 1024 * 1024,
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown` is ready, then answers what is under way and closes the store: what was
/// acknowledged is on disk when this returns.
///
/// # Errors
/// If the thread of the store cannot be started. What happens to a single connection is logged.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Config { out, open_store, credentials, limits, clock } = config;
    let (questions, thread) = store_worker::start(open_store, clock)?;
    let app = Arc::new(App::new(out, questions, credentials, limits.clone()));
    let permits = Arc::new(Semaphore::new(limits.connections));
    let (closing, _) = watch::channel(false);

    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (connection, permit) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        match connection {
            Ok((connection, _)) => {
                let (app, closing) = (app.clone(), closing.subscribe());
                tokio::spawn(async move {
                    serve_connection(connection, app, closing).await;
                    drop(permit);
                });
            }
            // The peer gave up, or there is no file descriptor left: others go on, so wait for them.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    drop(listener);
    // Nobody listens if there is no connection.
    let _ = closing.send(true);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.grace, permits.acquire_many(all)).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    drop(app);
    // The thread ends when the last connection has dropped its share of the application.
    let ended = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(limits.grace, ended).await.is_err() {
        tracing::warn!("the store is still in use");
    }
    Ok(())
}

async fn serve_connection(connection: TcpStream, app: Arc<App>, mut closing: watch::Receiver<bool>) {
    // Answers are small and written at once: waiting for more would only delay them.
    let _ = connection.set_nodelay(true);
    let mut stream = Stream::new(connection);
    loop {
        // As long as a connection says nothing, it gets no buffers.
        tokio::select! {
            spoke = stream.speaks() => if !spoke { return },
            () = tokio::time::sleep(app.limits.idle) => return,
            _ = closing.changed() => return,
        }
        match serve_requests(stream, &app, &mut closing).await {
            Some(silent) if !*closing.borrow() => stream = silent,
            _ => return,
        }
    }
}

/// Serves requests until the connection ends, or gives it back once it is silent between two requests.
async fn serve_requests(
    stream: Stream,
    app: &Arc<App>,
    closing: &mut watch::Receiver<bool>,
) -> Option<Stream> {
    let progress = stream.progress();
    let service = {
        let (app, progress) = (app.clone(), progress.clone());
        service_fn(move |request| {
            let (app, progress) = (app.clone(), progress.clone());
            async move {
                let _busy = progress.busy();
                Ok::<_, Infallible>(app.handle(request, &progress).await)
            }
        })
    };
    let mut connection = http1::Builder::new()
        // A client may close its sending side and still wait for its answer.
        .half_close(true)
        .ignore_invalid_headers(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);

    let mut ticks = tokio::time::interval(app.limits.idle / 4);
    // After a pause of the whole machine nobody was silent.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let (mut before, mut moved) = (None, Instant::now());
    let ended = loop {
        tokio::select! {
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                break true;
            }
            changed = closing.changed(), if !*closing.borrow() => {
                // The sender lives as long as the server; were it gone, closing is right as well.
                let _ = changed;
                Pin::new(&mut connection).graceful_shutdown();
            }
            _ = ticks.tick() => {
                let now = progress.still();
                let blocked = progress.is_blocked();
                if now.is_none() || now.map(|n| n.moves) != before.map(|b: Still| b.moves) {
                    moved = Instant::now();
                } else if now == before && !blocked {
                    break false;
                } else if moved.elapsed() >= if blocked { app.limits.stall } else { app.limits.idle } {
                    return None;
                }
                before = now;
            }
        }
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    if ended {
        stream.close().await;
        return None;
    }
    // Half a head for so long: the client is gone, or means no good.
    parts.read_buf.is_empty().then_some(stream)
}
