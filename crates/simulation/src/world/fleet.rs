//! The operator's fleet file, and what is done to it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::jars::{VERSIONS, write_all};
use crate::Prng;
use crate::published::Published;
use otapress_core::digest::Sha256;
use otapress_core::id::Imei;
use otapress_core::out_path::OutPath;
use otapress_publish::catalog::{self, Catalog};
use otapress_publish::files::Reach;
use otapress_publish::fleet::{self, Fleet};
use otapress_publish::jar::{self, Fault as JarFault, Jar};
use otapress_publish::release_checks;
use otapress_publish::render;
use otapress_publish::template;

/// Seconds between two checks of a device.
pub(super) const INTERVAL: i64 = 10_800;

/// A device's entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub is_there: bool,
    pub pin: Option<&'static str>,
    pub hold: bool,
    pub group: usize,
}

/// What stands in fleet.yaml.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub release: &'static str,
    pub otherwise: Option<&'static str>,
    pub stable: &'static str,
    /// Percentages, each with its time, or with the success that it waits for.
    pub waves: Vec<(u32, Opening)>,
    pub least: u32,
    pub attempts: u32,
    pub failures: u32,
    pub rate: Option<u32>,
    pub has_window: bool,
    pub no_downgrade: bool,
    /// How often each set of settings was changed.
    pub settings: [u32; 2],
    /// How often the URIs were moved.
    pub moves: u32,
    pub withdrawn: Vec<&'static str>,
    pub entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Opening {
    At(i64),
    After(u32),
}

/// Builds fleets of one catalog.
#[derive(Debug)]
pub(super) struct Press {
    catalog: Catalog,
    dir: tempfile::TempDir,
    jars: RefCell<BTreeMap<Sha256, Arc<[u8]>>>,
    /// JARs as devices read them, by their path: that has their digest.
    read: RefCell<BTreeMap<OutPath, Arc<Jar>>>,
}

/// What was built.
#[derive(Debug)]
pub(super) struct Built {
    pub fleet: Fleet,
    pub files: Published,
}

impl Press {
    #[expect(clippy::disallowed_methods, reason = "the temporary directory of a simulation")]
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for JARs");
        write_all(dir.path()).expect("the JARs can be written");
        let reach = Reach::new(&dir.path().join("fleet.yaml"), &[]);
        let (catalog, wrong) = catalog::load(&reach, dir.path(), dir.path(), None);
        assert!(wrong.iter().all(|found| !found.is_error()), "{wrong:?}");
        Press { catalog, dir, jars: RefCell::default(), read: RefCell::default() }
    }

    /// Reads a JAR that was fetched from that path. One that is whole is read once.
    pub(super) fn read_jar(&self, path: OutPath, bytes: &[u8]) -> Result<Arc<Jar>, Vec<JarFault>> {
        let known = self.read.borrow().get(&path).cloned();
        if let Some(jar) = known.filter(|jar| jar.size() == bytes.len() as u64) {
            return Ok(jar);
        }
        let jar = Arc::new(jar::read(bytes)?);
        self.read.borrow_mut().insert(path, jar.clone());
        Ok(jar)
    }

    /// The size of the longest JAR.
    pub(super) fn longest_jar(&self) -> u64 {
        self.catalog.entries().map(|release| release.jar().size()).max().unwrap_or_default()
    }

    /// Builds, or says why there is nothing to publish.
    pub(super) fn build(&self, plan: &Plan) -> Result<Built, String> {
        let mut loaded = fleet::parse(plan.to_yaml(), None);
        release_checks::check(&mut loaded, &self.catalog);
        let found = |found: &[otapress_publish::diag::Diagnostic]| {
            let errors = found.iter().filter(|found| found.is_error());
            errors.map(|found| found.message.clone()).collect::<Vec<_>>().join("; ")
        };
        let (Some(fleet), false) = (loaded.fleet.take(), loaded.has_errors()) else {
            return Err(found(&loaded.diagnostics));
        };
        let reach = Reach::new(&self.dir.path().join("fleet.yaml"), &[]);
        let template = template::load(&reach, self.dir.path(), fleet.midlet(), &mut loaded.sources)
            .map_err(|wrong| wrong.message)?;
        let rendered = render::render(&fleet, &self.catalog, &template, &loaded.sources, &mut |_| {})
            .map_err(|wrong| found(&wrong))?;
        let files = Published::with_known(&rendered.tree, &mut self.jars.borrow_mut())
            .map_err(|error| error.to_string())?;
        Ok(Built { fleet, files })
    }
}

/// The IMEI of a device.
pub(super) fn imei(n: usize) -> Imei {
    format!("35{n:012}").parse().expect("14 digits")
}

/// What the operator may do.
const EDITS: u64 = 17;

impl Plan {
    pub(super) fn new(devices: usize) -> Self {
        let entry = |n: usize| Entry { is_there: true, group: n % 5 % 3, ..Entry::default() };
        Plan {
            release: "0.10.65",
            otherwise: None,
            stable: "0.10.65",
            waves: vec![],
            least: 3,
            attempts: 3,
            failures: 20,
            rate: None,
            has_window: false,
            no_downgrade: false,
            settings: [1, 1],
            moves: 0,
            withdrawn: vec![],
            entries: (0..devices).map(entry).collect(),
        }
    }

    /// One change of a seed's choice. Returns what it was.
    pub(super) fn edit(&mut self, prng: &mut Prng, now: i64) -> &'static str {
        let n = prng.below(self.entries.len() as u64) as usize;
        let version = VERSIONS[2 + prng.below(VERSIONS.len() as u64 - 2) as usize];
        match prng.below(EDITS) {
            0..=2 => {
                self.otherwise = (prng.below(3) > 0).then_some(self.stable);
                self.release = version;
                "release"
            }
            3 => {
                (self.release, self.otherwise) = (self.stable, None);
                "rollback"
            }
            4 => {
                self.stable = self.release;
                "stable"
            }
            5 | 6 => {
                let later = |hours: i64| Opening::At(now / 60 * 60 + hours * 3600);
                self.waves = match prng.below(5) {
                    0 => vec![],
                    1 => vec![(20, later(1)), (60, later(24)), (100, later(48))],
                    2 => vec![(20, later(0)), (60, Opening::After(80)), (100, Opening::After(90))],
                    3 => vec![(30, Opening::At(now / 60 * 60)), (100, Opening::After(50))],
                    _ => vec![(40, Opening::At(now / 60 * 60))],
                };
                "waves"
            }
            7 => {
                self.entries[n].pin = (prng.below(2) == 0).then_some(version);
                "pin"
            }
            8 => {
                self.entries[n].hold ^= true;
                "hold"
            }
            9 => {
                self.entries[n].group = prng.below(3) as usize;
                "group"
            }
            10 => {
                self.settings[prng.below(2) as usize] += 1;
                "settings"
            }
            11 => {
                self.moves += 1;
                "move"
            }
            12 => {
                self.least = [1, 3, 3, 10][prng.below(4) as usize];
                self.attempts = 1 + prng.below(3) as u32;
                "limits"
            }
            13 => {
                self.rate = [None, None, Some(2), Some(20)][prng.below(4) as usize];
                "rate"
            }
            14 => {
                self.has_window ^= true;
                self.no_downgrade = prng.below(4) == 0;
                "window"
            }
            15 => {
                // What is withdrawn is not named any more; a late copy still does.
                self.withdrawn = if prng.below(4) > 0 && self.release != self.stable {
                    vec![std::mem::replace(&mut self.release, self.stable)]
                } else {
                    vec![]
                };
                let is_withdrawn = |pin: &&str| self.withdrawn.contains(pin);
                self.entries
                    .iter_mut()
                    .for_each(|entry| entry.pin = entry.pin.filter(|pin| !is_withdrawn(pin)));
                "withdrawn"
            }
            _ => {
                self.entries[n].is_there ^= true;
                "device"
            }
        }
    }

    /// Everybody at once, for the end of a history.
    pub(super) fn settle(&mut self, release: &'static str) {
        (self.release, self.stable, self.otherwise) = (release, release, None);
        (self.waves, self.rate, self.has_window, self.no_downgrade) = (vec![], None, false, false);
        (self.least, self.attempts, self.withdrawn) = (3, 3, vec![]);
        self.entries.iter_mut().for_each(|entry| (entry.pin, entry.hold) = (None, false));
    }

    fn to_yaml(&self) -> String {
        let mut text = String::from("site: http://ota.example.com\nprovisioning:\n");
        let path = |n: u32| if n == 0 { String::new() } else { format!("{n}/") };
        let uris = |n| {
            let at = path(n);
            (
                format!("http://ota.example.com/{at}files/@/OwnTracks.jad"),
                format!("http://ota.example.com/{at}otap/version"),
                format!("http://ota.example.com/{at}otap/notify?id=@"),
            )
        };
        let (otap, version, notify) = uris(self.moves);
        let _ = writeln!(text, "  otapURI: {otap}\n  versionURI: {version}\n  notifyURI: {notify}");
        let _ = writeln!(text, "  versionInterval: {INTERVAL}\n  apn: internet");
        if self.moves > 0 {
            let former: Vec<_> = (0..self.moves).map(uris).collect();
            let list = |of: fn(&(String, String, String)) -> &String| {
                former.iter().map(|uris| format!("\"{}\"", of(uris))).collect::<Vec<_>>().join(", ")
            };
            let _ = writeln!(text, "  formerly:\n    otapURI: [{}]", list(|uris| &uris.0));
            let _ =
                writeln!(text, "    versionURI: [{}]\n    notifyURI: [{}]", list(|u| &u.1), list(|u| &u.2));
        }
        text += "midlet: { name: OwnTracks, vendor: Choral, jars: jars }\n";
        for (n, version) in self.withdrawn.iter().enumerate() {
            let head = if n == 0 { "withdrawn:\n" } else { "" };
            let _ = writeln!(text, "{head}  {version}: it was bad");
        }
        let _ =
            writeln!(text, "channels:\n  stable: {}\n  next:\n    release: {}", self.stable, self.release);
        if let Some(otherwise) = self.otherwise {
            let _ = writeln!(text, "    otherwise: {otherwise}");
        }
        for (n, (percent, opening)) in self.waves.iter().enumerate() {
            let head = if n == 0 { "    rollout:\n" } else { "" };
            let opening = match opening {
                Opening::At(at) => format!("at: {}", moment(*at)),
                Opening::After(success) => format!("after: {{ success: {success}%, soak: 1h }}"),
            };
            let _ = writeln!(text, "{head}      - {{ percent: {percent}%, {opening} }}");
        }
        let _ = writeln!(
            text,
            "    unproven: {{ least: {}, share: 10% }}\n    attempts: {}",
            self.least, self.attempts
        );
        let _ = writeln!(text, "    brake: {{ artifactFaults: 3, failures: {}%, after: 10 }}", self.failures);
        if let Some(rate) = self.rate {
            let _ = writeln!(text, "    rate: {rate}/h");
        }
        if self.has_window {
            text += "    window: { days: [mon, tue, wed, thu, fri], from: \"02:00\", minutes: 600 }\n";
        }
        if self.no_downgrade {
            text += "    downgrade: deny\n";
        }
        let _ = writeln!(text, "settings:\n  quiet: {{ keepAlive: \"3{:02}\" }}", self.settings[0] % 100);
        let _ = writeln!(
            text,
            "  fast: {{ minInterval: \"7{:02}\", maxInterval: \"20\" }}",
            self.settings[1] % 100
        );
        text += "  leash: { values: { minDistance: \"90\" }, enforce: always }\n";
        text += "  moved:\n    allow: [otapURI, versionURI, notifyURI]\n    values:\n";
        let _ =
            writeln!(text, "      otapURI: {otap}\n      notifyURI: {notify}\n      versionURI: {version}");
        text += "default: { channel: stable, settings: [moved] }\ngroups:\n";
        text += "  couriers: { channel: next, settings: [moved, quiet] }\n";
        text += "  vans: { channel: next, settings: [moved, fast, leash] }\ndevices:\n";
        for (n, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.is_there) {
            let mut fields = format!("imei: \"{}\"", imei(n));
            let group = [", group: couriers", ", group: vans", ""][entry.group];
            fields += group;
            if let Some(pin) = entry.pin {
                let _ = write!(fields, ", release: {pin}");
            }
            if entry.hold {
                fields += ", hold: true";
            }
            let _ = writeln!(text, "  dev{n}: {{ {fields} }}");
        }
        text
    }
}

/// A moment as in RFC 3339 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn moment(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The settings that a device is to have in the end.
pub(super) fn wanted(plan: &Plan, n: usize) -> BTreeMap<&'static str, String> {
    let mut wanted = BTreeMap::new();
    match plan.entries[n].group {
        0 => drop(wanted.insert("keepAlive", format!("3{:02}", plan.settings[0] % 100))),
        1 => {
            wanted.insert("minInterval", format!("7{:02}", plan.settings[1] % 100));
            wanted.insert("maxInterval", "20".to_owned());
        }
        _ => {}
    }
    wanted
}
