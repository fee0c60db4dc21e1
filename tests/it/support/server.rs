//! `otapress serve` as a library, in a thread of its own and with a clock of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use otapress_devices::device::Device;
use otapress_devices::device::http::Network;
use otapress_responder::store::sqlite::SqliteStore;
use otapress_server::http::{Config, Credentials, Limits, OpenStore, serve};
use rustix::io::retry_on_intr;
use tokio::sync::{oneshot, watch};

use super::tree::{SITE, Tree};

/// 2026-12-01, a Tuesday, at noon (UTC).
pub const NOON: i64 = 1_796_126_400;

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub credentials: watch::Sender<Credentials>,
    clock: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves a directory with its own database.
    pub fn start(tree: &Tree) -> Server {
        Server::start_with(tree, Limits::default(), sqlite(tree))
    }

    /// Serves a directory under given limits and with a given store.
    pub fn start_with(tree: &Tree, limits: Limits, open_store: OpenStore) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(AtomicI64::new(NOON));
        let (credentials, receiver) = watch::channel(Credentials::default());
        let (stop, stopped) = oneshot::channel();
        let config = Config {
            out: tree.out(),
            prefix: String::new(),
            open_store,
            credentials: receiver,
            keep: Some(otapress_responder::retention::DAYS),
            limits,
            clock: {
                let clock = clock.clone();
                Arc::new(move || clock.load(Ordering::SeqCst))
            },
        };
        let thread = spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                // A dropped sender ends the server, too.
                serve(listener, config, async { drop(stopped.await) }).await.unwrap();
            });
        });
        Server { address, credentials, clock, stop: Some(stop), thread: Some(thread) }
    }

    /// Lets time pass.
    pub fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The time on the server's clock.
    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Shuts down and waits for the end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// A device of this server's fleet.
    pub fn device(&self, client: &str, imei: &str, version: &str) -> Device {
        let network = Network {
            connect_to: Some(self.address),
            timeout: Duration::from_secs(10),
            ..Network::default()
        };
        let mut device = Device::new(imei.parse().unwrap(), version);
        for (key, val) in [
            ("clientID", client),
            ("otapURI", &format!("{SITE}/files/@/OwnTracks.jad")),
            ("notifyURI", &format!("{SITE}/otap/notify?id=@")),
            ("versionURI", &format!("{SITE}/otap/version")),
        ] {
            device = device.with(key, val).unwrap();
        }
        device.network = network;
        device
    }

    /// A new connection that gives up after some seconds.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends bytes and reads until the server closes the connection.
    pub fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        let mut reply = Vec::new();
        if let Err(error) = stream.read_to_end(&mut reply) {
            panic!("{error} after {:?}", String::from_utf8_lossy(&reply));
        }
        String::from_utf8(reply).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Opens the database in the directory's `state/`.
pub fn sqlite(tree: &Tree) -> OpenStore {
    let state = tree.state();
    Box::new(move |_| Ok(Box::new(SqliteStore::open(&state, Duration::from_secs(1))?)))
}

/// Reads what has come; a system call that was interrupted is made again.
pub fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::read(stream, &mut *buffer))?)
}
