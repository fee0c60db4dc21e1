//! From the sections of fleet.yaml to a [`Fleet`]. Each section goes on after a mistake, so that all of them
//! are found in one run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::devices::{self, Resolved};
use super::groups::{self, GroupDraft};
use super::harm::{self, Parts};
use super::limits::Limits;
use super::modem::too_long;
use super::names::{Names, index, named};
use super::provisioning::Draft;
use super::raw_device::RawDevice;
use super::reader::{Fields, Reader};
use super::secrets::Secrets;
use super::uri::expand;
use super::usage::Used;
use super::withdrawn::Withdrawal;
use super::{
    ChannelIndex, Device, Fleet, Group, GroupIndex, Midlet, Spanned, channels, data_plan, endpoints,
    identity, keep, limits, midlet, pushed, settings_sets, site, withdrawn,
};
use crate::diag::Sources;
use crate::files::Reach;
use otapress_core::version::Version;

/// What could be made of the tree.
#[derive(Default)]
pub(super) struct Validated {
    /// None if a mistake was found.
    pub fleet: Option<Fleet>,
    /// The MIDlet, even then.
    pub midlet: Option<Midlet>,
    /// The directory of the JARs, relative to that of the file, even without a good MIDlet.
    pub jars: Option<PathBuf>,
    /// The releases that are referred to, even then.
    pub releases: Vec<Spanned<Version>>,
    /// The releases that are withdrawn, even then.
    pub withdrawn: BTreeMap<Version, Withdrawal>,
}

/// Builds the fleet from the fields of the file but `devices` and `inventory`, which [`super::load`] has
/// read.
pub(super) fn fleet(
    reader: &mut Reader,
    sources: &Sources,
    (file, reach): (&Path, &Reach),
    secrets: Secrets<'_>,
    mut fields: Fields<'_>,
    raw_devices: Vec<RawDevice>,
) -> Validated {
    let site = fields.take("site").and_then(|node| site::read(reader, node));
    let name = fields.take("name").and_then(|node| reader.text(node, "name"));
    let limits = fields.take("limits").map(|node| limits::read(reader, node)).unwrap_or_default();
    let (data_plan, usage) =
        fields.take("dataPlan").map(|node| data_plan::read(reader, node)).unwrap_or_default();
    let keep = fields.take("keep").map(|node| keep::read(reader, node)).unwrap_or_default();
    let withdrawn = fields.take("withdrawn").map(|node| withdrawn::read(reader, node)).unwrap_or_default();
    let midlet = fields.take("midlet").map(|node| midlet::read(reader, secrets, node)).unwrap_or_default();
    let base = fields.take("provisioning").map(|node| Draft::read_base(reader, node)).unwrap_or_default();
    let (names, channels, group_nodes) = {
        let mut names = Names::default();
        let mut channels = Vec::new();
        for (name, node) in named(reader, fields.take("channels"), "channel") {
            names.channels.insert(name.text.to_string(), ChannelIndex(index(channels.len())));
            let channel = channels::read(reader, &name, node);
            if let Some(channel) = &channel {
                harm::brake(reader, channel);
            }
            channels.push((name, channel));
        }
        for (name, node) in named(reader, fields.take("settings"), "settings set") {
            let set = settings_sets::read(reader, secrets, limits.password, &name, node);
            names.sets.insert(name.text.to_string(), set);
        }
        let group_nodes = named(reader, fields.take("groups"), "group");
        for (i, (name, _)) in group_nodes.iter().enumerate() {
            names.groups.insert(name.text.to_string(), GroupIndex(index(i + 1)));
        }
        (names, channels, group_nodes)
    };
    let default =
        fields.take("default").map(|node| groups::read_default(reader, node, &names)).unwrap_or_default();
    let mut groups = vec![GroupDraft::of_ungrouped(&default)];
    for (name, node) in group_nodes {
        groups.push(groups::read(reader, &name, node, &names, &default));
    }
    let group_sets: Vec<_> = groups.iter().map(|group| [&default.sets[..], &group.sets].concat()).collect();
    let used = Used::of(&raw_devices, &group_sets, &groups);
    let default_group = default.group.unwrap_or(GroupIndex(0));
    let Resolved { devices, settings, origins, releases } =
        devices::resolve(reader, sources, raw_devices, &names, default_group, &group_sets);
    identity::check(reader, sources, &devices);
    used.report_unused(reader, &names, &channels);
    let of_channels = channels.iter().filter_map(|(_, channel)| channel.as_ref());
    let of_channels = of_channels.flat_map(|channel| [Some(channel.release), channel.otherwise]).flatten();
    let releases = of_channels.chain(releases).collect();

    let groups: Vec<_> =
        groups.into_iter().map(|group| group.finish(reader, &base, site.as_ref(), limits, secrets)).collect();
    let groups: Option<Vec<Group>> = groups.into_iter().collect();
    if let Some(groups) = &groups {
        check_expanded_lengths(reader, groups, &devices, limits);
        if let Some(site) = &site {
            endpoints::check(reader, site, groups);
        }
        let per_device = data_plan.as_ref().and_then(|plan| plan.per_device);
        let parts =
            Parts { groups, devices: &devices, settings: &settings, origins: &origins, usage, per_device };
        harm::check(reader, &parts);
        pushed::check(reader, groups, &devices, &origins);
    }
    let files = origins.iter().flat_map(|origins| origins.values()).filter_map(|value| value.file.as_deref());
    let secret_files = files.map(PathBuf::from).collect();
    let channels: Option<_> = channels.into_iter().map(|(_, channel)| channel).collect();
    let fleet = match (site, midlet.midlet.clone(), channels, groups) {
        (Some(site), Some(midlet), Some(channels), Some(groups)) if !reader.has_errors() => Some(Fleet {
            file: file.into(),
            name: name.map(|name| name.text.trim().to_owned()).filter(|name| !name.is_empty()),
            site,
            midlet,
            channels,
            groups,
            settings,
            devices,
            limits,
            keep,
            reach: reach.clone(),
            withdrawn: withdrawn.clone(),
            spellings: BTreeMap::new(),
            secret_files,
            data_plan,
            usage,
        }),
        _ => None,
    };
    Validated { fleet, midlet: midlet.midlet, jars: Some(midlet.jars), releases, withdrawn }
}

/// Warns once per URI about the longest that it becomes.
fn check_expanded_lengths(reader: &mut Reader, groups: &[Group], devices: &[Device], limits: Limits) {
    let mut longest: BTreeMap<GroupIndex, &Device> = BTreeMap::new();
    for device in devices {
        let entry = longest.entry(device.group).or_insert(device);
        if device.client_id.as_str().len() > entry.client_id.as_str().len() {
            *entry = device;
        }
    }
    let mut seen = BTreeSet::new();
    for (group, device) in longest {
        let provisioning = &groups[usize::from(group.0)].provisioning;
        for (uri, name) in [(&provisioning.otap_uri, "otapURI"), (&provisioning.notify_uri, "notifyURI")] {
            let text = expand(uri.value.as_str(), &device.client_id);
            if text.len() > limits.url && seen.insert(uri.span) {
                reader.report(too_long(uri.span, name, &text, limits.url));
            }
        }
    }
}
