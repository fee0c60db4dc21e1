//! The state of a fleet: every device's target, its version, and why they differ.
//!
//! ```text
//! fleet ─ resolve ─┐
//! store ─ records ─┴─► Status ─ filter ─► Summary ─► text, json, prometheus, html
//! ```
//!
//! One model for all renderers. It holds as if every device asked at `now`: attempts whose time is over are
//! taken as failed, whether or not somebody has judged them yet.

pub mod filter;
pub mod gate;
pub mod history;
pub mod html;
pub mod json;
mod judge;
pub(crate) mod openings;
pub mod prometheus;
pub mod records;
pub(crate) mod replaced;
pub mod summary;
pub mod text;
pub(crate) mod time;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use otapress_core::id::Imei;
use otapress_core::wire::{self, AnswerFile, Target, Wave};
use otapress_publish::fleet::uri::HttpUri;
use otapress_publish::fleet::{Device, Fleet};
use otapress_publish::render::{self, Class};
use otapress_publish::resolve::{Assignment, assign};
use otapress_responder::files::origin;
use otapress_responder::offer::Offer;
use otapress_responder::record::{DeviceRecord, Event, RolloutRecord, UnknownRecord};
use otapress_responder::records::Scratch;
use otapress_responder::retention::Reader;
use otapress_responder::store::Standing;
use otapress_responder::{code, outcome, waves};
use replaced::OfClientId;

pub use judge::{Failure, State};
use records::{Devices, Records, Rollouts};
use time::moment;

/// The state of a fleet at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The moment, in seconds since 1970-01-01 UTC, like all times here.
    pub now: i64,
    /// Every device, in the order of [`Fleet::devices`].
    pub devices: Vec<DeviceStatus>,
    /// The rollouts that devices are aimed at, by id.
    pub rollouts: Vec<Rollout>,
    /// Past rollouts, which are no device's target any more. By id.
    pub past: Vec<Past>,
    /// Devices that ask and are not in the fleet, the last heard of first.
    pub strangers: Vec<Stranger>,
    /// Unpublished paths that devices of the fleet post to.
    pub strays: Vec<Stray>,
    /// What happened to the records as a whole in the last days, the last first.
    pub notices: Vec<Notice>,
    /// Since when events are known, if earlier ones may have been forgotten.
    pub history_since: Option<i64>,
    /// Who is still told by what `formerly` has, by setting and path.
    pub former: Vec<Former>,
    /// Readers of the events that have not read for long, for whom they are kept.
    pub late_readers: Vec<LateReader>,
}

/// A reader of the events that may be gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LateReader {
    /// Its name.
    pub name: String,
    /// Since when an event has waited for it.
    pub since: i64,
}

impl LateReader {
    /// The words for an operator.
    pub fn text(&self) -> String {
        format!(
            "`{name}` has read no event since {}, and they are kept for it: run that relay, or `otapress \
             state prune --forget-reader {name}`",
            moment(self.since),
            name = self.name
        )
    }
}

/// Devices that have not left a URI of `formerly`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Former {
    /// The setting.
    pub uri: &'static str,
    /// The former path, behind its host if that alone has moved; none for otapURI, which no request tells.
    pub at: Option<String>,
    /// How many devices.
    pub devices: usize,
}

/// Something that happened to the records, or to all devices of some rollouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// When.
    pub at: i64,
    /// The kind of the event.
    pub kind: &'static str,
    /// The rollouts; none: all.
    pub rollouts: Vec<Arc<str>>,
    /// What happened.
    pub detail: String,
}

impl Notice {
    /// What it is about.
    pub(crate) fn about(&self) -> String {
        if self.rollouts.is_empty() { "all".to_owned() } else { self.rollouts.join(", ") }
    }
}

/// For how long something is noticed, in seconds: a week.
const NOTICED_SECONDS: i64 = 7 * 86_400;

/// An unpublished path that devices of the fleet post to, without having found a published one since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stray {
    /// The path with its query.
    pub path: String,
    /// How many devices.
    pub devices: usize,
    /// What admits them.
    pub remedy: String,
}

/// One device of the fleet.
#[derive(Clone, Debug)]
pub struct DeviceStatus {
    /// Its place in [`Fleet::devices`].
    pub index: usize,
    /// Its target, and why.
    pub assignment: Assignment,
    /// The place of its target's rollout in [`Status::rollouts`].
    pub rollout: Option<usize>,
    /// Seconds between two of its checks.
    pub interval: u32,
    /// Its record.
    pub record: Option<Box<DeviceRecord>>,
    /// Its state.
    pub state: State,
    /// Whether it has missed more than two checks.
    pub silent: bool,
    /// Whether it answered 900 and has been silent since: the release may not start on it.
    pub lost: bool,
    /// How its last attempt that has ended failed, if it did.
    pub failure: Option<Failure>,
    /// What its clientID has besides: replaced trackers, and results without an IMEI.
    of_client_id: OfClientId,
}

impl DeviceStatus {
    /// The IMEIs of the trackers that it replaces, the last one first.
    pub(crate) fn replaced_imeis(&self) -> impl Iterator<Item = Imei> {
        self.of_client_id.replaced.iter().map(|record| record.imei)
    }
}

/// A rollout that devices are aimed at.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Its rules, as published; `from` is that of any device.
    pub rules: Target,
    /// Its record, with the overdue attempts judged, and then its waves.
    pub record: RolloutRecord,
    /// Its waves, as published.
    pub waves: Vec<Wave>,
    /// Offers that its channel made in the last hour, if that is limited.
    pub recent: Option<u32>,
}

/// A rollout of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its record.
    pub record: RolloutRecord,
    /// The counts of its devices.
    pub standing: Standing,
}

/// Somebody who asks and is not in the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stranger {
    /// The IMEI, or the clientID of a result without one.
    pub name: String,
    /// When it was first heard of.
    pub first_seen: i64,
    /// When it was last heard of.
    pub last_seen: i64,
    /// The body of its last request: a version, or something else.
    pub said: String,
    /// Whether it was in the fleet once.
    pub departed: bool,
}

impl Status {
    /// Makes the model. `records` are used up.
    pub fn new(fleet: &Fleet, records: Records, now: i64) -> Self {
        let Records { mut devices, mut rollouts, releases, standings, mut unknowns, .. } = records;
        let (strays, mut former) = strays(fleet, &devices, &mut unknowns);
        let (mut named, unknowns) = replaced::by_client_id(fleet, unknowns);
        judge_overdue(&mut devices, &mut rollouts, now);
        let mut published =
            PublishedAnswers { rollouts: render::rollouts(fleet), ..PublishedAnswers::default() };
        let classes: Vec<_> = fleet
            .devices()
            .iter()
            .map(|device| {
                let assignment = assign(fleet, device);
                let class = Class::of(fleet, device, assignment);
                let place = published.place(class, || render::answer(fleet, device, assignment));
                (assignment, place)
            })
            .collect();
        let rollouts_aimed: Vec<_> = published
            .targets
            .into_values()
            .map(|(rules, patience)| (published.rollouts.remove(&rules.rollout), rules, patience))
            .map(|(published, rules, patience)| Rollout {
                record: record(rollouts.remove(&*rules.rollout), &rules, published.as_ref(), patience, now)
                    .with_release(&releases),
                waves: published.map_or_else(Vec::new, |published| published.waves),
                recent: rules
                    .rate
                    .and(rules.channel.as_ref())
                    .map(|channel| records.recent.get(channel).copied().unwrap_or(0)),
                rules,
            })
            .collect();
        let blank = RolloutRecord::new("");
        let mut former_otap_uris = 0;
        let mut replaced = replaced::take_replaced(fleet, &mut devices);
        let judged =
            fleet.devices().iter().zip(classes).enumerate().map(|(index, (device, (assignment, place)))| {
                let (offer, interval) = &published.offers[place];
                let id = match offer {
                    Offer::Managed(managed) => managed.target.as_ref().map(|target| &target.rollout),
                    Offer::Held => None,
                };
                let rollout =
                    id.and_then(|id| rollouts_aimed.binary_search_by(|r| (*r.record.id).cmp(id)).ok());
                let record = devices.remove(&device.imei);
                former_otap_uris +=
                    usize::from(may_have_former_otap_uri(fleet, device, offer, record.as_deref()));
                let (of_rollout, recent) = match rollout.map(|at| &rollouts_aimed[at]) {
                    Some(rollout) => (&rollout.record, rollout.recent.unwrap_or(0)),
                    None => (&blank, 0),
                };
                let (state, failure) = judge::judge(offer, record.as_deref(), of_rollout, recent, now);
                let silent =
                    record.as_ref().is_some_and(|record| is_silent(record.last_seen, *interval, now));
                let lost = silent && record.as_deref().is_some_and(is_last_heard_installing);
                DeviceStatus {
                    index,
                    assignment,
                    rollout,
                    interval: *interval,
                    record,
                    state,
                    silent,
                    lost,
                    failure,
                    of_client_id: OfClientId {
                        replaced: replaced.remove(&device.client_id).unwrap_or_default(),
                        named_result: named.remove(device.client_id.as_str()),
                    },
                }
            });
        let devices_judged = judged.collect();
        if fleet.groups().iter().any(|group| !group.provisioning.formerly.otap_uris.is_empty()) {
            former.push(Former { uri: "otapURI", at: None, devices: former_otap_uris });
        }
        Status {
            now,
            devices: devices_judged,
            rollouts: rollouts_aimed,
            past: past(rollouts, standings),
            strangers: strangers(devices, unknowns),
            strays,
            notices: notices(records.notices, now),
            history_since: records.history_since,
            former,
            late_readers: late_readers(&records.readers, now),
        }
    }
}

/// The readers that have not read for long.
pub(crate) fn late_readers(readers: &[Reader], now: i64) -> Vec<LateReader> {
    let late = readers.iter().filter(|reader| reader.is_late(now));
    late.filter_map(|reader| Some(LateReader { name: reader.name.clone(), since: reader.waits_since? }))
        .collect()
}

/// The published answers, one for each class of devices.
#[derive(Default)]
struct PublishedAnswers {
    /// As `otapress.json` has them.
    rollouts: BTreeMap<String, wire::Rollout>,
    places: HashMap<Class, usize>,
    /// The offers with their intervals.
    offers: Vec<(Offer, u32)>,
    /// The rules of each rollout, by its id, and how long its devices may take to be heard.
    targets: BTreeMap<String, (Target, i64)>,
}

impl PublishedAnswers {
    fn place(&mut self, class: Class, answer: impl FnOnce() -> AnswerFile) -> usize {
        *self.places.entry(class).or_insert_with(|| {
            let answer = answer();
            let interval = answer.offer.interval;
            // An answer rendered from a valid fleet is consistent.
            let offer = Offer::new(answer, &self.rollouts).unwrap_or(Offer::Held);
            if let Offer::Managed(managed) = &offer
                && let Some(target) = &managed.target
            {
                let rules = || (target.clone(), managed.patience());
                self.targets.entry(target.rollout.clone()).or_insert_with(rules);
            }
            self.offers.push((offer, interval));
            self.offers.len() - 1
        })
    }
}

/// A rollout's record, with the waves opened that the next question about it would open.
fn record(
    known: Option<Arc<RolloutRecord>>,
    rules: &Target,
    published: Option<&wire::Rollout>,
    patience: i64,
    now: i64,
) -> RolloutRecord {
    let mut record = known.map_or_else(|| RolloutRecord::new(&*rules.rollout), Arc::unwrap_or_clone);
    let waves = published.map_or(&[][..], |published| &published.waves);
    waves::judge(&mut record, waves, patience, now, &mut Vec::new());
    record
}

/// Ends the attempts whose time is over, as the next question about their rollout would. Deadlines become
/// those of the wall clock.
fn judge_overdue(devices: &mut Devices, rollouts: &mut Rollouts, now: i64) {
    for device in devices.values_mut() {
        let Some(id) = &device.latest else { continue };
        let rollout = rollouts.entry(id.clone()).or_insert_with(|| Arc::new(RolloutRecord::new(id.clone())));
        outcome::reported(&mut Scratch::default().ledger(device, rollout), None, now);
        for offer in &mut device.offers {
            let Some(deadline) = &mut offer.deadline else { continue };
            let clock = rollouts.get(&offer.rollout).map(|rollout| rollout.clock).unwrap_or_default();
            *deadline = clock.wall(*deadline);
        }
    }
}

/// Whether nothing came after a result that says that the release is installed.
fn is_last_heard_installing(record: &DeviceRecord) -> bool {
    let installed = record.result.as_ref().filter(|result| result.code == Some(code::INSTALLED));
    // The device may repeat its post within a minute.
    installed.is_some_and(|result| record.last_seen - result.at <= 60)
}

/// The events of the last days. Rollouts that share their devices meet the same: they are named together.
fn notices(events: Vec<Event>, now: i64) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    for event in events.into_iter().filter(|event| (0..NOTICED_SECONDS).contains(&(now - event.at))) {
        let kind = event.kind.as_str();
        match notices.iter_mut().find(|notice| notice.kind == kind && notice.detail == event.detail) {
            Some(notice) => {
                notice.at = notice.at.max(event.at);
                notice.rollouts.extend(event.rollout);
            }
            None => {
                let rollouts = event.rollout.into_iter().collect();
                notices.push(Notice { at: event.at, kind, rollouts, detail: event.detail });
            }
        }
    }
    notices.sort_by_key(|notice| std::cmp::Reverse(notice.at));
    notices
}

/// More than two checks were missed. That a device was heard of is not always written down at once.
fn is_silent(last_seen: i64, interval: u32, now: i64) -> bool {
    now - last_seen > 2 * i64::from(interval).max(DeviceRecord::TOUCH_SECONDS)
}

fn past(rollouts: Rollouts, standings: BTreeMap<String, Standing>) -> Vec<Past> {
    let stands = |id: &str| standings.get(id).copied().unwrap_or_default();
    let records = rollouts.into_values().map(Arc::unwrap_or_clone);
    records.map(|record| Past { standing: stands(&record.id), record }).collect()
}

/// Takes the devices of the fleet out of the unknown ones: those that post to unpublished paths, and those
/// that use a former one.
fn strays(fleet: &Fleet, devices: &Devices, unknowns: &mut Vec<UnknownRecord>) -> (Vec<Stray>, Vec<Former>) {
    let ours: BTreeSet<Imei> = fleet.devices().iter().map(|device| device.imei).collect();
    let (mut counts, mut former) = (BTreeMap::new(), former_uris(fleet));
    unknowns.retain(|unknown| {
        let at = unknown.stray_path().filter(|(imei, _)| ours.contains(imei));
        let Some((imei, at)) = at else { return true };
        let last_seen = devices.get(&imei).map(|device| device.last_seen);
        if at.is_former {
            let uri = if at.is_check { "versionURI" } else { "notifyURI" };
            // Both are noted with a lag. Later checks say nothing of where its seldom results go.
            let has_left =
                last_seen.is_some_and(|seen| seen - unknown.last_seen >= 2 * DeviceRecord::TOUCH_SECONDS);
            if let Some(devices) = former.get_mut(&(uri, at.path.to_owned()))
                && !(has_left && at.is_check)
            {
                *devices += 1;
            }
        } else if last_seen.is_none_or(|seen| seen <= unknown.last_seen) {
            let key = (at.path.to_owned(), at.remedy(origin(fleet.site().as_str())));
            *counts.entry(key).or_default() += 1;
        }
        false
    });
    let strays = counts.into_iter().map(|((path, remedy), devices)| Stray { path, devices, remedy });
    let former = former.into_iter().map(|((uri, at), devices)| Former { uri, at: Some(at), devices });
    (strays.collect(), former.collect())
}

/// The published former paths, with no device yet.
fn former_uris(fleet: &Fleet) -> BTreeMap<(&'static str, String), usize> {
    let published = render::formerly(fleet);
    let now = fleet.groups().iter().map(|group| &group.provisioning);
    let paths = |uri: &'static str, paths: &[String], hosts: &[String], now: Vec<&HttpUri>| -> Vec<_> {
        let of_host = |host: &String| {
            let path = now.iter().map(|now| now.path());
            path.map(|path| format!("{host}{path}")).collect::<Vec<_>>()
        };
        paths.iter().cloned().chain(hosts.iter().flat_map(of_host)).map(|path| ((uri, path), 0)).collect()
    };
    let version = now.clone().map(|provisioning| &provisioning.version_uri.value).collect();
    let notify = now.map(|provisioning| &provisioning.notify_uri.value).collect();
    let version = paths("versionURI", &published.version_paths, &published.version_hosts, version);
    let notify = paths("notifyURI", &published.notify_paths, &published.notify_hosts, notify);
    version.into_iter().chain(notify).collect()
}

/// Whether a device may still have a former otapURI: today's was not pushed to it, or has not arrived.
fn may_have_former_otap_uri(
    fleet: &Fleet,
    device: &Device,
    offer: &Offer,
    record: Option<&DeviceRecord>,
) -> bool {
    if fleet.group(device).provisioning.formerly.otap_uris.is_empty() {
        return false;
    }
    let Offer::Managed(managed) = offer else { return true };
    let is_pushed = managed.settings.iter().any(|push| push.setting.key == "otapURI");
    let confirmed = record.and_then(|record| record.settings.confirmed.as_ref());
    let has_arrived = confirmed.is_some_and(|portion| {
        portion.is_complete && Some(&*portion.generation) == managed.generation.as_deref()
    });
    !(is_pushed && has_arrived)
}

fn strangers(departed: Devices, unknowns: Vec<UnknownRecord>) -> Vec<Stranger> {
    let departed = departed.into_values().map(|record| Stranger {
        name: record.imei.to_string(),
        first_seen: record.first_seen,
        last_seen: record.last_seen,
        said: record.reported.map(|version| version.to_string()).unwrap_or_default(),
        departed: true,
    });
    let unknown = unknowns.into_iter().map(|unknown| Stranger {
        name: unknown.name,
        first_seen: unknown.first_seen,
        last_seen: unknown.last_seen,
        said: unknown.said,
        departed: false,
    });
    let mut all: Vec<_> = departed.chain(unknown).collect();
    all.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.name.cmp(&b.name)));
    all
}
