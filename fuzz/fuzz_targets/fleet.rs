//! A fleet file from anywhere; what is wrong with it can be shown, and what is right can be resolved.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use otapress_publish::diag::Diagnostic;
use otapress_publish::fleet::{Device, Fleet, Loaded, parse};
use otapress::report::diagnostics;
use otapress_publish::{render, resolve};

/// What is said of each device, but for where.
fn essence(fleet: &Fleet) -> Vec<impl PartialEq + Debug> {
    let of = |device: &Device| {
        let Device { client_id, imei, group, channel, release, hold, tid, .. } = device.clone();
        let settings = fleet.settings(device).clone();
        (client_id, imei, group, channel, release.map(|release| release.value), hold, settings, tid)
    };
    fleet.devices().iter().map(of).collect()
}

fuzz_target!(|text: &str| {
    let Loaded { fleet, sources, diagnostics, .. } = parse(text.to_owned(), None);
    for diagnostic in diagnostics.iter().take(10) {
        let shown = diagnostics::text(diagnostic, &sources, false);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let _ = diagnostics::github(diagnostic, &sources);
    }
    assert_eq!(fleet.is_none(), diagnostics.iter().any(Diagnostic::is_error));
    for device in
        fleet.iter().flat_map(|fleet| fleet.devices().iter().take(10).map(move |device| (fleet, device)))
    {
        let (fleet, device) = device;
        let _ = render::answer(fleet, device, resolve::assign(fleet, device));
    }
    // Behind such a key no line of a device is of the form that is read without the YAML parser.
    let parsed = parse(text.replace("devices:\n", "devices: #\n"), None).fleet;
    assert_eq!(fleet.as_ref().map(essence), parsed.as_ref().map(essence));
});
