//! A fleet file from anywhere; what is wrong with it can be shown, and what is right can be resolved.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otapress::diag::Diagnostic;
use otapress::fleet::{Loaded, parse};
use otapress::report::diagnostics;
use otapress::{render, resolve};

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
});
