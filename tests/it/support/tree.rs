//! Builds a published directory in code, as `otapress build` would.

use std::fs;
use std::path::PathBuf;

use otapress_core::digest::Sha256;
use otapress_core::out::SITE_FILE;
use otapress_core::wire::{
    AnswerFile, Brake, FORMAT, Limit, Offer, Release, Rollout, Setting, Site, Target, Wave,
};
use tempfile::TempDir;

use super::jar::{CLASS, JarBuilder};

/// The URL under which the directory is served.
pub const SITE: &str = "http://ota.example.com";

/// `out/` and `state/` in a temporary directory.
pub struct Tree {
    dir: TempDir,
    site: Site,
}

impl Tree {
    /// A published directory without devices and releases.
    pub fn new() -> Tree {
        let site = Site {
            otapress: FORMAT,
            site: SITE.into(),
            version_paths: vec!["/otap/version".into()],
            notify_paths: vec!["/otap/notify?id=@".into()],
            ..Site::default()
        };
        let tree = Tree { dir: tempfile::tempdir().unwrap(), site };
        fs::create_dir(tree.state()).unwrap();
        tree.write_site();
        tree
    }

    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Writes a file below `out/` by renaming, so that nobody sees half of it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.out().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let temporary = file.with_extension("tmp");
        fs::write(&temporary, content).unwrap();
        fs::rename(temporary, file).unwrap();
    }

    fn write_site(&self) {
        self.write(SITE_FILE, self.site.to_text());
    }

    /// Changes `otapress.json`.
    pub fn change_site(&mut self, change: impl FnOnce(&mut Site)) {
        change(&mut self.site);
        self.write_site();
    }

    /// Publishes a release with a JAR of that version.
    pub fn release(&mut self, version: &str) -> Release {
        let jar = JarBuilder::new("OwnTracks", version, "Choral").build();
        let sha256 = Sha256::of(&jar);
        let release = Release {
            version: version.into(),
            path: format!("jars/{version}/{}/OwnTracks.jar", sha256.short()),
            size: jar.len() as u64,
            sha256,
            suite: Default::default(),
            withdrawn: None,
        };
        self.write(&release.path, jar);
        self.site.releases.push(release.clone());
        let target = target(&release);
        let rollout = Rollout {
            release: version.into(),
            waves: vec![Wave { wave: 10_000, devices: 0, at: None, after: None }],
            unproven: Limit::Unlimited,
            brake: target.brake,
        };
        self.site.rollouts.insert(target.rollout, rollout);
        self.write_site();
        release
    }

    /// Publishes a device's JAD, of that release.
    pub fn jad(&self, client: &str, release: &Release) {
        self.write(&format!("files/{client}/OwnTracks.jad"), jad(release));
    }

    /// Publishes a device's answer file.
    pub fn vc(&self, imei: &str, file: &AnswerFile) {
        self.write(&format!("vc/{imei}.json"), file.to_text());
    }

    /// Makes a device run a release at once: JAD and answer file.
    pub fn offer(&self, client: &str, imei: &str, release: &Release) {
        self.jad(client, release);
        self.vc(imei, &offer(release));
    }
}

/// A descriptor as it is published.
pub fn jad(release: &Release) -> String {
    format!(
        concat!(
            "MIDlet-1: OwnTracks,,{class}\n",
            "MIDlet-Jar-Size: {size}\n",
            "MIDlet-Jar-URL: {site}/{path}\n",
            "MIDlet-Name: OwnTracks\n",
            "MIDlet-Vendor: Choral\n",
            "MIDlet-Version: {version}\n",
            "MicroEdition-Configuration: CLDC-1.1\n",
            "MicroEdition-Profile: IMP-NG\n",
        ),
        class = CLASS,
        size = release.size,
        site = SITE,
        path = release.path,
        version = release.version,
    )
}

/// An answer file that offers a release to everybody at once.
pub fn offer(release: &Release) -> AnswerFile {
    AnswerFile {
        upgrade: 1,
        settings: Vec::new(),
        offer: Offer { target: Some(target(release)), interval: 10800, ..Offer::default() },
    }
}

/// The rollout of a release without any rule but the default ones.
pub fn target(release: &Release) -> Target {
    Target {
        version: release.version.parse().unwrap(),
        rollout: format!("next/{}", release.version),
        channel: Some("next".into()),
        wave: Some(10_000),
        from: None,
        window: None,
        attempts: 3,
        brake: Brake { artifact_faults: 3, failures_bp: 2000, after: 10 },
        no_downgrade: false,
        rate: None,
    }
}

pub fn setting(key: &str, val: &str) -> Setting {
    Setting { key: key.into(), val: val.into() }
}
