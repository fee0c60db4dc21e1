//! Releases that stop, and come back, over all that share the records.

use super::Subject;
use crate::fixture::{NOW, Out, aimed, check, is_upgrade, notify, target};
use crate::record::Refusal;
use crate::store::Store;
use otapress_core::wire::Target;

/// Three that use the same records.
fn opened<S: Subject>(subject: &S) -> [Box<dyn Store>; 3] {
    [subject.open(), subject.open(), subject.open()]
}

pub fn a_fault_in_one_channel_stops_its_release_everywhere<S: Subject>() {
    let (subject, out) = (S::new(), Out::new());
    let of = |rollout: &str, channel: Option<&str>| Target {
        rollout: rollout.into(),
        channel: channel.map(str::to_owned),
        ..target("0.10.66")
    };
    let rollouts =
        [of("canary/0.10.66", Some("canary")), of("main/0.10.66", Some("main")), of("pin/0.10.66", None)];
    for (n, target) in rollouts.iter().enumerate() {
        (0..4).for_each(|m| out.publish(4 * n + m, &aimed(target.clone())));
    }
    let mut stores = opened(&subject);
    let responder = out.responder();
    for (n, store) in stores.iter_mut().enumerate() {
        assert!(is_upgrade(&check(&responder, &mut **store, n, "0.10.65", NOW)));
    }
    assert!(is_upgrade(&check(&responder, &mut *stores[1], 4, "0.10.65", NOW)));
    assert!(is_upgrade(&check(&responder, &mut *stores[2], 8, "0.10.65", NOW)));
    for n in 0..3 {
        assert_eq!(notify(&responder, &mut *stores[0], n, "904 JAR size mismatch", NOW + 60).status, 200);
    }
    for (at, store) in stores.iter_mut().enumerate() {
        for n in [5 + at, 9 + at, 3] {
            let reply = check(&responder, &mut **store, n, "0.10.65", NOW + 61);
            assert_eq!(reply.log_kind, Refusal::Halted.as_str(), "device {n}");
        }
    }
}

pub fn a_release_that_was_halted_a_month_ago_is_offered_at_once<S: Subject>() {
    let (subject, out) = (S::new(), Out::new());
    let publish = |release: &str| {
        (0..4).for_each(|n| out.publish(n, &aimed(target(release))));
        out.responder()
    };
    let mut stores = opened(&subject);
    let responder = publish("0.10.66");
    for (n, store) in stores.iter_mut().enumerate() {
        assert!(is_upgrade(&check(&responder, &mut **store, n, "0.10.65", NOW)));
        notify(&responder, &mut **store, n, "907 Invalid JAR", NOW + 60);
    }
    let refused = check(&responder, &mut *stores[1], 3, "0.10.65", NOW + 61);
    assert_eq!(refused.log_kind, Refusal::Halted.as_str());
    // A month of another release, every four hours one check.
    let responder = publish("0.10.67");
    let hours = |n: usize| NOW + 100 + n as i64 * 4 * 3600;
    let mut runs = ["0.10.65"; 4];
    for n in 0..180 {
        let device = n % 4;
        if is_upgrade(&check(&responder, &mut *stores[n % 3], device, runs[device], hours(n))) {
            runs[device] = "0.10.67";
        }
    }
    assert_eq!(runs, ["0.10.67"; 4]);
    let responder = publish("0.10.66");
    let told = [3, 0, 1]
        .map(|n| is_upgrade(&check(&responder, &mut *stores[n % 3], n, "0.10.67", hours(180) + n as i64)));
    assert_eq!(told, [true; 3]);
    let limited = check(&responder, &mut *stores[1], 2, "0.10.67", hours(180) + 9);
    assert_eq!(limited.log_kind, Refusal::Proving.as_str());
}
