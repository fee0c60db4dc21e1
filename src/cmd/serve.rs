//! `otapress serve`: out/ and the responder over HTTP.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

use super::inputs::Inputs;
use super::keep::Keep;
use super::project::Project;
use super::store::serving_store;
use super::{admin, build, now};
use crate::context::{Exit, Global, listen_address};
use otapress_publish::fleet::Fleet;
use otapress_publish::publish::scan::read_site;
use otapress_responder::operate;
use otapress_responder::store::StoreError;
use otapress_server::http::{Config, Credentials, Limits, serve};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address to listen on, unless systemd passes a socket
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8810", value_parser = listen_address)]
    listen: SocketAddr,
    /// Serve out/ as it is, without building it first
    #[arg(long, conflicts_with = "watch")]
    no_build: bool,
    /// Show the status of the fleet there, with /metrics and /healthz: to operators, never to devices
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    admin: Option<SocketAddr>,
    /// The path that a proxy in front takes away from the begin of each request's path, as /ota
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true, value_parser = prefix)]
    prefix: String,
    /// For how long events and devices that are not in the fleet are remembered, as 400d, or `forever`
    #[arg(long, value_name = "TIME", default_value = Keep::DEFAULT, value_parser = Keep::parse)]
    keep: Keep,
    /// Build again whenever the fleet file, an inventory, a JAR or the template changes
    #[arg(long)]
    watch: bool,
}

fn prefix(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_path =
        path.is_empty() || path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'?');
    if is_path { Ok(path.to_owned()) } else { Err("it is no path: it begins with `/` and has no `?`".into()) }
}

/// The interval at which `--watch` checks for changes.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the command, until SIGTERM or SIGINT.
pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    log(global);
    // Before there are threads: what says so is taken out of the environment.
    let handed = handed_over(&mut ListenFd::from_env())?;
    // Taken before the first build, so that changes during it are noticed.
    let inputs = args.watch.then(|| Inputs::of(global));
    let built = if args.no_build { Exit::Done } else { build::build(global, &build::Args::default())? };
    if built != Exit::Done {
        return Ok(built);
    }
    open_records(global)?;
    let (sender, credentials) = watch::channel(credentials(global)?);
    if let Some(address) = args.admin {
        admin::start(global, address)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = match handed {
            Some(socket) => TcpListener::from_std(socket)?,
            None => bind(args.listen).with_context(|| format!("cannot listen on {}", args.listen))?,
        };
        if let Some(inputs) = inputs {
            let global = global.clone();
            std::thread::Builder::new()
                .name("watch".into())
                .spawn(move || watch(&global, inputs, &sender))?;
        }
        listen(global, listener, args, credentials).await
    })?;
    Ok(Exit::Done)
}

/// How long the start waits for a database that is far away. One that does not answer may answer later.
const REACH: Duration = Duration::from_secs(2);

/// Makes the records if need be.
///
/// # Errors
/// If their place will not do until somebody mends it: without records no device would upgrade.
fn open_records(global: &Global) -> anyhow::Result<()> {
    match serving_store(global)(Instant::now() + REACH) {
        Err(error @ StoreError::Unfit { .. }) => bail!("{error}"),
        // It may answer later.
        Err(_) => {}
        Ok(mut store) => {
            if let Ok(Some(said)) = operate::note_no_memory(&mut *store, &global.out(), now()) {
                tracing::warn!("{said}");
            }
        }
    }
    Ok(())
}

/// How many connections the kernel holds until they are accepted. Those beyond it wait a second for their
/// next try.
const BACKLOG: u32 = 4096;

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The socket that systemd listens on for this service, if there is one.
fn handed_over(sockets: &mut ListenFd) -> anyhow::Result<Option<std::net::TcpListener>> {
    if sockets.len() > 1 {
        bail!("the socket unit has {} sockets: let it have one `ListenStream=`", sockets.len());
    }
    let socket = sockets.take_tcp_listener(0).context("the socket unit must listen on a TCP port")?;
    if let Some(socket) = &socket {
        socket.set_nonblocking(true)?;
    }
    Ok(socket)
}

async fn listen(
    global: &Global,
    listener: TcpListener,
    args: &Args,
    credentials: watch::Receiver<Credentials>,
) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
    };
    let config = Config {
        out: global.out(),
        prefix: args.prefix.clone(),
        keep: args.keep.days(),
        open_store: serving_store(global),
        credentials,
        limits: limits(),
        clock: Arc::new(now),
    };
    // Said even with `--quiet`: with port 0 there is no other way to know.
    let address = listener.local_addr()?;
    // Devices are served even if the log is on a full disk.
    let _ = writeln!(io::stderr(), "serving `{}` on http://{address}", global.out().display());
    serve(listener, config, shutdown).await?;
    Ok(())
}

/// As many connections as the process may have open files, with a file for each download and some besides.
/// The limit that a process starts with is low for the sake of old programs; it may raise it as far as the
/// administrator allows.
fn limits() -> Limits {
    const FILES: u64 = 64;
    let allowed = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: allowed.maximum, ..allowed });
    let most = if raised.is_ok() { allowed.maximum } else { allowed.current };
    let limits = Limits::default();
    match most.and_then(|most| usize::try_from(most.saturating_sub(FILES)).ok()) {
        Some(most) => {
            let active = limits.active.min(most / 3).max(1);
            Limits {
                connections: limits.connections.min(most.saturating_sub(active).max(1)),
                active,
                ..limits
            }
        }
        None => limits,
    }
}

/// Writes the log to the standard error.
pub(super) fn log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, true) => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    // A second subscriber in one process is refused, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(global.colour() && io::stderr().is_terminal())
        .with_target(false)
        // Reporting a failed write to stderr on stderr would panic, and the device would get no answer.
        .log_internal_errors(false)
        .try_init();
}

/// The credentials for JADs and JARs. out/ says whether any are needed; only the fleet has them.
fn credentials(global: &Global) -> anyhow::Result<Credentials> {
    let out = global.out();
    let site = read_site(&out)?
        .with_context(|| format!("`{}` is not a published directory: run `otapress build`", out.display()))?;
    if !site.auth {
        return Ok(Credentials::default());
    }
    let project = Project::load(global);
    match project.fleet() {
        Some((fleet, _)) => of_fleet(fleet),
        None => {
            project.show_diagnostics(global)?;
            bail!(
                "the JADs need basic auth, and `{}` does not say who may fetch them",
                global.fleet.display()
            )
        }
    }
}

fn of_fleet(fleet: &Fleet) -> anyhow::Result<Credentials> {
    let all: BTreeSet<_> = fleet.groups().iter().flat_map(|group| group.provisioning.auths()).collect();
    let mut pairs = Vec::new();
    for auth in all {
        pairs.push((auth.user.as_str(), fleet.password(&auth.password_file)?));
    }
    Ok(Credentials::new(pairs.iter().map(|(user, password)| (*user, password.as_str()))))
}

/// Builds whenever an input has changed; a fleet with mistakes leaves out/ as it is.
fn watch(global: &Global, mut inputs: Inputs, credentials_of: &watch::Sender<Credentials>) {
    loop {
        std::thread::sleep(LOOK);
        if !inputs.have_changed() {
            continue;
        }
        inputs = Inputs::of(global);
        let built = build::build(global, &build::Args::default()).and_then(|built| match built {
            Exit::Done => credentials(global).map(Some),
            // The errors were already shown.
            _ => Ok(None),
        });
        match built {
            Ok(Some(credentials)) => drop(credentials_of.send(credentials)),
            Ok(None) => {}
            Err(error) => tracing::error!("{error:#}"),
        }
    }
}
