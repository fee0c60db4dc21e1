//! Threat 9: what the fleet's modules do not take. tests/it/bad_jars.rs has a JAR for each.

use super::*;

fn judged(jar: &JarBuilder, rules: &Rules) -> Vec<String> {
    let (jar, faults) = judge(&jar.build(), rules);
    assert_eq!(jar.is_some(), !faults.iter().any(Fault::is_error));
    faults.into_iter().map(|fault| format!("{}: {}", fault.code, fault.message)).collect()
}

#[test]
fn a_good_jar_has_no_faults() {
    assert_eq!(judged(&builder(), &Rules::default()), [""; 0]);
}

#[test]
fn warnings_do_not_refuse_a_jar() {
    let says = |jar: JarBuilder| judged(&jar, &Rules::default());
    let vendor = builder().attribute("MIDlet-Vendor", "Chorál");
    assert_eq!(says(vendor), ["jar-non-ascii: `MIDlet-Vendor` is `Chorál`, which is not ASCII"]);
    let (jar, faults) = judge(&builder().attribute("MIDlet-Name", "Zürich").build(), &Rules::default());
    assert_eq!(jar.unwrap().file_name(), "Z=C3=BCrich-0.10.66.jar");
    assert_eq!(faults[0].message, "`MIDlet-Name` is `Zürich`, which is not ASCII");
    assert!(faults[0].hint.as_ref().unwrap().contains(" does, `Z=C3=BCrich.jar`, never starts it"));
    let profile = builder().attribute("MicroEdition-Profile", "IMP-NG-2.0");
    assert_eq!(
        says(profile),
        ["jar-profile-doubtful: `MicroEdition-Profile` asks for `IMP-NG-2.0`, which some modules answer \
             908 to"]
    );
    let permission = builder().attribute("MIDlet-Permissions", "javax.microedition.io.Connector.htp");
    assert_eq!(
        says(permission),
        ["jar-permission: `MIDlet-Permissions` asks for `javax.microedition.io.Connector.htp`, which no \
             module is known to have: it keeps the suite from being installed"]
    );
    let optional = builder().attribute("MIDlet-Permissions-Opt", "com.siemens.anything, no.such");
    assert_eq!(
        says(optional),
        ["jar-permission: `MIDlet-Permissions-Opt` asks for `no.such`, which no module is known to have: \
             it is never granted"]
    );
    let signed = builder().entry("META-INF/OTHER.SF", b"").entry("META-INF/sub/OTHER.SF", b"");
    assert_eq!(
        says(signed),
        ["jar-signature-files: `META-INF/OTHER.SF` signs the JAR for desktop Java; devices ignore it"]
    );
    let nested = builder().entry("lib/other.jar", b"").attribute("Multi-Release", "true");
    assert_eq!(
        says(nested),
        [
            "jar-nested: `lib/other.jar` is a JAR within the JAR; devices do not look into it",
            "jar-multi-release: `Multi-Release` is true; devices know nothing of it and take the classes at \
             the top",
        ]
    );
    let large = builder().entry("zeros", &[0; 4_000_001]).deflated();
    assert_eq!(says(large).len(), 1);
}

#[test]
fn what_the_fleet_says_of_its_modules_counts() {
    let midp = builder().attribute("MicroEdition-Profile", "MIDP-2.0");
    assert_eq!(judged(&midp, &Rules::default()).len(), 1);
    let rules = Rules { profiles: vec!["MIDP-2.0".into()], ..Rules::default() };
    assert_eq!(judged(&midp, &rules), [""; 0]);
    let rules = Rules { allow: ["jar-profile".to_owned()].into(), ..Rules::default() };
    assert_eq!(judged(&midp, &rules), [""; 0]);
    let rules = Rules { max_size: 100, ..Rules::default() };
    assert!(judged(&builder(), &rules)[0].starts_with("jar-size: "));
}

#[test]
fn what_streaming_writers_leave_is_read() {
    let streamed = |change: fn(&mut Member)| {
        let mut members = builder().members();
        for member in &mut members {
            *member = member.clone().with_descriptor(true);
            change(member);
        }
        read(&zip(&members)).map(drop).map_err(|faults| faults[0].message.clone())
    };
    // The size, but neither the CRC nor the compressed size, in the local header: `zip -fd`.
    assert_eq!(streamed(|m| m.local.size = m.central.size), Ok(()));
    // A zip64 field in the local header alone, with sizes that say so, and a descriptor with sizes of eight
    // bytes.
    assert_eq!(
        streamed(|m| {
            m.local.extra = [&[1, 0, 16, 0][..], &[0; 16]].concat();
            (m.local.compressed, m.local.size) = (u32::MAX, u32::MAX);
            m.descriptor.truncate(8);
            for size in [m.central.compressed, m.central.size] {
                m.descriptor.extend(u64::from(size).to_le_bytes());
            }
        }),
        Ok(())
    );
    assert!(streamed(|m| m.local.size = m.central.size + 1).is_err());
}
