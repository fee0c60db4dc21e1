//! Plans of any two trees: the numbers in them agree.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::names::Names;
use super::view::{Builder, View};
use super::{Devices, Kind, Opening, Plan, compare};
use otapress_core::digest::Sha256;
use otapress_core::id::Imei;
use otapress_core::out::{Part, answer_path};
use otapress_core::wire::{AnswerFile, Brake, FORMAT, Offer, Release, Setting, Site, Target};

const SIZES: [u64; 3] = [1000, 2000, 3000];

fn version(n: usize) -> String {
    format!("0.1.{n}")
}

fn target() -> impl Strategy<Value = Target> {
    let channel = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
    (0..SIZES.len(), channel, prop::option::of(0i64..3), any::<bool>()).prop_map(
        |(release, channel, from, no_downgrade)| Target {
            version: version(release).parse().unwrap(),
            rollout: format!("{}/{}", channel.unwrap_or("pin"), version(release)),
            channel: channel.map(str::to_owned),
            wave: None,
            from,
            window: None,
            attempts: 3,
            brake: Brake { artifact_faults: 3, failures_bp: 2000, after: 10 },
            no_downgrade,
            rate: None,
        },
    )
}

/// An answer file, which now and then cannot be read.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let settings = prop::collection::btree_map("[xyz]", "[0-2]", 0..3);
    let file = (prop::option::weighted(0.8, target()), settings).prop_map(|(target, settings)| AnswerFile {
        upgrade: target.is_some().into(),
        settings: settings.into_iter().map(|(key, val)| Setting { key, val }).collect(),
        offer: Offer { target, interval: 10_800, ..Offer::default() },
    });
    let held = AnswerFile {
        upgrade: 0,
        settings: Vec::new(),
        offer: Offer { held: true, interval: 10_800, ..Offer::default() },
    };
    prop_oneof![
        8 => file.prop_map(|file| file.to_text().into_bytes()),
        1 => Just(held.to_text().into_bytes()),
        1 => Just(b"{".to_vec()),
    ]
}

type Answers = BTreeMap<u64, Vec<u8>>;

fn answers() -> impl Strategy<Value = Answers> {
    prop::collection::btree_map(0u64..40, answer(), 0..40)
}

fn imei(n: u64) -> Imei {
    format!("{:015}", 352_099_001_000_000 + n).parse().unwrap()
}

fn view(answers: &Answers) -> View {
    let releases = SIZES.iter().enumerate().map(|(n, &size)| Release {
        version: version(n),
        path: format!("jars/{}/x/x.jar", version(n)),
        size,
        sha256: Sha256::of(b""),
        suite: Default::default(),
        withdrawn: None,
    });
    let mut builder = Builder::new(Site {
        otapress: FORMAT,
        site: "http://h".into(),
        releases: releases.collect(),
        ..Site::default()
    });
    for (n, bytes) in answers {
        let id = builder.blob(Part::Answers, bytes);
        builder.file(&answer_path(imei(*n)), id);
    }
    builder.finish()
}

fn devices(plan: &Plan, devices: &Devices) -> BTreeSet<Imei> {
    let all = plan.imeis(devices, devices.count(), &Names::default());
    let unique: BTreeSet<_> = all.iter().copied().collect();
    assert!(all.is_sorted() && unique.len() == devices.count());
    unique
}

proptest! {
    #[test]
    fn every_device_is_in_exactly_one_transition(old in answers(), new in answers()) {
        let plan = compare(&view(&old), &view(&new), &Names::default());
        let mut left: BTreeSet<_> = old.keys().chain(new.keys()).map(|n| imei(*n)).collect();
        for transition in &plan.transitions {
            for device in devices(&plan, &transition.devices) {
                prop_assert!(left.remove(&device), "{device} is in two");
            }
        }
        prop_assert!(left.is_empty());

        let differing = old.keys().chain(new.keys()).collect::<BTreeSet<_>>();
        let differing = differing.into_iter().filter(|n| old.get(n) != new.get(n)).count();
        prop_assert_eq!(plan.changed, differing);
        prop_assert_eq!(plan.files.written() + plan.files.removed(), differing);
        prop_assert_eq!(plan.is_empty(), old == new);
        prop_assert_eq!(plan.count(Kind::Removed), old.keys().filter(|n| !new.contains_key(n)).count());
        prop_assert_eq!(plan.count(Kind::Added), new.keys().filter(|n| !old.contains_key(n)).count());
    }

    #[test]
    fn downloads_are_those_of_devices_sent_elsewhere_or_sooner(old in answers(), new in answers()) {
        let plan = compare(&view(&old), &view(&new), &Names::default());
        let (mut sure, mut all, mut bytes) = (0, 0, 0);
        for transition in plan.transitions.iter().filter(|transition| transition.kind() != Kind::Stays) {
            let Some(version) = transition.after.version() else { continue };
            let sent = transition.devices.count() - transition.denied;
            let size = (0..SIZES.len()).find(|n| self::version(*n) == version.to_string());
            all += sent;
            bytes += SIZES[size.unwrap()] * sent as u64;
            sure += if transition.before.version().is_some() { sent } else { 0 };
            prop_assert!(transition.denied == 0 || transition.kind() == Kind::Downgrade);
        }
        // And of those that may go sooner than before.
        let target = |answers: &Answers, n: u64| {
            let file = answers.get(&n).and_then(|bytes| AnswerFile::parse(bytes).ok());
            file.and_then(|file| file.offer.target)
        };
        for n in 0..40 {
            let (Some(before), Some(after)) = (target(&old, n), target(&new, n)) else { continue };
            if before.version == after.version && after.from < before.from {
                let size = (0..SIZES.len()).find(|n| self::version(*n) == after.version.to_string());
                all += 1;
                bytes += SIZES[size.unwrap()];
            }
        }
        let upgrades = plan.upgrades;
        prop_assert_eq!((upgrades.devices, upgrades.devices + upgrades.unsure), (sure, all));
        prop_assert_eq!(upgrades.bytes + upgrades.unsure_bytes, bytes);
    }

    /// What is pushed after the change is what was pushed before with the changes made.
    #[test]
    fn changes_of_settings_lead_from_one_tree_to_the_other(old in answers(), new in answers()) {
        let plan = compare(&view(&old), &view(&new), &Names::default());
        let pushed = |answers: &Answers, n: u64| -> BTreeMap<String, String> {
            let file = answers.get(&n).and_then(|bytes| AnswerFile::parse(bytes).ok());
            let settings = file.into_iter().flat_map(|file| file.settings);
            settings.map(|setting| (setting.key, setting.val)).collect()
        };
        let changes: Vec<_> =
            plan.settings.iter().map(|change| (change, devices(&plan, &change.devices))).collect();
        for n in 0..40 {
            let after = new.get(&n).and_then(|bytes| AnswerFile::parse(bytes).ok());
            let mut made = pushed(&old, n);
            for (change, devices) in &changes {
                if devices.contains(&imei(n)) {
                    prop_assert_eq!(made.get(&change.key), change.change.before().map(|old| &old.value));
                    match change.change.after() {
                        Some(new) => drop(made.insert(change.key.clone(), new.value.clone())),
                        None => drop(made.remove(&change.key)),
                    }
                }
            }
            // Nothing is told of the settings of devices that are held or gone.
            if after.is_some_and(|after| !after.offer.held) {
                prop_assert_eq!(made, pushed(&new, n));
            }
        }
    }

    #[test]
    fn a_wave_holds_all_of_its_devices(old in answers(), new in answers()) {
        let plan = compare(&view(&old), &view(&new), &Names::default());
        let place = |answers: &Answers, n: u64| {
            let file = answers.get(&n).and_then(|bytes| AnswerFile::parse(bytes).ok())?;
            file.offer.target.map(|target| (target.rollout, Opening { at: target.from, after: None }))
        };
        for wave in &plan.waves {
            let at = Some((wave.rollout.clone(), wave.opening));
            let all: BTreeSet<_> = (0..40).filter(|n| place(&new, *n) == at).collect();
            let is_new = all.iter().filter(|n| place(&old, **n) != at).count();
            let all: BTreeSet<_> = all.into_iter().map(imei).collect();
            prop_assert_eq!(devices(&plan, &wave.devices), all);
            prop_assert_eq!(wave.new, is_new);
        }
        // Who gets into a wave with a date is in one that is told of.
        for n in 0..40 {
            let (before, after) = (place(&old, n), place(&new, n));
            if let Some((rollout, opening)) = &after && before != after && *opening != Opening::OPEN {
                let is_it = |wave: &crate::plan::Wave| wave.rollout == *rollout && wave.opening == *opening;
                prop_assert!(plan.waves.iter().any(is_it));
            }
        }
    }
}
