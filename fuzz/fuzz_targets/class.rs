//! A class file from anywhere, judged as that of a MIDlet: never a panic, and the same judgement each time.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use otapress_classfile::{Rules, judge};

fuzz_target!(|bytes: &[u8]| {
    let rules = Rules {
        midlets: vec![("MIDlet-1", "demo.owntracks.OwnTracks")],
        configuration_1_0: true,
        has_display: false,
        class_version: 48,
        api: &[],
        allowed: &BTreeSet::new(),
    };
    // A second class, so that references across classes are followed.
    let entries = [("demo/owntracks/OwnTracks.class", bytes), ("demo/owntracks/Release.class", bytes)];
    let judgement = judge(&entries, &rules);
    assert_eq!(judgement, judge(&entries, &rules));
    assert!(judgement.findings.iter().all(|finding| !finding.message.contains(['\n', '\r', '\u{1b}'])));
});
