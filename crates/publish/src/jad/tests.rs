//! Each way in which a JAD fails on a device, with the code that the device posts.

use proptest::prelude::*;

use super::*;
use crate::jar::support::JarBuilder;
use crate::jar::{self, Jar, Rules};

const URL: &str = "http://ota.example.com/jars/0.10.66/0123456789abcdef/OwnTracks.jar";

fn builder() -> JarBuilder {
    JarBuilder::new("OwnTracks", "0.10.66", "Choral")
}

fn read(builder: &JarBuilder) -> Jar {
    jar::read(&builder.build()).unwrap()
}

/// The lines of a good JAD, without their line ends.
fn lines() -> Vec<String> {
    vec![
        "MIDlet-1: OwnTracks,,demo.OwnTracks".into(),
        format!("MIDlet-Jar-Size: {}", read(&builder()).size()),
        format!("MIDlet-Jar-URL: {URL}"),
        "MIDlet-Name: OwnTracks".into(),
        "MIDlet-Vendor: Choral".into(),
        "MIDlet-Version: 0.10.66".into(),
        "MicroEdition-Configuration: CLDC-1.1".into(),
        "MicroEdition-Profile: IMP-NG".into(),
    ]
}

fn text(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect()
}

/// The good JAD with one line replaced, or without it if there is no value.
fn with(name: &str, value: Option<&str>) -> Jad {
    let mut lines = lines();
    let prefix = format!("{name}: ");
    let line = value.map(|value| format!("{prefix}{value}"));
    match (lines.iter().position(|l| l.starts_with(&prefix)), line) {
        (Some(at), Some(line)) => lines[at] = line,
        (Some(at), None) => drop(lines.remove(at)),
        (None, line) => lines.extend(line),
    }
    parse(&text(&lines)).unwrap()
}

type Told = (usize, u16, String);

fn told(faults: Vec<Fault>) -> Vec<Told> {
    faults.into_iter().map(|f| (f.line, f.code_on_device, f.message)).collect()
}

fn checked(jad: &Jad) -> Vec<Told> {
    told(check(jad, &read(&builder()), URL))
}

fn one(line: usize, code: u16, message: &str) -> Vec<Told> {
    vec![(line, code, message.into())]
}

/// What is said of the first line of a JAD.
fn line(line: &[u8]) -> Vec<Told> {
    told(parse(&[line, b"\nMIDlet-Name: x\n"].concat()).unwrap_err())
}

#[test]
fn a_good_jad_is_read_and_passes() {
    let jad = parse(&text(&lines())).unwrap();
    assert_eq!(jad.get("MIDlet-Name"), Some("OwnTracks"));
    assert_eq!((jad.line_of("MIDlet-Name"), jad.line_of("midlet-name")), (4, 0));
    let again: Vec<_> = jad.attributes().map(|(n, v)| format!("{n}: {v}")).collect();
    assert_eq!(again, lines());
    assert_eq!(check_alone(&jad), []);
    assert_eq!(checked(&jad), []);
}

#[test]
fn every_line_is_one_attribute() {
    for (bad, message) in [
        (b"".as_slice(), "the line is blank"),
        (b" continued", "the line starts with white space"),
        (b"\tcontinued", "the line starts with white space"),
        (b"# comment", "the line is a comment"),
        (b"MIDlet-Name OwnTracks", "the line has no colon"),
        (b"A : b", "there is white space before the colon"),
        (b": b", "what stands before the colon is not an attribute's name"),
        (b"A b: c", "what stands before the colon is not an attribute's name"),
        (b"A:b", "`A` has no space after its colon"),
        (b"A:\tb", "`A` has no space after its colon"),
        (b"A:  b", "`A` has more than one space after its colon"),
        (b"A: \tb", "`A` has more than one space after its colon"),
        (b"A:", "`A` has no value"),
        (b"A: ", "`A` has no value"),
        (b"A: b ", "`A` ends with white space"),
        (b"A: b\x01c", "the value of `A` has a control character"),
        (b"A: b\tc", "the value of `A` has a control character"),
        (b"A: \xc3\xa4", "the line is not ASCII"),
        (b"\xef\xbb\xbfA: b", "the JAD starts with a byte order mark"),
        (b"A: b\r", "the JAD has a carriage return"),
    ] {
        // Sun's installer takes some of them.
        let taken = ["blank", "after its colon", "no value", "not ASCII", "carriage"];
        let code = if taken.iter().any(|part| message.contains(part)) { 900 } else { 906 };
        assert_eq!(line(bad), one(1, code, message), "{}", bad.escape_ascii());
    }
    assert_eq!(line(b"MIDlet-Vendor: \xe4"), one(1, 905, "the line is not ASCII"));
    assert_eq!(parse(b"MIDlet-Vendor: \xc3\xa4\n").unwrap().get("MIDlet-Vendor"), Some("ä"));
}

#[test]
fn the_file_ends_with_a_line_end_and_has_no_other() {
    assert_eq!(told(parse(b"").unwrap_err()), one(0, 906, "the JAD is empty"));
    assert_eq!(told(parse(b"\n").unwrap_err()), one(1, 900, "the line is blank"));
    assert_eq!(told(parse(b"A: b\nC: d").unwrap_err()), one(2, 900, "the last line has no line end"));
    assert_eq!(told(parse(b"A: b\n\n").unwrap_err()), one(2, 900, "the line is blank"));
    // Told once, not for each line.
    assert_eq!(told(parse(b"A: b\r\nC: d\r\n").unwrap_err()), one(1, 900, "the JAD has a carriage return"));
    let cr_only = told(parse(b"A: b\rC: d\r").unwrap_err());
    assert_eq!(cr_only[0], (1, 906, "the JAD has a carriage return".into()));
}

#[test]
fn attributes_are_unique_whatever_their_case() {
    assert_eq!(told(parse(b"A: b\nA: b\n").unwrap_err()), one(2, 906, "`A` is given again as `A`"));
    assert_eq!(told(parse(b"A: b\na: b\n").unwrap_err()), one(2, 906, "`A` is given again as `a`"));
}

#[test]
fn every_bad_line_is_told() {
    let faults = told(parse(b"A:b\nB: c\n\n#\nD : e").unwrap_err());
    assert_eq!(faults.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 3, 4, 5, 5]);
}

#[test]
fn mandatory_attributes_are_there() {
    for name in ["MIDlet-Name", "MIDlet-Version", "MIDlet-Vendor", "MIDlet-Jar-URL", "MIDlet-Jar-Size"] {
        let jad = with(name, None);
        let expected = one(0, 906, &format!("the JAD has no `{name}`"));
        assert_eq!(told(check_alone(&jad)), expected);
        assert_eq!(checked(&jad), expected);
    }
    let jad =
        parse(&text(&lines().iter().map(|l| l.replace("-Jar-URL", "-Jar-Url")).collect::<Vec<_>>())).unwrap();
    assert_eq!(check_alone(&jad)[0].hint.as_deref(), Some("line 3 spells it `MIDlet-Jar-Url`"));
}

#[test]
fn values_have_their_form() {
    for bad in ["1", "v0.10.66", "0.10.66.0", "0.10.", "0.10-rc"] {
        let told = told(check_alone(&with("MIDlet-Version", Some(bad))));
        assert_eq!(told, one(6, 906, &format!("`MIDlet-Version` is `{bad}`")));
    }
    for bad in ["0x10", "+5", "1 000", "2147483648", "99999999999999999999", "1.0"] {
        let told = told(check_alone(&with("MIDlet-Jar-Size", Some(bad))));
        let code = if bad == "+5" { 900 } else { 906 };
        assert_eq!(told, one(2, code, &format!("`MIDlet-Jar-Size` is `{bad}`")));
    }
    for bad in ["OwnTracks.jar", "/OwnTracks.jar", "https://h/OwnTracks.jar", "http://", "http:///x.jar"] {
        let told = told(check_alone(&with("MIDlet-Jar-URL", Some(bad))));
        assert_eq!(
            told,
            one(3, 906, &format!("`MIDlet-Jar-URL` is `{bad}`, which is not an absolute http URL"))
        );
    }
    let told = |name, value| told(check_alone(&with(name, Some(value))));
    assert_eq!(
        told("MIDlet-1", "demo.OwnTracks"),
        one(1, 906, "`MIDlet-1` is not of the form `name, icon, class`: `demo.OwnTracks`")
    );
    assert_eq!(told("MIDlet-3", "a,,b"), one(9, 906, "`MIDlet-3` comes without `MIDlet-2`"));
}

#[test]
fn identity_is_the_manifests_to_the_character() {
    for (name, line, value, original) in [
        ("MIDlet-Name", 4, "Owntracks", "OwnTracks"),
        ("MIDlet-Vendor", 5, "choral", "Choral"),
        ("MIDlet-Version", 6, "0.10.066", "0.10.66"),
    ] {
        let message = format!("`{name}` is `{value}`, but the JAR's manifest has `{original}`");
        assert_eq!(checked(&with(name, Some(value))), one(line, 905, &message));
    }
}

#[test]
fn size_url_and_class_are_the_jars() {
    let size = read(&builder()).size();
    let message = format!("`MIDlet-Jar-Size` is {}, but the JAR has {size} bytes", size + 1);
    assert_eq!(checked(&with("MIDlet-Jar-Size", Some(&(size + 1).to_string()))), one(2, 904, &message));

    let url = URL.replace("0.10.66", "0.10.65");
    let message = format!("`MIDlet-Jar-URL` is `{url}`, but the JAR is served at `{URL}`");
    assert_eq!(checked(&with("MIDlet-Jar-URL", Some(&url))), one(3, 907, &message));

    let message = "`MIDlet-1` names the class `demo.Other`, which is not in the JAR";
    assert_eq!(checked(&with("MIDlet-1", Some("x,,demo.Other"))), one(1, 907, message));
}

#[test]
fn some_attributes_may_stand_in_either() {
    for name in ["MIDlet-1", "MicroEdition-Profile", "MicroEdition-Configuration"] {
        let jad = with(name, None);
        assert_eq!(checked(&jad), [], "the manifest has it");
        let bare = builder().without(name);
        let size = read(&bare).size().to_string();
        let faults = |lines: Vec<String>| {
            let lines: Vec<_> = lines
                .into_iter()
                .map(
                    |l| if l.starts_with("MIDlet-Jar-Size") { format!("MIDlet-Jar-Size: {size}") } else { l },
                )
                .collect();
            told(check(&parse(&text(&lines)).unwrap(), &read(&bare), URL))
        };
        assert_eq!(faults(lines()), [], "the JAD has it");
        let without = lines().into_iter().filter(|l| !l.starts_with(name)).collect();
        assert_eq!(
            faults(without),
            one(0, 906, &format!("neither the JAD nor the JAR's manifest has `{name}`"))
        );
    }
}

#[test]
fn results_go_to_the_fleets_notify_uri() {
    let jad = with("MIDlet-Install-Notify", Some("http://example.com/"));
    assert_eq!(told(check_alone(&jad)), [], "devices take it");
    assert_eq!(checked(&jad), one(9, 900, "`MIDlet-Install-Notify` overrides the device's notifyURI"));
}

/// The good JAD and lines about its signature, which start at line 9.
fn signed(more: &[&str]) -> Jad {
    let lines = [lines(), more.iter().map(|&l| l.into()).collect()].concat();
    parse(&text(&lines)).unwrap()
}

#[test]
fn signatures_come_with_their_chain() {
    let signature = "MIDlet-Jar-RSA-SHA1: MTIzNA==";
    let first = "MIDlet-Certificate-1-1: MTIzNA==";
    assert_eq!(checked(&signed(&[signature, first, "MIDlet-Certificate-1-2: MTIz"])), []);
    assert_eq!(checked(&signed(&[first, signature, "MIDlet-Certificate-2-1: MTIz"])), []);

    let bare = "`MIDlet-Jar-RSA-SHA1` comes without `MIDlet-Certificate-1-1`";
    assert_eq!(checked(&signed(&[signature])), one(9, 909, bare));
    let unsigned = "there are certificates, but no `MIDlet-Jar-RSA-SHA1`";
    assert_eq!(checked(&signed(&[first])), one(0, 909, unsigned));
    let gap = "the certificates of chain 1 come without `MIDlet-Certificate-1-2`";
    assert_eq!(checked(&signed(&[signature, first, "MIDlet-Certificate-1-3: MTIz"])), one(0, 909, gap));
    let chain = "`MIDlet-Certificate-2-…` comes without `MIDlet-Certificate-1-1`";
    assert_eq!(checked(&signed(&[signature, "MIDlet-Certificate-2-1: MTIz"])), one(0, 909, chain));
    for bad in ["MIDlet-Certificate-0-1", "MIDlet-Certificate-1", "MIDlet-Certificate-1-x"] {
        let message = format!("`{bad}` is misnumbered: chains and certificates count from 1");
        assert_eq!(checked(&signed(&[signature, first, &format!("{bad}: MTIz")])), one(11, 909, &message));
    }
    for bad in ["MTIzN", "M===", "====", "MT Iz", "MT-z"] {
        let message = "the value of `MIDlet-Jar-RSA-SHA1` is not base64 on one line";
        assert_eq!(checked(&signed(&[&format!("MIDlet-Jar-RSA-SHA1: {bad}"), first])), one(9, 909, message));
    }
}

#[test]
fn what_a_signed_suite_has_in_both_is_equal() {
    let profile = "MicroEdition-Profile: MIDP-2.0".to_owned();
    let other = |more: &[&str]| {
        let mut lines = [lines(), more.iter().map(|&l| l.into()).collect()].concat();
        lines[7] = profile.clone();
        checked(&parse(&text(&lines)).unwrap())
    };
    assert_eq!(other(&[]), [], "the JAD of an unsigned suite overrides the manifest");
    assert_eq!(
        other(&["MIDlet-Jar-RSA-SHA1: MTIz", "MIDlet-Certificate-1-1: MTIz"]),
        one(8, 905, "`MicroEdition-Profile` is `MIDP-2.0`, but the JAR's manifest has `IMP-NG`")
    );
}

#[test]
fn faults_are_told_together_in_the_order_of_lines() {
    let mut lines = lines();
    lines.remove(1);
    lines[2] = "MIDlet-Name: x".into();
    lines[4] = "MIDlet-Version: 1".into();
    let found = checked(&parse(&text(&lines)).unwrap());
    assert_eq!(
        found.iter().map(|f| (f.0, f.1)).collect::<Vec<_>>(),
        [(0, 906), (3, 905), (5, 906), (5, 905)]
    );
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(
        attributes in prop::collection::btree_map("[A-Z]{1,8}", "[!-~]([ -~]{0,20}[!-~])?", 1..8),
    ) {
        let lines: Vec<_> = attributes.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        let jad = parse(&text(&lines)).unwrap();
        prop_assert!(jad.attributes().eq(attributes.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_damaged_jad_is_judged(at in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = text(&lines());
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(jad) = parse(&bytes) {
            let _ = checked(&jad);
        }
    }
}

#[test]
fn the_data_size_of_the_manifest_stands_in_the_jad() {
    let jar = read(&builder().attribute("MIDlet-Data-Size", "1024"));
    let size = format!("{}", jar.size());
    let jad = with("MIDlet-Jar-Size", Some(&size));
    let message = "the JAR's manifest has `MIDlet-Data-Size`, and the JAD has not";
    assert_eq!(told(check(&jad, &jar, URL)), one(0, 900, message));
    let lines = [lines(), vec!["MIDlet-Data-Size: 1024".into()]].concat();
    let lines = lines.into_iter().map(|line| match line.strip_prefix("MIDlet-Jar-Size: ") {
        Some(_) => format!("MIDlet-Jar-Size: {size}"),
        None => line,
    });
    let jad = parse(&text(&lines.collect::<Vec<_>>())).unwrap();
    assert_eq!(check(&jad, &jar, URL), []);
}

#[test]
fn what_a_template_adds_is_held_against_the_modules_too() {
    let rules = Rules::default();
    let said = |jad: &Jad, rules: &Rules| -> Vec<(usize, &'static str)> {
        let found = against_modules(jad, &read(&builder()), rules);
        found.into_iter().map(|concern| (concern.line, concern.fault.code.as_str())).collect()
    };
    for (name, value, code) in [
        ("MIDlet-Push-1", "socket://:79, demo.OwnTracks", "jar-push"),
        ("MIDlet-Push-1", "socket://:79, demo.Other, *", "jar-push"),
        ("MIDlet-Data-Size", "1 kB", "jar-data-size"),
        ("Runtime-Execution-Environment", "MIDP.NONE", "jar-environment"),
        ("MIDlet-Permissions", "javax.microedition.io.Connector.htpp", "jar-permission"),
    ] {
        assert_eq!(said(&with(name, Some(value)), &rules), [(9, code)], "{name}");
        let allowed = Rules { allow: [code.to_owned()].into(), ..Rules::default() };
        assert_eq!(said(&with(name, Some(value)), &allowed), [], "{name}");
    }
    for (name, value) in [
        ("MIDlet-Push-1", "socket://:79, demo.OwnTracks, *"),
        ("MIDlet-Data-Size", "1024"),
        ("Runtime-Execution-Environment", "MIDP.CLDC"),
    ] {
        assert_eq!(said(&with(name, Some(value)), &rules), [], "{name}");
    }
    // The manifest has it alike, and it was said of the JAR.
    assert_eq!(said(&with("MicroEdition-Profile", Some("MIDP-2.0")), &rules), [(8, "jar-profile")]);
    let jar = read(&builder().attribute("MicroEdition-Profile", "MIDP-2.0"));
    assert_eq!(against_modules(&with("MicroEdition-Profile", Some("MIDP-2.0")), &jar, &rules), []);
    // The MIDlet that a push starts may be named by the manifest alone.
    let jad = with("MIDlet-Push-1", Some("socket://:79, demo.OwnTracks, *"));
    let without: Vec<_> = jad.attributes().filter(|(name, _)| *name != "MIDlet-1").collect();
    let lines: Vec<_> = without.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(said(&parse(&text(&lines)).unwrap(), &rules), []);
}
