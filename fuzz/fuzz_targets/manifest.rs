//! The text of a manifest, which in a JAR the fuzzer would have to compress and sum up.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(attributes) = otapress_publish::jar::main_section(bytes) {
        for (name, value) in attributes {
            assert!(!name.is_empty() && name.is_ascii());
            assert!(!value.chars().any(char::is_control));
        }
    }
});
