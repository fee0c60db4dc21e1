//! The devices of fleet.yaml and the inventories, checked against each other and against what they refer to.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use super::names::Names;
use super::raw::Node;
use super::raw_device::{More, RawDevice};
use super::reader::Reader;
use super::settings_sets::SetValue;
use super::{Device, EffectiveSettings, GroupIndex, SettingsIndex, Spanned, keys};
use crate::diag::{Code, Diagnostic, Sources, Span};
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;

/// Reads `devices`; `at` is the key.
pub(super) fn read(reader: &mut Reader, node: Node<'_>, at: Span) -> Vec<RawDevice> {
    let entries = reader.mapping(node, "`devices`", at).unwrap_or_default();
    entries.into_iter().filter_map(|(client_id, device)| raw_device(reader, client_id, device)).collect()
}

fn raw_device(reader: &mut Reader, client_id: Node<'_>, device: Node<'_>) -> Option<RawDevice> {
    let client_id = reader.text(client_id, "a clientID")?;
    let what = format!("device `{}`", client_id.text);
    let mut fields = reader.fields(device, keys::DEVICE, &what, client_id.span)?;
    let mut device = RawDevice::new(client_id);
    for key in keys::DEVICE {
        let Some(node) = fields.take(key.name) else { continue };
        match device.text(key.name) {
            Some(place) => *place = reader.text(node, &format!("`{}`", key.name)),
            None => device.set_settings(reader.texts(node, "settings sets")),
        }
    }
    Some(device)
}

/// The value of each key of a list of settings, with its place.
pub(super) type Origins = BTreeMap<String, SetValue>;

/// Makes one list of settings of each different combination of sets.
#[derive(Debug, Default)]
pub(super) struct SettingsLists {
    pub lists: Vec<EffectiveSettings>,
    /// Where the values of each list come from.
    pub origins: Vec<Origins>,
    by_sets: HashMap<Vec<String>, SettingsIndex>,
}

impl SettingsLists {
    /// The list of these sets, the later winning over the earlier.
    pub(super) fn of(&mut self, names: &Names, sets: Vec<String>) -> SettingsIndex {
        if let Some(&index) = self.by_sets.get(&sets) {
            return index;
        }
        let (mut values, mut origins) = (BTreeMap::new(), Origins::new());
        for set in sets.iter().filter_map(|name| names.sets.get(name)) {
            values.extend(
                set.values.iter().map(|(key, value)| (key.clone(), (value.text.clone(), set.always))),
            );
            origins.extend(set.values.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let index = SettingsIndex(u32::try_from(self.lists.len()).expect("fewer lists than devices"));
        self.lists.push(EffectiveSettings::new(&values));
        self.origins.push(origins);
        self.by_sets.insert(sets, index);
        index
    }
}

/// Checks the devices and sorts them by clientID. `group_sets` are the settings sets of each group, those of
/// `default` included.
pub(super) fn resolve(
    reader: &mut Reader,
    sources: &Sources,
    raws: Vec<RawDevice>,
    names: &Names,
    default_group: GroupIndex,
    group_sets: &[Vec<String>],
) -> Resolved {
    let mut lists = SettingsLists::default();
    let mut resolved = Resolved { devices: Vec::with_capacity(raws.len()), ..Resolved::default() };
    let mut rejected = Vec::new();
    for raw in raws {
        let result = device(reader, raw, names, default_group, |group, own| {
            let sets = [&group_sets[usize::from(group.0)][..], own].concat();
            lists.of(names, sets)
        });
        match result {
            Ok(device) => resolved.devices.push(device),
            Err(rest) => rejected.push(rest),
        }
    }
    resolved.devices.sort_by(|a, b| (&a.client_id, a.span).cmp(&(&b.client_id, b.span)));
    let devices = &resolved.devices;
    let ids = devices.iter().map(|device| (&device.client_id, device.span));
    let rejected_ids = rejected.iter().filter_map(|rest| Some((rest.client_id.as_ref()?, rest.span)));
    unique(reader, sources, ids.chain(rejected_ids), "clientID", Code::DuplicateDevice);
    let imeis = devices.iter().map(|device| (&device.imei, device.span));
    let rejected_imeis = rejected.iter().filter_map(|rest| Some((rest.imei.as_ref()?, rest.span)));
    unique(reader, sources, imeis.chain(rejected_imeis), "IMEI", Code::DuplicateImei);
    resolved.releases = devices.iter().filter_map(|device| device.release).collect();
    resolved.releases.extend(rejected.iter().filter_map(|rest| rest.release));
    resolved.settings = lists.lists;
    resolved.origins = lists.origins;
    resolved
}

/// What became of the devices as written.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Those without a mistake, by clientID.
    pub devices: Vec<Device>,
    /// The lists of settings that they refer to.
    pub settings: Vec<EffectiveSettings>,
    pub origins: Vec<Origins>,
    /// The releases that devices are pinned to, those with a mistake elsewhere included.
    pub releases: Vec<Spanned<Version>>,
}

/// What is left of a device with a mistake: it still takes part in the checks that compare devices, so that
/// one mistake does not hide another.
struct Rejected {
    client_id: Option<ClientId>,
    imei: Option<Imei>,
    release: Option<Spanned<Version>>,
    span: Span,
}

fn device(
    reader: &mut Reader,
    raw: RawDevice,
    names: &Names,
    default_group: GroupIndex,
    mut list: impl FnMut(GroupIndex, &[String]) -> SettingsIndex,
) -> Result<Device, Rejected> {
    let client_id: Option<ClientId> = reader.parse(&raw.client_id, "a clientID", Code::BadClientId);
    let imei = imei(reader, &raw);
    let group = match &raw.group {
        Some(name) => names.group(reader, name),
        None => Some(default_group),
    };
    let none = More::default();
    let more = raw.more().unwrap_or(&none);
    let channel = more.channel.as_ref().map(|name| names.channel(reader, name));
    let release = more.release.as_ref().map(|text| {
        let value = reader.parse(text, "a version", Code::BadVersion)?;
        Some(Spanned { value, span: text.span })
    });
    let hold = match more.hold.as_ref().map(|text| (text, &*text.text)) {
        // Spreadsheets write their own words.
        None | Some((_, "false" | "False" | "FALSE")) => Some(false),
        Some((_, "true" | "True" | "TRUE")) => Some(true),
        Some((text, _)) => {
            reader.bad_value(text, "`hold`", "`true` or `false`");
            None
        }
    };
    if let Some(tid) = &more.tid
        && let Some(why) = crate::settings::corrupting_text(&tid.text)
    {
        reader.report(
            Diagnostic::new(Code::CorruptingSetting, tid.span, format!("the `tid` {why}"))
                .hint("it becomes a line of the device's settings file, which is ASCII"),
        );
    }
    let own_sets = names.sets(reader, &more.settings);
    let span = raw.client_id.span;
    let rejected = Rejected { client_id: client_id.clone(), imei, release: release.flatten(), span };
    match (client_id, imei, group, channel.map_or(Some(None), |channel| channel.map(Some)), hold) {
        (Some(client_id), Some(imei), Some(group), Some(channel), Some(hold)) if release != Some(None) => {
            Ok(Device {
                client_id,
                imei,
                group,
                channel,
                release: release.flatten(),
                hold,
                settings: list(group, &own_sets),
                tid: more.tid.as_ref().map(|text| text.text.clone()),
                comment: more.comment.as_ref().map(|text| text.text.clone()),
                span,
                overridden: more.overridden.clone().map(Box::new),
            })
        }
        _ => Err(rejected),
    }
}

/// The IMEI as written, or the clientID if that is one.
fn imei(reader: &mut Reader, raw: &RawDevice) -> Option<Imei> {
    let (imei, span): (Imei, Span) = match &raw.imei {
        Some(text) => (reader.parse(text, "an IMEI", Code::BadImei)?, text.span),
        None => match raw.client_id.text.parse() {
            Ok(imei) => (imei, raw.client_id.span),
            Err(_) if reader.is_misspelt("imei", raw.client_id.span) => return None,
            Err(_) => {
                let id = &raw.client_id;
                reader.report(
                    Diagnostic::new(
                        Code::MissingImei,
                        id.span,
                        format!("device `{}` has no `imei`", id.text),
                    )
                    .hint("add `imei: \"…\"`; only a clientID that is itself an IMEI needs none"),
                );
                return None;
            }
        },
    };
    if !imei.luhn_ok() {
        reader.report(
            Diagnostic::new(Code::ImeiCheckDigit, span, format!("the check digit of IMEI `{imei}` is wrong"))
                .hint("compare it with the answer to `AT+CGSN`; a mistyped IMEI gets no upgrades"),
        );
    }
    Some(imei)
}

/// Notes devices that have the same value of something that must differ.
fn unique<'a, K: Ord + Display + 'a>(
    reader: &mut Reader,
    sources: &Sources,
    values: impl Iterator<Item = (&'a K, Span)>,
    what: &str,
    code: Code,
) {
    let mut order: Vec<_> = values.collect();
    order.sort_unstable();
    for pair in order.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let ((value, one), (_, other)) = (pair[0], pair[1]);
        let (line, _) = sources.line_column(one);
        let path = sources.get(one.source).path.display();
        reader.report(
            Diagnostic::new(code, other, format!("another device already has the {what} `{value}`"))
                .hint(format!("it is declared at {path}:{line}")),
        );
    }
}
