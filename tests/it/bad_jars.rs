//! JARs that a device could not install or start: none passes `add`, `check` or `build`.
//!
//! `tests/bad-jars.txt` has what `add` says of each; `UPDATE_GOLDEN=1` rewrites it (and fails). A JVM
//! agrees where it can judge.

use std::fmt::Write as _;

use otapress_publish::diag::Code as Diagnosed;

use crate::java::run_java;
use crate::support::jar::class::{
    ABSTRACT, ClassBuilder, Code, FIELD, FINAL, INTERFACE, INTERFACE_METHOD, METHOD, NATIVE, PRIVATE, PUBLIC,
    STATIC, SUPER,
};
use crate::support::jar::{JarBuilder, Member, zip};
use crate::support::project::{Project, SMALL, against_golden, files, repository};

const MIDLET: &str = "demo/OwnTracks";

fn good() -> JarBuilder {
    JarBuilder::new("OwnTracks", "0.10.66", "Choral")
}

/// The suite with its MIDlet's class changed.
fn midlet(change: impl FnOnce(ClassBuilder) -> ClassBuilder) -> Vec<u8> {
    good().class(&change(ClassBuilder::midlet(MIDLET, "")), MIDLET).build()
}

/// The suite with another class beside the MIDlet's.
fn beside(class: ClassBuilder, name: &str) -> Vec<u8> {
    good().class(&class, name).build()
}

/// The suite with a method `run()V` in its MIDlet.
fn code(write: impl FnOnce(&mut ClassBuilder) -> Code) -> Vec<u8> {
    midlet(|mut class| {
        let code = write(&mut class);
        class.method(PUBLIC | STATIC, "run", "()V", code)
    })
}

fn bytes(code: &[u8]) -> Vec<u8> {
    self::code(|_| Code::new(code))
}

fn constant(bytes: &[u8]) -> Vec<u8> {
    midlet(|mut class| {
        class.constant(bytes.into());
        class
    })
}

fn version(major: u16) -> Vec<u8> {
    midlet(|mut class| {
        class.major = major;
        class
    })
}

fn flags(flags: u16) -> Vec<u8> {
    midlet(|mut class| {
        class.flags = flags;
        class
    })
}

fn creates(name: &str) -> Vec<u8> {
    code(|class| {
        let [a, b] = class.class(name).to_be_bytes();
        Code::new(&[0xbb, a, b, 0x57, 0xb1])
    })
}

fn uses(op: u8, tag: u8, owner: &str, name: &str, descriptor: &str) -> Code {
    let mut class = ClassBuilder::midlet(MIDLET, "");
    let [a, b] = class.member(tag, owner, name, descriptor).to_be_bytes();
    Code::new(&[op, a, b, 0xb1])
}

fn calls(op: u8, tag: u8, owner: &str, name: &str, descriptor: &str) -> Vec<u8> {
    code(|class| {
        class.member(tag, owner, name, descriptor);
        uses(op, tag, owner, name, descriptor)
    })
}

fn attribute(name: &str, value: &str) -> Vec<u8> {
    good().attribute(name, value).build()
}

/// The suite with a branch whose StackMap is this.
fn mapped(content: &[u8]) -> Vec<u8> {
    code(|_| Code::new(&[0x03, 0x99, 0, 4, 0, 0xb1]).map(content))
}

/// The suite with its archive broken.
fn archive(change: impl FnOnce(&mut Vec<Member>)) -> Vec<u8> {
    let mut members = good().members();
    change(&mut members);
    zip(&members)
}

fn class_bytes(bytes: &[u8]) -> Vec<u8> {
    good().entry("demo/OwnTracks.class", bytes).build()
}

/// A name, and the JAR.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let whole = ClassBuilder::midlet(MIDLET, "").build();
    let java17 = midlet(|mut class| {
        class.major = 61;
        class.constant(vec![18, 0, 0, 0, 1]);
        class.method(STATIC, "run", "()V", Code::new(&[0xba, 0, 1, 0, 0, 0xb1]))
    });
    let bare = |superclass: &str| ClassBuilder::new(MIDLET, superclass);
    let mut final_class = ClassBuilder::new("demo/Last", "java/lang/Object");
    final_class.flags |= FINAL;
    let mut orphan = ClassBuilder::new("demo/Other", "java/lang/Object");
    orphan.superclass = 0;
    vec![
        // Not a class.
        ("class-empty", class_bytes(b"")),
        ("class-text", class_bytes(b"a text\n")),
        ("class-half", class_bytes(&whole[..whole.len() / 2])),
        ("class-without-its-last-byte", class_bytes(&whole[..whole.len() - 1])),
        (
            "class-trailing",
            midlet(|mut class| {
                class.trailing = vec![0];
                class
            }),
        ),
        // Versions and constants.
        ("version-java-8", version(52)),
        ("version-java-5", version(49)),
        ("version-java-17", java17),
        ("version-too-old", version(44)),
        ("constant-method-handle", constant(&[15, 1, 0, 1])),
        ("constant-invoke-dynamic", constant(&[18, 0, 0, 0, 1])),
        ("constant-module", constant(&[19, 0, 1])),
        ("constant-unknown", constant(&[2, 0, 1])),
        ("constant-of-the-wrong-kind", constant(&[7, 0, 2])),
        // Preverification.
        ("not-preverified", bytes(&[0x03, 0x99, 0, 4, 0, 0xb1])),
        ("not-preverified-handler", code(|_| Code::new(&[0, 0xb1, 0xb1]).handler(0, 1, 2, 0))),
        ("stack-map-without-the-target", mapped(&[0, 0])),
        ("stack-map-cut-off", mapped(&[0, 1, 0, 5, 0])),
        ("stack-map-too-long", mapped(&[0, 1, 0, 5, 0, 0, 0, 0, 0])),
        ("stack-map-beyond-the-code", mapped(&[0, 2, 0, 5, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0])),
        ("stack-map-within-an-instruction", mapped(&[0, 2, 0, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0])),
        ("stack-map-descending", mapped(&[0, 2, 0, 5, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0])),
        ("stack-map-twice-the-same", mapped(&[0, 2, 0, 5, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0])),
        ("stack-map-unknown-type", mapped(&[0, 1, 0, 5, 0, 1, 9, 0, 0])),
        ("stack-map-no-class", mapped(&[0, 1, 0, 5, 0, 1, 7, 0, 1, 0, 0])),
        ("stack-map-no-new", mapped(&[0, 1, 0, 5, 0, 1, 8, 0, 0, 0, 0])),
        ("stack-map-too-many-locals", mapped(&[0, 1, 0, 5, 0, 5, 1, 1, 1, 1, 1, 0, 0])),
        ("stack-map-twice", code(|_| Code::new(&[0x03, 0x99, 0, 4, 0, 0xb1]).mapped(&[5]).mapped(&[5]))),
        // Instructions.
        ("jsr", code(|_| Code::new(&[0xa8, 0, 3, 0xb1]).mapped(&[3]))),
        ("jsr-w", code(|_| Code::new(&[0xc9, 0, 0, 0, 5, 0xb1]).mapped(&[5]))),
        ("ret", bytes(&[0xa9, 0])),
        ("invokedynamic", bytes(&[0xba, 0, 1, 0, 0, 0xb1])),
        ("unknown-instruction", bytes(&[0xca])),
        (
            "class-literal",
            code(|class| {
                let class = class.class("java/lang/String");
                Code::new(&[0x12, class as u8, 0x57, 0xb1])
            }),
        ),
        (
            "switch-padding",
            code(|_| {
                let lookup = [0x03, 0xab, 0, 1, 0, 0, 0, 11, 0, 0, 0, 0, 0xb1];
                Code::new(&lookup).mapped(&[12])
            }),
        ),
        ("branch-to-nowhere", bytes(&[0x03, 0x99, 0, 99, 0xb1])),
        ("branch-into-an-instruction", bytes(&[0x03, 0x99, 0, 1, 0xb1])),
        ("code-without-end", bytes(&[0])),
        ("code-cut-off", bytes(&[0, 0x10])),
        ("code-empty", bytes(&[])),
        ("code-too-long", bytes(&[vec![0; 65535], vec![0xb1]].concat())),
        ("frame-too-large", code(|_| Code { max_stack: 0x7000, max_locals: 0x1000, ..Code::new(&[0xb1]) })),
        (
            "static-method-of-an-interface",
            code(|class| {
                class.member(INTERFACE_METHOD, "java/lang/Runnable", "run", "()V");
                uses(0xb8, INTERFACE_METHOD, "java/lang/Runnable", "run", "()V")
            }),
        ),
        // Structure.
        (
            "too-many-parameters",
            midlet(|class| {
                let descriptor = format!("({})V", "J".repeat(128));
                class.method(PUBLIC, "run", &descriptor, Code { max_locals: 300, ..Code::new(&[0xb1]) })
            }),
        ),
        (
            "inner-classes-twice",
            midlet(|class| class.attribute("InnerClasses", &[0, 0]).attribute("InnerClasses", &[0, 0])),
        ),
        ("method-without-code", midlet(|class| class.bare_method(PUBLIC, "run", "()V"))),
        ("native-with-code", midlet(|class| class.method(PUBLIC | NATIVE, "run", "()V", Code::new(&[0xb1])))),
        (
            "interface-with-code",
            beside(
                ClassBuilder::interface("demo/Face").method(PUBLIC, "run", "()V", Code::new(&[0xb1])),
                "demo/Face",
            ),
        ),
        (
            "interface-with-a-private-field",
            beside(
                ClassBuilder::interface("demo/Face").field(PRIVATE | STATIC | FINAL, "ONE", "I"),
                "demo/Face",
            ),
        ),
        (
            "superclass-final",
            good()
                .class(&ClassBuilder::new("demo/Sub", "demo/Last"), "demo/Sub")
                .class(&final_class, "demo/Last")
                .build(),
        ),
        (
            "superclass-final-of-the-device",
            beside(ClassBuilder::new("demo/Sub", "java/lang/String"), "demo/Sub"),
        ),
        (
            "superclass-is-an-interface",
            beside(ClassBuilder::new("demo/Sub", "java/lang/Runnable"), "demo/Sub"),
        ),
        ("superclass-of-itself", beside(ClassBuilder::new("demo/Sub", "demo/Sub"), "demo/Sub")),
        ("superclass-none", beside(orphan, "demo/Other")),
        (
            "implements-a-class",
            beside(
                ClassBuilder::new("demo/Sub", "java/lang/Object").implements("java/util/Vector"),
                "demo/Sub",
            ),
        ),
        // Places.
        (
            "path-in-another-case",
            good()
                .class(
                    &ClassBuilder::midlet(MIDLET, "").also(|class| {
                        let [a, b] = class.class("demo/Other").to_be_bytes();
                        Code::new(&[0xbb, a, b, 0x57, 0xb1])
                    }),
                    MIDLET,
                )
                .class(&ClassBuilder::new("demo/Other", "java/lang/Object"), "demo/other")
                .build(),
        ),
        (
            "package-java-lang",
            beside(ClassBuilder::new("java/lang/Extra", "java/lang/Object"), "java/lang/Extra"),
        ),
        (
            "package-of-rms",
            beside(
                ClassBuilder::new("javax/microedition/rms/Extra", "java/lang/Object"),
                "javax/microedition/rms/Extra",
            ),
        ),
        // The MIDlet's class.
        ("midlet-missing", good().without_entry("demo/OwnTracks.class").build()),
        ("midlet-with-slashes", attribute("MIDlet-1", "OwnTracks,,demo/OwnTracks")),
        ("midlet-not-public", flags(SUPER)),
        ("midlet-abstract", flags(PUBLIC | SUPER | ABSTRACT)),
        ("midlet-interface", flags(PUBLIC | INTERFACE | ABSTRACT)),
        (
            "midlet-without-constructor",
            good().class(&bare("javax/microedition/midlet/MIDlet"), MIDLET).build(),
        ),
        (
            "midlet-with-private-constructor",
            good()
                .class(
                    &bare("javax/microedition/midlet/MIDlet").method(
                        PRIVATE,
                        "<init>",
                        "()V",
                        Code::new(&[0xb1]),
                    ),
                    MIDLET,
                )
                .build(),
        ),
        ("midlet-extends-nothing", good().class(&bare("java/lang/Object").constructor(), MIDLET).build()),
        // References.
        ("string-builder", creates("java/lang/StringBuilder")),
        ("collections", creates("java/util/ArrayList")),
        ("class-left-out", creates("demo/Gone")),
        (
            "class-left-out-and-caught",
            code(|class| {
                let caught = class.class("java/lang/CloneNotSupportedException");
                Code::new(&[0, 0xb1, 0x57, 0xb1]).mapped(&[2]).handler(0, 1, 2, caught)
            }),
        ),
        ("method-left-out", calls(0xb8, METHOD, MIDLET, "gone", "()V")),
        ("field-left-out", calls(0xb2, FIELD, MIDLET, "gone", "I")),
        // The manifest against the device.
        ("profile-midp", attribute("MicroEdition-Profile", "MIDP-2.0")),
        ("profile-both", attribute("MicroEdition-Profile", "MIDP-2.0 IMP-NG")),
        ("configuration-1-2", attribute("MicroEdition-Configuration", "CLDC-1.2")),
        ("without-profile", good().without("MicroEdition-Profile").build()),
        ("without-configuration", good().without("MicroEdition-Configuration").build()),
        ("without-midlet", good().without("MIDlet-1").build()),
        ("push-without-senders", attribute("MIDlet-Push-1", "socket://:79, demo.OwnTracks")),
        ("push-empty-field", attribute("MIDlet-Push-1", "socket://:79,, *")),
        ("push-of-another-class", attribute("MIDlet-Push-1", "socket://:79, demo.Other, *")),
        ("data-size", attribute("MIDlet-Data-Size", "1 kB")),
        ("environment", attribute("Runtime-Execution-Environment", "MIDP.NONE")),
        ("too-large", good().entry("noise", &vec![7; 1_000_001]).build()),
        // The archive.
        ("zip64", archive(|members| members[1].central.extra = vec![1, 0, 0, 0])),
        ("encrypted", archive(|members| members[1] = members[1].clone().both(|header| header.flags |= 1))),
        ("damaged", archive(|members| members[1].data[0] ^= 1)),
    ]
}

/// Suites that are taken with a warning, each with one.
fn warnings() -> Vec<(&'static str, Vec<u8>)> {
    let unreached = |op: u8, tag: u8, owner: &str, name: &str, descriptor: &str| {
        let mut class = ClassBuilder::new("demo/Unused", "java/lang/Object");
        let [a, b] = class.member(tag, owner, name, descriptor).to_be_bytes();
        beside(class.method(STATIC, "run", "()V", Code::new(&[op, a, b, 0xb1])), "demo/Unused")
    };
    let floats = ClassBuilder::midlet(MIDLET, "").field(PRIVATE, "x", "F");
    vec![
        ("path-unused", beside(ClassBuilder::new("demo/Other", "java/lang/Object"), "classes/demo/Other")),
        ("native", midlet(|class| class.bare_method(PUBLIC | NATIVE, "run", "()V"))),
        ("float", good().attribute("MicroEdition-Configuration", "CLDC-1.0").class(&floats, MIDLET).build()),
        ("class-left-out-unreached", unreached(0xb8, METHOD, "demo/Gone", "run", "()V")),
        ("method-left-out-unreached", unreached(0xb8, METHOD, "demo/Unused", "gone", "()V")),
        ("collections-unreached", unreached(0xb8, METHOD, "java/util/Collections", "sort", "()V")),
        ("boxing", calls(0xb8, METHOD, "java/lang/Integer", "valueOf", "(I)Ljava/lang/Integer;")),
        ("display", creates("javax/microedition/lcdui/Form")),
        ("choral", creates("choral/io/Can")),
        ("unknown-api", creates("com/nokia/mid/ui/DeviceControl")),
        ("profile-2-0", attribute("MicroEdition-Profile", "IMP-NG-2.0")),
        ("permission-misspelt", attribute("MIDlet-Permissions", "javax.microedition.io.Connector.htpp")),
        ("unpacks-to-much", good().entry("zeros", &vec![0; 4_000_001]).deflated().build()),
        ("grown", good().entry("noise", &vec![7; 5000]).build()),
        ("signature-files", good().entry("META-INF/KEY.RSA", b"").build()),
        ("multi-release", attribute("Multi-Release", "true")),
        ("nested", good().entry("lib/other.jar", b"").build()),
    ]
}

trait Also {
    /// Adds a method `run()V`.
    fn also(self, write: impl FnOnce(&mut ClassBuilder) -> Code) -> ClassBuilder;
}

impl Also for ClassBuilder {
    fn also(mut self, write: impl FnOnce(&mut ClassBuilder) -> Code) -> ClassBuilder {
        let code = write(&mut self);
        self.method(PUBLIC | STATIC, "run", "()V", code)
    }
}

#[test]
fn none_is_added_checked_or_built() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let project = Project::empty().file("fleet.yaml", SMALL).jar("0.10.65");
    project.build();
    let published = files(&project.path("out"));
    let mut said = String::new();
    for (name, jar) in cases {
        project.write("new.jar", &jar);
        let ran = project.run("add new.jar");
        assert_eq!((ran.status, &*ran.stdout), (1, ""), "{name}: {}", ran.stderr);
        assert!(!project.path("jars/OwnTracks-0.10.66.jar").exists(), "{name}");
        writeln!(said, "== {name}\n{}", ran.stderr).unwrap();

        project.write("jars/new.jar", &jar);
        for command in ["check -q", "build -q"] {
            assert_eq!(project.run(command).status, 1, "{name}: {command}");
        }
        assert!(files(&project.path("out")) == published, "{name}");
        std::fs::remove_file(project.path("jars/new.jar")).unwrap();
    }
    let wrong = against_golden(&said, &repository().join("tests/bad-jars.txt"));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn doubtful_ones_are_taken_with_a_warning() {
    let mut said = String::new();
    for (name, jar) in warnings() {
        // What is told of the others is not their size.
        let fleet = match name {
            "grown" => SMALL.to_owned(),
            _ => SMALL.replace("vendor: Choral", "vendor: Choral, allow: [jar-growth]"),
        };
        let project = Project::empty().file("fleet.yaml", fleet).jar("0.10.65").file("jars/new.jar", jar);
        let ran = project.run("check");
        assert_eq!(ran.status, 0, "{name}: {}", ran.stderr);
        assert_eq!(ran.stderr.matches(" warning[").count(), 1, "{name}: {}", ran.stderr);
        writeln!(said, "== {name}\n{}", ran.stderr).unwrap();
    }
    let wrong = against_golden(&said, &repository().join("tests/doubtful-jars.txt"));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn what_is_allowed_is_taken() {
    let allowed = |codes: &str| {
        let fleet = SMALL.replace("vendor: Choral", &format!("vendor: Choral, allow: [{codes}]"));
        assert!(fleet.contains(codes));
        Project::empty().file("fleet.yaml", fleet).file("new.jar", version(52))
    };
    let ran = allowed("class-version").run("add new.jar");
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let ran = allowed("jar-growth").run("add new.jar");
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    let ran = allowed("class-versions").run("check");
    assert!(ran.stderr.contains("class-version"), "{}", ran.stderr);
    // Every code of a class can be allowed.
    let codes: Vec<_> =
        Diagnosed::all().filter(|code| matches!(code, Diagnosed::Class(_))).map(Diagnosed::as_str).collect();
    let ran = allowed(&codes.join(", ")).run("add new.jar");
    assert_eq!(ran.status, 0, "{}", ran.stderr);
}

/// Parts of the names of bad suites that a JVM of today starts all the same.
const JAVA_TAKES: &[&str] = &[
    // CLDC's own preverification, which desktop Java skips as an unknown attribute.
    "not-preverified",
    "stack-map-",
    // What CLDC lacks and desktop Java has: later versions, subroutines, and classes.
    "version-java-5",
    "version-java-8",
    "jsr",
    "string-builder",
    "collections",
    "class-left-out-and-caught",
    // A limit of CLDC's VM, packages that it protects, and a manifest.
    "frame-too-large",
    "package-of-rms",
    "midlet-with-slashes",
];

/// Everything that is wrong with a class, and that a verifying JVM can judge, is wrong there, too.
#[test]
fn a_java_vm_refuses_what_it_can_judge() {
    let base = "javax/microedition/midlet/MIDlet";
    let midlet = ClassBuilder::new(base, "java/lang/Object").constructor();
    let platform = good().class(&midlet, base).without_entry("demo/OwnTracks.class").build();
    let is_about_classes = |jar: &[u8]| {
        let (_, faults) = otapress_publish::jar::judge(jar, &Default::default());
        faults.iter().any(|fault| fault.is_error() && matches!(fault.code, Diagnosed::Class(_)))
    };
    let (mut names, mut jars) = (vec!["good"], vec![platform, good().build()]);
    for (name, jar) in cases().into_iter().filter(|(_, jar)| is_about_classes(jar)) {
        names.push(name);
        jars.push(jar);
    }
    let verdicts = run_java("StartSuites", &jars);
    assert_eq!(verdicts.len(), names.len());
    let is_known = |name: &str| name == "good" || JAVA_TAKES.iter().any(|part| name.starts_with(part));
    for (name, verdict) in names.iter().zip(&verdicts) {
        assert_eq!(verdict == "taken", is_known(name), "{name}: {verdict}");
    }
    assert!(verdicts.iter().filter(|verdict| *verdict != "taken").count() > 45, "{verdicts:?}");
}
