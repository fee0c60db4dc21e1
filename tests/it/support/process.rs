//! `otapress` as a process: a fleet in a directory of its own, `serve` on a port of its own, and a client
//! that keeps its connection.

use std::fs;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::jar::JarBuilder;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Held by the tests that need the whole machine, so that they run one after the other.
pub fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    // A test that failed has left nothing behind.
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program with these arguments.
pub fn otapress<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otapress"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("OTAPRESS_STATE").stdin(Stdio::null());
    command
}

/// A fleet file, JARs, `out/` and `state/` in a temporary directory.
pub struct Fleet(tempfile::TempDir);

/// A fleet with one channel; what is in the braces is added to the file.
pub const YAML: &str = r#"site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
midlet: { name: OwnTracks, vendor: Choral }
channels: { next: 0.10.66 }
default: { channel: next }
devices:
  dev1: { imei: "352099001761481" }
"#;

impl Fleet {
    /// A fleet with the JARs of two releases.
    pub fn new(yaml: &str) -> Self {
        let fleet = Fleet(tempfile::tempdir().unwrap());
        fleet.write("fleet.yaml", yaml);
        for version in ["0.10.65", "0.10.66"] {
            fleet.write(&format!("jars/OwnTracks-{version}.jar"), jar(version));
        }
        fleet
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes a file by renaming, so that nobody sees half of it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let temporary = self.path(".writing");
        fs::write(&temporary, content).unwrap();
        fs::rename(temporary, file).unwrap();
    }

    /// Replaces a piece of text that stands in a file.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{text}");
        self.write(path, text.replace(from, to));
    }

    /// A command on this fleet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = otapress(arguments.iter().copied());
        command.arg("--fleet").arg(self.path("fleet.yaml"));
        command
    }

    /// Runs a command on this fleet to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `otapress serve` on this fleet.
    pub fn serve(&self, arguments: &[&str]) -> Serve {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Serve::start(command).unwrap_or_else(|ended| panic!("{ended:?}"))
    }

    /// What is in a directory: every path with its content.
    pub fn tree(&self, path: &str) -> Vec<(PathBuf, Vec<u8>)> {
        tree(&self.path(path))
    }
}

/// A release's JAR.
pub fn jar(version: &str) -> Vec<u8> {
    JarBuilder::new("OwnTracks", version, "Choral").build()
}

/// Every file below a directory with its content.
pub fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// A process of `otapress serve`; it is killed with the value.
pub struct Serve {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    deaf: Arc<AtomicBool>,
}

/// How a process ended, and what it had said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub log: String,
}

impl Serve {
    /// Starts a command that serves, and waits until it says where it listens.
    pub fn start(mut command: Command) -> Result<Serve, Ended> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                return Err(Ended { code: child.wait().unwrap().code(), log });
            }
            log += &line;
            if let Some(rest) = line.strip_prefix("serving `") {
                let (_, address) = rest.rsplit_once("` on http://").unwrap();
                break address.trim_end().parse().unwrap();
            }
        };
        let log = Arc::new(Mutex::new(log));
        let deaf = Arc::new(AtomicBool::new(false));
        let (sink, ended) = (log.clone(), deaf.clone());
        let reader = std::thread::spawn(move || {
            for line in lines.lines() {
                *sink.lock().unwrap() += &(line.unwrap() + "\n");
                if ended.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        Ok(Serve { child, address, log, reader: Some(reader), deaf })
    }

    /// Stops reading what it says: the reader ends with the next line, and what comes then cannot be written.
    pub fn deafen(&mut self) {
        self.deaf.store(true, Ordering::SeqCst);
        // A stranger is worth a line.
        self.check("999999999999999", "0.0.1");
        self.reader.take().unwrap().join().unwrap();
    }

    /// What it has said by now.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn wait_for(&self, what: &str) {
        wait_until(|| self.log().contains(what), || format!("no `{what}` in\n{}", self.log()));
    }

    /// How much memory it has had at most, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(kind)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// Lets it have so many bytes of memory more than it has now, and none beyond.
    pub fn limit_memory(&self, more: u64) {
        let most = Some(self.memory("VmSize:") + more);
        let limit = Rlimit { current: most, maximum: most };
        prlimit(Some(Pid::from_child(&self.child)), Resource::As, limit).unwrap();
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Does something to the process, which ends it.
    pub fn with_process(&mut self, end: impl FnOnce(&mut Child)) {
        end(&mut self.child);
    }

    /// Waits until that device is told to upgrade, which is never said without the records. A database is
    /// reached after the first connection is accepted, and later still while the machine is busy.
    #[track_caller]
    pub fn has_its_records(&self, imei: &str, version: &str) {
        let upgrades = || {
            let reply = self.check(imei, version);
            assert_eq!(reply.status, 200, "{reply:?}");
            reply.text() == r#"{"upgrade":1}"#
        };
        wait_until(upgrades, || format!("nothing is offered: {}", self.log()));
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an init system does, and waits for it.
    pub fn terminate(mut self) -> Ended {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        Ended { code, log: self.log() }
    }

    /// A connection of its own.
    pub fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// Sends one request without a body to an address, under any name.
    pub fn ask_at(address: SocketAddr, method: &str, path: &str, host: &str) -> Reply {
        let mut client = Client::connect(address).unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        client.0.get_mut().write_all(request.as_bytes()).unwrap();
        client.read().unwrap()
    }

    /// Sends one request on a connection of its own; `extra` are whole header lines.
    pub fn ask(&self, method: &str, path: &str, agent: &str, extra: &str, body: &str) -> Reply {
        self.connect().send(method, path, agent, extra, body.as_bytes()).unwrap()
    }

    /// Fetches a file.
    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "TC65i/352099001761481 Profile/IMP-NG", "", "")
    }

    /// Asks for the version that a device is to run.
    pub fn check(&self, imei: &str, reported: &str) -> Reply {
        self.ask("POST", "/otap/version", &format!("GW/{imei}"), "", reported)
    }

    /// Posts a result.
    pub fn notify(&self, client: &str, imei: &str, text: &str) -> Reply {
        let agent = format!("TC65i/{imei} Profile/IMP-NG Configuration/CLDC-1.1");
        self.ask("POST", &format!("/otap/notify?id={client}"), &agent, "", text)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(mut holds: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection that is kept for further requests.
pub struct Client(BufReader<TcpStream>);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        agent: &str,
        extra: &str,
        body: &[u8],
    ) -> io::Result<Reply> {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: ota.example.com\r\n{extra}").into_bytes();
        if !agent.is_empty() {
            request.extend(format!("User-Agent: {agent}\r\n").bytes());
        }
        if method != "GET" {
            request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        request.extend(b"\r\n");
        request.extend(body);
        self.0.get_mut().write_all(&request)?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Reply> {
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            match line.strip_suffix("\r\n").ok_or_else(ended)? {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines.first().and_then(|line| line.get(9..12)?.parse().ok()).ok_or_else(ended)?;
        let headers: Vec<_> = lines[1..]
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").expect("every answer tells its length").parse().unwrap();
        reply.body.resize(length, 0);
        self.0.read_exact(&mut reply.body)?;
        Ok(reply)
    }
}
