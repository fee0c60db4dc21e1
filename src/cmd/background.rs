//! What commands that stay connected to a broker need: a runtime, signals, random pauses.

use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::relay::Jitter;

/// A runtime for the connection, beside the thread that works with the records.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Holds true from the first SIGTERM or SIGINT on.
pub(super) fn until_signalled() -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
        let _ = sender.send(true);
    });
    Ok(receiver)
}

/// Random numbers from 0 to 1.
pub(super) fn jitter() -> Jitter {
    Box::new(|| getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX)))
}
