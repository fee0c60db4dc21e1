//! Edits of fleet.yaml and of the inventories that keep every byte but the meant ones.
//!
//! ```text
//! texts ─► Edits ─► new texts ─► read again ─► the difference is what was meant, or nothing is written
//! ```
//! A field goes to the place of the device: an entry of fleet.yaml, or a line of an inventory. A field for
//! which an inventory has no column goes to an entry below `devices`, which overrides the line.

mod csv;
#[cfg(test)]
mod tests;
mod values;
mod yaml;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::files::{FileError, Reach};
use crate::fleet::{self, Fleet, Loaded};
use otapress_core::id::Imei;
pub use values::value;
use yaml::{Node, Replacement, Value};

/// A change of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Gives a field of a device a value, or takes it away.
    Field {
        /// The clientID.
        device: String,
        /// The key in fleet.yaml.
        key: &'static str,
        /// The new value; none: the field goes.
        value: Option<String>,
    },
    /// Adds a device.
    Add {
        /// The clientID.
        device: String,
        /// Its fields in order.
        fields: Vec<(&'static str, String)>,
        /// The inventory to add it to, as the fleet names it; none: fleet.yaml.
        inventory: Option<PathBuf>,
    },
    /// Gives an entry of fleet.yaml outside of `devices` a value.
    Set {
        /// The steps that lead to it.
        place: Vec<Step>,
        /// The value as YAML in one line.
        value: String,
    },
    /// Removes a device from every file that has it.
    Remove {
        /// The clientID.
        device: String,
    },
}

/// A step from a node of fleet.yaml to one below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To the value of a key, which is added if need be.
    Key(String),
    /// To an item of a list that has it.
    Item(usize),
}

/// A text as YAML in one line.
pub fn scalar(text: &str) -> String {
    yaml::scalar(text)
}

/// Names a release that no device is sent again.
pub fn withdrawal(release: &str, reason: &str) -> Edit {
    let place = vec![Step::Key("withdrawn".into()), Step::Key(release.into())];
    Edit::Set { place, value: yaml::scalar(reason) }
}

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A place that cannot be edited without changing more than is meant.
    #[error("{file}:{line}: `{device}` {why}: edit it by hand", file = .file.display())]
    Place {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The device.
        device: String,
        /// The reason, which goes on after the name.
        why: String,
    },
    /// An inventory that the fleet does not name.
    #[error("`{}` is not an inventory of the fleet", .0.display())]
    NotAnInventory(PathBuf),
    /// The new texts would have mistakes.
    #[error("the edit would break the fleet, so nothing was written")]
    Breaks(Box<Loaded>),
    /// The new texts would say something else than is meant.
    #[error("the edit would change more than is meant ({0}), so nothing was written: edit it by hand")]
    NotAsMeant(String),
    /// A file that changed while it was edited, or cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A text before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The text on the disk.
    pub old: String,
    /// The text to write.
    pub new: String,
}

/// A device as the fleet sees it, for comparing two fleets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    imei: Imei,
    fields: BTreeMap<&'static str, String>,
    /// None: whatever the new group brings.
    settings: Option<String>,
}

/// Makes the edits, and reads the new texts again. `file` is fleet.yaml, `loaded` what it says now.
///
/// # Errors
/// If an edit cannot be made, or would change more than is meant. Nothing is written in any case.
pub fn edit(
    reach: &Reach,
    file: &Path,
    loaded: &Loaded,
    edits: &[Edit],
) -> Result<BTreeMap<PathBuf, Edited>, EditError> {
    let Some(fleet) = &loaded.fleet else { return Ok(BTreeMap::new()) };
    let mut texts = BTreeMap::new();
    for source in loaded.sources.iter() {
        let text = reach.text(&source.path, u32::MAX.into())?;
        texts.insert(source.path.clone(), text);
    }
    let mut new = texts.clone();
    let mut left: Vec<&Edit> = edits.iter().collect();
    // Edits of one device are made one after the other: each needs the places that the one before left.
    while !left.is_empty() {
        let mut busy = BTreeSet::new();
        let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|edit| busy.insert(edit.place()));
        left = round(file, loaded, fleet, &now, &mut new)?;
        left.extend(later);
    }
    let after = fleet::load_within(&reach.clone().with_texts(new.clone()), file);
    if after.has_errors() {
        return Err(EditError::Breaks(Box::new(after)));
    }
    let mut wanted = expected(plain(fleet), edits);
    let is = after.fleet.as_ref().map(plain).unwrap_or_default();
    for (device, wanted) in wanted.iter_mut().filter(|(_, wanted)| wanted.settings.is_none()) {
        wanted.settings = is.get(device).and_then(|device| device.settings.clone());
    }
    if let Some(device) = wanted.keys().chain(is.keys()).find(|device| wanted.get(*device) != is.get(*device))
    {
        return Err(EditError::NotAsMeant(format!("device `{device}`")));
    }
    if values::expected(&texts[file], edits)? != values::outside_devices(&new[file])? {
        return Err(EditError::NotAsMeant("another part of the file".into()));
    }
    let pairs = texts.into_iter().filter_map(|(path, old)| {
        let new = new.remove(&path)?;
        (old != new).then_some((path, Edited { old, new }))
    });
    Ok(pairs.collect())
}

impl Edit {
    /// Edits of different devices can be made at once. Others are few, and may be the first in one section.
    fn place(&self) -> &str {
        match self {
            Edit::Field { device, .. } | Edit::Add { device, .. } | Edit::Remove { device } => device,
            Edit::Set { .. } => "",
        }
    }
}

/// Makes edits of different places, and returns those that have to wait: the first entry below `devices`
/// makes the place of the others.
fn round<'e>(
    file: &Path,
    loaded: &Loaded,
    fleet: &Fleet,
    edits: &[&'e Edit],
    texts: &mut BTreeMap<PathBuf, String>,
) -> Result<Vec<&'e Edit>, EditError> {
    let mut waiting = Vec::new();
    let mut replaced: BTreeMap<PathBuf, Vec<Replacement>> = BTreeMap::new();
    let top = parse(file, &texts[file])?;
    let yaml = FleetFile::new(file, &texts[file], &top);
    let mut is_first = true;
    let mut waits = |edit: &'e Edit| {
        let waits = yaml.entries.is_empty() && !std::mem::take(&mut is_first);
        waiting.extend(waits.then_some(edit));
        waits
    };
    let inventories = texts.iter().filter(|(path, _)| *path != file);
    let tables: BTreeMap<&Path, csv::Table<'_>> =
        inventories.map(|(path, text)| (path.as_path(), csv::Table::parse(text))).collect();
    let home = |device: &str| {
        let declared = fleet.find(device).filter(|found| found.client_id.as_str() == device)?;
        Some(loaded.sources.get(declared.span.source).path.as_path())
    };
    for edit in edits {
        match edit {
            Edit::Field { device, key, value } => {
                let home = home(device).unwrap_or(file);
                // What overrides a line of an inventory is changed, not what it hides.
                let overridden = home != file && yaml.overrides(device, key);
                let table = tables.get(home).filter(|_| !overridden);
                let in_table =
                    table.and_then(|table| table.set(device, key, value.as_deref().unwrap_or_default()));
                match in_table {
                    Some(replacement) => replaced.entry(home.to_owned()).or_default().push(replacement),
                    None if value.is_some() && waits(edit) => {}
                    None => {
                        let replacement = yaml.set(device, key, value.as_deref(), home == file)?;
                        replaced.entry(file.to_owned()).or_default().extend(replacement);
                    }
                }
            }
            Edit::Add { device, fields, inventory: Some(path) } => {
                let table =
                    tables.get(path.as_path()).ok_or_else(|| EditError::NotAnInventory(path.clone()))?;
                let value = |column: &str| match column {
                    "clientID" => Some(device.clone()),
                    _ => fields.iter().find(|(key, _)| *key == column).map(|(_, value)| value.clone()),
                };
                replaced.entry(path.clone()).or_default().push(table.append(value));
            }
            Edit::Add { inventory: None, .. } if waits(edit) => {}
            Edit::Add { device, fields, inventory: None } => {
                replaced.entry(file.to_owned()).or_default().push(yaml.add(device, fields)?);
            }
            Edit::Set { place, value } => {
                replaced.entry(file.to_owned()).or_default().push(yaml.place(place, value)?);
            }
            Edit::Remove { device } => {
                for (path, table) in &tables {
                    replaced.entry(path.to_path_buf()).or_default().extend(table.remove(device));
                }
                replaced.entry(file.to_owned()).or_default().extend(yaml.remove(device)?);
            }
        }
    }
    drop(tables);
    for (path, replacements) in replaced {
        if let Some(text) = texts.get_mut(&path) {
            *text = yaml::apply(text, replacements);
        }
    }
    Ok(waiting)
}

/// fleet.yaml as it is edited.
struct FleetFile<'a> {
    path: &'a Path,
    text: &'a str,
    top: &'a Node,
    /// The entries of `devices` by clientID; those that `<<` merges are not among them.
    entries: HashMap<&'a str, &'a (Node, Node)>,
}

impl<'a> FleetFile<'a> {
    fn new(path: &'a Path, text: &'a str, top: &'a Node) -> Self {
        let devices = top.entry("devices").map_or(&[][..], |(_, devices)| devices.entries());
        let entries = devices.iter().filter_map(|entry| Some((entry.0.text()?, entry))).collect();
        FleetFile { path, text, top, entries }
    }

    fn refuse(&self, at: usize, device: &str, why: impl Into<String>) -> EditError {
        let line = self.text[..at].matches('\n').count() + 1;
        EditError::Place { file: self.path.to_owned(), line, device: device.to_owned(), why: why.into() }
    }

    fn overrides(&self, device: &str, key: &str) -> bool {
        self.entries.get(device).is_some_and(|(_, entry)| entry.entry(key).is_some())
    }

    /// Sets or removes a field of an entry below `devices`; `is_home`: the entry is the device itself, not an
    /// override.
    fn set(
        &self,
        device: &str,
        key: &'static str,
        value: Option<&str>,
        is_home: bool,
    ) -> Result<Option<Replacement>, EditError> {
        let devices = self.top.entry("devices");
        let Some((name, entry)) = self.entries.get(device) else {
            if is_home {
                let at = devices.map_or(0, |(key, _)| key.range.start);
                return Err(self.refuse(at, device, "comes from an alias or `<<`"));
            }
            return match value {
                Some(value) => self.add(device, &[(key, value.to_owned())]).map(Some),
                None => Ok(None),
            };
        };
        let refuse = |why: String| self.refuse(name.range.start, device, why);
        if matches!(entry.value, Value::Alias) {
            return Err(refuse("refers to an anchor, which other entries may share".into()));
        }
        if entry.is_anchored || devices.is_some_and(|(_, devices)| devices.is_anchored) {
            return Err(refuse("is an anchor, which other entries refer to".into()));
        }
        let in_words = |why: String| refuse(format!("cannot be edited: `{key}` {why}"));
        let formatted = value.map(|value| field(key, value));
        match (entry.entry(key), formatted) {
            (Some((name, old)), Some(value)) => {
                yaml::set(self.text, name, old, &value).map(Some).map_err(in_words)
            }
            (Some(_), None) => yaml::remove(self.text, entry, key).map(Some).map_err(in_words),
            (None, Some(value)) => match entry.value {
                Value::Null => {
                    let value = format!("{{ {key}: {value} }}");
                    yaml::set(self.text, name, entry, &value).map(Some).map_err(in_words)
                }
                _ => yaml::insert(self.text, entry, key, &value).map(Some).map_err(in_words),
            },
            (None, None) => Ok(None),
        }
    }

    fn add(&self, device: &str, fields: &[(&'static str, String)]) -> Result<Replacement, EditError> {
        let fields: Vec<_> =
            fields.iter().map(|(key, value)| format!("{key}: {}", field(key, value))).collect();
        let value = if fields.is_empty() { "{}".into() } else { format!("{{ {} }}", fields.join(", ")) };
        let name = yaml::scalar(device);
        match self.top.entry("devices") {
            None => Ok(self.at_the_end("devices", &format!("\n  {name}: {value}"))),
            Some((key, devices)) if devices.is_empty() => yaml::first(self.text, key, devices, &name, &value)
                .map_err(|why| self.refuse(key.range.start, "devices", why)),
            Some((key, devices)) => {
                if devices.is_anchored || matches!(devices.value, Value::Alias) {
                    return Err(self.refuse(key.range.start, "devices", "is shared through an anchor"));
                }
                yaml::insert(self.text, devices, &name, &value)
                    .map_err(|why| self.refuse(key.range.start, "devices", why))
            }
        }
    }

    fn remove(&self, device: &str) -> Result<Option<Replacement>, EditError> {
        let Some((_, devices)) = self.top.entry("devices") else { return Ok(None) };
        let Some((name, _)) = self.entries.get(device) else { return Ok(None) };
        yaml::remove(self.text, devices, device)
            .map(Some)
            .map_err(|why| self.refuse(name.range.start, device, why))
    }
}

/// A field's value as YAML. An IMEI is always quoted, as everywhere in a fleet.
fn field(key: &str, value: &str) -> String {
    match key {
        "imei" => yaml::quoted(value),
        "hold" => value.to_owned(),
        _ => yaml::scalar(value),
    }
}

fn parse(file: &Path, text: &str) -> Result<Node, EditError> {
    let refuse = |why| EditError::Place { file: file.to_owned(), line: 1, device: "the file".into(), why };
    yaml::parse(text).map_err(refuse)
}

fn plain(fleet: &Fleet) -> BTreeMap<String, Plain> {
    let devices = fleet.devices().iter().map(|device| {
        let mut fields = BTreeMap::new();
        let mut note = |key, value: Option<String>| value.map(|value| fields.insert(key, value));
        note("group", fleet.group(device).name.clone());
        note("channel", device.channel.map(|index| fleet.channel_at(index).name.clone()));
        note("release", device.release.map(|release| release.value.to_string()));
        note("hold", device.hold.then(|| "true".into()));
        note("tid", device.tid.as_deref().map(str::to_owned));
        note("comment", device.comment.as_deref().map(str::to_owned));
        let settings = Some(format!("{:?}", fleet.settings(device)));
        (device.client_id.to_string(), Plain { imei: device.imei, fields, settings })
    });
    devices.collect()
}

/// The devices as they are to be.
fn expected(mut devices: BTreeMap<String, Plain>, edits: &[Edit]) -> BTreeMap<String, Plain> {
    fn apply(plain: &mut Plain, key: &'static str, value: Option<&String>) {
        match (key, value) {
            ("imei", Some(imei)) => plain.imei = imei.parse().unwrap_or(plain.imei),
            ("release", Some(release)) => {
                let release = release
                    .parse()
                    .map_or(release.clone(), |v: otapress_core::version::Version| v.to_string());
                plain.fields.insert(key, release);
            }
            (_, Some(value)) => drop(plain.fields.insert(key, value.clone())),
            (_, None) => drop(plain.fields.remove(key)),
        }
    }
    for edit in edits {
        match edit {
            Edit::Field { device, key, value } => {
                if let Some(plain) = devices.get_mut(device) {
                    apply(plain, key, value.as_ref());
                    if *key == "group" {
                        plain.settings = None;
                    }
                }
            }
            Edit::Add { device, fields, .. } => {
                let imei = fields.iter().find(|(key, _)| *key == "imei").map_or(device, |(_, imei)| imei);
                if let Ok(imei) = imei.parse() {
                    let mut plain = Plain { imei, fields: BTreeMap::new(), settings: None };
                    fields.iter().for_each(|(key, value)| apply(&mut plain, key, Some(value)));
                    plain.fields.remove("imei");
                    devices.insert(device.clone(), plain);
                }
            }
            Edit::Remove { device } => drop(devices.remove(device)),
            Edit::Set { .. } => {}
        }
    }
    devices
}
