//! The whole story on one machine: builds the example fleet, serves it, and lets simulated devices upgrade.
//!
//! `make demo` runs it. Everything happens in a temporary directory and on a free port of the loopback
//! interface; it fails if a device that is due for an upgrade does not end up with its target.

#![allow(clippy::disallowed_methods, reason = "works in a temporary directory, at this hour")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use otapress_core::digest::Sha256;
use otapress_devices::device::{Device, Exchange, Faults, Purpose, Turn};
use otapress_publish::fleet::{self, Fleet};
use otapress_publish::resolve::assign;

/// What every device runs when the story begins.
const BEFORE: &str = "0.10.64";

/// The device that is followed in full.
const HERO: &str = "dev1";

fn main() -> anyhow::Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir()?;
    let program = Otapress { program: beside_this_program("otapress")?, dir: dir.path().into() };
    for name in ["fleet.yaml", "devices", "jars"] {
        copy(&package.join(name), &dir.path().join(name))?;
    }

    heading("The fleet is checked and published");
    for command in ["check", "build"] {
        println!("$ otapress {command}\n{}", program.run(&[command])?);
    }
    println!("out/ holds");
    list(&dir.path().join("out"), dir.path())?;

    let mut server = program.serve()?;
    heading(&format!("{} is served on http://{}", "out/", server.address));
    let loaded = fleet::load(&dir.path().join("fleet.yaml"));
    let fleet = loaded.fleet.context("the fleet that was just built cannot be read")?;
    let upgraded = live(&fleet, &program, server.address);
    server.stop()?;
    let upgraded = upgraded?;

    heading("What to look at");
    println!("fleet.yaml, devices/   the fleet, and jars/ its releases");
    println!("out/                   what this fleet is published as; `otapress build --check` compares it");
    println!("otapress serve         the same on http://127.0.0.1:8810, for your own requests:");
    println!("    curl -A GW/352099001761481 --data-binary {BEFORE} http://127.0.0.1:8810/otap/version");
    println!("    curl http://127.0.0.1:8810/files/{HERO}/OwnTracks.jad");
    println!("\n{upgraded} devices were upgraded");
    Ok(())
}

/// Lets every device of the fleet ask once; gives how many were upgraded.
fn live(fleet: &Fleet, program: &Otapress, address: SocketAddr) -> anyhow::Result<usize> {
    let (mut upgraded, mut others) = (0, Vec::new());
    for declared in fleet.devices() {
        let id = declared.client_id.as_str();
        let mut device = Device::new(declared.imei, BEFORE);
        device.network.connect_to = Some(address);
        // Set up as its owner would, with the lines that `show --provision` prints.
        for line in program.run(&["show", id, "--provision"])?.lines() {
            let (key, value) = line
                .strip_prefix("set ")
                .and_then(|line| line.split_once('='))
                .context("not a `set` line")?;
            device = device.with(key, value)?;
        }
        let turn = device.turn(&Faults::default());
        if id == HERO {
            heading(&format!("{id} runs {BEFORE} and asks"));
            transcript(&turn);
            heading(&format!("What is known of {id} afterwards"));
            println!("$ otapress show {id}\n{}", program.run(&["show", id])?);
        }

        let assignment = assign(fleet, declared);
        let is_due = assignment.from.is_none_or(|from| from <= now());
        let code = turn.otap.as_ref().and_then(|otap| otap.outcome.code());
        let story = match assignment.target {
            Some(target) if is_due => {
                let wanted = target.to_string();
                ensure!(
                    device.version == wanted && code == Some(900),
                    "`{id}` runs {} instead of {wanted}: {turn:#?}",
                    device.version
                );
                let asked_again = turn.start.as_ref().is_some_and(|check| check.outcome.is_checked());
                ensure!(asked_again && !device.wants_upgrade(), "`{id}` is told to upgrade again");
                upgraded += 1;
                format!("{BEFORE} → {wanted}")
            }
            _ => {
                ensure!(
                    turn.otap.is_none() && device.version == BEFORE,
                    "`{id}` was upgraded, but is not due"
                );
                format!("{BEFORE}, as before")
            }
        };
        others.push(format!("{id:<16} {story}"));
    }
    heading("All devices, after one check each");
    println!("{}", others.join("\n"));
    if upgraded == 0 {
        bail!("no device was due for an upgrade: every wave of the fleet lies ahead of this machine's clock");
    }
    Ok(upgraded)
}

/// Prints what went over the wire.
fn transcript(turn: &Turn) {
    for Exchange { purpose, request, reply } in turn.exchanges() {
        let sent = String::from_utf8_lossy(&request.body);
        let agent = request.header_value("User-Agent").unwrap_or_default();
        println!("→ {} {}  (User-Agent: {agent})", request.method, request.url);
        if !sent.is_empty() {
            println!("    {sent}");
        }
        match reply {
            Err(error) => println!("← {error}"),
            Ok(reply) => {
                let kind = reply.header("Content-Type").unwrap_or("no content");
                println!("← {} {}  ({kind}, {} bytes)", reply.status, reply.reason, reply.body.len());
                match purpose {
                    Purpose::Jar => println!("    SHA-256 {}", Sha256::of(&reply.body)),
                    _ => String::from_utf8_lossy(&reply.body).lines().for_each(|line| println!("    {line}")),
                }
            }
        }
        if *purpose == Purpose::Notify {
            println!("  (the modem reboots)");
        }
    }
}

/// The program, run on the copy of the example fleet.
struct Otapress {
    program: PathBuf,
    dir: PathBuf,
}

impl Otapress {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.dir);
        command
    }

    /// What it prints, on both streams.
    fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.command().args(args).stdin(Stdio::null()).output()?;
        let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "`otapress {}` failed ({}):\n{text}", args.join(" "), output.status);
        Ok(text)
    }

    /// Starts `otapress serve` on a free port.
    fn serve(&self) -> anyhow::Result<Server> {
        let mut child = self
            .command()
            .args(["serve", "--no-build", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
        let address =
            lines.by_ref().map_while(Result::ok).find_map(|line| line.split_once("http://")?.1.parse().ok());
        // Whoever does not read a pipe stops its writer.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("serve: {line}")));
        match address {
            Some(address) => Ok(Server { child, address }),
            None => bail!("`otapress serve` ended with {}", child.wait()?),
        }
    }
}

/// A running `otapress serve`, which does not outlive this value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn stop(&mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "`otapress serve` ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone, if it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of this name that was built together with this one.
fn beside_this_program(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let program = this.ancestors().nth(2).context("this program lies in no directory")?.join(name);
    ensure!(program.is_file(), "`{}` is not there: run `cargo build` first", program.display());
    Ok(program)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else {
        fs::copy(from, to).with_context(|| format!("cannot copy `{}`", from.display()))?;
    }
    Ok(())
}

/// Prints every file below `dir` as it is called below `root`.
fn list(dir: &Path, root: &Path) -> anyhow::Result<()> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list(&path, root)?;
        } else {
            println!("    {}", path.strip_prefix(root)?.display());
        }
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}\n");
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
