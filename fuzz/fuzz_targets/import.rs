//! What the predecessor may have printed: JSON and, after a NUL, sets. The reader of fleet.yaml takes what
//! comes of it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otapress_publish::diag::{Diagnostic, Sources};
use otapress_publish::fleet::parse;
use otapress_publish::fleet::uri::{HttpUri, Site};
use otapress::import::{Origin, convert, fleet_file, inventory, read_dbjson, read_showsets};
use otapress::report::diagnostics;

static SITE: LazyLock<Site> =
    LazyLock::new(|| Site::new(&HttpUri::parse("http://ota.example.com").expect("a URI")).expect("a site"));

fuzz_target!(|text: &str| {
    let (json, lines) = text.split_once('\0').unwrap_or((text, ""));
    let mut sources = Sources::default();
    let (file, sets) = (sources.add("db.json", json), sources.add("sets", lines));
    let (Ok((rows, mut found)), Ok((sets, more))) =
        (read_dbjson(&sources, file), read_showsets(&sources, sets))
    else {
        return;
    };
    found.extend(more);
    let fleet = convert(&rows, Some(&sets), None, &mut found);
    for diagnostic in found.iter().take(10) {
        let _ = diagnostics::text(diagnostic, &sources, false);
    }
    for table in [false, true] {
        let table = table.then(|| inventory(&fleet.devices).expect("in memory"));
        let origin = Origin {
            site: SITE.clone(),
            apn: "internet".into(),
            midlet: ("OwnTracks".into(), "Choral".into()),
            inventory: table.as_ref().map(|_| "devices.csv".into()),
        };
        let text = fleet_file(&fleet, &origin);
        let loaded = parse(text.clone(), table);
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|found| Diagnostic::is_error(found)).collect();
        assert!(errors.is_empty(), "{text}\n{errors:#?}");
        let read = loaded.fleet.expect("a fleet without errors");
        assert_eq!(read.devices().len(), fleet.devices.len(), "{text}");
        for (imei, device) in &fleet.devices {
            let is = read.find(&imei.to_string()).expect("every device");
            assert_eq!(
                (is.comment.as_deref(), is.tid.as_deref()),
                (device.comment.as_deref(), device.tid.as_deref()),
                "{text}"
            );
        }
    }
});
