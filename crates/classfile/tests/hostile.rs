//! Damaged classes: whatever the bytes are, the judge answers, soon and the same each time.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/it/support/class.rs"]
mod class;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use class::{ClassBuilder, Code, PUBLIC};
use otapress_classfile::{Judgement, Rules, judge};
use proptest::prelude::*;

fn judged(entries: &[(&str, &[u8])]) -> Judgement {
    let rules = Rules {
        midlets: vec![("MIDlet-1", "demo.Main")],
        configuration_1_0: true,
        has_display: false,
        class_version: 48,
        api: &[],
        allowed: &BTreeSet::new(),
    };
    judge(entries, &rules)
}

fn seed() -> Vec<u8> {
    let mut class = ClassBuilder::midlet("demo/Main", "text");
    let caught = class.class("java/io/IOException");
    let code = [0x03, 0xaa, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 0xb1];
    let code = Code::new(&code).mapped(&[20, 24]).handler(0, 20, 20, caught);
    class.method(PUBLIC, "run", "()V", code).attribute("InnerClasses", &[0, 0]).build()
}

proptest! {
    #[test]
    fn damaged_classes(damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = seed();
        for (index, byte) in damages {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert_eq!(judged(&[("demo/Main.class", &bytes)]), judged(&[("demo/Main.class", &bytes)]));
    }
}

#[test]
fn every_byte_of_a_class_changed() {
    let whole = seed();
    assert!(judged(&[("demo/Main.class", &whole)]).findings.is_empty());
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0xff, whole[at] ^ 0x80] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            judged(&[("demo/Main.class", &bytes)]);
        }
    }
}

#[test]
fn long_chains_and_large_tables_end_soon() {
    let started = Instant::now();
    // Each extends the next, and the last the first.
    let count = 5000;
    let classes: Vec<_> = (0..count)
        .map(|n| {
            (
                format!("a/C{n}.class"),
                ClassBuilder::new(&format!("a/C{n}"), &format!("a/C{}", (n + 1) % count))
                    .constructor()
                    .build(),
            )
        })
        .collect();
    let entries: Vec<_> = classes.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    judged(&entries);
    // 65,535 handlers over the largest code.
    let mut code = Code::new(&vec![0; 65534]);
    code.bytes.push(0xb1);
    code.handlers = vec![[0, 1, 0, 0]; 65535];
    judged(&[(
        "demo/Main.class",
        &ClassBuilder::midlet("demo/Main", "").method(PUBLIC, "run", "()V", code).build(),
    )]);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
