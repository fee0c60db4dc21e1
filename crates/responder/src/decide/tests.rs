//! Every rule, every set of rules that can meet, and what is recorded.

use super::*;
use crate::offer::Push;
use crate::record::{Halt, SettingsRecord, Verdict};
use otapress_core::wire::{Brake, Day, Window};

/// A Monday, 10:00 UTC.
const NOW: i64 = 1_795_428_000;
const INTERVAL: u32 = 10800;
const BRAKE: Brake = Brake { artifact_faults: 3, failures_bp: 2000, after: 10 };

fn v(text: &str) -> Version {
    text.parse().unwrap()
}

fn target() -> Target {
    Target {
        version: v("0.10.66"),
        rollout: "next/0.10.66".into(),
        channel: Some("next".into()),
        wave: None,
        from: None,
        window: None,
        attempts: 3,
        brake: BRAKE,
        no_downgrade: false,
        rate: None,
    }
}

fn managed(target: Option<Target>) -> Managed {
    Managed { target, interval: INTERVAL, ..Managed::default() }
}

fn device() -> DeviceRecord {
    DeviceRecord::new("123456789012345".parse().unwrap(), NOW - 86_400)
}

fn rollout() -> RolloutRecord {
    RolloutRecord::new("next/0.10.66")
}

/// A decision and the records from then on.
struct Decision {
    answer: Answer,
    refusal: Option<Refusal>,
    device: DeviceRecord,
    rollout: RolloutRecord,
    counted: Option<String>,
    events: Vec<Event>,
}

fn decide(
    offer: &Offer,
    reported: Version,
    device: &DeviceRecord,
    rollout: &RolloutRecord,
    recent: u32,
    now: i64,
) -> Decision {
    let (mut device, mut rollout, mut events) = (device.clone(), Arc::new(rollout.clone()), Vec::new());
    let mut scratch = Scratch::default();
    let mut ledger = Ledger { recent, events: &mut events, ..scratch.ledger(&mut device, &mut rollout) };
    let super::Decision { answer, refusal, counted } = super::decide(offer, reported, &mut ledger, now);
    Decision { answer, refusal, device, rollout: Arc::unwrap_or_clone(rollout), counted, events }
}

fn decide_at(managed: &Managed, reported: &str, device: &DeviceRecord, now: i64) -> Decision {
    decide(&Offer::Managed(managed.clone()), v(reported), device, &rollout(), 0, now)
}

fn kinds(decision: &Decision) -> Vec<EventKind> {
    decision.events.iter().map(|event| event.kind).collect()
}

/// The refusals that `decide` knows, in their order.
const RULES: [Refusal; 12] = [
    Refusal::Held,
    Refusal::NoTarget,
    Refusal::Current,
    Refusal::DowngradeDenied,
    Refusal::Withdrawn,
    Refusal::WaitingForWave,
    Refusal::OutsideWindow,
    Refusal::AttemptsUsed,
    Refusal::Halted,
    Refusal::Proving,
    Refusal::RateLimited,
    Refusal::NotPublished,
];

/// Decides where exactly these rules say no. `lost`: the device asks again half a minute after an offer.
fn decide_where(rules: &[Refusal], lost: bool) -> Decision {
    let holds = |rule| rules.contains(&rule);
    let mut target = target();
    let mut device = device();
    let mut rollout = rollout();
    let mut reported = v("0.10.65");
    if holds(Refusal::DowngradeDenied) {
        target.no_downgrade = true;
        reported = v("0.10.67");
    }
    if lost {
        let offer = Offer::Managed(managed(Some(target.clone())));
        let allowed = Offer::Managed(managed(Some(Target { no_downgrade: false, ..target.clone() })));
        let offer = if holds(Refusal::DowngradeDenied) { allowed } else { offer };
        let first = decide(&offer, reported, &device, &rollout, 0, NOW - 30);
        assert!(first.answer.upgrade);
        (device, rollout) = (first.device, first.rollout);
    }
    if holds(Refusal::Current) {
        reported = target.version;
    }
    if holds(Refusal::WaitingForWave) {
        target.from = Some(NOW + 1);
    }
    if holds(Refusal::OutsideWindow) {
        target.window = Some(Window { days: vec![Day::Mon], from: 601, minutes: 60 });
    }
    if holds(Refusal::AttemptsUsed) {
        target.attempts = u32::from(lost);
    }
    if holds(Refusal::Halted) {
        rollout.halted = Some(Halt { at: NOW - 10, reason: "why".into() });
    }
    target.rate = Some(5);
    let recent = if holds(Refusal::RateLimited) { 5 } else { 4 };
    if holds(Refusal::Proving) {
        (rollout.places, rollout.proven) = (3, 39);
    }
    let target = (!holds(Refusal::NoTarget)).then_some(target);
    let mut managed = managed(target);
    managed.rules.is_withdrawn = holds(Refusal::Withdrawn);
    managed.rules.is_published = !holds(Refusal::NotPublished);
    let offer = if holds(Refusal::Held) { Offer::Held } else { Offer::Managed(managed) };
    decide(&offer, reported, &device, &rollout, recent, NOW)
}

#[test]
fn the_first_rule_that_says_no_is_named() {
    assert!(RULES.is_sorted(), "the order of the enum is the order of precedence");
    for set in 0..1_u32 << RULES.len() {
        let rules: Vec<_> = (0..RULES.len()).filter(|i| set >> i & 1 == 1).map(|i| RULES[i]).collect();
        let decision = decide_where(&rules, false);
        assert_eq!(decision.refusal, rules.first().copied(), "{rules:?}");
        assert_eq!(decision.answer.upgrade, rules.is_empty(), "{rules:?}");
        assert_eq!(decision.device.refusal, decision.refusal, "{rules:?}");
        assert_eq!(kinds(&decision).contains(&EventKind::Offered), rules.is_empty(), "{rules:?}");
    }
}

#[test]
fn a_lost_answer_is_given_again_unless_the_rollout_ended() {
    for set in 0..1_u32 << RULES.len() {
        let rules: Vec<_> = (0..RULES.len()).filter(|i| set >> i & 1 == 1).map(|i| RULES[i]).collect();
        let decision = decide_where(&rules, true);
        // These three were asked when the attempt began.
        let first = rules
            .iter()
            .find(|r| !matches!(r, Refusal::AttemptsUsed | Refusal::Proving | Refusal::RateLimited));
        assert_eq!(decision.refusal, first.copied(), "{rules:?}");
        assert_eq!(decision.counted, None, "{rules:?}");
        assert_eq!(decision.device.latest_offer().unwrap().attempts, 1, "{rules:?}");
        assert!(!kinds(&decision).contains(&EventKind::Offered), "{rules:?}");
    }
}

#[test]
fn an_offer_is_recorded() {
    let target = Target { rate: Some(5), ..target() };
    let decision =
        decide(&Offer::Managed(managed(Some(target))), v("0.10.65"), &device(), &rollout(), 0, NOW);
    assert_eq!(decision.answer, Answer { upgrade: true, settings: vec![] });
    assert_eq!(decision.counted.as_deref(), Some("next"));
    assert_eq!(decision.rollout, RolloutRecord { brake: Some(BRAKE), offered: 1, places: 1, ..rollout() });
    let deadline = NOW + 2 * 10800 + 3600;
    assert_eq!(
        decision.device.latest_offer(),
        Some(&OfferRecord {
            rollout: "next/0.10.66".into(),
            target: v("0.10.66"),
            attempts: 1,
            at: NOW,
            from: v("0.10.65"),
            deadline: Some(deadline),
            until: deadline,
            answered: false,
            code: None,
            verdict: None,
            artifact_fault: false,
            epoch: 0,
            place: true,
            proven: None,
            since: None,
            blamed: None,
            missing: None,
            wave: None,
            outside: None,
        })
    );
    assert_eq!(kinds(&decision), [EventKind::Offered]);
    assert_eq!(decision.events[0].detail, "0.10.65 → 0.10.66, attempt 1");
}

#[test]
fn versions_are_compared_as_numbers() {
    let aim = |version| managed(Some(Target { version: v(version), ..target() }));
    let refusal = |version, reported| decide_at(&aim(version), reported, &device(), NOW).refusal;
    assert_eq!(refusal("0.10.66", "0.10.066"), Some(Refusal::Current));
    assert_eq!(refusal("1.1", "1.1.0"), Some(Refusal::Current));
    assert_eq!(refusal("0.10.9", "0.10.66"), None, "git is right");
    let denied = managed(Some(Target { version: v("0.10.9"), no_downgrade: true, ..target() }));
    assert_eq!(decide_at(&denied, "0.10.66", &device(), NOW).refusal, Some(Refusal::DowngradeDenied));
    assert_eq!(decide_at(&denied, "0.9.99", &device(), NOW).refusal, None);
}

#[test]
fn waves_open_to_the_second_and_rates_close_at_the_last_offer() {
    let waiting = managed(Some(Target { from: Some(NOW), ..target() }));
    assert_eq!(decide_at(&waiting, "0.10.65", &device(), NOW - 1).refusal, Some(Refusal::WaitingForWave));
    assert_eq!(decide_at(&waiting, "0.10.65", &device(), NOW).refusal, None);
    let rated = Offer::Managed(managed(Some(Target { rate: Some(2), ..target() })));
    let refusal = |recent| decide(&rated, v("0.10.65"), &device(), &rollout(), recent, NOW).refusal;
    assert_eq!(
        (refusal(1), refusal(2), refusal(3)),
        (None, Some(Refusal::RateLimited), Some(Refusal::RateLimited))
    );
}

#[test]
fn attempts_are_used_up_and_given_back() {
    let managed = managed(Some(target()));
    let mut device = device();
    for attempt in 1..=3 {
        let decision = decide_at(&managed, "0.10.65", &device, NOW + attempt * 60);
        assert!(decision.answer.upgrade, "{attempt}");
        device = decision.device;
        assert_eq!(device.latest_offer().unwrap().attempts, attempt as u32);
    }
    let refused = decide_at(&managed, "0.10.65", &device, NOW + 240);
    assert_eq!(refused.refusal, Some(Refusal::AttemptsUsed));
    let mut events = Vec::new();
    let mut rollout = RolloutRecord { places: 1, ..rollout() };
    assert!(outcome::retry(&mut device, &mut rollout, NOW + 241, &mut events));
    assert_eq!(rollout.places, 0);
    assert!(
        !outcome::retry(&mut device, &mut rollout, NOW + 241, &mut events),
        "there is nothing to give back"
    );
    assert_eq!(events.len(), 1);
    let decision = decide_at(&managed, "0.10.65", &device, NOW + 241);
    assert!(decision.answer.upgrade);
    assert_eq!(
        decision.device.latest_offer().unwrap().attempts,
        1,
        "a new attempt, although soon after the last"
    );
}

#[test]
fn asking_again_is_a_new_attempt_if_anything_else_happened() {
    let managed = managed(Some(target()));
    let first = decide_at(&managed, "0.10.65", &device(), NOW).device;
    let attempts = |device: &DeviceRecord, reported, now| {
        let decision = decide_at(&managed, reported, device, now);
        assert!(decision.answer.upgrade);
        decision.device.latest_offer().unwrap().attempts
    };
    assert_eq!(attempts(&first, "0.10.65", NOW), 1);
    assert_eq!(attempts(&first, "0.10.65", NOW + 59), 1);
    assert_eq!(attempts(&first, "0.10.65", NOW + 60), 2);
    assert_eq!(attempts(&first, "0.10.64", NOW + 59), 2, "another version");
    assert_eq!(attempts(&first, "0.10.65", NOW - 1), 2, "the clock was set back");
    let mut answered = first.clone();
    answered.offers[0].answered = true;
    assert_eq!(attempts(&answered, "0.10.65", NOW + 40), 2, "its modem reported a result");
    let again = decide_at(&managed, "0.10.65", &first, NOW + 59);
    assert_eq!(again.device.latest_offer().unwrap().at, NOW, "the minute is not prolonged");
    assert_eq!(again.rollout.offered, 0, "and the device is not counted again");
}

/// A clock that is set back makes an attempt young again that was told a "no" meanwhile.
#[test]
fn an_answer_is_given_again_only_while_the_device_has_its_place() {
    let offer = Offer::Managed(managed(Some(target())));
    let first = decide(&offer, v("0.10.65"), &device(), &rollout(), 0, NOW);
    assert_eq!((first.rollout.places, first.device.offers[0].place), (1, true));
    let (mut left, mut freed) = (first.device.clone(), first.rollout.clone());
    outcome::free(&mut left.offers[0], &mut &mut freed);
    let resumed = RolloutRecord { epoch: 1, ..rollout() };
    for (device, rollout, why) in
        [(&left, &freed, "its place was given back"), (&first.device, &resumed, "places are counted anew")]
    {
        let full = RolloutRecord { places: 3, ..rollout.clone() };
        let refused = decide(&offer, v("0.10.65"), device, &full, 0, NOW + 10);
        assert_eq!(refused.refusal, Some(Refusal::Proving), "{why}");
        let again = decide(&offer, v("0.10.65"), device, rollout, 0, NOW + 10);
        let record = &again.device.offers[0];
        assert!(again.answer.upgrade && record.place, "{why}");
        assert_eq!((record.attempts, record.epoch), (2, rollout.epoch), "{why}");
        assert_eq!(again.rollout.places, 1, "{why}");
    }
}

#[test]
fn a_further_attempt_does_not_put_the_failure_off() {
    let managed = managed(Some(target()));
    let first = decide_at(&managed, "0.10.65", &device(), NOW).device;
    let second = decide_at(&managed, "0.10.65", &first, NOW + 10800).device;
    let offer = second.latest_offer().unwrap();
    assert_eq!((offer.attempts, offer.deadline), (2, Some(NOW + 25200)));
    assert_eq!(offer.until, NOW + 10800 + 25200);
    let mut rollout = rollout();
    rollout.clock.patience = 30_000;
    rollout.clock.heard = Some(NOW);
    let offer = second.latest_offer().unwrap();
    assert!(!outcome::is_overdue(offer, &rollout, NOW + 25199));
    assert!(outcome::is_overdue(offer, &rollout, NOW + 25200));
    assert!(!outcome::is_overdue(offer, &rollout, NOW + 30_001), "it may be everybody's silence");
}

#[test]
fn another_target_ends_what_was_under_way_without_a_verdict() {
    let next = managed(Some(target()));
    let later = managed(Some(Target { version: v("0.10.67"), rollout: "next/0.10.67".into(), ..target() }));
    let device = decide_at(&next, "0.10.65", &device(), NOW).device;
    let device = decide_at(&later, "0.10.65", &device, NOW + 10).device;
    assert_eq!(device.latest.as_deref(), Some("next/0.10.67"));
    let (old, new) = (device.offer("next/0.10.66").unwrap(), device.offer("next/0.10.67").unwrap());
    assert_eq!((old.deadline, old.verdict), (None, None));
    assert_eq!((new.attempts, new.deadline), (1, Some(NOW + 10 + 25200)));
    let back = decide_at(&next, "0.10.65", &device, NOW + 20).device;
    assert_eq!(back.offer("next/0.10.66").unwrap().attempts, 2, "its attempts are remembered");
    assert_eq!(back.offer("next/0.10.67").unwrap().deadline, None);
}

#[test]
fn a_new_epoch_forgets_what_was_counted_but_not_the_attempts() {
    let offer = Offer::Managed(managed(Some(target())));
    let mut device = decide(&offer, v("0.10.65"), &device(), &rollout(), 0, NOW).device;
    device.offers[0].verdict = Some(Verdict::Failed);
    device.offers[0].artifact_fault = true;
    let resumed = RolloutRecord { epoch: 1, ..rollout() };
    let decision = decide(&offer, v("0.10.65"), &device, &resumed, 0, NOW + 10800);
    let record = decision.device.latest_offer().unwrap();
    assert_eq!((record.attempts, record.epoch, record.verdict), (2, 1, None));
    assert!(!record.artifact_fault);
    assert_eq!(record.deadline, Some(NOW + 10800 + 25200), "and it has its own time");
    assert_eq!(decision.rollout.offered, 1);
}

#[test]
fn the_brake_is_judged_with_the_numbers_of_the_day() {
    let failing = RolloutRecord { succeeded: 8, failed: 2, ..rollout() };
    let with = |failures_bp| {
        let brake = Brake { failures_bp, ..BRAKE };
        let offer = Offer::Managed(managed(Some(Target { brake, ..target() })));
        decide(&offer, v("0.10.65"), &device(), &failing, 0, NOW)
    };
    assert!(with(2000).answer.upgrade, "not more than 20 %");
    let halted = with(1999);
    assert_eq!(halted.refusal, Some(Refusal::Halted));
    assert_eq!(halted.rollout.halted.as_ref().unwrap().reason, "2 of 10 devices that finished failed");
    assert_eq!(kinds(&halted), [EventKind::Halted]);
}

fn push(key: &str, val: &str, always: bool) -> Push {
    let setting = Setting { key: key.into(), val: val.into() };
    Push { has_one: setting.to_json().contains('1'), always, setting }
}

fn with_settings(target: Option<Target>) -> Managed {
    Managed {
        target,
        interval: INTERVAL,
        generation: Some("g".into()),
        settings: vec![
            push("qos", "2", false),
            push("maxInterval", "10", false),
            push("minSpeed", "3", true),
        ],
        ..Managed::default()
    }
}

fn sent(decision: &Decision) -> Option<(Portion, i64)> {
    decision.device.settings.sent.as_ref().map(|sent| (sent.portion.clone(), sent.at))
}

fn keys(decision: &Decision) -> Vec<&str> {
    decision.answer.settings.iter().map(|setting| &*setting.key).collect()
}

fn portion(generation: &str, is_complete: bool) -> Portion {
    Portion { generation: generation.into(), is_complete }
}

#[test]
fn settings_are_sent_until_they_are_confirmed() {
    let managed = with_settings(None);
    let at = |device: &DeviceRecord, now| decide_at(&managed, "0.10.65", device, now);
    let first = at(&device(), NOW);
    assert_eq!(keys(&first), ["qos", "maxInterval", "minSpeed"]);
    assert_eq!(sent(&first), Some((portion("g", true), NOW)));
    assert_eq!(kinds(&first), [EventKind::SettingsSent]);
    assert_eq!(first.refusal, Some(Refusal::NoTarget));

    let again = at(&first.device, NOW + 9_719);
    assert_eq!(keys(&again), ["qos", "maxInterval", "minSpeed"], "the answer may have been lost");
    assert_eq!(kinds(&again), []);
    let not_yet = at(&again.device, NOW + 9_720);
    assert_eq!(keys(&not_yet), ["qos", "maxInterval", "minSpeed"], "a second since they were sent last");

    let confirmed = at(&first.device, NOW + 9_720);
    assert_eq!(keys(&confirmed), ["minSpeed"]);
    assert_eq!(confirmed.device.settings, SettingsRecord { sent: None, confirmed: Some(portion("g", true)) });
    assert_eq!(kinds(&confirmed), [EventKind::SettingsConfirmed]);
    let later = at(&confirmed.device, NOW + 10800);
    assert_eq!((keys(&later), kinds(&later)), (vec!["minSpeed"], vec![]));

    let other = Managed { generation: Some("h".into()), ..managed.clone() };
    let changed = decide_at(&other, "0.10.65", &later.device, NOW + 21600);
    assert_eq!(keys(&changed), ["qos", "maxInterval", "minSpeed"], "another generation");
}

#[test]
fn a_tracker_that_starts_every_hour_does_not_write_its_flash_for_ever() {
    let managed = with_settings(None);
    let mut device = device();
    let mut writes = 0;
    for check in 0..10 {
        let decision = decide_at(&managed, "0.10.65", &device, NOW + check * 3600);
        writes += i64::from(keys(&decision).contains(&"qos"));
        device = decision.device;
    }
    assert_eq!((writes, device.settings.confirmed), (3, Some(portion("g", true))));
}

#[test]
fn an_answer_that_is_lost_for_ten_minutes_confirms_nothing() {
    let managed = with_settings(None);
    let mut device = device();
    for check in 0..40 {
        // Asks every fifteen seconds, and has no coverage for an hour in between.
        let decision = decide_at(&managed, "0.10.65", &device, NOW + check * 15 + 3600 * (check / 20));
        assert_eq!(keys(&decision), ["qos", "maxInterval", "minSpeed"], "{check}");
        device = decision.device;
    }
    assert_eq!(device.settings.confirmed, None);
}

#[test]
fn a_report_of_the_target_confirms_the_settings_that_came_with_it() {
    let managed = with_settings(Some(target()));
    let offered = decide_at(&managed, "0.10.65", &device(), NOW);
    assert!(offered.answer.upgrade);
    let upgraded = decide_at(&managed, "0.10.66", &offered.device, NOW + 200);
    assert_eq!(upgraded.device.settings.confirmed, Some(portion("g", true)));
    let idle = with_settings(None);
    let without = decide_at(&idle, "0.10.65", &device(), NOW);
    assert_eq!(decide_at(&managed, "0.10.66", &without.device, NOW + 200).device.settings.confirmed, None);
}

/// A modem works on the first answer while the device, restarted, asks again and gets no answer.
#[test]
fn a_report_of_the_target_confirms_no_settings_that_only_a_later_answer_had() {
    let aimed =
        |generation: &str| Managed { generation: Some(generation.into()), ..with_settings(Some(target())) };
    for old in ["0.10.65", "0.8.37"] {
        let first = decide_at(&aimed("g"), old, &device(), NOW);
        for (generation, is_proven) in [("g", true), ("h", false)] {
            let lost = decide_at(&aimed(generation), old, &first.device, NOW + 100);
            assert!(lost.answer.upgrade && keys(&lost).contains(&"qos"));
            let back = decide_at(&aimed(generation), "0.10.66", &lost.device, NOW + 300);
            assert_eq!(back.device.settings.confirmed.is_some(), is_proven, "{old} {generation}");
            assert_eq!(keys(&back).contains(&"qos"), !is_proven, "{old} {generation}");
        }
    }
}

#[test]
fn a_held_device_is_sent_nothing_but_confirms() {
    let sent = decide_at(&with_settings(None), "0.10.65", &device(), NOW).device;
    let held = decide(&Offer::Held, v("0.10.65"), &sent, &rollout(), 0, NOW + 10800);
    assert_eq!(held.answer, Answer::NO);
    assert_eq!(held.device.settings.confirmed, Some(portion("g", true)));
}

#[test]
fn an_answer_without_the_settings_takes_their_proof_away() {
    let of = |generation: &str| Managed { generation: Some(generation.into()), ..with_settings(None) };
    let has_g = decide_at(&of("g"), "0.10.65", &device(), NOW).device;
    let has_g = decide_at(&of("g"), "0.10.65", &has_g, NOW + 10_800).device;
    assert_eq!(has_g.settings.confirmed, Some(portion("g", true)));
    // Sent, and lost: a second later another host answers, whose copy of `out/` is older or holds the device.
    let sent_h = decide_at(&of("h"), "0.10.65", &has_g, NOW + 21_600).device;
    let older = decide_at(&of("g"), "0.10.65", &sent_h, NOW + 21_601);
    assert_eq!(keys(&older), ["qos", "maxInterval", "minSpeed"], "the device may have either");
    let held = decide(&Offer::Held, v("0.10.65"), &sent_h, &rollout(), 0, NOW + 21_601);
    let idle = decide_at(&managed(None), "0.10.65", &sent_h, NOW + 21_601);
    for between in [older, held, idle] {
        let next = decide_at(&of("h"), "0.10.65", &between.device, NOW + 32_401);
        assert_eq!(keys(&next), ["qos", "maxInterval", "minSpeed"], "they have not arrived");
        assert_ne!(next.device.settings.confirmed, Some(portion("h", true)));
        let arrived = decide_at(&of("h"), "0.10.65", &next.device, NOW + 43_201);
        assert_eq!(arrived.device.settings.confirmed, Some(portion("h", true)));
    }
}

/// Why the oracle of the simulation excuses it: of these two lives the records and the next check are the
/// same, and in one of them the device has its settings.
#[test]
fn an_answer_without_records_after_a_lost_one_cannot_be_told_from_one_that_arrived() {
    let managed = with_settings(None);
    let has_asked = || decide_at(&managed, "0.10.65", &device(), NOW).device;
    // The answer arrives; the device asks after its interval.
    let arrived = has_asked();
    // It is lost, and a second later a responder answers that cannot reach the records: a "no" which nobody
    // writes down. The device takes it as its answer, and asks after its interval, too.
    let lost = has_asked();
    assert_eq!(arrived, lost);
    for seconds in [0, 1, 60] {
        let next = decide_at(&managed, "0.10.65", &lost, NOW + 10_800 + seconds);
        assert_eq!(next.device.settings.confirmed, Some(portion("g", true)));
    }
}

#[test]
fn settings_go_with_an_upgrade() {
    let decision = decide_at(&with_settings(Some(target())), "0.10.65", &device(), NOW);
    assert!(decision.answer.upgrade);
    assert_eq!(keys(&decision), ["qos", "maxInterval", "minSpeed"]);
}

#[test]
fn old_firmware_is_never_told_a_one_by_accident() {
    for (reported, old) in [("0.8.37", true), ("0.8.72", true), ("0.8.73", false), ("0.10.65", false)] {
        let mut managed = with_settings(None);
        managed.settings.push(push("useGPIO1", "0", true));
        let first = decide_at(&managed, reported, &device(), NOW);
        let expected: &[&str] =
            if old { &["qos", "minSpeed"] } else { &["qos", "maxInterval", "minSpeed", "useGPIO1"] };
        assert_eq!(keys(&first), expected, "{reported}");
        assert_eq!(sent(&first), Some((portion("g", !old), NOW)));
        assert_eq!(first.answer.to_body().contains('1'), !old, "{reported}");
    }
}

#[test]
fn what_old_firmware_was_not_sent_follows_when_it_can() {
    let idle = with_settings(None);
    let aimed = with_settings(Some(target()));
    let first = decide_at(&idle, "0.8.37", &device(), NOW).device;
    let second = decide_at(&idle, "0.8.37", &first, NOW + 10800);
    assert_eq!(keys(&second), ["minSpeed"], "the rest stays unconfirmed, what arrived is not sent again");
    assert_eq!(second.device.settings.confirmed, Some(portion("g", false)));
    let upgrade = decide_at(&aimed, "0.8.37", &second.device, NOW + 21600);
    assert_eq!(keys(&upgrade), ["maxInterval", "minSpeed"], "an upgrade answer may hold a 1");
    assert_eq!(upgrade.device.settings.confirmed, Some(portion("g", false)));
    let failed = decide_at(&idle, "0.8.37", &upgrade.device, NOW + 32400);
    assert_eq!(keys(&failed), ["minSpeed"]);
    assert_eq!(
        failed.device.settings.confirmed,
        Some(portion("g", false)),
        "if the commit was in doubt, the answer went out as a no without the ones"
    );
    let recovered = decide_at(&idle, "0.10.65", &failed.device, NOW + 43200);
    assert_eq!(keys(&recovered), ["maxInterval", "minSpeed"], "so they follow");
    let proven = decide_at(&aimed, "0.10.66", &upgrade.device, NOW + 21900);
    assert_eq!(proven.device.settings.confirmed, Some(portion("g", true)), "an upgrade carried them");
    let upgraded = decide_at(&idle, "0.10.66", &second.device, NOW + 21600);
    assert_eq!(keys(&upgraded), ["maxInterval", "minSpeed"], "new firmware takes them with a no");
}

#[test]
fn if_every_setting_has_a_one_old_firmware_gets_the_exact_no() {
    let mut managed = with_settings(None);
    managed.settings = vec![push("maxInterval", "10", false)];
    let decision = decide_at(&managed, "0.8.37", &device(), NOW);
    assert_eq!(decision.answer.to_body(), otapress_core::wire::NO);
    assert_eq!(decision.device.settings, SettingsRecord::default(), "nothing was sent, nothing to confirm");
}

#[test]
fn a_check_is_written_down_if_it_says_something_new() {
    let managed = managed(Some(target()));
    let first = decide_at(&managed, "0.10.66", &device(), NOW).device;
    assert_eq!((first.last_seen, first.refusal), (NOW, Some(Refusal::Current)));
    assert_eq!(first.reported, Some(v("0.10.66")));
    let soon = decide_at(&managed, "0.10.66", &first, NOW + 599);
    assert_eq!((&soon.device, kinds(&soon)), (&first, vec![]), "nothing to write");
    assert_eq!(decide_at(&managed, "0.10.66", &first, NOW + 600).device.last_seen, NOW + 600);
    let held = decide(&Offer::Held, v("0.10.66"), &first, &rollout(), 0, NOW + 1);
    assert_eq!((held.device.last_seen, held.device.refusal), (NOW + 1, Some(Refusal::Held)));
    let changed = decide(&Offer::Held, v("0.10.65"), &first, &rollout(), 0, NOW + 1);
    assert_eq!(kinds(&changed), [EventKind::VersionChanged]);
    assert_eq!(changed.events[0].detail, "0.10.66 → 0.10.65");
}
