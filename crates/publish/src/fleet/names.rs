//! The names of channels, groups and settings sets.

use std::collections::BTreeMap;

use super::raw::{Node, Text};
use super::reader::{Reader, did_you_mean};
use super::scalars::is_name;
use super::settings_sets::SettingsSet;
use super::{ChannelIndex, GroupIndex};
use crate::diag::{Code, Diagnostic};

/// What devices and groups refer to by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub channels: BTreeMap<String, ChannelIndex>,
    pub groups: BTreeMap<String, GroupIndex>,
    pub sets: BTreeMap<String, SettingsSet>,
}

impl Names {
    pub(super) fn channel(&self, reader: &mut Reader, name: &Text) -> Option<ChannelIndex> {
        look_up(reader, &self.channels, name, "channel", Code::UnknownChannel).copied()
    }

    pub(super) fn group(&self, reader: &mut Reader, name: &Text) -> Option<GroupIndex> {
        look_up(reader, &self.groups, name, "group", Code::UnknownGroup).copied()
    }

    /// The names of the sets that exist; the others are reported.
    pub(super) fn sets(&self, reader: &mut Reader, names: &[Text]) -> Vec<String> {
        names
            .iter()
            .filter(|name| look_up(reader, &self.sets, name, "settings set", Code::UnknownSettings).is_some())
            .map(|name| name.text.to_string())
            .collect()
    }
}

fn look_up<'a, T>(
    reader: &mut Reader,
    map: &'a BTreeMap<String, T>,
    name: &Text,
    what: &str,
    code: Code,
) -> Option<&'a T> {
    let found = map.get(&*name.text);
    let section = match code {
        Code::UnknownChannel => "channels",
        Code::UnknownGroup => "groups",
        _ => "settings",
    };
    if found.is_none() && !reader.is_section_misspelt(section) {
        let known = || map.keys().map(String::as_str);
        let hint = did_you_mean(&name.text, known()).unwrap_or_else(|| match map.len() {
            0 => format!("there is no {what} at all"),
            1 => format!("there is only `{}`", known().collect::<String>()),
            2..=12 => format!("there are `{}`", known().collect::<Vec<_>>().join("`, `")),
            n => format!("it is none of the {n} that are defined"),
        });
        reader.report(
            Diagnostic::new(code, name.span, format!("{what} `{}` is not defined", name.text)).hint(hint),
        );
    }
    found
}

pub(super) fn index(n: usize) -> u16 {
    u16::try_from(n).expect("the reader bounds the number of names")
}

/// The entries of a mapping from names, by name.
pub(super) fn named<'a>(reader: &mut Reader, node: Option<Node<'a>>, what: &str) -> Vec<(Text, Node<'a>)> {
    let Some(node) = node else { return Vec::new() };
    let at = node.span;
    let mut entries = reader.entries(node, &format!("the {what}s"), at).unwrap_or_default();
    entries.retain(|(name, _)| {
        let good = is_name(&name.text);
        if !good {
            reader.bad_value(name, &format!("{what} name"), "1 to 64 of `A-Z a-z 0-9 . _ -`");
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
