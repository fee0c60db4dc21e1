//! `otapress relay --trigger`: chosen devices are told to upgrade.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::background::{jitter, runtime, until_signalled};
use super::project::Project;
use super::{confirmed, count, existing_store, find, now};
use crate::context::{Exit, Global, WrongUsage, print};
use otapress_publish::catalog::Catalog;

use crate::relay::broker::Broker;
use crate::relay::topic::Topics;
use crate::relay::trigger::{self, Told};
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_publish::fleet::{Device, Fleet, per_hour};
use otapress_publish::resolve::assign;
use otapress_responder::decide::Attempt;
use otapress_responder::operate;
use otapress_responder::service::Responder;
use otapress_responder::store::Store;

/// The devices to tell, and the rate.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// Tell these devices to upgrade, by clientID or IMEI, instead of relaying; without a name, those that
    /// --channel, --group and --release choose
    #[arg(long, value_name = "DEVICE", num_args = 0..)]
    trigger: Option<Vec<String>>,
    /// Only devices of this channel
    #[arg(long, requires = "trigger")]
    channel: Option<String>,
    /// Only devices of this group
    #[arg(long, requires = "trigger")]
    group: Option<String>,
    /// Only devices that are to run this release
    #[arg(long, requires = "trigger")]
    release: Option<Version>,
    /// Devices to tell per hour
    #[arg(long, requires = "trigger", value_name = "N/h", default_value = "60/h", value_parser = rate)]
    rate: u32,
    /// Do not ask
    #[arg(long, requires = "trigger")]
    yes: bool,
}

fn rate(text: &str) -> Result<u32, String> {
    per_hour(text).ok_or_else(|| "write a number per hour, such as `60/h`".to_owned())
}

impl Selection {
    pub(crate) fn is_wanted(&self) -> bool {
        self.trigger.is_some()
    }

    /// The devices of the fleet that are meant, each one once, in the order of the fleet.
    fn devices<'a>(&self, fleet: &'a Fleet) -> anyhow::Result<Vec<&'a Device>> {
        let names = self.trigger.as_deref().unwrap_or_default();
        let named = names.iter().map(|name| find::device(fleet, name)).collect::<anyhow::Result<Vec<_>>>()?;
        find::check_names(fleet, self.group.as_deref(), self.channel.as_deref())?;
        let is_meant = |device: &&Device| {
            let channel = fleet.channel(device).map(|channel| &channel.name);
            (named.is_empty() || named.iter().any(|named| named.imei == device.imei))
                && self.channel.as_ref().is_none_or(|wanted| channel == Some(wanted))
                && self.group.as_ref().is_none_or(|wanted| fleet.group(device).name.as_ref() == Some(wanted))
                && self.release.is_none_or(|wanted| assign(fleet, device).target == Some(wanted))
        };
        Ok(fleet.devices().iter().filter(is_meant).collect())
    }
}

pub(super) fn run(
    global: &Global,
    selection: &Selection,
    broker: Broker,
    client_id: String,
    topics: Topics,
) -> anyhow::Result<Exit> {
    let named = selection.trigger.as_ref().is_some_and(|names| !names.is_empty());
    if !named && selection.channel.is_none() && selection.group.is_none() && selection.release.is_none() {
        bail!(WrongUsage(
            "--trigger: name devices, or choose them with --channel, --group or --release".into()
        ));
    }
    let project = Project::load(global);
    let Some((fleet, catalog)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let mut store = existing_store(global)?;
    let lease = store
        .lease(trigger::NAME)?
        .context("another one triggers upgrades at this moment: wait for its end")?;
    let chosen = announce(global, &mut *store, fleet, selection)?;
    if chosen.is_empty() {
        bail!("no device is to be told");
    }
    eprint(&cost(&chosen, catalog, selection.rate))?;
    if !selection.yes && !confirmed("Tell them?")? {
        eprint("no device was told\n")?;
        return Ok(Exit::Failed);
    }
    let mut config = trigger::Config {
        out: global.out(),
        store,
        broker,
        client_id,
        topics,
        rate: selection.rate,
        clock: Arc::new(now),
        jitter: jitter(),
    };
    let devices: Vec<_> = chosen.into_iter().map(|(client, imei, _)| (client, imei)).collect();
    let (mut sent, mut unknown, mut skipped) = (0, 0, 0);
    let mut report = |client: &ClientId, told: Told| {
        let said = match told {
            Told::Sent(attempt) => {
                sent += 1;
                print(format!("{client} was told to upgrade: {}\n", attempt_text(&attempt))).map(drop)
            }
            Told::Skipped(why) => {
                skipped += 1;
                eprint(&format!("{client} is left out: {why}\n"))
            }
            Told::Unknown(attempt, why) => {
                unknown += 1;
                eprint(&format!("{client} may have been told: {}: {why}\n", attempt_text(&attempt)))
            }
        };
        // A closed output does not keep devices from being told.
        let _ = said;
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        trigger::run(&mut config, &devices, until_signalled()?, &mut report)
            .await
            .map_err(anyhow::Error::from)
    })?;
    drop(lease);
    let rest = devices.len() - sent - unknown - skipped;
    eprint(&format!(
        "told {}, {skipped} left out, {unknown} unknown, {rest} not reached\n",
        count(sent, "device")
    ))?;
    Ok(if unknown + rest == 0 { Exit::Done } else { Exit::Failed })
}

/// The devices that can be told now. Prints for each selected one its attempt, or why it is left out.
fn announce(
    global: &Global,
    store: &mut dyn Store,
    fleet: &Fleet,
    selection: &Selection,
) -> anyhow::Result<Vec<(ClientId, Imei, Attempt)>> {
    let responder = Responder::new(global.out());
    let (mut chosen, mut text) = (Vec::new(), String::new());
    for device in selection.devices(fleet)? {
        let client = &device.client_id;
        match operate::could_trigger(store, &responder, device.imei, now())? {
            Ok(attempt) => {
                text += &format!("{client}: {}\n", attempt_text(&attempt));
                chosen.push((client.clone(), device.imei, attempt));
            }
            Err(why) => text += &format!("{client} is left out: {why}\n"),
        }
    }
    eprint(&text)?;
    Ok(chosen)
}

fn attempt_text(attempt: &Attempt) -> String {
    format!("{} → {}, attempt {}", attempt.from, attempt.target, attempt.number)
}

/// The cost: reboots, downloads and time.
fn cost(chosen: &[(ClientId, Imei, Attempt)], catalog: &Catalog, rate: u32) -> String {
    let mut targets: BTreeMap<Version, usize> = BTreeMap::new();
    for (_, _, attempt) in chosen {
        *targets.entry(attempt.target).or_default() += 1;
    }
    let bytes = |(target, devices): (&Version, &usize)| {
        catalog.get(*target).map_or(0, |entry| entry.jar().size()) * *devices as u64
    };
    let kilobytes = targets.iter().map(bytes).sum::<u64>().div_ceil(1000);
    let minutes = (chosen.len() as u64 - 1) * 60 / u64::from(rate);
    let devices = count(chosen.len(), "device");
    format!(
        "{devices} to be told, at most {rate} in an hour: it takes {}; each one uses an attempt up, \
         downloads its release ({kilobytes} kB in all) and reboots\n",
        count(minutes, "minute")
    )
}

fn eprint(text: &str) -> anyhow::Result<()> {
    io::stderr().write_all(text.as_bytes())?;
    Ok(())
}
