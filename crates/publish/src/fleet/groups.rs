//! `groups`, and `default`, which holds for devices and groups that say nothing else.

use super::limits::Limits;
use super::names::Names;
use super::provisioning::Draft;
use super::raw::{Node, Text};
use super::reader::Reader;
use super::secrets::Secrets;
use super::uri::Site;
use super::{ChannelIndex, Group, GroupIndex, keys};

#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub channel: Option<ChannelIndex>,
    pub group: Option<GroupIndex>,
    pub sets: Vec<String>,
}

pub(super) fn read_default(reader: &mut Reader, node: Node<'_>, names: &Names) -> Defaults {
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

#[derive(Debug, Default)]
pub(super) struct GroupDraft {
    name: Option<String>,
    pub channel: Option<ChannelIndex>,
    pub sets: Vec<String>,
    provisioning: Draft,
    comment: Option<String>,
}

pub(super) fn read(
    reader: &mut Reader,
    name: &Text,
    node: Node<'_>,
    names: &Names,
    default: &Defaults,
) -> GroupDraft {
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
    /// The devices without a group.
    pub(super) fn of_ungrouped(default: &Defaults) -> Self {
        GroupDraft { channel: default.channel, ..GroupDraft::default() }
    }

    pub(super) fn finish(
        self,
        reader: &mut Reader,
        base: &Draft,
        site: Option<&Site>,
        limits: Limits,
        secrets: Secrets<'_>,
    ) -> Option<Group> {
        let before = reader.found.len();
        let provisioning = base.overridden_by(&self.provisioning).finish(reader, site, limits, secrets);
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
