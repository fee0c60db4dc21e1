//! Devices by the names that an operator gives.

use anyhow::{Context as _, bail};

use crate::report::words::known;
use otapress_core::id::Imei;
use otapress_publish::fleet::{Device, Fleet};

/// A device by clientID or IMEI; the error suggests the nearest name.
pub(crate) fn device<'a>(fleet: &'a Fleet, name: &str) -> anyhow::Result<&'a Device> {
    fleet.find(name).with_context(|| no_device(fleet, name))
}

pub(crate) fn no_device(fleet: &Fleet, name: &str) -> String {
    let hint = nearest(fleet, name).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    format!("no device `{name}` in `{}`{hint}", fleet.file().display())
}

pub(crate) fn no_channel(fleet: &Fleet, name: &str) -> String {
    let known = known(name, fleet.channels().iter().map(|channel| &*channel.name));
    format!("no channel `{name}` in `{}`{known}", fleet.file().display())
}

/// # Errors
/// If a group or a channel is named that the fleet does not have.
pub(crate) fn check_names(fleet: &Fleet, group: Option<&str>, channel: Option<&str>) -> anyhow::Result<()> {
    let mut groups = fleet.groups().iter().filter_map(|group| group.name.as_deref());
    if let Some(wanted) = group.filter(|wanted| !groups.clone().any(|name| name == *wanted)) {
        let known = known(wanted, &mut groups);
        bail!("no group `{wanted}` in `{}`{known}", fleet.file().display());
    }
    match channel {
        Some(wanted) if !fleet.channels().iter().any(|channel| channel.name == wanted) => {
            bail!(no_channel(fleet, wanted))
        }
        _ => Ok(()),
    }
}

fn nearest(fleet: &Fleet, name: &str) -> Option<String> {
    let names =
        fleet.devices().iter().flat_map(|device| [device.client_id.to_string(), device.imei.to_string()]);
    let distances = names.map(|known| (strsim::damerau_levenshtein(&known, name), known));
    let (distance, near) = distances.min()?;
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let is_imei = name.parse::<Imei>().is_ok();
    // `dev9` is no misspelt `dev1`, but an IMEI with one wrong digit is one.
    let is_misspelt = if is_imei { distance == 1 } else { distance <= 2 && letters(name) != letters(&near) };
    (is_misspelt && distance * 3 <= name.len()).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use otapress_publish::fleet::parse;

    #[test]
    fn misspelt_names_are_recognised() {
        let text = include_str!("../../fleet.yaml").replace("inventory: [devices/*.csv]", "");
        let fleet = parse(text.replace("dev4", "workshop"), None).fleet.unwrap();
        for (name, near) in [
            ("wrokshop", Some("workshop")),
            ("352099001761482", Some("352099001761481")),
            ("dev9", None),
            ("352099001769999", None),
            ("x", None),
        ] {
            assert_eq!(nearest(&fleet, name).as_deref(), near, "{name}");
        }
    }
}
