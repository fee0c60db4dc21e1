//! A JAR from anywhere. What is accepted has everything that a JAD takes from it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(jar) = otapress_publish::jar::read(bytes) {
        assert_eq!(jar.size(), bytes.len() as u64);
        assert_eq!(jar.attribute("MIDlet-Name"), Some(jar.name()));
        assert!(jar.version_text().parse() == Ok(jar.version()));
        assert!(jar.attributes().all(|(_, value)| !value.contains(['\r', '\n'])));
    }
});
