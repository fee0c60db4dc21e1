//! `otapress relay`: events over MQTT and as webhooks.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::ArgGroup;
use tokio::task::JoinSet;

use super::background::{jitter, runtime, until_signalled};
use super::serve;
use super::store::{check_access, serving_store};
use super::webhooks::Webhooks;
use super::{now, trigger};
use crate::context::{Discreet, Exit, Global, WrongUsage};
use crate::relay::broker::{Address, Broker, Login, Pem};
use crate::relay::daemon::{self, ToBroker, ToHook};
use crate::relay::task::{Config, Until};
use crate::relay::topic::Topics;
use otapress_publish::files;
use otapress_publish::password;

/// The largest file of certificates: that of the system has 200 kB.
const MAX_PEM: u64 = 4 << 20;

/// The variable with the password at the broker.
const PASSWORD: &str = "OTAPRESS_MQTT_PASSWORD";

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("sinks").args(["mqtt", "webhook"]).required(true).multiple(true)))]
pub(crate) struct Args {
    /// The broker: mqtt://HOST[:PORT], or with TLS mqtts://HOST[:PORT]
    #[arg(long, value_name = "URL", env = "OTAPRESS_MQTT", hide_env_values = true)]
    #[arg(value_parser = Discreet(address))]
    mqtt: Option<Address>,
    #[command(flatten)]
    webhooks: Webhooks,
    /// The user at the broker
    #[arg(long, env = "OTAPRESS_MQTT_USER", requires = "mqtt")]
    user: Option<String>,
    /// The file with the user's password in one line [default: the variable OTAPRESS_MQTT_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file [default: those that the system trusts]
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Our own certificate and its chain, PEM
    #[arg(long, value_name = "FILE", requires = "key", requires = "cafile")]
    cert: Option<PathBuf>,
    /// The key of our certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The relay's own clientID; a stand-in must use the same one, and no other client may
    #[arg(long, value_name = "ID", default_value = "otapress-relay")]
    client_id: String,
    /// Publish events as PREFIX/otap/<kind>
    #[arg(long, default_value = "events")]
    prefix: String,
    /// The prefix of the devices' topics: start messages are PUBLISH<clientID>/start
    #[arg(long, default_value = "owntracks/gw/")]
    publish: String,
    /// Publish and post what is recorded, take what the broker has, and exit
    #[arg(long, conflicts_with = "trigger")]
    once: bool,
    #[command(flatten)]
    trigger: trigger::Selection,
}

fn address(text: &std::ffi::OsStr) -> Result<Address, String> {
    text.to_string_lossy().parse().map_err(|error: crate::relay::broker::AddressError| error.to_string())
}

/// Runs the command, until SIGTERM or SIGINT.
pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let topics = match Topics::new(&args.prefix, &args.publish) {
        Ok(topics) => topics,
        Err((option, error)) => bail!(WrongUsage(format!("--{option}: {error}"))),
    };
    if args.client_id.is_empty() {
        bail!(WrongUsage("--client-id: it is empty, so the broker could not recognise us".into()));
    }
    serve::log(global);
    check_access(global)?;
    let broker = args.mqtt.as_ref().map(|address| broker(args, address)).transpose()?;
    if args.trigger.is_wanted() {
        let Some(broker) = broker else { bail!(WrongUsage("--trigger: name the broker with --mqtt".into())) };
        return trigger::run(global, &args.trigger, broker, format!("{}-trigger", args.client_id), topics);
    }
    let hooks = args.webhooks.hooks(global)?;
    let until = if args.once { Until::Drained } else { Until::Stopped };
    runtime()?.block_on(async {
        let stop = until_signalled()?;
        let mut sinks = JoinSet::new();
        for hook in hooks {
            let turns = ToHook { hook, open_store: serving_store(global) };
            sinks.spawn(daemon::run(turns, jitter(), until, stop.clone()));
        }
        if let Some(broker) = broker {
            let config = Config {
                out: global.out(),
                broker,
                client_id: args.client_id.clone(),
                topics,
                clock: Arc::new(now),
            };
            let turns = ToBroker { config, open_store: serving_store(global) };
            sinks.spawn(daemon::run(turns, jitter(), until, stop));
        }
        // Each does its work, whatever becomes of the others.
        let mut failed = Ok(());
        while let Some(ended) = sinks.join_next().await {
            failed = failed.and(ended?.map_err(anyhow::Error::from));
        }
        failed
    })?;
    Ok(Exit::Done)
}

#[expect(clippy::disallowed_methods, reason = "a password may stand in the environment")]
fn broker(args: &Args, address: &Address) -> anyhow::Result<Broker> {
    let login = match (&args.user, &args.password_file) {
        (Some(user), Some(file)) => Some((user, password::read(file)?)),
        (Some(user), None) => {
            let password = std::env::var(PASSWORD).ok().filter(|password| !password.is_empty());
            let missing =
                || format!("the password of `{user}` is missing: use --password-file, or set {PASSWORD}");
            Some((user, password.with_context(missing)?))
        }
        (None, _) => None,
    };
    let address = address.clone();
    let files = args.cafile.is_some() || args.cert.is_some();
    if files && !address.tls {
        bail!("{address} is not TLS: --cafile and --cert take mqtts://");
    }
    if login.is_some() && !address.tls && address.is_remote() {
        let _ = writeln!(io::stderr(), "warning: the password goes to {address} in clear text: use mqtts://");
    }
    let read = |file: &Option<PathBuf>| file.as_deref().map(|file| files::read(file, MAX_PEM)).transpose();
    let pem = Pem { authorities: read(&args.cafile)?, identity: read(&args.cert)?.zip(read(&args.key)?) };
    let login = login.map(|(user, password)| Login { user: user.clone(), password });
    Broker::new(address, login, pem).context("TLS")
}
