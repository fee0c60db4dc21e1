//! A private PostgreSQL: its own data directory, its own port of the loopback interface. The unit tests use
//! this file, too.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::process::geteuid;

use super::ports::free_address;

/// Starts and stops the server as it is told, and takes everything away once nobody tells it anything any
/// more, whatever ended the tests.
const SUPERVISOR: &str = r#"
set -eu
dir=$(mktemp -d)
pid=
stop() { if [ -n "$pid" ]; then kill -CONT "$pid" 2> "$dir/null" || :; kill "-$1" "$pid" || :; wait "$pid" || :; pid=; fi; }
trap 'stop QUIT; rm -rf "$dir"' EXIT
# The rules of a language, so that nothing depends on the order of bytes by chance.
if [ -n "$PRIMARY" ]; then
    "$BIN/pg_basebackup" -D "$dir/data" -R --no-sync -c fast -d "$PRIMARY" > "$dir/log" 2>&1
else
    "$BIN/initdb" -D "$dir/data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 \
        --locale-provider=icu --icu-locale=en > "$dir/log" 2>&1
fi || { cat "$dir/log" >&2; exit 1; }
echo "$dir"
while read -r command argument; do
    case $command in
        start)
            "$BIN/postgres" -D "$dir/data" -k "$dir" -h 127.0.0.1 -p "$PORT" -c max_connections=200 \
                -c shared_buffers=32MB $argument >> "$dir/log" 2>&1 &
            pid=$!
            until "$BIN/pg_isready" -q -t 1 -h 127.0.0.1 -p "$PORT"; do
                kill -0 "$pid" 2> "$dir/null" || { cat "$dir/log" >&2; exit 1; }
                sleep 0.05
            done ;;
        stop) stop "$argument" ;;
        signal) kill "-$argument" "$pid" $(cat "/proc/$pid/task/$pid/children") ;;
        url) ;;
    esac
    echo done
done
"#;

/// What a server for tests of the records need not do: to outlive the machine.
pub const FORGETFUL: &str = "-c fsync=off -c full_page_writes=off";

/// A server, running or stopped; it ends with the value.
pub struct Postgres {
    address: SocketAddr,
    directory: PathBuf,
    supervisor: Mutex<(Child, Option<ChildStdin>, BufReader<ChildStdout>)>,
}

impl Postgres {
    /// One that all tests of this process share, and nobody may stop.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(FORGETFUL))
    }

    /// A server of its own, with these arguments.
    pub fn start(arguments: &str) -> Postgres {
        Postgres::made_of("", arguments)
    }

    /// A copy of this one that follows it; from then on this one acknowledges nothing that the copy does not have.
    #[allow(dead_code, reason = "for the unit tests")]
    pub fn with_standby(&self) -> Postgres {
        let standby = Postgres::made_of(&format!("{} application_name=standby", self.conninfo()), "");
        self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        self.psql("postgres", "SELECT pg_reload_conf()");
        standby
    }

    /// Makes a standby the server that is written to.
    #[allow(dead_code, reason = "for the unit tests")]
    pub fn promote(&self) {
        assert_eq!(self.psql("postgres", "SELECT pg_promote(true, 30)"), "t");
    }

    fn conninfo(&self) -> String {
        format!("host={} port={} user=postgres", self.address.ip(), self.address.port())
    }

    fn made_of(primary: &str, arguments: &str) -> Postgres {
        let address = free_address();
        let mut command = match geteuid().is_root() {
            // The server refuses to run as root.
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
                command
            }
            false => Command::new("sh"),
        };
        command.arg("-c").arg(SUPERVISOR).env("BIN", programs()).env("PORT", address.port().to_string());
        command.env("PRIMARY", primary);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let supervisor = Mutex::new((child, stdin, stdout));
        let mut server = Postgres { address, directory: PathBuf::new(), supervisor };
        server.directory = server.answer().into();
        server.tell(&format!("start {arguments}"));
        server
    }

    fn answer(&self) -> String {
        let mut line = String::new();
        self.supervisor.lock().unwrap().2.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "PostgreSQL does not start; see above");
        line.trim_end().to_owned()
    }

    /// Tells the supervisor to do something, and waits until it has.
    fn tell(&self, what: &str) {
        writeln!(self.supervisor.lock().unwrap().1.as_mut().unwrap(), "{what}").unwrap();
        assert_eq!(self.answer(), "done");
    }

    /// Starts it again.
    pub fn restart(&self, arguments: &str) {
        self.tell(&format!("start {arguments}"));
    }

    /// Ends it as an administrator does, without waiting for its clients.
    pub fn shut_down(&self) {
        self.tell("stop INT");
    }

    /// Ends it as a failure does: at once.
    pub fn crash(&self) {
        self.tell("stop QUIT");
    }

    /// Lets it answer nothing more, with its connections open.
    pub fn freeze(&self) {
        self.tell("signal STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.tell("signal CONT");
    }

    /// Where it listens.
    #[allow(dead_code, reason = "for the unit tests")]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its data and its socket are.
    #[allow(dead_code, reason = "for the unit tests")]
    pub fn directory(&self) -> &PathBuf {
        &self.directory
    }

    /// The URL of a new, empty database.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// What a statement gives, as lines of fields that are separated by `|`. A database is named, or its URL
    /// is given.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let url = if database.contains("://") { database.to_owned() } else { self.url(database) };
        let mut command = Command::new(PathBuf::from(programs()).join("psql"));
        let output = command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(url)
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(supervisor.1.take());
        let _ = supervisor.0.wait();
    }
}

/// The directory of the newest PostgreSQL's programs, where Debian puts them.
fn programs() -> OsString {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = installed.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(version);
    let programs = newest.expect("PostgreSQL must be installed: apt-get install postgresql").join("bin");
    programs.into()
}
