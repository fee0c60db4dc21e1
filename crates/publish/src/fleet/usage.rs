//! What is defined and never used.

use std::collections::BTreeSet;

use super::groups::GroupDraft;
use super::names::{Names, index};
use super::raw::Text;
use super::raw_device::RawDevice;
use super::reader::Reader;
use super::{Channel, ChannelIndex};
use crate::diag::{Code, Diagnostic};

/// Which names are referred to.
pub(super) struct Used {
    channels: BTreeSet<ChannelIndex>,
    channel_names: BTreeSet<String>,
    sets: BTreeSet<String>,
}

impl Used {
    pub(super) fn of(devices: &[RawDevice], group_sets: &[Vec<String>], groups: &[GroupDraft]) -> Self {
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

    pub(super) fn report_unused(
        &self,
        reader: &mut Reader,
        names: &Names,
        channels: &[(Text, Option<Channel>)],
    ) {
        // What is wrong elsewhere may be the use.
        if reader.has_errors() {
            return;
        }
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
