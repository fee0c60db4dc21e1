//! A device as written, in fleet.yaml or in a line of an inventory.

use super::keys;
use super::raw::Text;
use crate::diag::Span;

/// A device as written. A million of them are in memory at once, so that what most of them do not have takes
/// no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawDevice {
    pub client_id: Text,
    pub imei: Option<Text>,
    pub group: Option<Text>,
    more: Option<Box<More>>,
}

/// What is said of few devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct More {
    pub channel: Option<Text>,
    pub release: Option<Text>,
    pub hold: Option<Text>,
    pub settings: Vec<Text>,
    pub tid: Option<Text>,
    pub comment: Option<Text>,
    pub overridden: Option<Override>,
}

/// What an entry below `devices:` says of a device that an inventory declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The clientID of the entry.
    pub span: Span,
    /// The keys that it has.
    pub keys: Vec<&'static str>,
}

impl RawDevice {
    pub(super) fn new(client_id: Text) -> Self {
        RawDevice { client_id, imei: None, group: None, more: None }
    }

    /// The place of the text that stands behind a key of [`super::keys::DEVICE`]; none for `settings`, which
    /// is a list.
    pub(super) fn text(&mut self, key: &str) -> Option<&mut Option<Text>> {
        match key {
            "imei" => Some(&mut self.imei),
            "group" => Some(&mut self.group),
            "channel" => Some(&mut self.more_mut().channel),
            "release" => Some(&mut self.more_mut().release),
            "hold" => Some(&mut self.more_mut().hold),
            "tid" => Some(&mut self.more_mut().tid),
            "comment" => Some(&mut self.more_mut().comment),
            _ => None,
        }
    }

    /// Sets the names of its settings sets.
    pub(super) fn set_settings(&mut self, names: Vec<Text>) {
        if !names.is_empty() {
            self.more_mut().settings = names;
        }
    }

    /// Takes over the fields that an entry below `devices:` has.
    pub(super) fn override_with(&mut self, mut entry: RawDevice) {
        let mut keys = Vec::new();
        for key in keys::DEVICE.iter().map(|key| key.name) {
            let text = entry.text(key).and_then(Option::take);
            if let (Some(text), Some(place)) = (text, self.text(key)) {
                *place = Some(text);
                keys.push(key);
            }
        }
        let settings = entry.more.take().map(|more| more.settings).unwrap_or_default();
        if !settings.is_empty() {
            self.set_settings(settings);
            keys.push("settings");
        }
        self.more_mut().overridden = Some(Override { span: entry.client_id.span, keys });
    }

    /// What is said of few devices, if it is said of this one.
    pub(super) fn more(&self) -> Option<&More> {
        self.more.as_deref()
    }

    fn more_mut(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }
}
