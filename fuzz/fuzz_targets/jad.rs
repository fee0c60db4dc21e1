//! A descriptor from anywhere, alone and against a JAR.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otapress_publish::jad;
use otapress_publish::jar::Jar;

static JAR: LazyLock<Jar> = LazyLock::new(|| {
    otapress_publish::jar::read(include_bytes!("../../jars/OwnTracks-0.10.65.jar"))
        .expect("the example's JAR is good")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(jad) = jad::parse(bytes) {
        let _ = jad::check_alone(&jad);
        if let Some(url) = jad.get("MIDlet-Jar-URL")
            && jad::check(&jad, &JAR, url).is_empty()
        {
            assert_eq!(jad.get("MIDlet-Jar-Size"), Some(&*JAR.size().to_string()));
            assert_eq!(jad.get("MIDlet-Version"), Some(JAR.version_text()));
        }
    }
});
