//! `otapress serve`: the published directory and the two POST endpoints over HTTP, in one process.
//!
//! ```text
//! listener ─► connections ─► stream ─► hyper ─► handler ─ GET ──► content (auth)
//!                                               └── POST ─► service::prepare ─► store_worker (one thread)
//! ```
//!
//! Everything is bounded: connections, header and body sizes, the memory for all of them, the time that a
//! client may be silent, the time that a shutdown takes. A version check is answered 200 whatever happens,
//! also where hyper itself would refuse (`stream`) and where the store is gone (`store_worker`).

mod auth;
mod connections;
mod content;
mod handler;
mod log_limit;
mod site;
mod store_worker;
mod strays;
mod stream;
mod upkeep;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

pub use auth::{Credentials, token};
pub use store_worker::OpenStore;

use connections::Phase;
use handler::App;
use stream::{Manners, Still, Stream};
use upkeep::Upkeep;

/// The most that is read of a request's head, in bytes. Hyper may use as much again for what it sends.
const MAX_HEAD: usize = 16 * 1024;

/// How often it is looked whether lines were left out of the log.
const SUMMARY: Duration = Duration::from_secs(5);

/// Gives the time in seconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a server needs to know.
pub struct Config {
    /// The published directory. It may be replaced, and need not exist yet: `otapress.json` is read again
    /// whenever it has changed, everything else for each request.
    pub out: PathBuf,
    /// What a proxy in front takes away from the begin of each path, as `/ota`; empty: nothing.
    pub prefix: String,
    /// Opens the store, at the start and after trouble.
    pub open_store: OpenStore,
    /// Who may fetch JADs and JARs: everybody, if empty, unless the site asks for credentials; nobody
    /// then. Send a new value to change it while the server runs.
    pub credentials: watch::Receiver<Credentials>,
    /// For how many days events are kept; absent: for ever.
    pub keep: Option<u32>,
    /// How much of everything.
    pub limits: Limits,
    /// What time it is.
    pub clock: Clock,
}

/// How much of everything a server allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time. Near it, the longest idle ones are closed.
    pub connections: usize,
    /// How many of them may have begun a request. Each may take 60 kB of memory, an idle one takes 2 kB.
    pub active: usize,
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
            active: 1_024,
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
    let Config { out, prefix, open_store, credentials, keep, limits, clock } = config;
    let (questions, thread) = store_worker::start(open_store, clock, Upkeep::new(out.clone(), keep))?;
    let app = Arc::new(App::new(out, prefix, questions, credentials, limits.clone()));
    let connections = app.connections.clone();
    let (closing, _) = watch::channel(false);

    let summaries = tokio::spawn(sum_up_logs(app.clone()));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let (connection, _) = listener.accept().await?;
            Ok::<_, io::Error>((connection, connections.enter().await))
        };
        let next = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        match next {
            Ok((connection, place)) => {
                let (app, closing) = (app.clone(), closing.subscribe());
                tokio::spawn(serve_connection(
                    Stream::new(connection, place, app.log_limit.clone()),
                    app,
                    closing,
                ));
            }
            // The peer gave up, or there is no file descriptor left: others go on, so wait for them.
            Err(error) => {
                if app.log_limit.admits("cannot accept", std::time::Instant::now()) {
                    tracing::warn!(%error, "cannot accept a connection");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    drop(listener);
    summaries.abort();
    // Nobody listens if there is no connection.
    let _ = closing.send(true);
    if tokio::time::timeout(limits.grace, connections.ended()).await.is_err() {
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

/// Says now and then what was left out of the log.
async fn sum_up_logs(app: Arc<App>) {
    loop {
        tokio::time::sleep(SUMMARY).await;
        for (kind, count) in app.log_limit.left_out(std::time::Instant::now()) {
            tracing::warn!("{count} more lines like `{kind}` were left out in the last minute");
        }
    }
}

async fn serve_connection(mut stream: Stream, app: Arc<App>, mut closing: watch::Receiver<bool>) {
    let progress = stream.progress();
    loop {
        progress.place().set(Phase::Silent);
        // As long as a connection says nothing, it gets no buffers.
        tokio::select! {
            spoke = stream.speaks() => if !spoke { return },
            () = tokio::time::sleep(app.limits.idle) => return,
            () = progress.place().should_give_way() => return,
            _ = closing.changed() => return,
        }
        let active = tokio::select! {
            active = app.connections.activate() => active,
            () = progress.place().should_give_way() => return,
            _ = closing.changed() => return,
        };
        progress.place().set(Phase::Head);
        // On the heap, so that a silent connection does not take its space.
        let served = Box::pin(serve_requests(stream, &app, &mut closing)).await;
        drop(active);
        match served {
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
    let mut manners = Manners::Patient;
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
            () = progress.place().should_give_way() => match progress.place().phase() {
                Phase::Body => {
                    manners = Manners::Hurried;
                    progress.cut();
                }
                // The request came meanwhile.
                Phase::Answering => {}
                Phase::Sending if progress.is_blocked() => return None,
                Phase::Silent | Phase::Head | Phase::Sending => {
                    manners = Manners::Hurried;
                    break false;
                }
            },
            _ = ticks.tick() => {
                let now = progress.still();
                let blocked = progress.is_blocked();
                if now.is_none() || now.map(|n| n.moves) != before.map(|b: Still| b.moves) {
                    moved = Instant::now();
                } else if now == before && !blocked {
                    break false;
                } else if moved.elapsed() >= if blocked { app.limits.stall } else { app.limits.idle } {
                    if blocked {
                        return None;
                    }
                    break true;
                }
                before = now;
            }
        }
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    // Half a head for so long: the client is gone or hostile, and if it is neither it gets an answer that
    // never hurts.
    if ended || !parts.read_buf.is_empty() {
        stream.close(&parts.read_buf, manners).await;
        return None;
    }
    Some(stream)
}
