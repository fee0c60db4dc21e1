//! JADs that devices are to find at another path than the one that they know.

use std::collections::BTreeMap;

use super::names::Names;
use super::view::View;
use super::{Devices, State};
use otapress_core::id::{ClientId, Imei};
use otapress_core::out::{JAD_SUFFIX, Part};
use otapress_core::out_path::OutPath;

/// JADs that move.
#[derive(Debug)]
pub struct JadMove {
    /// The path before, with `@` for the clientID, if it could be found.
    pub before: Option<String>,
    /// The path after, in the same form.
    pub after: String,
    /// Whose.
    pub devices: Devices,
}

/// The devices among these new ones whose clientID was published before, for another IMEI.
pub(super) fn replaced(before: &View, names: &Names<'_>, new: impl Iterator<Item = Imei>) -> Vec<Imei> {
    let is_known = |imei: &Imei| {
        let known = || {
            let device = names.device(*imei)?;
            let path = names.jad(device)?;
            Some(before.has(&path) && pattern(&path, &device.client_id) != path.as_str())
        };
        known().unwrap_or(false)
    };
    new.filter(is_known).collect()
}

/// The moves of JADs for devices that have a target before and after; with the devices, by path.
pub(super) fn moved(
    before: &View,
    after: &View,
    names: &Names<'_>,
    devices: impl Iterator<Item = (Imei, State, State)>,
) -> Vec<(Option<String>, String, Vec<Imei>)> {
    let jads = |view: &'_ View, other: &View| {
        let jads = view.files().iter().filter(|(_, id)| view.blob(*id).part == Part::Jads);
        jads.map(|(path, _)| path).filter(|path| !other.has(path)).cloned().collect::<Vec<_>>()
    };
    let gone = jads(before, after);
    if gone.is_empty() {
        return Vec::new();
    }
    let mut moved: BTreeMap<String, Vec<Imei>> = BTreeMap::new();
    for (imei, old, new) in devices {
        if let (Some(_), Some(_), Some(device)) = (old.version(), new.version(), names.device(imei))
            && let Some(path) = names.jad(device)
            && after.has(&path)
            && !before.has(&path)
        {
            moved.entry(pattern(&path, &device.client_id)).or_default().push(imei);
        }
    }
    moved
        .into_iter()
        .map(|(after, devices)| {
            let ids: Vec<_> = devices.iter().filter_map(|&imei| names.device(imei)).take(3).collect();
            let old = ids.first().and_then(|first| {
                let patterns = gone.iter().map(|path| pattern(path, &first.client_id));
                let fits = |pattern: &String| {
                    ids.iter().all(|device| {
                        let path = crate::fleet::uri::expand(pattern, &device.client_id).parse();
                        path.is_ok_and(|path| before.has(&path))
                    })
                };
                patterns.into_iter().find(|pattern| pattern.contains('@') && fits(pattern))
            });
            let only = match &gone[..] {
                [path] => Some(path.to_string()),
                _ => None,
            };
            (old.or(only), after, devices)
        })
        .collect()
}

/// The path with `@` where the clientID is a component of it, or one without the suffix.
fn pattern(path: &OutPath, client_id: &ClientId) -> String {
    let id = client_id.as_str();
    let component = |component: &str| match component.strip_suffix(JAD_SUFFIX) {
        _ if component == id => "@".to_owned(),
        Some(stem) if stem == id => "@.jad".to_owned(),
        _ => component.to_owned(),
    };
    path.as_str().split('/').map(component).collect::<Vec<_>>().join("/")
}
