//! Orders of answers, and what the records may say of the device after them.

use super::*;

/// An answer that was recorded, with these settings.
fn answer(settings: &[(&str, &str)], clock: i64) -> Sent {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Sent { settings, taken: Taken::AsProof, needs_report: false, clock }
}

/// Answers of which only the last one arrives.
fn after(lost: &[Sent], heard: &Sent) -> Hearing {
    let mut hearing = Hearing::default();
    lost.iter().chain([heard]).for_each(|sent| hearing.sent(sent));
    hearing.heard(heard);
    hearing
}

const ONE: (&str, &str) = ("minInterval", "701");
const OTHER: (&str, &str) = ("maxInterval", "20");

fn claims(hearing: &Hearing, (key, value): (&str, &str)) -> bool {
    hearing.is_claimed(key, value)
}

#[test]
fn a_lost_part_counts_as_arrived_once_the_other_one_follows_an_interval_later() {
    let lost = [answer(&[OTHER], 0)];
    let claimed = |clock, next: &[_]| claims(&after(&lost, &answer(next, clock)), OTHER);
    assert!(claimed(INTERVAL, &[ONE]));
    assert!(claimed(INTERVAL, &[]));
    assert!(!claimed(60, &[ONE]));
    assert!(!claimed(60, &[]));
}

#[test]
fn what_is_sent_again_is_claimed_when_it_arrives() {
    let lost = [answer(&[OTHER], 0), answer(&[ONE, ("maxInterval", "30")], INTERVAL)];
    let mut hearing = after(&lost[..1], &lost[1]);
    assert!(!claims(&hearing, OTHER) && hearing.is_claimed("maxInterval", "30"));
    hearing = after(&lost, &answer(&[], INTERVAL + 1));
    assert!(!claims(&hearing, OTHER) && !claims(&hearing, ONE), "nothing of it has arrived");
}

#[test]
fn of_an_answer_without_records_nothing_is_known() {
    let nobody = Sent { taken: Taken::Unrecorded, ..answer(&[], 1) };
    let mut hearing = after(&[answer(&[OTHER], 0)], &nobody);
    assert!(!claims(&hearing, OTHER));
    hearing.sent(&answer(&[], INTERVAL + 1));
    assert!(claims(&hearing, OTHER), "as if it had arrived");
}

#[test]
fn a_check_that_is_not_judged_proves_nothing_and_takes_the_proof_away() {
    let broken = Sent { taken: Taken::AsNoProof, ..answer(&[], INTERVAL) };
    let hearing = after(&[answer(&[OTHER], 0), broken], &answer(&[], 2 * INTERVAL));
    assert!(!claims(&hearing, OTHER));
}

#[test]
fn an_upgrade_of_old_firmware_proves_nothing_by_time() {
    let upgrade = Sent { needs_report: true, ..answer(&[ONE, OTHER], 0) };
    let hearing = after(&[upgrade], &answer(&[OTHER], INTERVAL));
    assert!(!claims(&hearing, ONE) && claims(&hearing, OTHER));
}

#[test]
fn the_third_check_after_a_pause_counts_as_proof() {
    let sent: Vec<_> = (0..3).map(|n| answer(&[OTHER], n * PAUSE_SECONDS)).collect();
    let after_checks = |lost: &[Sent]| after(lost, &answer(&[], lost.len() as i64 * PAUSE_SECONDS));
    assert!(!claims(&after_checks(&sent[..2]), OTHER));
    assert!(claims(&after_checks(&sent), OTHER));
}
