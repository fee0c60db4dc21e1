//! What a connection to `otapress serve` may send: requests with any path and headers. Nothing outside of
//! out/ comes back, and nothing in it that is not for devices.
#![no_main]

use std::cell::OnceCell;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use otapress_server::http::{Config, Credentials, Limits, serve};
use otapress_responder::store::sqlite::SqliteStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What no answer may hold.
const SECRET: &[u8] = b"swordfish";

struct World {
    runtime: Runtime,
    address: SocketAddr,
    _dir: tempfile::TempDir,
    _credentials: watch::Sender<Credentials>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let below = |path: &str, content: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, content).expect("a file");
        };
        below("secret.jad", SECRET);
        below("out/secret", SECRET);
        below("out/.hidden.jad", SECRET);
        below("out/vc/352099001761481.jad", SECRET);
        below("out/vc/352099001761481.json", include_bytes!("../answer.json"));
        below("out/otapress.json", include_bytes!("../site.json"));
        below("out/files/dev1/OwnTracks.jad", b"MIDlet-Name: OwnTracks\n");
        std::os::unix::fs::symlink(dir.path().join("secret.jad"), dir.path().join("out/files/link.jad"))
            .expect("a link");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (credentials, receiver) = watch::channel(Credentials::default());
        let state = dir.path().join("state");
        let config = Config {
            out: dir.path().join("out"),
            prefix: String::new(),
            open_store: Box::new(move |_| Ok(Box::new(SqliteStore::open(&state, Duration::from_secs(1))?))),
            credentials: receiver,
            keep: None,
            limits: Limits {
                idle: Duration::from_millis(200),
                stall: Duration::from_millis(200),
                body: Duration::from_millis(200),
                ..Limits::default()
            },
            clock: Arc::new(|| 1_796_126_400),
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(serve(listener, config, std::future::pending()));
        World { runtime, address, _dir: dir, _credentials: credentials }
    }
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    WORLD.with(|world| {
        let World { runtime, address, .. } = world.get_or_init(World::new);
        let answer = runtime.block_on(async {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            // It may hang up before it has read everything.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            // The server ends every connection within a second; a machine that stands still may take longer.
            let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "no end");
            answer
        });
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
        let holds = |what: &[u8]| answer.windows(what.len()).any(|window| window == what);
        assert!(!holds(SECRET) && !holds(b"rollout"), "{}", String::from_utf8_lossy(&answer));
    });
});
