//! From the fleet and its JARs to the files of out/.
//!
//! Everything that decides a byte of out/ is here or in what this module calls; nothing here reads a clock or
//! a network, and of files only a JAR whose signature stands in the template.

mod jads;
mod rollouts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::slice;

use self::jads::Jads;
use crate::catalog::{Catalog, Entry};
use crate::diag::{Code, Diagnostic, Place, Sources, Span};
use crate::fleet::uri::{HttpUri, JadPath};
use crate::fleet::{
    BasisPoints, Channel, ChannelIndex, Device, Fleet, GroupIndex, Provisioning, SettingsIndex,
};
use crate::jar::{self, Jar};
use crate::resolve::{self, Assignment, Rule};
use crate::signing::Chain;
use crate::template::{ReleaseValues, Template};
use crate::tree::{Content, ContentId, Tree};
use otapress_core::out::{self, Tier};
use otapress_core::out_path::OutPath;
use otapress_core::version::Version;
use otapress_core::wire::{self, AnswerFile, Formerly, Offer, Site, Target};

/// Is told how many devices are done, for a progress bar.
pub type Progress<'a> = &'a mut dyn FnMut(usize);

/// All files of out/, and what is known of them.
#[derive(Debug)]
pub struct Rendered {
    /// The files.
    pub tree: Tree,
    /// What is worth a warning.
    pub warnings: Vec<Diagnostic>,
    /// The releases that a device is sent without a signature.
    pub unsigned: BTreeSet<Version>,
    /// Chains that the template has itself, each with its place.
    pub chains: Vec<(Chain, Place)>,
}

/// Renders every file.
///
/// # Errors
/// What is wrong with the template, or with the paths that the devices' URIs lead to.
pub fn render(
    fleet: &Fleet,
    catalog: &Catalog,
    template: &Template,
    sources: &Sources,
    progress: Progress<'_>,
) -> Result<Rendered, Vec<Diagnostic>> {
    let mut tree = Tree::default();
    let releases = releases(fleet, catalog, &mut tree);
    let mut answers = Answers { fleet, by_class: HashMap::new() };
    let mut jads = Jads::new(fleet, template, sources, &releases);
    let mut census = rollouts::Census::default();
    let mut found = Vec::new();
    for (done, device) in fleet.devices().iter().enumerate() {
        progress(done);
        let assignment = resolve::assign(fleet, device);
        census.count(fleet, device, assignment);
        let content = answers.content(device, assignment, &mut tree, &mut found);
        let tier = if assignment.target.is_some() { Tier::Answer } else { Tier::NoOffer };
        tree.add(out::answer_path(device.imei), tier, content);
        if let Some(target) = assignment.target
            && let Err(diagnostics) = jads.add(device, target, &mut tree)
        {
            found.extend(diagnostics);
            // One template that fails for all devices is one mistake.
            if found.len() > 100 {
                break;
            }
        }
    }
    let (wrong, signatures) = jads.finish(&mut tree);
    let (errors, warnings): (Vec<_>, Vec<_>) = found.into_iter().chain(wrong).partition(Diagnostic::is_error);
    if !errors.is_empty() {
        return Err(errors.into_iter().chain(warnings).collect());
    }
    let is_signed = |version| signatures.signed.contains(&version) || releases[&version].signature.is_some();
    let site = tree.intern(bytes(site(fleet, &releases, is_signed, census).to_text()));
    tree.add(out::site_path(), Tier::Site, site);
    tree.sort();
    Ok(Rendered { tree, warnings, unsigned: signatures.unsigned, chains: signatures.chains })
}

/// The URL of a device's JAD.
///
/// # Errors
/// If the clientID makes a component of the path longer than file systems take.
pub fn jad_path(fleet: &Fleet, device: &Device) -> Result<OutPath, Diagnostic> {
    let provisioning = &fleet.group(device).provisioning;
    expand(&provisioning.jad_path, provisioning.otap_uri.span, device)
}

/// The paths of a device's JAD: today's, then former ones.
///
/// # Errors
/// If one of them names no file for the device.
pub fn jad_paths(fleet: &Fleet, device: &Device) -> Result<Vec<OutPath>, Diagnostic> {
    let formerly = &fleet.group(device).provisioning.formerly.jad_paths;
    let former = formerly.iter().map(|path| expand(&path.value, path.span, device));
    std::iter::once(jad_path(fleet, device)).chain(former).collect()
}

fn expand(path: &JadPath, span: Span, device: &Device) -> Result<OutPath, Diagnostic> {
    path.expand(&device.client_id).map_err(|error| {
        Diagnostic::new(
            Code::BadUri,
            span,
            format!("`otapURI` names no file for device `{}`", device.client_id),
        )
        .hint(error.to_string())
    })
}

/// The path of a published JAR.
pub fn jar_path(fleet: &Fleet, entry: &Entry) -> OutPath {
    let jar = entry.jar();
    out::jar_path(jar.version_text(), jar.sha256(), &fleet.midlet().name)
        .expect("versions and checked names make good paths")
}

fn bytes(text: String) -> Content {
    Content::Bytes(text.into_bytes().into())
}

/// A release as it is published.
struct Release<'a> {
    entry: &'a Entry,
    path: OutPath,
    url: String,
    values: ReleaseValues,
    /// The lines of its JADs with chain and signature.
    signature: Option<String>,
}

/// Adds every JAR of the catalog, used or not, so that rollback is instant.
fn releases<'a>(fleet: &Fleet, catalog: &'a Catalog, tree: &mut Tree) -> BTreeMap<Version, Release<'a>> {
    let mut releases = BTreeMap::new();
    let mut sums = BTreeMap::new();
    for entry in catalog.entries() {
        let jar = entry.jar();
        let path = jar_path(fleet, entry);
        let url = fleet.site().url(&path);
        let content = Content::CopyOf { file: entry.path().into(), size: jar.size(), sha256: jar.sha256() };
        let content = tree.intern(content);
        tree.add(path.clone(), Tier::Jar, content);
        sums.insert(out::below_jars(&path).to_owned(), jar.sha256());
        let chain = fleet.midlet().signing.as_ref().and_then(|signing| signing.chain.as_ref());
        let signature = chain.zip(entry.signature()).map(|(chain, signature)| chain.attributes(signature));
        let values = ReleaseValues::new(entry, &url);
        releases.insert(jar.version(), Release { entry, values, path, url, signature });
    }
    let sums: String = sums.iter().map(|(path, sha256)| format!("{sha256}  {path}\n")).collect();
    let sums = tree.intern(bytes(sums));
    tree.add(out::checksums_path(), Tier::Jar, sums);
    releases
}

/// What decides the bytes of an answer: devices that agree in it share one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    group: GroupIndex,
    channel: Option<ChannelIndex>,
    settings: SettingsIndex,
    target: Option<Version>,
    wave: Option<BasisPoints>,
    held: bool,
}

impl Class {
    /// That of a device.
    pub fn of(fleet: &Fleet, device: &Device, assignment: Assignment) -> Self {
        Class {
            group: device.group,
            channel: rollouts::channel_of(fleet, device, assignment),
            settings: device.settings,
            target: assignment.target,
            wave: assignment.wave,
            held: assignment.rule == Rule::Held,
        }
    }
}

struct Answers<'a> {
    fleet: &'a Fleet,
    by_class: HashMap<Class, ContentId>,
}

impl Answers<'_> {
    fn content(
        &mut self,
        device: &Device,
        assignment: Assignment,
        tree: &mut Tree,
        found: &mut Vec<Diagnostic>,
    ) -> ContentId {
        let fleet = self.fleet;
        *self.by_class.entry(Class::of(fleet, device, assignment)).or_insert_with(|| {
            let answer = answer(fleet, device, assignment);
            found.extend(too_long(&answer, device, fleet.limits().answer));
            tree.intern(bytes(answer.to_text()))
        })
    }
}

/// A device reads an answer character by character into memory of which it has little.
fn too_long(answer: &AnswerFile, device: &Device, limit: u64) -> Option<Diagnostic> {
    let settings: usize = answer
        .settings
        .iter()
        .map(|setting| setting.key.escape_default().count() + setting.val.escape_default().count())
        .map(|texts| texts + r#"{"key":"","val":""},"#.len())
        .sum();
    let size = r#"{"upgrade":1,"settings":[]}"#.len() + settings.saturating_sub(1);
    (size as u64 > limit).then(|| {
        let message = format!(
            "the answer to device `{}` has {size} bytes, but devices may accept only {limit}",
            device.client_id
        );
        Diagnostic::new(Code::AnswerSize, device.span, message)
            .hint("push fewer settings at once, or raise `answer` under `limits` if your devices accept more")
    })
}

/// The rollouts as `otapress.json` has them.
pub fn rollouts(fleet: &Fleet) -> BTreeMap<String, wire::Rollout> {
    let mut census = rollouts::Census::default();
    for device in fleet.devices() {
        census.count(fleet, device, resolve::assign(fleet, device));
    }
    census.rollouts(fleet)
}

/// The answer file of a device.
pub fn answer(fleet: &Fleet, device: &Device, assignment: Assignment) -> AnswerFile {
    if assignment.rule == Rule::Held {
        let offer = Offer { held: true, interval: fleet.version_interval(device), ..Offer::default() };
        return AnswerFile { upgrade: 0, settings: Vec::new(), offer };
    }
    let settings = fleet.settings(device);
    AnswerFile {
        upgrade: assignment.target.is_some().into(),
        settings: settings.settings.clone(),
        offer: Offer {
            held: false,
            target: assignment.target.map(|version| target(fleet, device, assignment, version)),
            interval: fleet.version_interval(device),
            generation: settings.generation.clone(),
            always: settings.always.clone(),
        },
    }
}

fn target(fleet: &Fleet, device: &Device, assignment: Assignment, version: Version) -> Target {
    let channel = rollouts::channel_of(fleet, device, assignment).map(|index| fleet.channel_at(index));
    Target {
        version,
        rollout: rollouts::id(fleet, channel, version),
        channel: channel.map(|channel| channel.name.clone()),
        wave: Some(assignment.wave.unwrap_or(BasisPoints::ALL).get()),
        from: None,
        window: channel.and_then(|channel| channel.window.as_ref().map(|window| window.value.clone())),
        attempts: channel.map_or(Channel::ATTEMPTS, |channel| channel.attempts),
        brake: channel.map_or(Channel::BRAKE, |channel| channel.brake),
        no_downgrade: channel.is_some_and(|channel| channel.no_downgrade),
        rate: channel.and_then(|channel| channel.rate),
    }
}

/// The paths of today's and of former URIs.
fn paths(fleet: &Fleet) -> (BTreeSet<String>, BTreeSet<String>, Formerly) {
    let groups = fleet.groups().iter().map(|group| &group.provisioning);
    let paths = |of: fn(&Provisioning) -> &[HttpUri]| -> BTreeSet<String> {
        groups.clone().flat_map(of).map(|uri| uri.path().into_owned()).collect()
    };
    let version_paths = paths(|provisioning| slice::from_ref(&provisioning.version_uri.value));
    let notify_paths = paths(|provisioning| slice::from_ref(&provisioning.notify_uri.value));
    let former = |of, now: &BTreeSet<String>| paths(of).difference(now).cloned().collect();
    let hosts = |former: fn(&Provisioning) -> &[HttpUri], now: fn(&Provisioning) -> &[HttpUri]| {
        let now: Vec<_> = groups.clone().flat_map(now).collect();
        let is_there = |uri: &&HttpUri| now.iter().any(|now| now.path() == uri.path());
        let is_todays = |host: &String| now.iter().any(|now| now.host().eq_ignore_ascii_case(host));
        let former = groups.clone().flat_map(former).filter(is_there);
        let hosts: BTreeSet<_> = former.map(|uri| uri.host().to_ascii_lowercase()).collect();
        hosts.into_iter().filter(|host| !is_todays(host)).collect()
    };
    let formerly = Formerly {
        version_paths: former(|provisioning| &provisioning.formerly.version_uris, &version_paths),
        notify_paths: former(|provisioning| &provisioning.formerly.notify_uris, &notify_paths),
        version_hosts: hosts(
            |provisioning| &provisioning.formerly.version_uris,
            |provisioning| slice::from_ref(&provisioning.version_uri.value),
        ),
        notify_hosts: hosts(
            |provisioning| &provisioning.formerly.notify_uris,
            |provisioning| slice::from_ref(&provisioning.notify_uri.value),
        ),
    };
    (version_paths, notify_paths, formerly)
}

/// What `otapress.json` says of former paths.
pub fn formerly(fleet: &Fleet) -> Formerly {
    paths(fleet).2
}

fn site(
    fleet: &Fleet,
    releases: &BTreeMap<Version, Release<'_>>,
    is_signed: impl Fn(Version) -> bool,
    census: rollouts::Census,
) -> Site {
    let (version_paths, notify_paths, formerly) = paths(fleet);
    let mut groups = fleet.groups().iter().map(|group| &group.provisioning);
    Site {
        otapress: wire::FORMAT,
        site: fleet.site().as_str().into(),
        version_paths: version_paths.into_iter().collect(),
        notify_paths: notify_paths.into_iter().collect(),
        formerly,
        auth: groups.any(|provisioning| provisioning.auth.is_some()),
        releases: releases
            .values()
            .map(|release| {
                let jar = release.entry.jar();
                wire::Release {
                    version: jar.version_text().into(),
                    path: release.path.as_str().into(),
                    size: jar.size(),
                    sha256: jar.sha256(),
                    suite: suite(jar, is_signed(jar.version())),
                    withdrawn: fleet.withdrawn().get(&jar.version()).map(|why| why.reason.clone()),
                }
            })
            .collect(),
        channels: fleet
            .channels()
            .iter()
            .map(|channel| (channel.name.clone(), channel.spelling.clone()))
            .collect(),
        rollouts: census.rollouts(fleet),
    }
}

/// What later releases are compared with.
fn suite(jar: &Jar, signed: bool) -> wire::Suite {
    wire::Suite {
        vendor: Some(jar.vendor().into()),
        midlet: jar.attribute("MIDlet-1").map(str::to_owned),
        permissions: jar::permissions(jar).map(str::to_owned).collect(),
        signed,
    }
}

/// What is wrong where a JAR has changed under a version that is published.
pub fn changed_releases(published: &Site, catalog: &Catalog) -> Vec<Diagnostic> {
    published
        .releases
        .iter()
        .filter_map(|release| {
            let entry = catalog.get(release.version.parse().ok()?)?;
            (entry.jar().sha256() != release.sha256).then(|| {
                Diagnostic::new(
                    Code::VersionChanged,
                    entry.shown_as(),
                    format!("version {} is already published with different content", release.version),
                )
                .hint("a published version never changes: give the new JAR a new MIDlet-Version")
            })
        })
        .collect()
}
