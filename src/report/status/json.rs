//! The status for programs. All times are seconds since 1970-01-01 UTC, all spans are seconds.
//!
//! Fields are only ever added; a change of another kind raises `format`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::summary::{RolloutSummary, Summary};
use super::{DeviceStatus, Former, LateReader, Notice, State, Status, Stranger, Stray, gate, words};
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;
use otapress_responder::code;
use otapress_responder::record::{DeviceRecord, Event};

/// The number of the format.
const FORMAT: u32 = 1;

/// A question's answer; a part is absent if the question was another one.
#[derive(Serialize)]
pub struct Answer<'a> {
    /// [`FORMAT`].
    pub format: u32,
    /// The moment of the status.
    pub now: i64,
    /// The counts.
    #[serde(flatten)]
    pub overview: Option<Overview<'a>>,
    /// Every device of the selection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<DeviceView<'a>>>,
    /// One device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceView<'a>>,
    /// Events, the latest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventView<'a>>>,
    /// Devices that ask and are not in the fleet. (An overview has their number under the same key.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<&'a [Stranger]>,
    /// The judgement of each rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Vec<GateView<'a>>>,
}

impl<'a> Answer<'a> {
    /// An answer without any part.
    pub fn new(status: &Status) -> Self {
        Answer {
            format: FORMAT,
            now: status.now,
            overview: None,
            devices: None,
            device: None,
            events: None,
            unknown: None,
            gate: None,
        }
    }

    /// An answer with the counts of a selection.
    pub fn of_summary(fleet: &'a Fleet, status: &'a Status, summary: &'a Summary) -> Self {
        Answer { overview: Some(Overview::new(fleet, status, summary)), ..Answer::new(status) }
    }
}

/// The counts, over all devices and by rollout.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview<'a> {
    summary: Counts,
    rollouts: Vec<RolloutView<'a>>,
    past: Vec<PastView<'a>>,
    unknown: usize,
    #[serde(skip_serializing_if = "<[Stray]>::is_empty")]
    unpublished_paths: &'a [Stray],
    #[serde(skip_serializing_if = "<[Notice]>::is_empty")]
    notices: &'a [Notice],
    #[serde(skip_serializing_if = "<[Former]>::is_empty")]
    formerly: &'a [Former],
    #[serde(skip_serializing_if = "<[LateReader]>::is_empty")]
    late_readers: &'a [LateReader],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    devices: usize,
    silent: usize,
    lost: usize,
    last_contact: Option<i64>,
    states: BTreeMap<&'static str, usize>,
    versions: Vec<VersionView>,
}

#[derive(Serialize)]
struct VersionView {
    version: Option<Version>,
    devices: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RolloutView<'a> {
    id: &'a str,
    channel: Option<&'a str>,
    release: Version,
    target: usize,
    reached: usize,
    offered: usize,
    finished: usize,
    silent: usize,
    states: BTreeMap<&'static str, usize>,
    failures: Vec<FailureView>,
    halted: Option<HaltView<'a>>,
    waves: Vec<WaveView<'a>>,
    attempts: u32,
    rate: Option<u32>,
    offers_in_last_hour: Option<u32>,
}

#[derive(Serialize)]
struct FailureView {
    failure: String,
    meaning: &'static str,
    fault: &'static str,
    devices: usize,
}

#[derive(Serialize)]
struct HaltView<'a> {
    at: i64,
    reason: &'a str,
}

#[derive(Serialize)]
struct WaveView<'a> {
    at: Option<i64>,
    percent: f64,
    devices: usize,
    current: usize,
    failed: usize,
    open: bool,
    /// When the success of others opened it.
    opened: Option<i64>,
    /// What a closed one waits for.
    waits: Option<String>,
    /// The devices without a verdict, if it waits for these.
    missing: Vec<&'a str>,
}

#[derive(Serialize)]
struct PastView<'a> {
    id: &'a str,
    open: u32,
    installed: u32,
    succeeded: u32,
    failed: u32,
    halted: Option<&'a str>,
}

impl<'a> Overview<'a> {
    fn new(fleet: &'a Fleet, status: &'a Status, summary: &'a Summary) -> Self {
        let versions = summary.versions.iter();
        let past = status.past.iter().map(|past| PastView {
            id: &past.record.id,
            open: past.standing.open,
            installed: past.standing.installed,
            succeeded: past.standing.succeeded,
            failed: past.standing.failed,
            halted: past.record.halted.as_ref().map(|halt| &*halt.reason),
        });
        let rollouts = summary.rollouts.iter().map(|counts| RolloutView::new(fleet, status, counts));
        Overview {
            summary: Counts {
                devices: summary.devices,
                silent: summary.silent,
                lost: summary.lost,
                last_contact: summary.last_contact,
                states: State::ALL.iter().map(|state| (state.as_str(), summary.in_state(*state))).collect(),
                versions: versions.map(|(&version, &devices)| VersionView { version, devices }).collect(),
            },
            rollouts: rollouts.collect(),
            past: past.collect(),
            unknown: status.strangers.len(),
            unpublished_paths: &status.strays,
            notices: &status.notices,
            formerly: &status.former,
            late_readers: &status.late_readers,
        }
    }
}

impl<'a> RolloutView<'a> {
    fn new(fleet: &'a Fleet, status: &'a Status, counts: &'a RolloutSummary) -> Self {
        let rollout = &status.rollouts[counts.place];
        let states = State::ALL.iter().filter(|state| state.has_target());
        let failures = counts.failures.iter().map(|(failure, devices)| FailureView {
            failure: failure.name(),
            meaning: failure.meaning(),
            fault: failure.fault(),
            devices: *devices,
        });
        let waves = counts.waves.iter().enumerate().map(|(n, wave)| WaveView {
            at: wave.at,
            percent: f64::from(wave.percent.get()) / 100.0,
            devices: wave.devices,
            current: wave.current,
            failed: wave.failed,
            open: wave.is_open(),
            opened: wave.opened,
            waits: wave.wait.map(|wait| wait.text(status.now)),
            missing: wave.wait.map_or_else(Vec::new, |wait| wait.missing(fleet, status, counts.place, n)),
        });
        let halted = rollout.record.halted.as_ref();
        RolloutView {
            id: &rollout.record.id,
            channel: rollout.rules.channel.as_deref(),
            release: rollout.rules.version,
            target: counts.target,
            reached: counts.reached,
            offered: counts.offered,
            finished: counts.finished(),
            silent: counts.silent,
            states: states.map(|state| (state.as_str(), counts.in_state(*state))).collect(),
            failures: failures.collect(),
            halted: halted.map(|halt| HaltView { at: halt.at, reason: &halt.reason }),
            waves: waves.collect(),
            attempts: rollout.rules.attempts,
            rate: rollout.rules.rate,
            offers_in_last_hour: rollout.recent,
        }
    }
}

/// One device.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView<'a> {
    #[serde(rename = "clientID")]
    client_id: &'a ClientId,
    imei: Imei,
    group: Option<&'a str>,
    channel: Option<&'a str>,
    comment: Option<&'a str>,
    target: Option<Version>,
    rollout: Option<&'a str>,
    from: Option<i64>,
    state: &'static str,
    silent: bool,
    lost: bool,
    failure: Option<String>,
    reason: Option<String>,
    todo: Option<String>,
    reported: Option<Version>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    interval: u32,
    offers: Vec<OfferView<'a>>,
    result: Option<ResultView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    named_result: Option<NamedResultView<'a>>,
    /// The trackers that had its clientID before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replaces: Vec<ReplacedView>,
    /// The device's history, the latest event first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventView<'a>>>,
}

#[derive(Serialize)]
struct OfferView<'a> {
    rollout: &'a str,
    from: Version,
    target: Version,
    attempts: u32,
    at: i64,
    deadline: Option<i64>,
    code: Option<u16>,
    verdict: Option<&'static str>,
}

#[derive(Serialize)]
struct ResultView<'a> {
    at: i64,
    code: Option<u16>,
    meaning: Option<&'static str>,
    text: &'a str,
}

/// A result that named the device by its clientID alone.
#[derive(Serialize)]
struct NamedResultView<'a> {
    at: i64,
    text: &'a str,
}

/// A tracker that another one replaces.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplacedView {
    imei: Imei,
    reported: Option<Version>,
    last_seen: i64,
}

impl ReplacedView {
    pub(crate) fn new(record: &DeviceRecord) -> Self {
        ReplacedView { imei: record.imei, reported: record.reported, last_seen: record.last_seen }
    }
}

impl<'a> DeviceView<'a> {
    /// A device without its history.
    pub fn new(fleet: &'a Fleet, status: &'a Status, device: &'a DeviceStatus) -> Self {
        let declared = &fleet.devices()[device.index];
        let record = device.record.as_deref();
        let (reason, todo) =
            words::reason(fleet, status, device).map_or((None, None), |it| (Some(it.why), it.todo));
        DeviceView {
            client_id: &declared.client_id,
            imei: declared.imei,
            group: fleet.group(declared).name.as_deref(),
            channel: fleet.channel(declared).map(|channel| &*channel.name),
            comment: declared.comment.as_deref(),
            target: device.assignment.target,
            rollout: device.rollout.map(|place| &*status.rollouts[place].record.id),
            from: device.assignment.from,
            state: device.state.as_str(),
            silent: device.silent,
            lost: device.lost,
            failure: device.failure.map(|failure| failure.name()),
            reason,
            todo,
            reported: record.and_then(|record| record.reported),
            first_seen: record.map(|record| record.first_seen),
            last_seen: record.map(|record| record.last_seen),
            interval: device.interval,
            offers: record.map(offers).unwrap_or_default(),
            result: record.and_then(|record| record.result.as_ref()).map(|result| ResultView {
                at: result.at,
                code: result.code,
                meaning: meaning(result.code),
                text: &result.text,
            }),
            replaces: device.of_client_id.replaced.iter().map(ReplacedView::new).collect(),
            named_result: device
                .of_client_id
                .named_result
                .as_ref()
                .map(|result| NamedResultView { at: result.last_seen, text: &result.said }),
            events: None,
        }
    }
}

fn offers(record: &DeviceRecord) -> Vec<OfferView<'_>> {
    let offers = record.offers.iter().filter(|offer| offer.was_offered()).map(|offer| OfferView {
        rollout: &offer.rollout,
        from: offer.from,
        target: offer.target,
        attempts: offer.attempts,
        at: offer.at,
        deadline: offer.deadline,
        code: offer.code,
        verdict: offer.verdict.map(|verdict| verdict.as_str()),
    });
    offers.collect()
}

fn meaning(code: Option<u16>) -> Option<&'static str> {
    code.and_then(code::lookup).map(|known| known.meaning)
}

/// One event.
#[derive(Serialize)]
pub struct EventView<'a> {
    at: i64,
    kind: &'static str,
    #[serde(rename = "clientID")]
    client_id: Option<&'a str>,
    imei: Option<Imei>,
    rollout: Option<&'a str>,
    code: Option<u16>,
    meaning: Option<&'static str>,
    detail: &'a str,
}

/// Events; `name` finds the clientIDs.
pub fn events<'a>(events: &'a [Event], name: impl Fn(Imei) -> Option<&'a str>) -> Vec<EventView<'a>> {
    let view = |event: &'a Event| EventView {
        at: event.at,
        kind: event.kind.as_str(),
        client_id: event.imei.and_then(&name),
        imei: event.imei,
        rollout: event.rollout.as_deref(),
        code: event.code,
        meaning: meaning(event.code),
        detail: &event.detail,
    };
    events.iter().map(view).collect()
}

/// The judgement of one rollout.
#[derive(Serialize)]
pub struct GateView<'a> {
    passes: bool,
    #[serde(flatten)]
    judgement: &'a gate::Judgement,
}

/// The judgement of each rollout.
pub fn gate(judgements: &[gate::Judgement]) -> Vec<GateView<'_>> {
    judgements.iter().map(|judgement| GateView { passes: judgement.misses.is_empty(), judgement }).collect()
}
