//! An inventory from anywhere, for a good fleet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otapress_publish::diag::Diagnostic;
use otapress_publish::fleet::{Loaded, parse};
use otapress::report::diagnostics;

const FLEET: &str = "site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
midlet: { name: OwnTracks, vendor: Choral }
channels: { stable: 0.10.65, next: 0.10.66 }
settings: { quiet: { keepAlive: \"300\" }, leash: { maxInterval: \"30\" } }
groups: { vans: { channel: next } }
";

fuzz_target!(|text: &str| {
    let Loaded { fleet, sources, diagnostics, .. } = parse(FLEET.into(), Some(text.into()));
    for diagnostic in diagnostics.iter().take(10) {
        let _ = diagnostics::text(diagnostic, &sources, false);
    }
    assert_eq!(fleet.is_none(), diagnostics.iter().any(Diagnostic::is_error));
});
