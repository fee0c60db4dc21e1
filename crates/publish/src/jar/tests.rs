//! Every threat of the module's list, held by a JAR that is broken in that way and in no other.

mod device;

use proptest::prelude::*;

use super::support::{CLASS, JarBuilder, Member, deflate, zip};
use super::*;
use crate::diag::Code;

const ICON: &str = "icon.png";

fn builder() -> JarBuilder {
    JarBuilder::new("OwnTracks", "0.10.66", "Choral")
        .attribute("MIDlet-Permissions", "javax.microedition.io.Connector.http")
        .entry(ICON, b"not really a picture")
}

fn messages(bytes: &[u8]) -> Vec<String> {
    read(bytes).expect_err("refused").into_iter().map(|f| f.message).collect()
}

/// The messages about an archive of which one member (1 is the class) was changed.
fn broken(index: usize, change: impl Fn(&mut Member)) -> Vec<String> {
    let mut members = builder().members();
    change(&mut members[index]);
    messages(&zip(&members))
}

/// Changes two bytes, counted from the file's end: within its end record.
fn end_patched(back: usize, value: u16) -> Vec<String> {
    let mut jar = builder().build();
    let at = jar.len() - back;
    jar[at..at + 2].copy_from_slice(&value.to_le_bytes());
    messages(&jar)
}

#[test]
fn a_jar_is_read() {
    let bytes = builder()
        .attribute("MIDlet-2", "Setup, /icon.png, demo.Setup")
        .entry("demo/Setup.class", b"x")
        .build();
    let jar = read(&bytes).unwrap();
    assert_eq!((jar.name(), jar.vendor(), jar.version_text()), ("OwnTracks", "Choral", "0.10.66"));
    assert_eq!(jar.version(), "0.10.66".parse().unwrap());
    assert_eq!((jar.size(), jar.sha256()), (bytes.len() as u64, Sha256::of(&bytes)));
    assert_eq!(jar.permissions(), Some("javax.microedition.io.Connector.http"));
    assert_eq!((jar.profile(), jar.configuration()), (Some("IMP-NG"), Some("CLDC-1.1")));
    let midlets: Vec<_> = jar.midlets().iter().map(|m| (m.name(), m.icon(), m.class())).collect();
    assert_eq!(midlets, [("OwnTracks", None, CLASS), ("Setup", Some("/icon.png"), "demo.Setup")]);
    assert!(jar.has_class("demo.Setup") && !jar.has_class("Setup"));
    assert_eq!(jar.attribute("midlet-name"), None);
    let names: Vec<_> = jar.attributes().map(|(name, _)| name).collect();
    assert_eq!(names[..4], ["Manifest-Version", "MIDlet-Name", "MIDlet-Version", "MIDlet-Vendor"]);
}

#[test]
fn the_text_of_the_version_is_kept() {
    let jar = read(&JarBuilder::new("a", " 00.10.066 ", "b").build()).unwrap();
    assert_eq!(jar.version_text(), "00.10.066");
    assert_eq!(jar.version(), "0.10.66".parse().unwrap());
}

#[test]
fn what_the_jdk_writes_is_read() {
    let stored = read(&builder().build()).unwrap();
    let deflated = read(&builder().deflated().build()).unwrap();
    assert_eq!(stored.attributes, deflated.attributes);

    // A descriptor without its signature, a directory entry, an extra field, and MIDlets left to the JAD.
    let mut members = builder().without("MIDlet-1").members();
    members[1] = members[1].clone().with_descriptor(false);
    members.insert(0, Member::stored("META-INF/", b"").both(|h| h.extra = vec![0xfe, 0xca, 0, 0]));
    assert_eq!(read(&zip(&members)).unwrap().midlets(), []);
}

#[test]
fn the_example_jars_are_read() {
    let examples: [(&[u8], &str); 2] = [
        (include_bytes!("../../../../jars/OwnTracks-0.10.65.jar"), "0.10.65"),
        (include_bytes!("../../../../jars/OwnTracks-0.10.66.jar"), "0.10.66"),
    ];
    for (bytes, version) in examples {
        let jar = read(bytes).unwrap();
        assert_eq!((jar.name(), jar.vendor(), jar.version_text()), ("OwnTracks", "Choral", version));
        assert_eq!(jar.midlets()[0].class(), "demo.owntracks.OwnTracks");
        let permissions: Vec<_> = jar.permissions().unwrap().split(", ").collect();
        assert_eq!(
            permissions,
            ["http", "socket", "file.read", "file.write"]
                .map(|p| format!("javax.microedition.io.Connector.{p}"))
        );
    }
}

// Threat 1.

#[test]
fn other_files_are_not_jars() {
    assert_eq!(messages(b""), ["the file is empty"]);
    assert_eq!(messages(b"<!doctype html>"), ["not a zip file"]);
    assert_eq!(messages(b"PK\x05\x06"), ["not a zip file"]);
    assert_eq!(messages(&zip(&[])), ["the archive has no `META-INF/MANIFEST.MF`"]);
}

#[test]
fn a_truncated_jar_is_never_accepted() {
    for jar in [builder().build(), builder().deflated().build()] {
        for len in 0..jar.len() {
            assert!(read(&jar[..len]).is_err(), "{len} of {} bytes", jar.len());
        }
        let cut = "the file is truncated: it has no complete end record";
        assert_eq!(messages(&jar[..jar.len() - 1]), [cut]);
        assert_eq!(messages(&jar[..jar.len() / 2]), [cut]);
    }
    // Cut off at its start.
    let jar = builder().build();
    assert_eq!(messages(&jar[1..]), ["the central directory would reach behind the end record"]);
}

#[test]
fn every_entry_must_have_its_crc() {
    let crc = |entry: &str| [format!("entry `{entry}` does not have the CRC that its headers give")];
    assert_eq!(broken(1, |m| m.data[0] ^= 1), crc("demo/OwnTracks.class"));
    assert_eq!(broken(2, |m| m.data[0] ^= 1), crc(ICON));
    assert_eq!(broken(0, |m| m.data[0] ^= 1), crc("META-INF/MANIFEST.MF"));
    let wrong = |m: &mut Member| *m = m.clone().both(|h| h.crc ^= 1);
    assert_eq!(broken(1, wrong), crc("demo/OwnTracks.class"));
}

#[test]
fn the_data_must_have_its_size() {
    let deflated = |size: u32, extra: &'static [u8]| {
        broken(2, move |m| {
            let mut data = deflate(&[b'x'; 1000]);
            data.extend_from_slice(extra);
            let mut member = Member::deflated(ICON, &[b'x'; 1000]).both(|h| h.size = size);
            member.local.compressed = data.len() as u32;
            member.central.compressed = data.len() as u32;
            *m = Member { data, ..member };
        })
    };
    assert_eq!(deflated(999, b""), ["entry `icon.png` unpacks to more than its size of 999 bytes"]);
    assert_eq!(deflated(1001, b""), ["entry `icon.png` unpacks to 1000 bytes, but its size is 1001"]);
    assert_eq!(deflated(1000, b"ab"), ["entry `icon.png` has 2 bytes behind its compressed data"]);
    assert_eq!(
        broken(2, |m| *m = m.clone().both(|h| h.size += 1)),
        ["entry `icon.png` is stored in 20 bytes, but its size is 21"]
    );
    let raw =
        |data: &'static [u8]| broken(2, move |m| *m = Member::stored(ICON, data).both(|h| h.method = 8));
    assert_eq!(raw(b"\xff\xff"), ["entry `icon.png` has compressed data that is corrupt"]);
    assert_eq!(raw(b"\x4b"), ["entry `icon.png` has compressed data that is cut off"]);
}

#[test]
fn a_damaged_directory_is_refused() {
    let mut jar = builder().build();
    let at = jar.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    jar[at] = b'X';
    assert_eq!(messages(&jar), [format!("the central directory is malformed at byte {at}")]);
    assert_eq!(end_patched(12, 2), ["the archive is one part of several"]);
    let mut jar = builder().build();
    let at = jar.len() - 14;
    jar[at..at + 4].copy_from_slice(&[2, 0, 2, 0]);
    assert_eq!(messages(&jar), ["the end record counts 2 entries, but the central directory has 3"]);
}

// Threat 2.

#[test]
fn bytes_around_the_archive_are_refused() {
    let jar = builder().build();
    assert_eq!(messages(&[&jar[..], b"\n"].concat()), ["1 byte follows the end of the archive"]);
    assert_eq!(
        messages(&[b"#!/bin/sh\n", &jar[..]].concat()),
        ["the end record and the file disagree by 10 bytes about where the archive starts"]
    );
    let mut commented = [&jar[..], b"hello"].concat();
    commented[jar.len() - 2] = 5;
    assert_eq!(read(&commented).unwrap().size(), commented.len() as u64);
    assert_eq!(messages(&[&commented[..], b"xy"].concat()), ["2 bytes follow the end of the archive"]);
}

#[test]
fn bytes_before_an_archive_that_knows_of_them_are_refused() {
    let hidden = [Member::stored("hidden", b"x")];
    let shift = (zip(&hidden).len() - 22 - 46 - 6) as u32;
    let all = [&hidden[..], &builder().members()].concat();
    let mut jar = zip(&all);
    // The first entry is forgotten by the directory: it is 46 bytes and its name there.
    let directory = jar.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    jar.drain(directory..directory + 46 + 6);
    let end = jar.len() - 22;
    let size = (end - directory) as u32;
    jar[end + 8..end + 12].copy_from_slice(&[3, 0, 3, 0]);
    jar[end + 12..end + 16].copy_from_slice(&size.to_le_bytes());
    assert_eq!(messages(&jar), [format!("{shift} bytes stand before the archive's first entry")]);
}

#[test]
fn bytes_between_entries_are_refused() {
    assert_eq!(
        broken(1, |m| m.descriptor = b"hidden".to_vec()),
        ["entry `demo/OwnTracks.class` is followed by 6 bytes that belong to no entry"]
    );
}

// Threat 3.

#[test]
fn an_entry_given_twice_is_refused() {
    let mut members = builder().members();
    members.push(members[1].clone());
    assert_eq!(messages(&zip(&members)), ["the archive has 2 entries named `demo/OwnTracks.class`"]);
}

#[test]
fn local_headers_must_agree_with_the_directory() {
    assert_eq!(
        broken(1, |m| m.local.name = b"demo/Other.class...".to_vec()),
        ["entry `demo/OwnTracks.class` is named `demo/Other.class...` in its local header"]
    );
    let sums = ["entry `icon.png` has other sizes or another CRC in its local header"];
    assert_eq!(broken(2, |m| m.local.size += 1), sums);
    assert_eq!(broken(2, |m| m.local.crc += 1), sums);
    assert_eq!(broken(2, |m| m.local.compressed += 1), sums);
    let described =
        ["entry `icon.png` is described differently by its local header and the central directory"];
    assert_eq!(broken(2, |m| m.local.method = 8), described);
    assert_eq!(broken(2, |m| m.local.flags = 8), described);
    let descriptor = ["entry `icon.png` has a data descriptor that is missing or says otherwise"];
    assert_eq!(broken(2, |m| *m = m.clone().both(|h| h.flags = 8)), descriptor);
    let lying = |m: &mut Member| {
        *m = m.clone().with_descriptor(true);
        m.descriptor[4] ^= 1;
    };
    assert_eq!(broken(2, lying), descriptor);
    assert_eq!(
        broken(2, |m| m.offset = Some(1)),
        [
            "entry `META-INF/MANIFEST.MF` has no local header where the central directory says",
            "entry `demo/OwnTracks.class` is followed by 58 bytes that belong to no entry",
            "entry `icon.png` has no local header where the central directory says",
        ]
    );
}

#[test]
fn a_second_reader_must_see_the_same_names() {
    let mut crc = flate2::Crc::new();
    crc.update(ICON.as_bytes());
    let mut extra = vec![0x75, 0x70, 5 + 5, 0, 1];
    extra.extend_from_slice(&crc.sum().to_le_bytes());
    extra.extend_from_slice(b"a.jar");
    assert_eq!(
        broken(2, |m| *m = m.clone().both(|h| h.extra = extra.clone())),
        ["another reader sees entries of other names in the archive"]
    );
    let found = broken(2, |m| m.central.extra = vec![0x75, 0x70, 2, 0, 0, 0]);
    // The rest of the message is the `zip` crate's.
    assert!(found.len() == 1 && found[0].starts_with("another reader refuses the archive: "), "{found:?}");
}

// Threat 4.

#[test]
fn what_devices_cannot_read_is_refused_by_name() {
    for bit in [0, 6, 13] {
        assert_eq!(
            broken(1, |m| *m = m.clone().both(|h| h.flags = 1 << bit)),
            ["entry `demo/OwnTracks.class` is encrypted"]
        );
    }
    assert_eq!(
        broken(1, |m| *m = m.clone().both(|h| h.method = 12)),
        ["entry `demo/OwnTracks.class` is compressed by method 12"]
    );
    let entry = ["entry `demo/OwnTracks.class` is of the zip64 form, which devices cannot read"];
    assert_eq!(broken(1, |m| *m = m.clone().both(|h| h.extra = vec![1, 0, 2, 0, 7, 7])), entry);
    assert_eq!(broken(1, |m| *m = m.clone().both(|h| h.size = u32::MAX)), entry);
    assert_eq!(broken(1, |m| m.central.extra = vec![1, 0, 2, 0, 7, 7]), entry);

    let archive = ["the archive is of the zip64 form, which devices cannot read"];
    let jar = builder().build();
    let (front, end) = jar.split_at(jar.len() - 22);
    assert_eq!(messages(&[front, b"PK\x06\x07", &[0; 16], end].concat()), archive);
    let mut jar = builder().build();
    let at = jar.len() - 6;
    jar[at..at + 4].copy_from_slice(&[0xff; 4]);
    assert_eq!(messages(&jar), archive);
    assert_eq!(end_patched(18, 1), ["the archive is one part of several"]);
}

#[test]
fn more_than_65535_entries_are_refused() {
    let members: Vec<Member> = (0..65_536).map(|i| Member::stored(&i.to_string(), b"")).collect();
    assert_eq!(messages(&zip(&members)), ["the archive has more than 65535 entries, which needs zip64"]);
}

// Threat 5.

#[test]
fn bombs_are_not_unpacked() {
    let mut members = builder().members();
    let zeros = Member::deflated("zeros", &vec![0; 40 << 20]);
    members.push(zeros.clone());
    assert!(read(&zip(&members)).is_ok());
    members.push(zeros.both(|h| h.name = b"more0".to_vec()));
    let total: u32 = members.iter().map(|m| m.central.size).sum();
    assert_eq!(
        messages(&zip(&members)),
        [format!("the archive would unpack to {total} bytes; at most 67108864 are accepted")]
    );
    // One that hides behind a small size stops there.
    let hidden = Member::deflated(ICON, &vec![0; 40 << 20]).both(|h| h.size = 10);
    assert_eq!(
        broken(2, |m| *m = hidden.clone()),
        ["entry `icon.png` unpacks to more than its size of 10 bytes"]
    );
}

#[test]
fn entries_cannot_overlap() {
    assert_eq!(
        broken(2, |m| m.offset = Some(0)),
        [
            "entry `demo/OwnTracks.class` is followed by 58 bytes that belong to no entry",
            "entry `icon.png` is named `META-INF/MANIFEST.MF` in its local header",
        ]
    );
    assert_eq!(
        broken(1, |m| *m = m.clone().both(|h| h.compressed += 30)),
        ["entry `demo/OwnTracks.class` reaches into the next entry or behind the entries"]
    );
}

#[test]
fn sizes_fit_a_jad() {
    assert_eq!(too_large((1 << 31) - 1), None);
    assert_eq!(
        too_large(1 << 31).unwrap().message,
        "the file has 2147483648 bytes; MIDlet-Jar-Size must be below 2147483648"
    );
}

#[test]
fn faults_are_told_up_to_a_number() {
    let mut members = builder().members();
    members.extend((0..50).map(|i| Member::stored(&i.to_string(), b"").both(|h| h.crc = 1)));
    let found = messages(&zip(&members));
    assert_eq!(found.len(), 21);
    assert_eq!(found[20], "the JAR has 30 more faults");
}

// Threat 6.

#[test]
fn the_manifest_must_be_where_devices_look() {
    let renamed = |name: &str| {
        let name = name.to_owned();
        let mut members = builder().members();
        members[0] = members[0].clone().both(|h| h.name = name.clone().into_bytes());
        read(&zip(&members)).unwrap_err()
    };
    let found = renamed("META-INF/manifest.mf");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "the manifest is named `META-INF/manifest.mf`");
    assert_eq!(found[0].hint.as_deref(), Some("devices look for exactly `META-INF/MANIFEST.MF`"));
    assert_eq!(found[0].code, Code::ManifestInvalid);
    assert_eq!(renamed("MANIFEST.MF")[0].message, "the archive has no `META-INF/MANIFEST.MF`");

    let second = builder().entry("meta-inf/MANIFEST.MF", b"").build();
    assert_eq!(messages(&second), ["the manifest is named `meta-inf/MANIFEST.MF`"]);
}

#[test]
fn the_manifest_has_a_largest_size() {
    let fill = |len: usize| {
        let mut text = builder().manifest_bytes();
        text.resize(len, b'\n');
        builder().manifest(&text).build()
    };
    assert!(read(&fill(65_536)).is_ok());
    assert_eq!(messages(&fill(65_537)), ["the manifest has 65537 bytes; at most 65536 are accepted"]);
    // One that lies about its size is not read beyond it.
    let text = builder().manifest_bytes();
    let mut lying = Member::deflated("META-INF/MANIFEST.MF", &[text, vec![b'\n'; 1 << 20]].concat());
    lying = lying.both(|h| h.size = 100);
    assert_eq!(
        broken(0, |m| *m = lying.clone()),
        ["entry `META-INF/MANIFEST.MF` unpacks to more than its size of 100 bytes"]
    );
}

#[test]
fn the_form_of_the_manifest_is_checked() {
    let bom = [b"\xef\xbb\xbf", &builder().manifest_bytes()[..]].concat();
    assert_eq!(messages(&builder().manifest(&bom).build()), ["the manifest starts with a byte order mark"]);
    assert_eq!(
        messages(&builder().again("MIDlet-Name", "x").build()),
        ["attribute `MIDlet-Name` is given twice"]
    );
    assert_eq!(
        messages(&builder().section("Name: x\nMIDlet-Vendor: y\n").build()),
        ["attribute `MIDlet-Vendor` is in the section `Name: x`"]
    );
    let folded = builder().attribute("MIDlet-Permissions", &"a.b.c, ".repeat(100)).build();
    assert_eq!(read(&folded).unwrap().permissions(), Some("a.b.c, ".repeat(100).trim()));
}

// Threat 7.

#[test]
fn the_name_is_fit_for_a_file() {
    for (name, why) in [
        ("../x", "it contains a `/`"),
        ("a/b", "it contains a `/`"),
        ("/etc/passwd", "it contains a `/`"),
        ("..", "it starts with a dot"),
        (".hidden", "it starts with a dot"),
        ("a\\b", r"the path contains '\\', which a file's URL cannot contain"),
        ("a b", "the path contains ' ', which a file's URL cannot contain"),
        ("a%2fb", "the path contains '%', which a file's URL cannot contain"),
        ("a?b", "the path contains '?', which a file's URL cannot contain"),
        ("Größe/x", "it contains a `/`"),
        ("Größe x", "the path contains ' ', which a file's URL cannot contain"),
    ] {
        let jar = builder().attribute("MIDlet-Name", name).build();
        assert_eq!(messages(&jar), [format!("`MIDlet-Name` is `{name}`, which cannot name a file: {why}")]);
    }
    let long = builder().attribute("MIDlet-Name", &"x".repeat(252)).build();
    assert!(messages(&long)[0].ends_with("the path has a component of more than 255 bytes"));
    assert!(read(&builder().attribute("MIDlet-Name", &"x".repeat(251)).build()).is_ok());
}

// Threat 8.

#[test]
fn the_suite_must_be_named_and_numbered() {
    let bare =
        builder().without("MIDlet-Name").without("MIDlet-Version").attribute("MIDlet-Vendor", "").build();
    assert_eq!(
        messages(&bare),
        [
            "the manifest has no `MIDlet-Name`",
            "the manifest has no `MIDlet-Version`",
            "`MIDlet-Vendor` is empty"
        ]
    );
    for bad in ["1", "v0.1", "0.1.2.3", "0.1.", "0.100", "0.1-SNAPSHOT"] {
        let jar = builder().attribute("MIDlet-Version", bad).build();
        assert_eq!(messages(&jar), [format!("`MIDlet-Version` is `{bad}`")]);
    }
    let gap = builder().attribute("MIDlet-3", &format!("x,,{CLASS}")).build();
    assert_eq!(messages(&gap), ["`MIDlet-3` comes without `MIDlet-2`"]);
    let two = builder().attribute("MIDlet-1", &format!("x,{CLASS}")).build();
    assert_eq!(messages(&two), [format!("`MIDlet-1` is not of the form `name, icon, class`: `x,{CLASS}`")]);
}

#[test]
fn attributes_are_spelled_as_devices_look_for_them() {
    let jar = builder().without("MIDlet-1").attribute("MIDLET-1", &format!("x,,{CLASS}")).build();
    assert_eq!(messages(&jar), ["attribute `MIDLET-1` is not spelled as devices look for it"]);
    let jar = builder().without("MIDlet-Name").attribute("Midlet-Name", "x").build();
    assert_eq!(
        messages(&jar),
        [
            "attribute `Midlet-Name` is not spelled as devices look for it",
            "the manifest has no `MIDlet-Name`"
        ]
    );
}

#[test]
fn the_class_must_be_there() {
    let named = |class: &str| {
        let faults = read(&builder().attribute("MIDlet-1", &format!("x,,{class}")).build()).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].code, Code::Class(otapress_classfile::Code::MidletMissing));
        assert_eq!(
            faults[0].message,
            format!("`MIDlet-1` names the class `{class}`, which is not in the JAR")
        );
        faults[0].hint.clone().unwrap_or_default()
    };
    assert_eq!(named("demo.Missing"), "");
    for near in ["OwnTracks", "demo.owntracks", "demo/OwnTracks", "demo.OwnTracks.class"] {
        assert_eq!(named(near), "there is `demo.OwnTracks`", "{near}");
    }
}

#[test]
fn only_what_a_jad_repeats_is_ascii() {
    let jar = builder().attribute("MIDlet-Vendor", "Chorál").attribute("MIDlet-Description", "für Züge");
    assert_eq!(read(&jar.build()).unwrap().attribute("MIDlet-Description"), Some("für Züge"));
    assert_eq!(
        messages(&jar.attribute("MIDlet-Permissions", "é").build()),
        ["`MIDlet-Permissions` is `é`, which is not ASCII"]
    );
}

// Threat 10, and several faults at once.

#[test]
fn independent_faults_are_told_together() {
    let mut members = builder().without("MIDlet-Vendor").members();
    members[1].data[0] ^= 1;
    members[2] = members[2].clone().both(|h| h.method = 99);
    assert_eq!(
        messages(&zip(&members)),
        [
            "entry `icon.png` is compressed by method 99",
            "entry `demo/OwnTracks.class` does not have the CRC that its headers give",
            "the manifest has no `MIDlet-Vendor`",
        ]
    );
}

#[test]
fn any_byte_may_have_any_value() {
    for jar in [builder().build(), builder().deflated().build()] {
        for at in 0..jar.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = jar.clone();
                damaged[at] ^= flip;
                // Whatever it says, it does not panic; and what it accepts, it read in full.
                if let Ok(jar) = read(&damaged) {
                    assert_eq!((jar.name(), jar.version_text()), ("OwnTracks", "0.10.66"), "byte {at}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn damaged_jars_do_no_harm(
        deflated: bool,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let jar = if deflated { builder().deflated().build() } else { builder().build() };
        let mut damaged = jar.clone();
        for (at, value) in flips {
            damaged[at.index(jar.len())] = value;
        }
        let _ = read(&damaged);
        damaged.truncate(cut.index(jar.len()));
        let _ = read(&damaged);
    }

    #[test]
    fn random_manifests_do_no_harm(text in "(MIDlet-|Name|[-: \r\n,.0-9a-zé]){0,60}") {
        if let Ok(jar) = read(&builder().manifest(text.as_bytes()).build()) {
            prop_assert!(!jar.name().is_empty());
        }
    }
}
