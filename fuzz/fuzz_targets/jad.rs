//! A descriptor from anywhere, alone and against a JAR.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otapress_publish::jad;
use otapress_publish::jar::{Jar, Rules};

static JAR: LazyLock<Jar> = LazyLock::new(|| {
    otapress_publish::jar::read(include_bytes!("../../jars/OwnTracks-0.10.65.jar"))
        .expect("the example's JAR is good")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(jad) = jad::parse(bytes) {
        let _ = jad::check_alone(&jad);
        let _ = jad::against_modules(&jad, &JAR, &Rules::default());
        // The bytes are no JAR that anybody signed.
        let (chains, concerns) = jad::verify(&jad, bytes, &Rules::default());
        assert!(chains.is_empty() || !concerns.is_empty());
        if let Some(url) = jad.get("MIDlet-Jar-URL")
            && jad::check(&jad, &JAR, url).is_empty()
        {
            assert_eq!(jad.get("MIDlet-Jar-Size"), Some(&*JAR.size().to_string()));
            assert_eq!(jad.get("MIDlet-Version"), Some(JAR.version_text()));
        }
    }
});
