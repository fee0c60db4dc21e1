//! An answer file that somebody else has put into out/vc: what is sent to a device is an answer all the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use otapress_core::wire::{AnswerFile, Site};
use otapress_responder::decide::decide;
use otapress_responder::offer::Offer;
use otapress_responder::record::{DeviceRecord, RolloutRecord};
use otapress_responder::records::Scratch;

static SITE: LazyLock<Site> =
    LazyLock::new(|| Site::parse(include_bytes!("../site.json")).expect("a published site"));

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = AnswerFile::parse(bytes) else { return };
    let Ok(offer) = Offer::new(file, &SITE.rollouts) else { return };
    let device = DeviceRecord::new("352099001761481".parse().expect("an IMEI"), 1_796_000_000);
    for reported in ["0.8.37", "0.10.65"] {
        let reported = reported.parse().expect("a version");
        let (mut device, mut rollout) = (device.clone(), Arc::new(RolloutRecord::new("next/0.10.66")));
        let mut scratch = Scratch::default();
        let mut ledger = scratch.ledger(&mut device, &mut rollout);
        let decision = decide(&offer, reported, &mut ledger, 1_796_126_400);
        let answer = decision.answer.to_body();
        assert!(answer.is_ascii() && answer.starts_with("{\"upgrade\":"), "{answer}");
        let upgrades = answer.starts_with("{\"upgrade\":1");
        assert_eq!(upgrades, decision.refusal.is_none(), "{answer}");
        if !upgrades && reported.to_string() == "0.8.37" {
            // It upgrades on any `1`.
            assert!(!answer.contains('1'), "{answer}");
        }
    }
});
