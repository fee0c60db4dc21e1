//! The options of `relay` for receivers of webhooks.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::now;
use crate::context::{Discreet, Global, WrongUsage};
use crate::relay::signature::Secrets;
use crate::relay::webhook::{Address, AddressError, Hook, Manner};
use otapress_devices::tls::Tls;
use otapress_publish::files;
use otapress_publish::publish::scan::read_site;
use otapress_responder::record::EventKind;

/// The largest file of secrets.
const MAX_SECRETS: u64 = 4096;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Webhooks")]
pub(super) struct Webhooks {
    /// Post events to this http or https URL as CloudEvents, beside MQTT or without it; may be repeated
    #[arg(long, value_name = "URL", env = "OTAPRESS_WEBHOOK", hide_env_values = true)]
    #[arg(value_parser = Discreet(address))]
    webhook: Vec<Address>,
    /// Sign them with the secrets in this file, `whsec_…`, one in each line (Standard Webhooks)
    #[arg(long, value_name = "FILE", env = "OTAPRESS_WEBHOOK_SECRET_FILE", requires = "webhook")]
    webhook_secret_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file for them [default: those that the system trusts]
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_cafile: Option<PathBuf>,
    /// Wait this long for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600))]
    webhook_timeout: u64,
    /// Post only events of these kinds
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = kind, requires = "webhook")]
    only: Vec<EventKind>,
}

fn address(text: &std::ffi::OsStr) -> Result<Address, String> {
    text.to_string_lossy().parse().map_err(|error: AddressError| error.to_string())
}

fn kind(name: &str) -> Result<EventKind, String> {
    EventKind::from_name(name).ok_or_else(|| {
        let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

impl Webhooks {
    /// What is needed to post to each of them.
    pub(super) fn hooks(&self, global: &Global) -> anyhow::Result<Vec<Hook>> {
        let Some(first) = self.webhook.first() else { return Ok(Vec::new()) };
        let secrets = self.webhook_secret_file.as_deref().map(secrets).transpose()?;
        if secrets.is_none() {
            let why = "nobody can tell that the events for it are ours: use --webhook-secret-file";
            let _ = writeln!(io::stderr(), "warning: {first}: {why}");
        }
        let addresses: BTreeSet<_> = self.webhook.iter().map(Address::name).collect();
        if addresses.len() < self.webhook.len() {
            bail!(WrongUsage("--webhook: a receiver is named twice".into()));
        }
        let site = read_site(&global.out()).ok().flatten();
        let manner = Manner {
            secrets: secrets.unwrap_or_default(),
            only: self.only.iter().copied().collect(),
            source: site.map_or_else(|| "otapress".into(), |site| site.site),
            patience: Duration::from_secs(self.webhook_timeout),
            clock: Arc::new(now),
        };
        let hook = |address: &Address| {
            let tls = match (&self.webhook_cafile, address.is_tls()) {
                (_, false) => Tls::none(),
                (Some(file), true) => Tls::from_file(file)?,
                (None, true) => Tls::system()?,
            };
            Ok(Hook::new(address.clone(), tls.config(), manner.clone()))
        };
        self.webhook.iter().map(hook).collect()
    }
}

fn secrets(file: &Path) -> anyhow::Result<Secrets> {
    let text = String::from_utf8(files::read(file, MAX_SECRETS)?).ok();
    let shown = || format!("--webhook-secret-file `{}`", file.display());
    Secrets::parse(text.as_deref().unwrap_or_default()).with_context(shown)
}
