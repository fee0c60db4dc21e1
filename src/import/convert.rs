//! What the rows and sets of the predecessor become, and what of them cannot be carried over.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::dbjson::left_out;
use super::{Device, Imported, LATEST, RawSet, Row, Set, Target};
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_publish::diag::Diagnostic;
use otapress_publish::fleet::raw::Text;
use otapress_publish::settings::{
    INTERNAL, corrupting_key, corrupting_text, find, is_provisioned, value_fault,
};

/// The JARs that the new fleet is to have, if they are known.
#[derive(Clone, Debug)]
pub struct Jars(pub BTreeSet<Version>);

/// Makes a fleet of rows and sets; without sets, `sets` is none.
pub fn convert(
    rows: &[Row],
    sets: Option<&[RawSet]>,
    jars: Option<&Jars>,
    found: &mut Vec<Diagnostic>,
) -> Imported {
    let (sets, set_names) = self::sets(sets.unwrap_or_default(), found, sets.is_some());
    let (mut groups, mut flags_seen) = (Names::default(), BTreeSet::new());
    let mut devices: BTreeMap<Imei, Device> = BTreeMap::new();
    for row in rows {
        let Some(imei) = parse::<Imei>(&row.imei, found) else { continue };
        let device = Device {
            group: row.custid.as_ref().map(|custid| groups.name(custid, "group", found)),
            target: row.deliver.as_ref().map_or(Target::Nothing, |deliver| target(deliver, jars, found)),
            hold: row.block,
            set: row.sname.as_ref().and_then(|sname| set_names.find(sname, found)),
            tid: row.tid.as_ref().and_then(|tid| self::tid(tid, found)),
            comment: row.comment.as_ref().map(|comment| plain(&comment.text)).filter(|text| !text.is_empty()),
        };
        if let Some(flags) = row.flags.as_ref().filter(|flags| flags_seen.insert(flags.text.clone())) {
            let message =
                format!("the flags `{}`, which stand here first, have no equal", plain(&flags.text));
            found.push(
                left_out(flags.span, &message)
                    .hint("every check is recorded, and every event can be published"),
            );
        }
        match devices.entry(imei) {
            Entry::Vacant(entry) => drop(entry.insert(device)),
            Entry::Occupied(_) => {
                let message = format!("duplicate IMEI {imei}; its first device is used");
                found.push(left_out(row.imei.span, &message));
            }
        }
    }
    let latest = latest(rows, jars, &mut devices, found);
    let used: BTreeSet<_> = devices.values().filter_map(|device| device.group.as_ref()).collect();
    let groups = groups
        .names
        .into_iter()
        .map(|(original, name)| {
            let comment = Some(plain(&original)).filter(|text| *text != name && !text.is_empty());
            (name, comment)
        })
        .filter(|(name, _)| used.contains(name))
        .collect();
    Imported { groups, sets, latest, devices }
}

/// A value of the domain; what is none is reported as a device that is left out.
fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &Text,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    text.text
        .parse()
        .map_err(|error: T::Err| {
            let message = format!("the device `{}` is left out", plain(&text.text));
            found.push(left_out(text.span, &message).hint(error.to_string()));
        })
        .ok()
}

fn target(deliver: &Text, jars: Option<&Jars>, found: &mut Vec<Diagnostic>) -> Target {
    if &*deliver.text == "*" {
        return Target::Latest;
    }
    match deliver.text.parse::<Version>() {
        Ok(version) => {
            if jars.is_some_and(|jars| !jars.0.contains(&version)) {
                let message = format!("the release {version} of this device has no JAR");
                found.push(
                    left_out(deliver.span, &message)
                        .hint("it is in the fleet file; add the JAR, or name another release"),
                );
            }
            Target::Release(version)
        }
        Err(error) => {
            let message = format!("`{}` is no release: the device keeps what it runs", plain(&deliver.text));
            found.push(left_out(deliver.span, &message).hint(error.to_string()));
            Target::Nothing
        }
    }
}

/// The highest version that is known; without one, nobody can be in the channel [`LATEST`].
fn latest(
    rows: &[Row],
    jars: Option<&Jars>,
    devices: &mut BTreeMap<Imei, Device>,
    found: &mut Vec<Diagnostic>,
) -> Option<Version> {
    let star = rows.iter().find_map(|row| row.deliver.as_ref().filter(|text| &*text.text == "*"))?;
    let of_jars = jars.and_then(|jars| jars.0.last().copied());
    let of_devices = devices.values().filter_map(|device| match device.target {
        Target::Release(version) => Some(version),
        Target::Nothing | Target::Latest => None,
    });
    let latest = of_jars.or(of_devices.max());
    if latest.is_none() {
        let message = "the highest release, which devices are to run from here on, is not known";
        found.push(
            left_out(star.span, message)
                .hint(format!("name the JARs with `--jars`; then there is a channel `{LATEST}` for them")),
        );
        for device in devices.values_mut().filter(|device| device.target == Target::Latest) {
            device.target = Target::Nothing;
        }
    }
    latest.filter(|_| devices.values().any(|device| device.target == Target::Latest))
}

fn tid(tid: &Text, found: &mut Vec<Diagnostic>) -> Option<String> {
    match corrupting_text(&tid.text) {
        None => Some(tid.text.to_string()),
        Some(why) => {
            found.push(left_out(tid.span, &format!("the tracker ID {:?} {why}", tid.text)));
            None
        }
    }
}

/// The sets, and the names that devices know them by.
fn sets(raw: &[RawSet], found: &mut Vec<Diagnostic>, known: bool) -> (BTreeMap<String, Set>, SetNames) {
    let mut names = Names::default();
    let mut sets: BTreeMap<String, Set> = BTreeMap::new();
    for set in raw {
        if names.names.contains_key(&*set.name.text) {
            let message = format!("duplicate set `{}`; the first one is used", plain(&set.name.text));
            found.push(left_out(set.name.span, &message));
            continue;
        }
        let name = names.name(&set.name, "settings set", found);
        let mut kept = Set::default();
        for (key, value) in &set.settings {
            if let Some((place, why)) = fault(key, value) {
                found.push(left_out(place.span, &format!("the setting `{}`: {why}", plain(&key.text))));
                continue;
            }
            if find(&key.text).is_some_and(|known| known.dangerous)
                && let Err(at) = kept.allow.binary_search_by(|allowed| allowed.as_str().cmp(&key.text))
            {
                kept.allow.insert(at, key.text.to_string());
            }
            // The device takes them in their order, so that the last one stays.
            kept.values.insert(key.text.to_string(), value.text.to_string());
        }
        sets.insert(name, kept);
    }
    (sets, SetNames { names, known })
}

/// Why a setting would be refused by `check`, and where.
fn fault<'a>(key: &'a Text, value: &'a Text) -> Option<(&'a Text, String)> {
    if let Some(why) = corrupting_key(&key.text) {
        return Some((key, format!("its key {why}")));
    }
    if key.text.trim() != &*key.text {
        return Some((key, "blanks stand around its key, so that the device has never known it".into()));
    }
    if INTERNAL.contains(&&*key.text) {
        return Some((key, "it belongs to the firmware alone".into()));
    }
    if let Some(why) = corrupting_text(&value.text) {
        return Some((value, format!("its value {why}")));
    }
    if is_provisioned(&key.text) {
        let why =
            "its value must be what `provisioning` says: change that, and put the old value into `formerly`";
        return Some((key, why.into()));
    }
    find(&key.text).and_then(|known| value_fault(known, &value.text)).map(|why| (value, why))
}

#[derive(Debug)]
struct SetNames {
    names: Names,
    known: bool,
}

impl SetNames {
    fn find(&self, sname: &Text, found: &mut Vec<Diagnostic>) -> Option<String> {
        let name = self.names.names.get(&*sname.text).cloned();
        if name.is_none() {
            let message = format!("the settings set `{}` of this device is not known", plain(&sname.text));
            let hint = if self.known {
                "`otc showsets` does not list it"
            } else {
                "name what `otc showsets` prints with `--sets`"
            };
            found.push(left_out(sname.span, &message).hint(hint));
        }
        name
    }
}

/// Names for what the predecessor lets have any name.
#[derive(Debug, Default)]
struct Names {
    /// By the predecessor's.
    names: BTreeMap<String, String>,
}

impl Names {
    const MAX_LEN: usize = 64;

    /// The name of something, which is its own if that can be one.
    fn name(&mut self, original: &Text, what: &str, found: &mut Vec<Diagnostic>) -> String {
        if let Some(name) = self.names.get(&*original.text) {
            return name.clone();
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let base: String =
            original.text.chars().map(|c| if allowed(c) { c } else { '-' }).take(Self::MAX_LEN).collect();
        let mut name = base.clone();
        let mut n = 2;
        while self.names.values().any(|taken| *taken == name) {
            let suffix = format!("-{n}");
            name = format!("{}{suffix}", &base[..base.len().min(Self::MAX_LEN - suffix.len())]);
            n += 1;
        }
        if name != *original.text {
            let message =
                format!("`{}` cannot be the name of a {what}: it is `{name}` here", plain(&original.text));
            found.push(left_out(original.span, &message));
        }
        self.names.insert(original.text.to_string(), name.clone());
        name
    }
}

/// A text for people, without control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
