//! What a fleet says out/ is to hold, and whether a directory on the way from one release to the next could
//! hurt a device.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use otapress_core::digest::Sha256;
use otapress_core::out::{SITE_FILE, answer_path};
use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Site};
use otapress_publish::files::Reach;
use otapress_publish::jar::Jar;
use otapress_publish::publish::diff::diff;
use otapress_publish::publish::disk::Disk;
use otapress_publish::publish::hashes::Hashes;
use otapress_publish::publish::scan::scan;
use otapress_publish::publish::{PublishError, apply};
use otapress_publish::tree::{Content, Tree};
use otapress_publish::{catalog, fleet, jad, jar, render, resolve, template};

use super::project::{Files, Project};

/// What names of files begin with that nobody is told of.
pub const TEMPORARY: &str = ".otapress-tmp-";

/// A fleet, rendered.
pub struct Release {
    pub tree: Tree,
    pub files: Files,
    /// By the path of the answer.
    devices: BTreeMap<String, Device>,
    /// The tree refers to its JARs.
    _project: Project,
}

struct Device {
    target: Option<Version>,
    jad: String,
}

impl Release {
    /// A fleet without mistakes.
    pub fn of(project: Project) -> Release {
        let dir = &project.path("");
        let reach = Reach::new(&dir.join("fleet.yaml"), &[]);
        let mut loaded = fleet::load(&dir.join("fleet.yaml"));
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        let (fleet, midlet) = (loaded.fleet.unwrap(), loaded.midlet.unwrap());
        let (catalog, wrong) = catalog::load(&reach, &dir.join("jars"), "jars".as_ref(), None);
        assert_eq!(wrong, []);
        let template = template::load(&reach, dir, &midlet, &mut loaded.sources).unwrap();
        let tree = render::render(&fleet, &catalog, &template, &loaded.sources, &mut |_| ()).unwrap().tree;
        let bytes = |content: &Content| match content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::CopyOf { file, .. } => std::fs::read(file).unwrap(),
        };
        let files =
            tree.files().iter().map(|file| (file.path.to_string(), bytes(tree.content(file.content))));
        let device = |device| {
            let target = resolve::assign(&fleet, device).target;
            let jad = render::jad_path(&fleet, device).unwrap().to_string();
            (answer_path(device.imei).to_string(), Device { target, jad })
        };
        let devices = fleet.devices().iter().map(device).collect();
        Release { files: files.collect(), devices, tree, _project: project }
    }

    /// Brings a directory to this release, as `otapress build` does.
    pub fn publish(&self, disk: &dyn Disk, out: &Path) -> Result<(), PublishError> {
        let (existing, hidden) = scan(out, &mut Hashes::default())?;
        hidden.are_kept(out, &BTreeSet::from([KEPT.to_owned()]))?;
        let changes = diff(&self.tree, out, &existing, &mut Hashes::default())?;
        apply::publish(disk, out, &self.tree, &existing, &changes, &|| ())
    }
}

/// What a host has put into out/.
pub const KEPT: &str = ".well-known";

/// Every way in which a device could be hurt by `files`, which are on the way from `before` (if there was
/// anything) to `after`.
pub fn violations(files: &Files, before: Option<&Release>, after: &Release) -> Vec<String> {
    let is_kept = |path: &str| path.starts_with(KEPT);
    // Then the first tree is not renamed into place as a whole.
    let in_place = files.keys().any(|path| is_kept(path));
    let served = files
        .iter()
        .filter(|(path, _)| !is_kept(path) && !path.split('/').any(|name| name.starts_with(TEMPORARY)));
    let served: Files = served.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
    if served.is_empty() && before.is_none() {
        return Vec::new();
    }
    let jars = served.iter().filter(|(path, _)| path.ends_with(".jar"));
    let jars = jars.map(|(path, bytes)| (path.as_str(), (jar::read(bytes), Sha256::of(bytes)))).collect();
    let on_the_way = OnTheWay { files: &served, jars, before, after };
    let mut found = Vec::new();
    for (path, bytes) in &served {
        let fault = match path {
            path if path.ends_with(".jad") => on_the_way.jad(bytes),
            path if path.starts_with("vc/") => on_the_way.answer(path, bytes),
            path if path == SITE_FILE => on_the_way.site(bytes),
            _ => Ok(()),
        };
        found.extend(fault.err().map(|fault| format!("{path}: {fault}")));
        if !on_the_way.versions(path).any(|version| version == bytes) {
            found.push(format!("{path}: is neither what it was nor what it is to be"));
        }
    }
    // What is there before and after is there at every moment; so is everything but what the first build
    // makes.
    let lasting =
        after.files.keys().filter(|path| before.map_or(!in_place, |before| before.files.contains_key(*path)));
    found
        .extend(lasting.filter(|path| !served.contains_key(*path)).map(|path| format!("{path}: is missing")));
    found
}

struct OnTheWay<'a> {
    files: &'a Files,
    jars: BTreeMap<&'a str, (Result<Jar, Vec<jar::Fault>>, Sha256)>,
    before: Option<&'a Release>,
    after: &'a Release,
}

impl OnTheWay<'_> {
    fn releases(&self) -> impl Iterator<Item = &Release> {
        self.before.into_iter().chain([self.after])
    }

    /// What a file is in the two releases.
    fn versions<'b>(&'b self, path: &'b str) -> impl Iterator<Item = &'b Vec<u8>> {
        self.releases().filter_map(move |release| release.files.get(path))
    }

    /// A device installs it without complaint.
    fn jad(&self, bytes: &[u8]) -> Result<(), String> {
        let parsed = jad::parse(bytes).map_err(|faults| format!("{faults:?}"))?;
        let url = parsed.get("MIDlet-Jar-URL").ok_or("names no JAR")?;
        let path = url.strip_prefix("http://ota.example.com/").ok_or("names a JAR elsewhere")?;
        let (jar, sha256) = self.jars.get(path).ok_or_else(|| format!("names {path}, which is missing"))?;
        let jar = jar.as_ref().map_err(|faults| format!("{path}: {faults:?}"))?;
        // Name, version, vendor and size.
        let faults = jad::check(&parsed, jar, url);
        if !faults.is_empty() {
            return Err(format!("{faults:?}"));
        }
        if !path.contains(&sha256.short()) {
            return Err(format!("{path} has another digest"));
        }
        Ok(())
    }

    /// Where it sends the device there is a JAD of the version that it promises, or already the next one.
    fn answer(&self, path: &str, bytes: &[u8]) -> Result<(), String> {
        let answer = AnswerFile::parse(bytes).map_err(|error| error.to_string())?;
        let Some(target) = answer.offer.target else { return Ok(()) };
        let is_old = self.before.is_some_and(|before| before.files.get(path).is_some_and(|old| old == bytes));
        let good = |device: &Device| {
            let version = self
                .files
                .get(&device.jad)
                .and_then(|bytes| jad::parse(bytes).ok()?.get("MIDlet-Version")?.parse().ok());
            version.is_some_and(|version: Version| {
                version == target.version
                    || (is_old && self.after.devices.get(path).is_some_and(|new| new.target == Some(version)))
            })
        };
        let mut devices = self
            .releases()
            .filter(|release| is_old || std::ptr::eq(*release, self.after))
            .filter_map(|release| release.devices.get(path));
        if devices.any(good) { Ok(()) } else { Err(format!("there is no JAD of {}", target.version)) }
    }

    fn site(&self, bytes: &[u8]) -> Result<(), String> {
        let site = Site::parse(bytes).map_err(|error| error.to_string())?;
        for release in site.releases {
            let bytes =
                self.files.get(&release.path).ok_or_else(|| format!("{} is missing", release.path))?;
            if (bytes.len() as u64, Sha256::of(bytes)) != (release.size, release.sha256) {
                return Err(format!("{} has other bytes", release.path));
            }
        }
        Ok(())
    }
}
