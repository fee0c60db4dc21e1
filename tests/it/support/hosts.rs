//! Real web servers on loopback ports, with the example fleet published behind them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::programs::{copy_program, otapress_cgi};
use otapress_devices::device::Device;
use otapress_devices::device::http::Network;
use otapress_publish::fleet::{self, Fleet};
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tempfile::TempDir;

/// Whom the servers become if root starts them, as Debian's do.
pub const USER: &str = "www-data";

/// The password of the fleets with basic auth.
pub const PASSWORD: &str = "s3cret+pass";

/// The example fleet, built into a directory that the servers' user can read.
pub struct Site {
    dir: TempDir,
    /// The fleet.
    pub fleet: Fleet,
}

impl Site {
    /// The example fleet with a changed fleet.yaml.
    pub fn new(change: impl FnOnce(String) -> String) -> Site {
        let example = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| dir.path().join(name);
        let yaml = change(fs::read_to_string(example.join("fleet.yaml")).unwrap());
        fs::write(path("fleet.yaml"), yaml).unwrap();
        for sub in ["devices", "jars"] {
            fs::create_dir(path(sub)).unwrap();
            for file in fs::read_dir(example.join(sub)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), path(sub).join(file.file_name())).unwrap();
            }
        }
        for sub in ["bin", "secrets", "logs", "state", "tmp"] {
            fs::create_dir(path(sub)).unwrap();
        }
        fs::write(path("secrets/otap"), format!("{PASSWORD}\n")).unwrap();
        // The directory that it was built in may be closed to the servers' user.
        copy_program(otapress_cgi(), &path("bin/otapress-cgi"));
        for sub in ["state", "tmp"] {
            give(&path(sub));
        }
        let loaded = fleet::load(&path("fleet.yaml"));
        let fleet = loaded.fleet.expect("the fleet is good");
        let site = Site { dir, fleet };
        site.otapress(&["build"]);
        site
    }

    /// Whether JADs and JARs are for those with a password.
    pub fn asks_for_password(&self) -> bool {
        self.fleet.groups()[0].provisioning.auth.is_some()
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the directory, as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().into()
    }

    /// Does something while the servers' user may not write in a directory.
    pub fn forbids_writing(&self, name: &str, work: impl FnOnce()) {
        let change = |owner: &str, mode: &str| {
            if geteuid().is_root() {
                run(Command::new("chown").arg("-R").arg(owner).arg(self.path(name)));
            }
            run(Command::new("chmod").arg("-R").arg(mode).arg(self.path(name)));
        };
        change("root:root", "u-w,go=rX");
        work();
        change(&format!("{USER}:{USER}"), "u+w");
    }

    /// Runs `otapress` on the fleet and gives what it prints.
    #[track_caller]
    pub fn otapress(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `otapress` on the fleet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otapress"));
        command.arg("--fleet").arg(self.path("fleet.yaml"));
        command
    }

    /// Writes what `otapress config` prints for a server that listens at `address`, unchanged, and the
    /// password file, if there are passwords.
    pub fn configure(&self, address: SocketAddr, host: &str, more: &[&str]) -> String {
        if self.asks_for_password() {
            let file = self.path("secrets/htpasswd");
            fs::write(&file, self.otapress(&["config", "htpasswd"])).unwrap();
            give(&file);
        }
        let (listen, cgi, log) =
            (address.to_string(), self.text("bin/otapress-cgi"), self.text("logs/error.log"));
        let mut args = vec!["config", host, "--listen", &listen, "--cgi", &cgi, "--error-log", &log];
        args.extend(more);
        let file = self.text(&format!("{host}.conf"));
        fs::write(&file, self.otapress(&args)).unwrap();
        file
    }

    /// A device of the fleet as it is provisioned; it connects to `address`.
    pub fn device(&self, device: &fleet::Device, version: &str, address: SocketAddr) -> Device {
        let provisioning = &self.fleet.group(device).provisioning;
        let mut simulated = Device::new(device.imei, version);
        for (key, val) in [
            ("clientID", device.client_id.as_str()),
            ("otapURI", provisioning.otap_uri.value.as_str()),
            ("notifyURI", provisioning.notify_uri.value.as_str()),
            ("versionURI", provisioning.version_uri.value.as_str()),
        ] {
            simulated = simulated.with(key, val).unwrap();
        }
        if let Some(auth) = &provisioning.auth {
            simulated =
                simulated.with("otapUser", &auth.user).unwrap().with("otapPassword", PASSWORD).unwrap();
        }
        simulated.network = network(address);
        simulated
    }
}

/// Every host name is at `address`.
pub fn network(address: SocketAddr) -> Network {
    Network { connect_to: Some(address), timeout: Duration::from_secs(20), ..Network::default() }
}

/// Lets the servers' user write there.
pub fn give(path: &Path) {
    if geteuid().is_root() {
        run(Command::new("chown").arg(format!("{USER}:{USER}")).arg(path));
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// `text` if the servers are started by root, who must say whom they become.
pub fn if_root(text: &str) -> &str {
    if geteuid().is_root() { text } else { "" }
}

/// The path of a program that must be installed.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!(
                "`{name}` is not installed: \
                 apt-get install nginx-light fcgiwrap spawn-fcgi apache2 lighttpd busybox mosquitto"
            )
        })
}

/// A running server, with the processes that it has started.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program in the foreground; what it says goes to a file in logs/.
    pub fn start(site: &Site, mut command: Command) -> Process {
        let name = Path::new(command.get_program()).file_name().unwrap().to_owned();
        let log = site.path("logs").join(name).with_extension("out");
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        Process { child: command.spawn().unwrap(), log }
    }

    /// Waits until `ready`.
    #[track_caller]
    pub fn wait_for(mut self, ready: impl Fn() -> bool) -> Process {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !ready() {
            let ended = self.child.try_wait().unwrap();
            let said = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", said());
            assert!(Instant::now() < deadline, "it does not start: {}", said());
            sleep(Duration::from_millis(20));
        }
        self
    }

    /// Waits until it accepts connections.
    #[track_caller]
    pub fn listening(self, address: SocketAddr) -> Process {
        self.wait_for(|| TcpStream::connect(address).is_ok())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > deadline {
                let _ = kill_process_group(group, Signal::KILL);
            }
            sleep(Duration::from_millis(10));
        }
        // Whom it has left behind.
        let _ = kill_process_group(group, Signal::KILL);
    }
}
