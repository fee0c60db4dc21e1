//! Manifests and JADs as java.util.jar.Manifest reads them, on generated and on damaged texts.
//!
//! Whatever we accept, Java accepts, too, and reads the same. What we refuse and Java accepts, we refuse on
//! purpose: [`STRICTER`] lists why.

use std::io::Write as _;
use std::process::{Command, Stdio};

use otapress_publish::{jad, jar};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::string::string_regex;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::project::repository;

/// What Java lets pass in a manifest and we do not, by a part of our message.
const STRICTER: &[&str] = &[
    // Sun's reader on devices answers 907 to it.
    "starts with a byte order mark",
    // Other readers lose the last line.
    "last line has no line end",
    // Java takes the last one, others the first.
    "is given twice",
    "is given again as",
    // Sun's reader lets it override the main section.
    "is in the section",
    // Java replaces what is not UTF-8, and so the name would not be the one of the JAD.
    "is not UTF-8",
    // No value of a JAD can have them.
    "has a control character",
    // The specification wants a letter or a digit at the start of a name.
    "is not an attribute: `-",
    "is not an attribute: `_",
    // Java takes 512 bytes with the line end, whatever that is; we leave room for CRLF.
    "of the manifest has",
];

/// The same for JADs, which Java knows nothing of: Sun's installer wants more of them than of a manifest.
const STRICTER_JAD: &[&str] = &[
    "the JAD is empty",
    "starts with a byte order mark",
    "has a carriage return",
    "the last line has no line end",
    "is given again as",
    "the line is not ASCII",
    "the line is blank",
    "starts with white space",
    "has no value",
    "has more than one space",
    "ends with white space",
    "has a control character",
];

type Attributes = Vec<(String, String)>;

/// The lines of a program in tests/java that is given each of the inputs behind its length.
pub fn run_java(program: &str, inputs: &[Vec<u8>]) -> Vec<String> {
    let mut child = Command::new("java")
        .arg(repository().join(format!("tests/java/{program}.java")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // It tells there what it thinks of attributes given twice.
        .stderr(Stdio::piped())
        .spawn()
        .expect(
            "`java` cannot be started: install a JDK from 17 on, such as Debian's openjdk-17-jdk-headless",
        );
    let mut input = child.stdin.take().unwrap();
    let length = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
    let mut bytes = length(inputs.len()).to_vec();
    for text in inputs {
        bytes.extend(length(text.len()));
        bytes.extend(text);
    }
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What Java makes of each text.
fn java(texts: &[Vec<u8>]) -> Vec<Result<Attributes, String>> {
    let text = |hex: &str| {
        let bytes = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap());
        String::from_utf8(bytes.collect()).unwrap()
    };
    let read = |line: &str| match line.split_once(' ').unwrap_or((line, "")) {
        ("ok", rest) => {
            let attributes = rest.split_whitespace().map(|pair| pair.split_once('=').unwrap());
            Ok(attributes.map(|(name, value)| (text(name), text(value))).collect())
        }
        (_, message) => Err(text(message)),
    };
    let lines: Vec<_> = run_java("ReadManifests", texts).iter().map(|line| read(line)).collect();
    assert_eq!(lines.len(), texts.len());
    lines
}

/// Texts of a pattern, which is read once. A `&str` is a strategy, too, that reads its pattern again for each
/// text: most of the time of these tests.
fn text(pattern: &str) -> BoxedStrategy<String> {
    string_regex(pattern).unwrap().boxed()
}

/// A text that looks like a manifest.
fn manifest() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        8 => text("MIDlet-(Name|Version|Vendor|1|Jar-URL)|MicroEdition-Profile|Manifest-Version|Name|[A-Za-z0-9][A-Za-z0-9_-]{0,9}"),
        1 => text("[A-Za-z0-9_-]{60,80}|[a-z]{1,4}[ .:é][a-z]{0,3}|_x|-|"),
    ];
    let value = prop_oneof![
        8 => text("[ -~]{0,30}"),
        1 => text("\\PC{0,12}"),
        1 => text("[ -~]{60,90}"),
        1 => text("[a-z\t\u{0}\u{7f}]{0,8}"),
        1 => text("[a-z]{500,530}"),
    ];
    let separator =
        prop_oneof![9 => Just(": "), 1 => prop_oneof![Just(":"), Just(" : "), Just(""), Just(":  ")]];
    let end = prop_oneof![4 => Just("\r\n"), 4 => Just("\n"), 1 => Just("\r"), 2 => Just("\r\n\r\n"), 1 => Just("\n\n"), 1 => Just("\n "), 1 => Just("\r\n \t")];
    let line = (name, separator, value, end)
        .prop_map(|(name, separator, value, end)| format!("{name}{separator}{value}{end}"));
    let head = prop_oneof![6 => Just("Manifest-Version: \
        1.0\r\n"), 2 => Just(""), 1 => Just("\u{feff}"), 1 => Just("\r\n")];
    (head, prop::collection::vec(line, 0..8), any::<bool>()).prop_map(|(head, lines, folded)| {
        let text = (head.to_owned() + &lines.concat()).into_bytes();
        if folded { fold(&text) } else { text }
    })
}

/// As writers of manifests do: lines of 72 bytes, wherever that is within a character.
fn fold(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::new();
    let mut column = 0;
    for &byte in text {
        let ends = matches!(byte, b'\r' | b'\n');
        if column == 72 && !ends {
            folded.extend(b"\r\n ");
            column = 1;
        }
        folded.push(byte);
        column = if ends { 0 } else { column + 1 };
    }
    folded
}

/// The text with some of its bytes changed, removed or doubled.
fn damaged(texts: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(0), Just(0xff), any::<u8>()];
    let damage = (any::<prop::sample::Index>(), byte, 0..3_u8);
    (texts, prop::collection::vec(damage, 0..4)).prop_map(|(mut text, damages)| {
        for (index, byte, kind) in damages {
            if text.is_empty() {
                break;
            }
            let at = index.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => drop(text.remove(at)),
                _ => text.insert(at, byte),
            }
        }
        text
    })
}

fn samples(count: usize, strategy: impl Strategy<Value = Vec<u8>>) -> Vec<Vec<u8>> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Compares what is read; `stricter` are the differences that are meant.
fn compare<F: std::fmt::Debug>(
    texts: &[Vec<u8>],
    ours: impl Fn(&[u8]) -> Result<Attributes, Vec<F>>,
    message: impl Fn(&F) -> &str,
    stricter: &[&str],
) {
    let (mut same, mut refused) = (0, 0);
    for (text, java) in texts.iter().zip(java(texts)) {
        let shown = String::from_utf8_lossy(text);
        match (ours(text), java) {
            (Ok(ours), Ok(java)) => {
                // Java keeps the blanks around a value.
                let java: Attributes = java
                    .into_iter()
                    .map(|(name, value)| (name, value.trim_matches([' ', '\t']).into()))
                    .collect();
                assert_eq!(ours, java, "{shown:?}");
                same += 1;
            }
            (Ok(ours), Err(java)) => panic!("{shown:?}: we read {ours:?}, and Java says {java}"),
            (Err(faults), Ok(java)) => {
                let meant = |fault: &F| stricter.iter().any(|part| message(fault).contains(part));
                assert!(faults.iter().any(meant), "{shown:?}: we say {faults:?}, and Java reads {java:?}");
            }
            (Err(_), Err(_)) => refused += 1,
        }
    }
    // Neither is all that there is.
    assert!(same > texts.len() / 20 && refused > texts.len() / 20, "{same} and {refused} of {}", texts.len());
}

#[test]
fn manifests_are_read_as_java_reads_them() {
    let mut texts = samples(3000, manifest());
    texts.extend(samples(3000, damaged(manifest())));
    compare(&texts, jar::main_section, |fault: &jar::Fault| &fault.message, STRICTER);
}

#[test]
fn jads_are_read_as_java_reads_them() {
    let name = text("MIDlet-(Name|Version|Vendor|1|Jar-URL)|[A-Za-z0-9][A-Za-z0-9_-]{0,9}");
    let line = (name, text(": ?"), text("[!-~][ -~]{0,99}"))
        .prop_map(|(name, colon, value)| format!("{name}{colon}{}\n", value.trim_end()));
    let jads = || prop::collection::vec(line.clone(), 1..8).prop_map(|lines| lines.concat().into_bytes());
    let mut texts = samples(1500, jads());
    texts.extend(samples(1500, damaged(jads())));
    let read = |text: &[u8]| {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        jad::parse(text).map(|jad| jad.attributes().map(owned).collect())
    };
    compare(&texts, read, |fault: &jad::Fault| &fault.message, STRICTER_JAD);
}
