//! From the fleet and its JARs to the files of out/.
//!
//! Everything that decides a byte of out/ is here or in what this module calls; nothing here reads a clock, a
//! network or a file but the template.

mod rollouts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::slice;

use crate::catalog::{Catalog, Entry};
use crate::diag::{Code, Diagnostic, Sources, Span};
use crate::fleet::uri::{HttpUri, JadPath};
use crate::fleet::{
    BasisPoints, Channel, ChannelIndex, Device, Fleet, GroupIndex, Provisioning, SettingsIndex,
};
use crate::jad;
use crate::jar::{self, Jar};
use crate::resolve::{self, Assignment, Rule};
use crate::template::{ReleaseValues, Template};
use crate::tree::{Content, ContentId, Tree};
use otapress_core::out::{self, Tier};
use otapress_core::out_path::OutPath;
use otapress_core::version::Version;
use otapress_core::wire::{self, AnswerFile, Formerly, Offer, Site, Target};

/// Is told how many devices are done, for a progress bar.
pub type Progress<'a> = &'a mut dyn FnMut(usize);

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
) -> Result<Tree, Vec<Diagnostic>> {
    let mut tree = Tree::default();
    let releases = releases(fleet, catalog, &mut tree);
    let mut answers = Answers { fleet, by_class: HashMap::new() };
    let mut jads =
        Jads { fleet, template, sources, releases: &releases, rendered: HashMap::new(), jads: Vec::new() };
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
    found.extend(jads.finish(&mut tree));
    if !found.is_empty() {
        return Err(found);
    }
    let site = tree.intern(bytes(site(fleet, &releases, census).to_text()));
    tree.add(out::site_path(), Tier::Site, site);
    tree.sort();
    Ok(tree)
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
        releases.insert(jar.version(), Release { entry, values: ReleaseValues::new(entry, &url), path, url });
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
            "the answer to device `{}` has {size} bytes, and devices may take only {limit}",
            device.client_id
        );
        Diagnostic::new(Code::AnswerSize, device.span, message)
            .hint("push fewer settings at once, or raise `answer` under `limits` if your devices take more")
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

/// The bytes of a JAD without its signature and certificates: real ones take 3 to 6 kB.
fn unsigned_size(jad: &str) -> u64 {
    let is_signature =
        |line: &&str| line.starts_with("MIDlet-Certificate-") || line.starts_with("MIDlet-Jar-RSA-SHA1");
    jad.split_inclusive('\n').filter(|line| !is_signature(line)).map(|line| line.len() as u64).sum()
}

/// Renders JADs, each different one once, and sees that no two devices want different ones at one path.
struct Jads<'a> {
    fleet: &'a Fleet,
    template: &'a Template,
    sources: &'a Sources,
    releases: &'a BTreeMap<Version, Release<'a>>,
    /// The JAD of a release if the template is the same for all devices.
    rendered: HashMap<Version, Result<ContentId, ()>>,
    jads: Vec<(OutPath, ContentId, &'a Device)>,
}

impl<'a> Jads<'a> {
    fn add(&mut self, device: &'a Device, target: Version, tree: &mut Tree) -> Result<(), Vec<Diagnostic>> {
        let paths = jad_paths(self.fleet, device).map_err(|diagnostic| vec![diagnostic])?;
        let content = match self.rendered.get(&target) {
            Some(Ok(content)) => *content,
            // It was reported when it failed.
            Some(Err(())) => return Ok(()),
            None => {
                let rendered = self.render(device, target, tree);
                if !self.template.is_per_device() {
                    self.rendered.insert(target, rendered.as_ref().copied().map_err(|_| ()));
                }
                rendered?
            }
        };
        self.jads.extend(paths.into_iter().map(|path| (path, content, device)));
        Ok(())
    }

    fn render(
        &self,
        device: &Device,
        target: Version,
        tree: &mut Tree,
    ) -> Result<ContentId, Vec<Diagnostic>> {
        let release =
            self.releases.get(&target).expect("the catalog was checked for every release of the fleet");
        let text = self
            .template
            .render(&release.values, self.fleet, device, self.sources)
            .map_err(|diagnostic| vec![diagnostic])?;
        let faults = match jad::parse(text.as_bytes()) {
            Ok(parsed) => jad::check(&parsed, release.entry.jar(), &release.url),
            Err(faults) => faults,
        };
        let limit = self.fleet.limits().jad;
        let size = unsigned_size(&text);
        if size > limit {
            let message = format!("the JAD has {size} bytes, and devices may take only {limit}");
            return Err(vec![
                Diagnostic::new(Code::JadSize, self.template.place_of(&text, 1, self.sources), message)
                    .hint("shorten the template, or raise `jad` under `limits` if your devices take more"),
            ]);
        }
        if faults.is_empty() {
            return Ok(tree.intern(bytes(text)));
        }
        let version = release.entry.jar().version_text();
        let diagnostic = |fault: jad::Fault| {
            let place = self.template.place_of(&text, fault.line, self.sources);
            let message = match fault.code_on_device {
                jad::SUCCESS => {
                    format!(
                        "the JAD of release {version} is not fit for every device of the fleet: {}",
                        fault.message
                    )
                }
                code => format!(
                    "the JAD of release {version} would be answered with {code} by a device: {}",
                    fault.message
                ),
            };
            Diagnostic { hint: fault.hint, ..Diagnostic::new(Code::JadInvalid, place, message) }
        };
        Err(faults.into_iter().map(diagnostic).collect())
    }

    /// Adds the files of all JADs; returns what cannot stand side by side.
    fn finish(mut self, tree: &mut Tree) -> Vec<Diagnostic> {
        self.jads.sort_by(|a, b| (&a.0, &a.2.client_id).cmp(&(&b.0, &b.2.client_id)));
        let mut found = Vec::new();
        for pair in self.jads.windows(2) {
            let [(path, content, one), (other_path, other_content, other)] = pair else { continue };
            if path == other_path && content != other_content {
                found.push(
                    Diagnostic::new(
                        Code::SharedJad,
                        other.span,
                        format!(
                            "devices `{}` and `{}` share `{path}`, but are to get different JADs",
                            one.client_id, other.client_id
                        ),
                    )
                    .hint("give them the same release, put `@` into `otapURI`, or hold one of them"),
                );
            }
        }
        // A file cannot be the directory of another one; only a path with `.jad/` in it can want that.
        for (path, _, device) in &self.jads {
            for (at, _) in path.as_str().match_indices(".jad/") {
                let prefix = &path.as_str()[..at + ".jad".len()];
                if let Ok(i) = self.jads.binary_search_by(|(path, _, _)| path.as_str().cmp(prefix)) {
                    found.push(
                        Diagnostic::new(
                            Code::PathCollision,
                            device.span,
                            format!(
                                "`{path}` of device `{}` lies below the JAD of device `{}`",
                                device.client_id, self.jads[i].2.client_id
                            ),
                        )
                        .hint("change `otapURI` of one of their groups"),
                    );
                }
            }
        }
        for (path, content, _) in self.jads {
            tree.add(path, Tier::Jad, content);
        }
        found
    }
}

fn site(fleet: &Fleet, releases: &BTreeMap<Version, Release<'_>>, census: rollouts::Census) -> Site {
    let groups = fleet.groups().iter().map(|group| &group.provisioning);
    let paths = |of: fn(&Provisioning) -> &[HttpUri]| -> BTreeSet<String> {
        groups.clone().flat_map(of).map(|uri| uri.path().into_owned()).collect()
    };
    let version_paths = paths(|provisioning| slice::from_ref(&provisioning.version_uri.value));
    let notify_paths = paths(|provisioning| slice::from_ref(&provisioning.notify_uri.value));
    let former = |of, now: &BTreeSet<String>| paths(of).difference(now).cloned().collect();
    let formerly = Formerly {
        version_paths: former(|provisioning| &provisioning.formerly.version_uris, &version_paths),
        notify_paths: former(|provisioning| &provisioning.formerly.notify_uris, &notify_paths),
    };
    Site {
        otapress: wire::FORMAT,
        site: fleet.site().as_str().into(),
        version_paths: version_paths.into_iter().collect(),
        notify_paths: notify_paths.into_iter().collect(),
        formerly,
        auth: groups.clone().any(|provisioning| provisioning.auth.is_some()),
        releases: releases
            .values()
            .map(|release| {
                let jar = release.entry.jar();
                wire::Release {
                    version: jar.version_text().into(),
                    path: release.path.as_str().into(),
                    size: jar.size(),
                    sha256: jar.sha256(),
                    suite: suite(jar),
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
fn suite(jar: &Jar) -> wire::Suite {
    wire::Suite {
        vendor: Some(jar.vendor().into()),
        midlet: jar.attribute("MIDlet-1").map(str::to_owned),
        permissions: jar::permissions(jar).map(str::to_owned).collect(),
        signed: false,
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
                    format!("version {} is published with other bytes", release.version),
                )
                .hint("a published version never changes: give the new JAR a new MIDlet-Version")
            })
        })
        .collect()
}
