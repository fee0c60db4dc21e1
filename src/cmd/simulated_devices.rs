//! The devices of the fleet as simulated ones, for the commands that play them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::project::Project;
use crate::context::Global;
use otapress_core::id::Imei;
use otapress_core::out::answer_file;
use otapress_core::out_path::OutPath;
use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Site, Target};
use otapress_devices::device;
use otapress_devices::device::http::{Network, Url};
use otapress_devices::tls::Tls;
use otapress_publish::fleet::uri::HttpUri;
use otapress_publish::fleet::{Device, Fleet};
use otapress_publish::provision::to_set;
use otapress_publish::publish::scan::read_site;
use otapress_publish::render::jad_paths;
use otapress_simulation::Player;

/// A simulated device and what out/ has for it.
#[derive(Debug)]
pub(crate) struct SimulatedDevice {
    /// The device, provisioned as the fleet says; it runs nothing yet.
    pub(crate) device: device::Device,
    /// Its JAD below out/, if it has a target.
    pub(crate) jad: Option<OutPath>,
    /// Its answer file.
    pub(crate) answer: AnswerFile,
    /// What it may still have been told.
    pub(crate) formerly: Former,
}

/// URIs of `formerly`, not expanded.
#[derive(Debug)]
pub(crate) struct Former {
    /// otapURIs, and the JAD below out/, if the device has a target.
    pub(crate) otap: Vec<(String, Option<OutPath>)>,
    pub(crate) version: Vec<String>,
    pub(crate) notify: Vec<String>,
}

impl SimulatedDevice {
    /// The rollout that it is in, if any.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.answer.offer.target.as_ref()
    }

    /// What it is to run, if anything.
    pub(crate) fn version(&self) -> Option<Version> {
        self.target().map(|target| target.version)
    }

    /// The device as one that takes part in a play and runs that version.
    pub(crate) fn player(mut self, runs: String) -> Player {
        self.device.version = runs;
        let attempts = self.target().map_or(0, |target| target.attempts);
        Player { target: self.version(), attempts, device: self.device }
    }
}

/// The devices to play and the server to play them against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection<'a> {
    /// The server to connect to; default: the site itself.
    pub(crate) url: Option<&'a str>,
    /// The number of devices; default: all.
    pub(crate) devices: Option<NonZeroUsize>,
    /// Time limit for a reply.
    pub(crate) timeout: Duration,
    /// A file with the authorities for an https versionURI; default: those of the system.
    pub(crate) cafile: Option<&'a Path>,
}

/// A site and those who are played against it.
#[derive(Debug)]
pub(crate) struct SimulatedFleet {
    pub(crate) site: Site,
    /// All devices of the fleet, or a sample that is spread evenly over the clientIDs.
    pub(crate) devices: Vec<SimulatedDevice>,
}

/// Brings together what is to be played; `None` if the fleet has mistakes, which were shown.
pub(crate) fn select(
    global: &Global,
    project: &Project,
    wanted: &Selection<'_>,
) -> anyhow::Result<Option<SimulatedFleet>> {
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(None);
    };
    let connect_to = wanted.url.map(address).transpose()?;
    let tls = wanted.cafile.map(Tls::from_file).transpose()?;
    let network = Network { connect_to, tls, timeout: wanted.timeout };
    let out = global.out();
    let site = read_site(&out)?
        .with_context(|| format!("`{}` is not a published directory: run `otapress build`", out.display()))?;
    let answer = |device: &Device| published_answer(&out, device.imei);
    let devices = devices(fleet, &answer, wanted.devices.map(NonZeroUsize::get), &network)?;
    Ok(Some(SimulatedFleet { site, devices }))
}

/// What out/ has for a device.
pub(crate) fn published_answer(out: &Path, imei: Imei) -> anyhow::Result<AnswerFile> {
    let file = answer_file(out, imei);
    let text = fs::read(&file)
        .with_context(|| format!("`{}` is not what the fleet says: run `otapress build`", out.display()))
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    AnswerFile::parse(&text).with_context(|| format!("cannot read `{}`", file.display()))
}

/// The devices of a fleet, or a sample of them, with their answers from `answer`.
pub(crate) fn devices(
    fleet: &Fleet,
    answer: &dyn Fn(&Device) -> anyhow::Result<AnswerFile>,
    sample: Option<usize>,
    network: &Network,
) -> anyhow::Result<Vec<SimulatedDevice>> {
    let mut passwords = BTreeMap::new();
    for auth in fleet.groups().iter().filter_map(|group| group.provisioning.auth.as_ref()) {
        if !passwords.contains_key(&auth.password_file) {
            let password = fleet.password(&auth.password_file)?;
            passwords.insert(auth.password_file.clone(), password);
        }
    }
    let password = |device: &Device| {
        let auth = fleet.group(device).provisioning.auth.as_ref()?;
        passwords.get(&auth.password_file).map(String::as_str)
    };
    evenly(fleet.devices(), sample)
        .map(|device| simulated_device(fleet, device, password(device), answer(device)?, network))
        .collect()
}

fn simulated_device(
    fleet: &Fleet,
    device: &Device,
    password: Option<&str>,
    answer: AnswerFile,
    network: &Network,
) -> anyhow::Result<SimulatedDevice> {
    let target = answer.offer.target.as_ref();
    let Ok(mut jads) = jad_paths(fleet, device) else {
        bail!("`otapURI` names no file for device `{}`", device.client_id);
    };
    let former_jads = jads.split_off(1);
    let now_jad = jads.pop();
    let published = &fleet.group(device).provisioning.formerly;
    let texts = |uris: &[HttpUri]| uris.iter().map(|uri| uri.as_str().to_owned()).collect();
    let formerly = Former {
        otap: (published.otap_uris.iter().zip(former_jads))
            .map(|(uri, path)| (uri.as_str().to_owned(), target.map(|_| path)))
            .collect(),
        version: texts(&published.version_uris),
        notify: texts(&published.notify_uris),
    };
    let mut simulated = device::Device::new(device.imei, "0.0.1");
    for (key, val) in to_set(fleet, device, password) {
        simulated = simulated.with(key, &val)?;
    }
    simulated.network = network.clone();
    let jad = now_jad.filter(|_| target.is_some());
    Ok(SimulatedDevice { device: simulated, jad, answer, formerly })
}

/// All items, or `n` evenly spaced ones: always the same.
fn evenly<T>(all: &[T], n: Option<usize>) -> impl Iterator<Item = &T> {
    let n = n.unwrap_or(all.len()).min(all.len());
    (0..n).map(move |i| &all[i * all.len() / n])
}

/// The address of `url`. A path in it would be ignored, so it is refused.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let parsed = Url::parse(url).filter(|url| url.target == "/" && !url.tls).with_context(|| {
        format!(
            "`{url}` is not of the form `http://host:port`: it says only where to connect, and requests \
            are for the fleet's site"
        )
    })?;
    (parsed.host.as_str(), parsed.port)
        .to_socket_addrs()
        .with_context(|| format!("the address of `{}`", parsed.host))?
        .next()
        .with_context(|| format!("`{}` has no address", parsed.host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_evenly() {
        let of = |len: usize, n| evenly(&(0..len).collect::<Vec<_>>(), n).copied().collect::<Vec<_>>();
        assert_eq!(of(10, Some(3)), [0, 3, 6]);
        assert_eq!(of(4, None), [0, 1, 2, 3]);
        assert_eq!(of(2, Some(5)), [0, 1]);
        assert!(of(0, Some(5)).is_empty());
        assert!(of(5, Some(0)).is_empty());
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(address("http://127.0.0.1:8810/").unwrap(), "127.0.0.1:8810".parse().unwrap());
        assert!(address("https://127.0.0.1/").is_err());
        assert!(address("http://127.0.0.1/ota").is_err());
    }
}
