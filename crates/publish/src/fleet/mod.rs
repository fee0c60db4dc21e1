//! The fleet as the operator declared it, validated: code after this point need not handle bad input.
//!
//! ```text
//! fleet.yaml ─ raw ─► validate ─► Fleet
//! inventory/*.csv ─ inventory ─┘
//! ```
//! Only [`load`] makes a [`Fleet`].

mod channels;
mod data_plan;
mod devices;
mod endpoints;
mod formerly;
mod groups;
mod harm;
mod identity;
pub(crate) mod inventory;
mod inventory_files;
mod keep;
pub mod keys;
mod limits;
mod load;
mod midlet;
mod modem;
mod names;
mod overrides;
mod provisioning;
mod pushed;
pub mod raw;
mod raw_device;
mod reader;
mod scalars;
pub mod schema;
mod secrets;
mod settings_sets;
mod signing;
mod site;
mod suite_rules;
mod unproven;
pub mod uri;
mod usage;
mod validate;
mod waves;
mod withdrawn;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use data_plan::DataPlan;
pub use formerly::Formerly;
pub(crate) use harm::MUCH;
pub use limits::Limits;
pub use load::{Loaded, load, load_within, parse};
pub use provisioning::Provisioning;
pub use raw_device::Override;
pub use scalars::{BasisPoints, duration, per_hour};
pub use withdrawn::Withdrawal;

use crate::catalog::{Catalog, Entry};
use crate::diag::Span;
use crate::files::Reach;
use crate::password::{self, PasswordError};
use crate::signing::Signing;
use crate::traffic::Usage;
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_core::wire::{After, Brake, Limit, Setting, Window};

/// A fleet without mistakes.
#[derive(Clone, Debug)]
pub struct Fleet {
    file: PathBuf,
    name: Option<String>,
    site: uri::Site,
    midlet: Midlet,
    channels: Vec<Channel>,
    groups: Vec<Group>,
    settings: Vec<EffectiveSettings>,
    devices: Vec<Device>,
    limits: Limits,
    keep: BTreeSet<String>,
    reach: Reach,
    withdrawn: BTreeMap<Version, Withdrawal>,
    /// How the manifests spell the releases.
    spellings: BTreeMap<Version, String>,
    secret_files: BTreeSet<PathBuf>,
    data_plan: Option<DataPlan>,
    usage: Usage,
}

impl Fleet {
    /// The path of fleet.yaml.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The heading of reports.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.site.uri().host())
    }

    /// The directory of fleet.yaml, to which the paths in it are relative.
    pub fn dir(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Where the files that it names may lie.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The URL under which out/ is served.
    pub fn site(&self) -> &uri::Site {
        &self.site
    }

    /// The MIDlet suite.
    pub fn midlet(&self) -> &Midlet {
        &self.midlet
    }

    /// How long what the modem is told may be before there is a warning.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What the devices' traffic costs, if the fleet says so.
    pub fn data_plan(&self) -> Option<&DataPlan> {
        self.data_plan.as_ref()
    }

    /// How the devices are used.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The files of pushed secrets, which a build depends on; relative to the directory of fleet.yaml.
    pub fn secret_files(&self) -> &BTreeSet<PathBuf> {
        &self.secret_files
    }

    /// The password in a file that the fleet file names. It may lie anywhere if its path is absolute: secrets
    /// are mounted.
    ///
    /// # Errors
    /// If the file cannot be read or does not hold exactly one line.
    pub fn password(&self, file: &Path) -> Result<String, PasswordError> {
        password::within(self.dir(), &self.reach, file)
    }

    /// The names of hidden files and directories that a host may put into out/.
    pub fn keep(&self) -> &BTreeSet<String> {
        &self.keep
    }

    /// Every channel, by name.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Every group; the first is that of the devices without one.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Every device, by clientID.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device of a clientID or, else, of an IMEI.
    pub fn find(&self, name: &str) -> Option<&Device> {
        let by_id = self.devices.binary_search_by(|device| device.client_id.as_str().cmp(name));
        let imei = name.parse::<Imei>();
        match by_id {
            Ok(index) => self.devices.get(index),
            Err(_) => self.devices.iter().find(|device| Ok(device.imei) == imei),
        }
    }

    /// The releases that nobody is to be sent again.
    pub fn withdrawn(&self) -> &BTreeMap<Version, Withdrawal> {
        &self.withdrawn
    }

    /// How often a device asks, in seconds.
    pub fn version_interval(&self, device: &Device) -> u32 {
        // A pushed interval is that of the provisioning.
        self.group(device).provisioning.version_interval.value
    }

    /// A release as its manifest spells it; as in fleet.yaml before the JARs are known.
    pub fn spelling(&self, release: Version) -> Cow<'_, str> {
        self.spellings.get(&release).map_or_else(|| release.to_string().into(), |text| text.into())
    }

    /// Takes over how manifests spell their versions.
    pub(crate) fn spell(&mut self, catalog: &Catalog) {
        let spelling = |entry: &Entry| (entry.jar().version(), entry.jar().version_text().to_owned());
        self.spellings = catalog.entries().map(spelling).collect();
        for n in 0..self.channels.len() {
            self.channels[n].spelling = self.spelling(self.channels[n].release.value).into_owned();
        }
    }

    /// The group of a device.
    pub fn group(&self, device: &Device) -> &Group {
        &self.groups[usize::from(device.group.0)]
    }

    /// The channel of a device: its own, else its group's, else the default one.
    pub fn channel(&self, device: &Device) -> Option<&Channel> {
        self.channel_index(device).map(|index| self.channel_at(index))
    }

    /// The channel at a place that this fleet gave.
    pub fn channel_at(&self, index: ChannelIndex) -> &Channel {
        &self.channels[usize::from(index.0)]
    }

    /// The place of that channel.
    pub fn channel_index(&self, device: &Device) -> Option<ChannelIndex> {
        device.channel.or(self.group(device).channel)
    }

    /// What the fleet wants to be set on a device.
    pub fn settings(&self, device: &Device) -> &EffectiveSettings {
        &self.settings[device.settings.0 as usize]
    }
}

/// The MIDlet suite that the fleet runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Midlet {
    /// MIDlet-Name of every JAR.
    pub name: String,
    /// MIDlet-Vendor of every JAR.
    pub vendor: String,
    /// The directory of the JARs, relative to that of fleet.yaml.
    pub jars: PathBuf,
    /// The name of the JAD template.
    pub template: String,
    /// Where the template is named, or the MIDlet.
    pub template_span: Span,
    /// What its JARs are judged by.
    pub rules: crate::jar::Rules,
    /// Its name or vendor may differ from what is published.
    pub renamed: bool,
    /// How it is signed, if it is.
    pub signing: Option<Signing>,
}

impl Midlet {
    /// What every JAR must be.
    pub fn suite(&self) -> crate::catalog::Suite<'_> {
        crate::catalog::Suite {
            name: &self.name,
            vendor: &self.vendor,
            rules: &self.rules,
            signing: self.signing.as_ref(),
        }
    }
}

/// The place of a channel in [`Fleet::channels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelIndex(u16);

impl ChannelIndex {
    /// The place of the channel that is the `n`th of [`Fleet::channels`].
    pub(crate) fn nth(n: usize) -> Self {
        ChannelIndex(u16::try_from(n).expect("a fleet has fewer than 65,536 channels"))
    }
}

/// The place of a group in [`Fleet::groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(u16);

/// The place of a list of effective settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingsIndex(u32);

/// What the devices of a channel are to run, and how they get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What devices inside the rollout are to run.
    pub release: Spanned<Version>,
    /// What devices outside it are to run, if anything.
    pub otherwise: Option<Spanned<Version>>,
    /// The waves in ascending order; never empty.
    pub waves: Vec<Wave>,
    /// The release as its manifest spells it, once the JARs are known.
    pub spelling: String,
    /// What mixes the devices into buckets, if it is not the rollout's id.
    pub salt: Option<String>,
    /// How many devices may have been sent the release without having proven it.
    pub unproven: Limit,
    /// When in the week upgrades are offered.
    pub window: Option<Spanned<Window>>,
    /// Offers per device and release.
    pub attempts: u32,
    /// When the rollout stops by itself.
    pub brake: Brake,
    /// Devices are not sent back to a lower version.
    pub no_downgrade: bool,
    /// Offers per hour.
    pub rate: Option<u32>,
}

impl Channel {
    /// The id of its rollout, `<channel>/<release>`.
    pub fn rollout(&self) -> String {
        format!("{}/{}", self.name, self.spelling)
    }

    /// What mixes the devices into buckets.
    pub fn salt(&self) -> Cow<'_, str> {
        self.salt.as_deref().map_or_else(|| self.rollout().into(), Cow::Borrowed)
    }

    /// The default of `attempts`.
    pub const ATTEMPTS: u32 = 3;
    /// The default of `brake`.
    pub const BRAKE: Brake = Brake { artifact_faults: 3, failures_bp: 2000, after: 10 };
}

/// From a moment on, so many devices are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// When it opens at the earliest, in seconds since 1970-01-01 UTC.
    pub at: Option<i64>,
    /// What the waves before it must have shown.
    pub after: Option<After>,
    /// How many devices are in.
    pub percent: BasisPoints,
    /// Where it stands.
    pub span: Span,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// Devices with something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; none for the devices without a group.
    pub name: Option<String>,
    /// Its channel, or the default one.
    pub channel: Option<ChannelIndex>,
    /// What is set on its devices.
    pub provisioning: Provisioning,
    /// For people.
    pub comment: Option<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name on MQTT and in URLs.
    pub client_id: ClientId,
    /// Its modem's IMEI.
    pub imei: Imei,
    /// Its group.
    pub group: GroupIndex,
    /// Its own channel.
    pub channel: Option<ChannelIndex>,
    /// The version that it is pinned to.
    pub release: Option<Spanned<Version>>,
    /// Neither upgrades nor settings.
    pub hold: bool,
    /// What is to be set on it.
    pub settings: SettingsIndex,
    /// Its tracker ID.
    pub tid: Option<Box<str>>,
    /// For people.
    pub comment: Option<Box<str>>,
    /// Where it is declared.
    pub span: Span,
    /// What fleet.yaml says of it, if an inventory declares it.
    pub overridden: Option<Box<Override>>,
}

/// The settings of all sets that hold for a device; a later set wins over an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveSettings {
    /// Ascending by key.
    pub settings: Vec<Setting>,
    /// The keys that are sent at every check, ascending.
    pub always: Vec<String>,
    /// Names the settings that are sent until they are confirmed.
    pub generation: Option<String>,
}

impl EffectiveSettings {
    fn new(values: &BTreeMap<String, (String, bool)>) -> Self {
        let settings: Vec<_> =
            values.iter().map(|(key, (val, _))| Setting { key: key.clone(), val: val.clone() }).collect();
        let always: Vec<_> =
            values.iter().filter(|(_, (_, always))| *always).map(|(key, _)| key.clone()).collect();
        let generation =
            crate::settings::generation(settings.iter().filter(|setting| !always.contains(&setting.key)));
        EffectiveSettings { settings, always, generation }
    }

    /// The value of a key, if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| setting.val.as_str())
    }
}
