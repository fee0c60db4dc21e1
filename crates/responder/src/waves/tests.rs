//! When waves open, by their counts and the time alone.

use super::*;
use crate::fixture::NOW;
use crate::record::Clock;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const PATIENCE: i64 = 7 * HOUR;

const AFTER: After = After { success_bp: 9_500, reached_bp: 5_000, soak: 0 };

fn wave(wave: u16, devices: u32) -> Wave {
    Wave { wave, devices, at: None, after: None }
}

fn after(name: u16, devices: u32, after: After) -> Wave {
    Wave { after: Some(after), ..wave(name, devices) }
}

/// Two waves: ten devices, and ninety once the ten have shown enough.
fn two(rule: After) -> [Wave; 2] {
    [wave(1_000, 10), after(10_000, 90, rule)]
}

/// A rollout of which a device was heard just now.
fn rollout() -> RolloutRecord {
    RolloutRecord { clock: clock(NOW), ..RolloutRecord::new("next/0.10.66") }
}

fn clock(heard: i64) -> Clock {
    Clock { heard: Some(heard), lag: 0, patience: 5 * HOUR }
}

fn verdicts(rollout: &mut RolloutRecord, wave: u16, good: u32, bad: u32) {
    let record = rollout.waves.get_mut(wave);
    (record.good, record.bad) = (good, bad);
}

/// Judges at that time, when a device is heard. Returns what is said of the waves that open.
fn judged(rollout: &mut RolloutRecord, published: &[Wave], now: i64) -> Vec<String> {
    let mut events = Vec::new();
    rollout.clock.hear(Some(10_800), now);
    judge(rollout, published, PATIENCE, now, &mut events);
    assert!(events.iter().all(|event| event.kind == EventKind::WaveOpened && event.at == now));
    events.into_iter().map(|event| event.detail).collect()
}

#[test]
fn a_wave_opens_once_and_neither_too_early_nor_with_too_little_success() {
    for (good, bad, opens) in [
        (0, 0, false),
        (4, 0, false),
        (5, 0, true),
        (4, 1, false),
        (9, 1, false),
        (10, 0, true),
        (19, 1, true),
    ] {
        let mut rollout = rollout();
        verdicts(&mut rollout, 1_000, good, bad);
        let said = judged(&mut rollout, &two(AFTER), NOW);
        assert_eq!(said.len(), usize::from(opens), "{good} good, {bad} bad");
        assert_eq!(is_open(&rollout, &two(AFTER)[1], NOW), opens);
        // Whatever comes later.
        verdicts(&mut rollout, 1_000, 0, 10);
        assert_eq!(judged(&mut rollout, &two(AFTER), NOW + 60), [""; 0]);
        assert_eq!(is_open(&rollout, &two(AFTER)[1], NOW + 60), opens);
    }
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 6, 0);
    let said = "wave 2 (to 100%): of 10 devices before it 6 have a verdict, 6 run it";
    assert_eq!(judged(&mut rollout, &two(AFTER), NOW), [said]);
}

#[test]
fn of_nobody_nothing_is_asked_and_of_a_few_at_least_one() {
    let rule = After { reached_bp: 0, soak: 3600, ..AFTER };
    let none = [wave(500, 0), after(10_000, 8, rule)];
    assert_eq!(judged(&mut rollout(), &none, NOW).len(), 1, "nobody need be watched");
    let mut rollout = rollout();
    assert_eq!(judged(&mut rollout, &two(After { soak: 0, ..rule }), NOW).len(), 0);
    verdicts(&mut rollout, 1_000, 1, 0);
    assert_eq!(judged(&mut rollout, &two(After { soak: 0, ..rule }), NOW).len(), 1);
    let shown = Shown { devices: 3, good: 1, bad: 0 };
    assert_eq!(shown.needed(AFTER), 2, "half of three");
}

#[test]
fn it_must_have_been_so_for_a_while() {
    let waves = two(After { soak: DAY as u32, ..AFTER });
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 5, 0);
    let mut opened = Vec::new();
    for hours in (0..=50).step_by(2) {
        let now = NOW + hours * HOUR;
        match hours {
            10 => verdicts(&mut rollout, 1_000, 5, 1),
            14 => verdicts(&mut rollout, 1_000, 6, 0),
            _ => {}
        }
        opened.extend(judged(&mut rollout, &waves, now).iter().map(|_| hours));
    }
    assert_eq!(opened, [14 + 24]);
}

#[test]
fn a_wave_that_was_taken_out_is_watched_anew() {
    let waves = two(After { soak: DAY as u32, ..AFTER });
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 5, 0);
    let opened: Vec<_> = (0..60)
        .step_by(2)
        .filter(|hours| {
            let published = if *hours == 20 { [wave(1_000, 10), wave(10_000, 90)] } else { waves };
            !judged(&mut rollout, &published, NOW + hours * HOUR).is_empty()
        })
        .collect();
    assert_eq!(opened, [22 + 24]);
}

#[test]
fn an_outage_and_a_step_of_the_clock_are_no_such_while() {
    let waves = two(After { soak: DAY as u32, ..AFTER });
    for gap in [3 * DAY, -3 * DAY] {
        let mut rollout = rollout();
        verdicts(&mut rollout, 1_000, 10, 0);
        let heard = |rollout: &mut RolloutRecord, hours: i64, shift: i64| {
            judged(rollout, &waves, NOW + hours * HOUR + shift).len()
        };
        assert_eq!((0..12).map(|hours| heard(&mut rollout, hours, 0)).sum::<usize>(), 0);
        // Half a day was seen before, and an hour of the rest is lost in the gap.
        let opened: Vec<_> = (12..=26).filter(|hours| heard(&mut rollout, *hours, gap) > 0).collect();
        assert_eq!(opened, [25], "{gap}");
    }
    // Nobody is heard, and `status` asks.
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 10, 0);
    judged(&mut rollout, &waves, NOW);
    judge(&mut rollout, &waves, PATIENCE, NOW + 9 * DAY, &mut Vec::new());
    assert!(!is_open(&rollout, &waves[1], NOW + 9 * DAY));
}

#[test]
fn at_and_after_must_both_hold_and_a_later_time_closes_again() {
    let mut waves = two(AFTER);
    waves[1].at = Some(NOW + HOUR);
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 10, 0);
    assert_eq!(judged(&mut rollout, &waves, NOW).len(), 0);
    assert_eq!(judged(&mut rollout, &waves, NOW + HOUR).len(), 1);
    waves[1].at = Some(NOW + DAY);
    assert!(!is_open(&rollout, &waves[1], NOW + 2 * HOUR), "it was moved");
    assert_eq!(judged(&mut rollout, &waves, NOW + DAY).len(), 0, "it was opened before");
    assert!(is_open(&rollout, &waves[1], NOW + DAY));
}

#[test]
fn waves_open_in_their_order() {
    let mut waves = [wave(1_000, 0), after(5_000, 40, AFTER), after(10_000, 50, AFTER)];
    waves[0].at = Some(NOW + HOUR);
    let mut rollout = rollout();
    assert_eq!(judged(&mut rollout, &waves, NOW).len(), 0, "the first has nobody, and is not open");
    assert_eq!(judged(&mut rollout, &waves, NOW + HOUR).len(), 1, "the third waits for the second's devices");
    verdicts(&mut rollout, 5_000, 20, 0);
    assert_eq!(judged(&mut rollout, &waves, NOW + HOUR + 60).len(), 1);
}

#[test]
fn a_wave_that_is_put_between_two_is_judged_for_itself() {
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 4, 0);
    assert_eq!(judged(&mut rollout, &two(AFTER), NOW).len(), 0);
    let strict = After { reached_bp: 10_000, ..AFTER };
    let three = [wave(1_000, 10), after(5_000, 40, strict), after(10_000, 50, AFTER)];
    verdicts(&mut rollout, 1_000, 9, 0);
    assert_eq!(judged(&mut rollout, &three, NOW + 60).len(), 0, "the third waits for the second");
    verdicts(&mut rollout, 1_000, 10, 0);
    assert_eq!(judged(&mut rollout, &three, NOW + 120).len(), 1);
    // After the last has opened another one is put before it.
    verdicts(&mut rollout, 5_000, 40, 0);
    assert_eq!(judged(&mut rollout, &three, NOW + 180).len(), 1);
    let four = [three[0], three[1], after(7_000, 20, strict), three[2]];
    verdicts(&mut rollout, 5_000, 39, 0);
    assert_eq!(judged(&mut rollout, &four, NOW + 240).len(), 0);
    let open: Vec<_> = four.iter().map(|wave| is_open(&rollout, wave, NOW + 240)).collect();
    assert_eq!(open, [true, true, false, true]);
    // It is taken away, and comes back.
    judged(&mut rollout, &[three[0], three[2]], NOW + 300);
    assert!(is_open(&rollout, &three[1], NOW + 300));
}

#[test]
fn a_number_that_falls_counts_when_those_who_left_had_the_time_to_ask() {
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 4, 0);
    assert_eq!(judged(&mut rollout, &two(AFTER), NOW).len(), 0);
    // Of the ten four leave, perhaps those with a verdict.
    let mut fewer = two(AFTER);
    fewer[0].devices = 6;
    let hours = |rollout: &mut RolloutRecord, hours: std::ops::Range<i64>| {
        hours.map(|hour| judged(rollout, &fewer, NOW + hour * HOUR).len()).sum::<usize>()
    };
    assert_eq!(hours(&mut rollout, 1..8), 0);
    // A host with the copy of before.
    assert_eq!(judged(&mut rollout, &two(AFTER), NOW + 7 * HOUR + 60).len(), 0);
    assert_eq!(hours(&mut rollout, 8..15), 0);
    assert_eq!(hours(&mut rollout, 15..16), 1);
    // More count at once.
    let mut more = two(AFTER);
    more[0].devices = 100;
    let mut rollout = self::rollout();
    verdicts(&mut rollout, 1_000, 5, 0);
    assert_eq!(judged(&mut rollout, &more, NOW).len(), 0);
}

#[test]
fn what_was_opened_by_a_clock_that_is_ahead_counts_for_nothing() {
    let waves = two(AFTER);
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 10, 0);
    assert_eq!(judged(&mut rollout, &waves, NOW + 300 * DAY).len(), 1);
    verdicts(&mut rollout, 1_000, 0, 10);
    assert_eq!(judged(&mut rollout, &waves, NOW).len(), 0);
    assert!(!is_open(&rollout, &waves[1], NOW));
    verdicts(&mut rollout, 1_000, 10, 0);
    assert_eq!(judged(&mut rollout, &waves, NOW + 60).len(), 1);
    assert!(is_open(&rollout, &waves[1], NOW - 240), "another host may be a little behind");
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let mut rollout = rollout();
    verdicts(&mut rollout, 1_000, 5, 0);
    let waves = two(After { soak: DAY as u32, ..AFTER });
    judged(&mut rollout, &waves, NOW);
    let before = rollout.clone();
    judge(&mut rollout, &waves, PATIENCE, NOW + 500, &mut Vec::new());
    assert_eq!(rollout, before);
    assert_eq!(Waves::from_text(&rollout.waves.to_text().unwrap()), Some(rollout.waves));
    assert_eq!((Waves::default().to_text(), Waves::from_text("{")), (None, None));
}
