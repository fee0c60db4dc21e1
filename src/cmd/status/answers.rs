//! The answers to what is asked of the status, as text or JSON.

use std::collections::HashMap;

use anyhow::bail;

use super::look::{Opened, events_of, latest_events};
use crate::cmd::find;
use crate::report::json;
use crate::report::status::filter::{Filter, keeps_event};
use crate::report::status::gate::Judgement;
use crate::report::status::json::{Answer, DeviceView, events as json_events, gate};
use crate::report::status::summary::Summary;
use crate::report::status::{DeviceStatus, Status, text};
use otapress_core::id::Imei;
use otapress_publish::fleet::Fleet;
use otapress_responder::record::Event;
use otapress_responder::store::StoreError;

/// A question about a status.
pub(super) struct Asked<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) status: &'a Status,
    pub(crate) filter: &'a Filter,
    pub(crate) json: bool,
}

impl<'a> Asked<'a> {
    /// The counts, and the devices if they are asked for.
    pub(crate) fn summary(&self, summary: &Summary, devices: bool) -> String {
        let Self { fleet, status, .. } = *self;
        let lists = devices || self.filter.is_of_devices();
        let shown: Vec<_> = status
            .devices
            .iter()
            .filter(|device| lists && self.filter.keeps(fleet, status, device))
            .collect();
        if self.json {
            let devices = || shown.iter().map(|device| DeviceView::new(fleet, status, device)).collect();
            return json::text(&Answer {
                devices: lists.then(devices),
                ..Answer::of_summary(fleet, status, summary)
            });
        }
        let mut out = text::summary(fleet, status, summary);
        if lists {
            out.push('\n');
            out += &text::list(fleet, status, &shown);
        }
        out
    }

    pub(crate) fn gate(&self, summary: &Summary, judgements: &[Judgement]) -> String {
        if !self.json {
            return text::gate(judgements);
        }
        let answer = Answer::of_summary(self.fleet, self.status, summary);
        json::text(&Answer { gate: Some(gate(judgements)), ..answer })
    }

    /// One device with its latest events, whether it is in the fleet or not.
    pub(crate) fn device(&self, name: &str, store: &mut Opened, limit: u32) -> anyhow::Result<String> {
        let Self { fleet, status, .. } = *self;
        let mut history = |imei| match store {
            Some(store) => events_of(&mut **store, imei, limit),
            None => Ok(Vec::new()),
        };
        let named = fleet.find(name).map(|declared| declared.imei);
        let imei = name.parse::<Imei>();
        let is_it = |device: &&DeviceStatus| match named {
            Some(named) => fleet.devices()[device.index].imei == named,
            None => device.replaced_imeis().any(|replaced| imei == Ok(replaced)),
        };
        let Some(device) = status.devices.iter().find(is_it) else { return self.stranger(name, history) };
        let declared = &fleet.devices()[device.index];
        let mut events = history(declared.imei)?;
        for imei in device.replaced_imeis() {
            events.extend(history(imei)?);
        }
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        events.truncate(limit as usize);
        if self.json {
            let mut view = DeviceView::new(fleet, status, device);
            view.events = Some(json_events(&events, |_| Some(declared.client_id.as_str())));
            return Ok(json::text(&Answer { device: Some(view), ..Answer::new(status) }));
        }
        Ok(text::device(fleet, status, device, &events))
    }

    /// Somebody who is not in the fleet, and may have been.
    fn stranger(
        &self,
        name: &str,
        history: impl FnOnce(Imei) -> Result<Vec<Event>, StoreError>,
    ) -> anyhow::Result<String> {
        let Some(stranger) = self.status.strangers.iter().find(|stranger| stranger.name == name) else {
            bail!("{}; none of that name was heard of, either", find::no_device(self.fleet, name));
        };
        let events = name.parse().map_or_else(|_| Ok(Vec::new()), history)?;
        let stranger = std::slice::from_ref(stranger);
        if self.json {
            let events = Some(json_events(&events, |_| None));
            return Ok(json::text(&Answer { unknown: Some(stranger), events, ..Answer::new(self.status) }));
        }
        Ok(text::strangers(stranger, self.status.now) + &text::events(&events, |_| None))
    }

    /// The devices that are not in the fleet.
    pub(crate) fn strangers(&self) -> String {
        let strangers = &self.status.strangers;
        if self.json {
            return json::text(&Answer { unknown: Some(strangers), ..Answer::new(self.status) });
        }
        text::strangers(strangers, self.status.now)
    }

    /// The last events of the devices and rollouts that the filter keeps.
    pub(crate) fn events(&self, store: &mut Opened, limit: u32) -> Result<String, StoreError> {
        let Self { fleet, status, filter, .. } = *self;
        let imeis = |device: &'a DeviceStatus| {
            let now = fleet.devices()[device.index].imei;
            [now].into_iter().chain(device.replaced_imeis()).map(move |imei| (imei, device))
        };
        let by_imei: HashMap<Imei, &'a DeviceStatus> = status.devices.iter().flat_map(imeis).collect();
        let keeps = |imei| by_imei.get(&imei).is_some_and(|device| filter.keeps(fleet, status, device));
        let events = match store {
            Some(store) => latest_events(&mut **store, limit, |event| keeps_event(filter, event, keeps))?,
            None => Vec::new(),
        };
        let name =
            |imei: Imei| by_imei.get(&imei).map(|device| fleet.devices()[device.index].client_id.as_str());
        if self.json {
            let events = Some(json_events(&events, name));
            return Ok(json::text(&Answer { events, ..Answer::new(status) }));
        }
        Ok(text::events(&events, name))
    }
}
