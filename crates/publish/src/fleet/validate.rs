//! From the tree of fleet.yaml to a [`Fleet`]: one function for each section, and every one goes on after a mistake, so that
//! all of them are found in one run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::devices::{self, Names, Resolved};
use super::provisioning::{self, Draft, Limits};
use super::raw::{Node, Text, Top, Value};
use super::reader::Reader;
use super::scalars::{BasisPoints, is_name, minute_of_day, per_hour};
use super::uri::{HttpUri, Site, expand};
use super::written::RawDevice;
use super::{
    Channel, ChannelIndex, Device, EffectiveSettings, Fleet, Group, GroupIndex, Midlet, Spanned, Wave, keys,
    settings_sets,
};
use crate::diag::{Code, Diagnostic, Sources, Span};
use otapress_core::version::Version;
use otapress_core::wire::{Brake, Day, Window};

/// The template that is built in.
const DEFAULT_TEMPLATE: &str = "OwnTracks.jad";

/// Where the JARs are unless the file says otherwise.
const DEFAULT_JARS: &str = "jars";

/// What could be made of the tree.
#[derive(Default)]
pub(super) struct Validated {
    /// The fleet; none if a mistake was found.
    pub fleet: Option<Fleet>,
    /// The MIDlet, even then.
    pub midlet: Option<Midlet>,
    /// The directory of the JARs, relative to that of the file, even without a good MIDlet.
    pub jars: Option<PathBuf>,
    /// The releases that are referred to, even then.
    pub releases: Vec<Spanned<Version>>,
}

/// Builds the fleet.
pub(super) fn fleet(
    reader: &mut Reader,
    sources: &Sources,
    file: &Path,
    top: Top,
    start: Span,
    raw_devices: Vec<RawDevice>,
) -> Validated {
    let mut validated = Validated::default();
    let fleet = sections(reader, sources, file, top, start, raw_devices, &mut validated);
    Validated { fleet, ..validated }
}

fn sections(
    reader: &mut Reader,
    sources: &Sources,
    file: &Path,
    top: Top,
    start: Span,
    raw_devices: Vec<RawDevice>,
    validated: &mut Validated,
) -> Option<Fleet> {
    let node = Node { span: start, value: Value::Map(top.entries) };
    let mut fields = reader.fields(node, keys::TOP, "the fleet", start)?;
    let site = fields.take("site").and_then(|node| site(reader, node));
    let limits = fields.take("limits").map(|node| limits(reader, node)).unwrap_or_default();
    let keep = fields.take("keep").map(|node| super::keep::read(reader, node)).unwrap_or_default();
    let jars = validated.jars.insert(PathBuf::from(DEFAULT_JARS));
    let midlet = fields.take("midlet").and_then(|node| midlet(reader, node, jars));
    let provisioning_node = fields.take("provisioning");
    let provisioning_at = provisioning_node.as_ref().map_or(start, |node| node.span);
    let base = provisioning_node.map(|node| {
        let draft = Draft::read(reader, node, provisioning_at);
        draft.require(reader, provisioning_at);
        draft
    });

    let mut names = Names::default();
    let mut channels = Vec::new();
    for (name, node) in named(reader, fields.take("channels"), "channel") {
        names.channels.insert(name.text.to_string(), ChannelIndex(index(channels.len())));
        channels.push((name.clone(), channel(reader, &name, node)));
    }
    for (name, node) in named(reader, fields.take("settings"), "settings set") {
        let set = settings_sets::read(reader, &name, node);
        names.sets.insert(name.text.to_string(), set);
    }
    let group_nodes = named(reader, fields.take("groups"), "group");
    for (i, (name, _)) in group_nodes.iter().enumerate() {
        names.groups.insert(name.text.to_string(), GroupIndex(index(i + 1)));
    }
    let default = fields.take("default").map(|node| default(reader, node, &names)).unwrap_or_default();
    check_devices_node(reader, fields.take("devices"));
    // `load` has read the files; here remains to say what is no list of patterns.
    if let Some(node) = fields.take("inventory") {
        reader.texts(node, "file names");
    }

    let mut groups = vec![GroupDraft { channel: default.channel, ..GroupDraft::default() }];
    for (name, node) in group_nodes {
        groups.push(group(reader, &name, node, &names, &default));
    }
    let group_sets: Vec<_> = groups.iter().map(|group| [&default.sets[..], &group.sets].concat()).collect();
    let used = Used::of(&raw_devices, &group_sets, &groups);
    let Resolved { devices, settings, releases } = devices::resolve(
        reader,
        sources,
        raw_devices,
        &names,
        default.group.unwrap_or(GroupIndex(0)),
        &group_sets,
    );
    used.report_unused(reader, &names, &channels);

    validated.midlet.clone_from(&midlet);
    let of_channels = channels.iter().filter_map(|(_, channel)| channel.as_ref());
    validated.releases =
        of_channels.flat_map(|channel| [Some(channel.release), channel.otherwise]).flatten().collect();
    validated.releases.extend(releases);

    let base = base.unwrap_or_default();
    let groups: Vec<_> =
        groups.into_iter().map(|group| group.finish(reader, &base, site.as_ref(), limits)).collect();
    let groups: Vec<Group> = groups.into_iter().collect::<Option<_>>()?;
    let site = site?;
    check_expanded_lengths(reader, &groups, &devices, limits);
    let channels = channels.into_iter().map(|(_, channel)| channel).collect::<Option<_>>()?;
    let midlet = midlet?;
    let failed = reader.found.iter().any(Diagnostic::is_error);
    (!failed).then(|| Fleet {
        file: file.into(),
        site,
        midlet,
        channels,
        groups,
        settings,
        devices,
        limits,
        keep,
    })
}

fn index(n: usize) -> u16 {
    u16::try_from(n).expect("the reader bounds the number of names")
}

/// The entries of a mapping from names, by name.
fn named(reader: &mut Reader, node: Option<Node>, what: &str) -> Vec<(Text, Node)> {
    let Some(node) = node else { return Vec::new() };
    let at = node.span;
    let mut entries = reader.entries(node, &format!("the {what}s"), at).unwrap_or_default();
    entries.retain(|(name, _)| {
        let good = is_name(&name.text);
        if !good {
            reader.bad_value(name, &format!("the name of a {what}"), "1 to 64 of `A-Z a-z 0-9 . _ -`");
        }
        good
    });
    if let Some((name, _)) = entries.get(usize::from(u16::MAX) - 1) {
        let message = format!("there are more than {} {what}s", u16::MAX - 1);
        reader.report(
            Diagnostic::new(Code::BadValue, name.span, message).hint("use inventories and fewer names"),
        );
        entries.truncate(usize::from(u16::MAX) - 1);
    }
    entries.sort_by(|(a, _), (b, _)| a.text.cmp(&b.text));
    entries
}

fn site(reader: &mut Reader, node: Node) -> Option<Site> {
    let text = reader.text(node, "`site`")?;
    let uri = HttpUri::parse(&text.text).map_err(|error| error.to_string());
    let site =
        uri.and_then(|uri| Site::new(&uri).ok_or_else(|| "no query and no `@` can stand in it".into()));
    match site {
        Ok(site) => {
            if site.uri().is_private() {
                reader.report(
                    Diagnostic::new(
                        Code::PrivateHost,
                        text.span,
                        format!("devices may not find `{}`: their modem asks the DNS server 8.8.8.8", site.uri().host()),
                    )
                    .hint("use a host name that public DNS knows, unless the devices are in a network of your own"),
                );
            }
            Some(site)
        }
        Err(hint) => {
            reader.report(
                Diagnostic::new(Code::BadUri, text.span, format!("`{}` is not good for `site`", text.text))
                    .hint(hint),
            );
            None
        }
    }
}

fn limits(reader: &mut Reader, node: Node) -> Limits {
    let mut limits = Limits::default();
    let at = node.span;
    if let Some(mut fields) = reader.fields(node, keys::LIMITS, "`limits`", at) {
        let Limits { url, user, password, apn } = &mut limits;
        for (name, limit) in [("url", url), ("user", user), ("password", password), ("apn", apn)] {
            let number =
                fields.take(name).and_then(|node| reader.number(node, &format!("`{name}`"), 1, 1000));
            *limit = number.map_or(*limit, |number| number as usize);
        }
    }
    limits
}

/// Sets `jars` as soon as that is known: the JARs are looked at whatever else is wrong.
fn midlet(reader: &mut Reader, node: Node, jars_dir: &mut PathBuf) -> Option<Midlet> {
    let at = node.span;
    let mut fields = reader.fields(node, keys::MIDLET, "`midlet`", at)?;
    let mut text = |name: &str| fields.take(name).and_then(|node| reader.text(node, &format!("`{name}`")));
    let (name, vendor, jars, template) = (text("name"), text("vendor"), text("jars"), text("template"));
    if let Some(jars) = jars {
        *jars_dir = PathBuf::from(&*jars.text);
    }
    let name = name?;
    if name.text.parse::<otapress_core::out_path::OutPath>().is_err()
        || name.text.contains('/')
        || name.text.starts_with('.')
    {
        reader.bad_value(
            &name,
            "`name`",
            "a name that can be a file name in a URL: the JAR is published as `<name>.jar`",
        );
    }
    if let Some(template) = &template
        && !matches!(Path::new(&*template.text).components().collect::<Vec<_>>()[..], [Component::Normal(_)])
    {
        reader.bad_value(template, "`template`", "the name of a file in templates/");
    }
    Some(Midlet {
        jars: jars_dir.clone(),
        template_span: template.as_ref().unwrap_or(&name).span,
        template: template.map_or_else(|| DEFAULT_TEMPLATE.into(), |text| text.text.into()),
        name: name.text.into(),
        vendor: vendor?.text.into(),
    })
}

fn version(reader: &mut Reader, node: Node) -> Option<Spanned<Version>> {
    let (value, span) = reader.parsed(node, "a version", Code::BadVersion)?;
    Some(Spanned { value, span })
}

fn channel(reader: &mut Reader, name: &Text, node: Node) -> Option<Channel> {
    if &*name.text == "pin" {
        reader.bad_value(
            name,
            "the name of a channel",
            "another name: rollouts of pinned devices are called `pin/…`",
        );
    }
    let short = matches!(node.value, Value::Scalar(_));
    let mut fields = if short {
        None
    } else {
        Some(reader.fields(node.clone(), keys::CHANNEL, &format!("channel `{}`", name.text), name.span)?)
    };
    let release_node = match &mut fields {
        None => Some(node),
        Some(fields) => fields.take("release"),
    };
    let mut take = |name: &str| fields.as_mut().and_then(|fields| fields.take(name));
    let release = release_node.and_then(|node| version(reader, node));
    let otherwise = take("otherwise").map(|node| version(reader, node));
    let waves = take("rollout").map_or_else(
        || Some(vec![Wave { at: None, percent: BasisPoints::ALL }]),
        |node| rollout(reader, node),
    );
    let salt = take("salt").and_then(|node| reader.text(node, "`salt`"));
    let window = take("window").map(|node| window(reader, node));
    let attempts = take("attempts").and_then(|node| reader.number(node, "`attempts`", 1, 100));
    let brake = take("brake").map_or(Channel::BRAKE, |node| brake(reader, node));
    let downgrade = take("downgrade").and_then(|node| reader.one_of(node, "`downgrade`", &["allow", "deny"]));
    let rate = take("rate").and_then(|node| {
        let text = reader.text(node, "`rate`")?;
        let rate = per_hour(&text.text);
        if rate.is_none() {
            reader.bad_value(&text, "`rate`", "offers per hour, such as `500/h`");
        }
        rate
    });
    let release = release?;
    Some(Channel {
        salt: salt.map_or_else(|| format!("{}/{}", name.text, release.value), |text| text.text.into()),
        name: name.text.to_string(),
        release,
        otherwise: match otherwise {
            None => None,
            Some(version) => Some(version?),
        },
        waves: waves?,
        window: match window {
            None => None,
            Some(window) => Some(window?),
        },
        attempts: attempts.unwrap_or(Channel::ATTEMPTS),
        brake,
        no_downgrade: downgrade == Some(1),
        rate,
    })
}

/// A percentage that holds now, or waves that ascend strictly in time and percent.
fn rollout(reader: &mut Reader, node: Node) -> Option<Vec<Wave>> {
    let at = node.span;
    let Value::Seq(items) = node.value else {
        let (percent, _) = reader.parsed(node, "a percentage", Code::BadValue)?;
        return Some(vec![Wave { at: None, percent }]);
    };
    let count = items.len();
    let mut waves: Vec<(Wave, Span)> = Vec::with_capacity(count);
    for item in items {
        let span = item.span;
        waves.extend(wave(reader, item).map(|wave| (wave, span)));
    }
    for pair in waves.windows(2) {
        let ((one, _), (next, span)) = (pair[0], pair[1]);
        if next.at <= one.at || next.percent <= one.percent {
            reader.report(
                Diagnostic::new(Code::BadWaves, span, "the waves do not ascend in time and percent")
                    .hint("each wave opens later than the one before it and takes more devices in"),
            );
        }
    }
    if count == 0 {
        reader.report(
            Diagnostic::new(Code::BadWaves, at, "the rollout has no wave")
                .hint("leave `rollout` out to reach everyone at once"),
        );
    }
    (count > 0 && waves.len() == count).then(|| waves.into_iter().map(|(wave, _)| wave).collect())
}

fn wave(reader: &mut Reader, node: Node) -> Option<Wave> {
    let span = node.span;
    let mut fields = reader.fields(node, keys::WAVE, "a wave", span)?;
    let at = fields.take("at").and_then(|node| {
        let text = reader.text(node, "`at`")?;
        let at = text.text.parse::<jiff::Timestamp>();
        if at.is_err() {
            reader.bad_value(&text, "`at`", "a moment with its time zone, such as `2026-12-01T08:00:00Z`");
        }
        at.ok()
    });
    let percent = fields.take("percent").and_then(|node| reader.parsed(node, "a percentage", Code::BadValue));
    Some(Wave { at: Some(at?.as_second()), percent: percent?.0 })
}

fn window(reader: &mut Reader, node: Node) -> Option<Window> {
    let at = node.span;
    let mut fields = reader.fields(node, keys::WINDOW, "`window`", at)?;
    let names = Day::WEEK.map(Day::as_str);
    let days = fields.take("days").map(|node| {
        let texts = reader.texts(node, "days");
        let mut days = BTreeSet::new();
        for text in &texts {
            match Day::WEEK.into_iter().find(|day| day.as_str() == &*text.text) {
                Some(day) => drop(days.insert(day)),
                None => reader.bad_value(text, "a day", &format!("`{}`", names.join("`, `"))),
            }
        }
        if texts.is_empty() {
            reader.report(
                Diagnostic::new(Code::BadValue, at, "a window without days never opens")
                    .hint("leave `days` out for every day"),
            );
        }
        days.into_iter().collect::<Vec<_>>()
    });
    let from = fields.take("from").and_then(|node| {
        let text = reader.text(node, "`from`")?;
        let minute = minute_of_day(&text.text);
        if minute.is_none() {
            reader.bad_value(&text, "`from`", "a time of day in UTC, such as `\"01:00\"`");
        }
        minute
    });
    let minutes = fields.take("minutes").and_then(|node| reader.number(node, "`minutes`", 1, 1440));
    Some(Window { days: days.unwrap_or_else(|| Day::WEEK.into()), from: from?, minutes: minutes? as u16 })
}

fn brake(reader: &mut Reader, node: Node) -> Brake {
    let mut brake = Channel::BRAKE;
    let at = node.span;
    if let Some(mut fields) = reader.fields(node, keys::BRAKE, "`brake`", at) {
        if let Some(node) = fields.take("artifactFaults") {
            brake.artifact_faults = reader.number(node, "`artifactFaults`", 0, 1_000_000).unwrap_or_default();
        }
        if let Some(node) = fields.take("failures") {
            let percent = reader.parsed::<BasisPoints>(node, "a percentage", Code::BadValue);
            brake.failures_bp = percent.map_or(0, |(percent, _)| percent.get().into());
        }
        if let Some(node) = fields.take("after") {
            brake.after = reader.number(node, "`after`", 1, 1_000_000).unwrap_or_default();
        }
    }
    brake
}

#[derive(Debug, Default)]
struct Defaults {
    channel: Option<ChannelIndex>,
    group: Option<GroupIndex>,
    sets: Vec<String>,
}

fn default(reader: &mut Reader, node: Node, names: &Names) -> Defaults {
    let at = node.span;
    let Some(mut fields) = reader.fields(node, keys::DEFAULT, "`default`", at) else {
        return Defaults::default();
    };
    let channel = fields.take("channel").and_then(|node| reader.text(node, "`channel`"));
    let group = fields.take("group").and_then(|node| reader.text(node, "`group`"));
    let sets = fields.take("settings").map(|node| reader.texts(node, "settings sets")).unwrap_or_default();
    Defaults {
        channel: channel.and_then(|name| names.channel(reader, &name)),
        group: group.and_then(|name| names.group(reader, &name)),
        sets: names.sets(reader, &sets),
    }
}

/// The devices were taken while the file was read; what is left is an empty mapping unless it was something else.
fn check_devices_node(reader: &mut Reader, node: Option<Node>) {
    if let Some(node) = node {
        let at = node.span;
        reader.entries(node, "`devices`", at);
    }
}

#[derive(Debug, Default)]
struct GroupDraft {
    name: Option<String>,
    channel: Option<ChannelIndex>,
    sets: Vec<String>,
    provisioning: Draft,
    comment: Option<String>,
}

fn group(reader: &mut Reader, name: &Text, node: Node, names: &Names, default: &Defaults) -> GroupDraft {
    let what = format!("group `{}`", name.text);
    let mut draft =
        GroupDraft { name: Some(name.text.to_string()), channel: default.channel, ..GroupDraft::default() };
    let Some(mut fields) = reader.fields(node, keys::GROUP, &what, name.span) else { return draft };
    if let Some(channel) = fields.take("channel").and_then(|node| reader.text(node, "`channel`")) {
        draft.channel = names.channel(reader, &channel);
    }
    let sets = fields.take("settings").map(|node| reader.texts(node, "settings sets")).unwrap_or_default();
    draft.sets = names.sets(reader, &sets);
    if let Some(node) = fields.take("provisioning") {
        let at = node.span;
        draft.provisioning = Draft::read(reader, node, at);
    }
    draft.comment =
        fields.take("comment").and_then(|node| reader.text(node, "`comment`")).map(|text| text.text.into());
    draft
}

impl GroupDraft {
    fn finish(self, reader: &mut Reader, base: &Draft, site: Option<&Site>, limits: Limits) -> Option<Group> {
        let before = reader.found.len();
        let provisioning = base.overridden_by(&self.provisioning).finish(reader, site, limits);
        // What is wrong with a value that several groups inherit is said once.
        let new = reader.found.split_off(before);
        for diagnostic in new {
            if !reader.found.contains(&diagnostic) {
                reader.report(diagnostic);
            }
        }
        Some(Group {
            name: self.name,
            channel: self.channel,
            provisioning: provisioning?,
            comment: self.comment,
        })
    }
}

/// Which names are referred to.
struct Used {
    channels: BTreeSet<ChannelIndex>,
    channel_names: BTreeSet<String>,
    sets: BTreeSet<String>,
}

impl Used {
    fn of(devices: &[RawDevice], group_sets: &[Vec<String>], groups: &[GroupDraft]) -> Self {
        let mut used = Used {
            channels: groups.iter().filter_map(|group| group.channel).collect(),
            channel_names: BTreeSet::new(),
            sets: group_sets.iter().flatten().cloned().collect(),
        };
        for more in devices.iter().filter_map(RawDevice::more) {
            for (names, set) in
                [(more.channel.as_slice(), &mut used.channel_names), (&more.settings, &mut used.sets)]
            {
                for name in names.iter().filter(|name| !set.contains(&*name.text)).collect::<Vec<_>>() {
                    set.insert(name.text.to_string());
                }
            }
        }
        used
    }

    fn report_unused(&self, reader: &mut Reader, names: &Names, channels: &[(Text, Option<Channel>)]) {
        for (i, (name, _)) in channels.iter().enumerate() {
            if !self.channels.contains(&ChannelIndex(index(i))) && !self.channel_names.contains(&*name.text) {
                reader.report(
                    Diagnostic::new(
                        Code::Unused,
                        name.span,
                        format!("no device can be in channel `{}`", name.text),
                    )
                    .hint("name it in `default`, a group or a device, or remove it"),
                );
            }
        }
        for (name, set) in &names.sets {
            if !self.sets.contains(name) {
                reader.report(
                    Diagnostic::new(Code::Unused, set.span, format!("settings set `{name}` is used nowhere"))
                        .hint("name it in `default`, a group or a device, or remove it"),
                );
            }
        }
    }
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
                reader.report(provisioning::too_long(uri.span, name, &text, limits.url));
            }
        }
    }
}

impl EffectiveSettings {
    /// How often the device asks, if a setting says so.
    pub fn version_interval(&self) -> Option<u32> {
        self.get("versionInterval").and_then(|value| value.parse().ok())
    }
}
