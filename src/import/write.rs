//! The fleet file as text, and the devices as an inventory. Both are read back to the same values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Device, Imported, LATEST, Target};
use otapress_core::id::Imei;
use otapress_publish::fleet::uri::Site;

/// What the predecessor does not know of a fleet.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where out/ will be served.
    pub site: Site,
    /// The access point of the devices.
    pub apn: String,
    /// MIDlet-Name and MIDlet-Vendor of the JARs.
    pub midlet: (String, String),
    /// The path of the inventory that holds the devices, if they do not stand in the fleet file.
    pub inventory: Option<String>,
}

/// The text of fleet.yaml.
pub fn fleet_file(fleet: &Imported, origin: &Origin) -> String {
    let (site, name) = (origin.site.as_str(), &origin.midlet.0);
    let mut text = format!("site: {}\n\nprovisioning:\n", scalar(site));
    // A value with a `=` is one that the predecessor cannot push, so notifyURI has none.
    for (key, value) in [
        ("otapURI", format!("{site}/files/@/{name}.jad")),
        ("notifyURI", format!("{site}/otap/notify/@")),
        ("versionURI", format!("{site}/otap/version")),
        ("apn", origin.apn.clone()),
    ] {
        add(&mut text, &format!("  {key}: {}", scalar(&value)));
    }
    add(
        &mut text,
        &format!("\nmidlet: {{ name: {}, vendor: {} }}\n", scalar(name), scalar(&origin.midlet.1)),
    );
    match fleet.latest {
        Some(version) => add(&mut text, &format!("channels:\n  {LATEST}: {version}")),
        None => add(&mut text, "channels: {}"),
    }
    if !fleet.sets.is_empty() {
        add(&mut text, "\nsettings:");
    }
    for (name, set) in &fleet.sets {
        let values = set.values.iter().map(|(key, value)| format!("{}: {}", scalar(key), quoted(value)));
        let values = mapping(values.collect());
        let set = if set.allow.is_empty() {
            values
        } else {
            let allow: Vec<_> = set.allow.iter().map(|key| scalar(key)).collect();
            format!("{{ values: {values}, allow: [{}] }}", allow.join(", "))
        };
        add(&mut text, &format!("  {}: {set}", scalar(name)));
    }
    if !fleet.groups.is_empty() {
        add(&mut text, "\ngroups:");
    }
    for (name, comment) in &fleet.groups {
        let comment = comment.iter().map(|comment| format!("comment: {}", scalar(comment)));
        add(&mut text, &format!("  {}: {}", scalar(name), mapping(comment.collect())));
    }
    match &origin.inventory {
        Some(path) => {
            add(&mut text, &format!("\ninventory: [{}]", scalar(&glob::Pattern::escape(path))));
        }
        None => {
            add(&mut text, if fleet.devices.is_empty() { "\ndevices: {}" } else { "\ndevices:" });
            for (imei, device) in &fleet.devices {
                add(&mut text, &format!("  {}: {}", quoted(&imei.to_string()), mapping(fields(device))));
            }
        }
    }
    text
}

fn add(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}

fn fields(device: &Device) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = |key: &str, value: Option<&str>| {
        fields.extend(value.map(|value| format!("{key}: {}", scalar(value))));
    };
    field("group", device.group.as_deref());
    match device.target {
        Target::Nothing => {}
        Target::Latest => field("channel", Some(LATEST)),
        Target::Release(version) => fields.push(format!("release: {version}")),
    }
    if device.hold {
        fields.push("hold: true".into());
    }
    fields.extend(device.set.as_ref().map(|set| format!("settings: [{}]", scalar(set))));
    fields.extend(device.tid.as_ref().map(|tid| format!("tid: {}", scalar(tid))));
    fields.extend(device.comment.as_ref().map(|comment| format!("comment: {}", scalar(comment))));
    fields
}

fn mapping(entries: Vec<String>) -> String {
    if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
}

/// A scalar as YAML, without quotes where nothing in it can mean anything else, inside of brackets or
/// outside.
fn scalar(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '@');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let good = text.char_indices().all(|(i, c)| match c {
        ' ' => text[i + 1..].starts_with(word),
        ':' => text[i + 1..].starts_with('/'),
        _ => word(c),
    });
    let meaning = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if starts && good && !meaning.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        text.into()
    } else {
        quoted(text)
    }
}

/// A scalar in double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // What is not printable, or breaks lines, or is taken for a byte order mark.
            _ if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The devices as CSV.
///
/// # Errors
/// Never: the text is made in memory.
pub fn inventory(devices: &BTreeMap<Imei, Device>) -> Result<String, csv::Error> {
    let mut table = csv::WriterBuilder::new().from_writer(Vec::new());
    table.write_record(["clientID", "group", "channel", "release", "hold", "settings", "tid", "comment"])?;
    for (imei, device) in devices {
        let (channel, release) = match device.target {
            Target::Nothing => ("", String::new()),
            Target::Latest => (LATEST, String::new()),
            Target::Release(version) => ("", version.to_string()),
        };
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        table.write_record([
            imei.to_string(),
            text(&device.group),
            channel.into(),
            release,
            if device.hold { "true" } else { "" }.into(),
            text(&device.set),
            text(&device.tid),
            text(&device.comment),
        ])?;
    }
    let bytes = table.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_quoted_where_they_must() {
        for plain in ["OwnTracks", "http://ota.example.com/files/@/a.jad", "in the workshop", "D1", "a-b_c.d"]
        {
            assert_eq!(scalar(plain), plain);
        }
        for (text, yaml) in [
            ("", r#""""#),
            ("No", r#""No""#),
            ("0.10", r#""0.10""#),
            ("a: b", r#""a: b""#),
            ("a #b", r#""a #b""#),
            ("a ", r#""a ""#),
            ("x, y", r#""x, y""#),
            ("say \"\\\"\n", r#""say \"\\\"\u000a""#),
            ("\u{85}\u{2028}é", r#""\u0085\u2028é""#),
        ] {
            assert_eq!(scalar(text), yaml, "{text:?}");
        }
    }
}
