//! Classes among others: paths, packages, MIDlets, and references.

use super::*;

#[test]
fn paths() {
    let other = ClassBuilder::new("demo/Other", "java/lang/Object").build();
    assert_says(suite().with("demo/Other.class", other.clone()), &[]);
    assert_says(
        suite().with("classes/demo/Other.class", other.clone()),
        &["class-path-unused: `classes/demo/Other.class`: the class is named `demo.Other`, and devices \
             look for it at `demo/Other.class`"],
    );
    let used = code(|class| {
        let [a, b] = class.class("demo/Other").to_be_bytes();
        Code::new(&[0xbb, a, b, 0x57, 0xb1])
    });
    assert_says(
        used.with("Demo/Other.class", other),
        &["class-path: `Demo/Other.class`: the class is named `demo.Other`, and devices look for it at \
             `demo/Other.class`"],
    );
}

#[test]
fn packages_of_the_device() {
    let with = |name: &str| {
        suite().with(&format!("{name}.class"), ClassBuilder::new(name, "java/lang/Object").build())
    };
    for name in [
        "java/util/Iterator",
        "java/lang/ref/X",
        "javax/microedition/io/X",
        "javax/microedition/lcdui/game/X",
    ] {
        let package = name.rsplit_once('/').unwrap().0.replace('/', ".");
        assert_says(
            with(name),
            &[&format!(
                "class-protected-package: `{name}.class`: the package `{package}` belongs to the device"
            )],
        );
    }
    for name in [
        "javax/microedition/io/file/X",
        "javax/microedition/lcdui/x/X",
        "com/sun/lwuit/Form",
        "javax/wireless/X",
    ] {
        assert_says(with(name), &[]);
    }
}

#[test]
fn classes_of_midlets() {
    let says = |case: Case, code: &str, what: &str| {
        assert_eq!(case.says(), [format!("{code}: `demo/Main.class`: the class of `MIDlet-1` {what}")]);
    };
    let mut case = suite();
    case.midlets.push(("MIDlet-2", "demo.Setup"));
    assert_says(
        case,
        &["midlet-class-missing: `MIDlet-2` names the class `demo.Setup`, which is not in the JAR"],
    );
    let flagged = |flags| {
        main_class(|mut class| {
            class.flags = flags;
            class
        })
    };
    says(flagged(class::SUPER), "midlet-class-not-public", "is not public");
    says(flagged(PUBLIC | ABSTRACT), "midlet-class-abstract", "is abstract");
    let built = |class: ClassBuilder| suite().with("demo/Main.class", class.build());
    let bare = || ClassBuilder::new(MIDLET, "javax/microedition/midlet/MIDlet");
    says(built(bare()), "midlet-class-constructor", "has no public constructor without arguments");
    says(
        built(bare().method(PRIVATE, "<init>", "()V", Code::new(&[0xb1]))),
        "midlet-class-constructor",
        "has no public constructor without arguments",
    );
    says(
        built(bare().method(PUBLIC, "<init>", "(I)V", Code::new(&[0xb1]))),
        "midlet-class-constructor",
        "has no public constructor without arguments",
    );
    says(
        built(ClassBuilder::new(MIDLET, "java/lang/Object").constructor()),
        "midlet-class-superclass",
        "does not extend javax.microedition.midlet.MIDlet: its superclasses end in `java.lang.Object`",
    );
    let mut face = ClassBuilder::interface(MIDLET).says_midlet();
    assert_eq!(
        face.remove(0),
        "midlet-class-abstract: `demo/Main.class`: the class of `MIDlet-1` is an interface"
    );
    // startApp and its kin may be inherited and protected.
    let base = ClassBuilder::new("demo/Base", "javax/microedition/midlet/MIDlet").constructor();
    let main = ClassBuilder::new(MIDLET, "demo/Base").constructor();
    assert_says(built(main).with("demo/Base.class", base.build()), &[]);
}

impl ClassBuilder {
    fn says_midlet(self) -> Vec<String> {
        suite().with("demo/Main.class", self.build()).says()
    }
}

/// A MIDlet that creates an object of a class.
fn creates(name: &str) -> Case {
    code(|class| {
        let [a, b] = class.class(name).to_be_bytes();
        Code::new(&[0xbb, a, b, 0x57, 0xb1])
    })
}

fn calls(tag: u8, owner: &str, name: &str, descriptor: &str) -> Case {
    code(|class| {
        let [a, b] = class.member(tag, owner, name, descriptor).to_be_bytes();
        let op = if tag == FIELD { 0xb2 } else { 0xb6 };
        Code::new(&[op, a, b, 0xb1])
    })
}

#[test]
fn classes_that_are_nowhere() {
    let by = "`demo/Main.class`: method `run()V` uses";
    for (name, said) in [
        ("java/util/Vector", None),
        ("java/lang/Float", None),
        ("java/util/Timer", None),
        ("javax/microedition/rms/RecordStore", None),
        ("com/siemens/icm/io/ATCommand", None),
        ("com/cinterion/io/BearerControl", None),
        ("com/gemalto/misc/Any", None),
        (
            "java/lang/StringBuilder",
            Some("api-missing: BY `java.lang.StringBuilder`, which CLDC 1.1 does not have"),
        ),
        (
            "java/lang/UnsupportedOperationException",
            Some("api-missing: BY `java.lang.UnsupportedOperationException`, which CLDC 1.1 does not have"),
        ),
        (
            "demo/Gone",
            Some("class-missing: BY `demo.Gone`, which is not in the JAR, although its package is"),
        ),
        (
            "javax/microedition/lcdui/Form",
            Some("api-optional: BY `javax.microedition.lcdui.Form`, which only modules with MIDP 2.0 have"),
        ),
        (
            "javax/bluetooth/UUID",
            Some("api-optional: BY `javax.bluetooth.UUID`, which only modules with JSR 82 have"),
        ),
        (
            "javax/swing/JFrame",
            Some(
                "api-unknown: BY `javax.swing.JFrame`, which is neither in the JAR nor in an API that is \
                 known",
            ),
        ),
        ("Gone", Some("api-unknown: BY `Gone`, which is neither in the JAR nor in an API that is known")),
        (
            "choral/io/Can",
            Some(
                "api-choral: BY `choral.io.Can`, which is not in the JAR: it does not start unless the \
                 modules have the library choral.io",
            ),
        ),
    ] {
        let said: Vec<_> = said.map(|said| said.replace("BY", by)).into_iter().collect();
        assert_eq!(creates(name).says(), said, "{name}");
    }
    // An array of it, too.
    assert_eq!(creates("[[Ldemo/Gone;").says().len(), 1);
    assert_says(creates("[[I"), &[]);
}

#[test]
fn what_the_fleet_declares_is_there() {
    for (api, name) in [
        ("choral.io", "choral/io/Can"),
        ("javax", "javax/bluetooth/UUID"),
        ("java.util.Iterator", "java/util/Iterator"),
    ] {
        let mut case = creates(name);
        case.api.push(api.into());
        assert_says(case, &[]);
    }
    let mut case = creates("choral/iox/Can");
    case.api.push("choral.io".into());
    assert_eq!(case.says().len(), 1);
    let mut case = creates("javax/microedition/lcdui/Form");
    case.has_display = true;
    assert_says(case, &[]);
    let mut case = creates("java/lang/StringBuilder");
    case.allowed.insert("api-missing".into());
    assert_says(case, &[]);
}

#[test]
fn the_firmware_of_the_trackers_has_all_it_needs() {
    for name in [
        "com/cinterion/io/BearerControl",
        "com/cinterion/io/BearerControlListener",
        "com/cinterion/io/file/FileConnection",
        "com/cinterion/misc/Watchdog",
        "java/io/ByteArrayInputStream",
        "java/io/ByteArrayOutputStream",
        "java/io/DataInputStream",
        "java/io/DataOutputStream",
        "java/io/EOFException",
        "java/io/IOException",
        "java/io/InputStream",
        "java/io/OutputStream",
        "java/io/Writer",
        "java/util/Calendar",
        "java/util/Date",
        "java/util/Enumeration",
        "java/util/Hashtable",
        "java/util/Timer",
        "java/util/TimerTask",
        "java/util/Vector",
        "javax/microedition/io/CommConnection",
        "javax/microedition/io/ConnectionNotFoundException",
        "javax/microedition/io/Connector",
        "javax/microedition/io/HttpConnection",
        "javax/microedition/io/SecureConnection",
        "javax/microedition/io/SecurityInfo",
        "javax/microedition/io/SocketConnection",
        "javax/microedition/midlet/MIDletStateChangeException",
        "javax/microedition/rms/InvalidRecordIDException",
        "javax/microedition/rms/RecordStore",
        "javax/microedition/rms/RecordStoreException",
        "javax/microedition/rms/RecordStoreFullException",
        "javax/microedition/rms/RecordStoreNotFoundException",
        "javax/microedition/rms/RecordStoreNotOpenException",
    ] {
        assert_eq!(creates(name).says(), [""; 0], "{name}");
    }
}

#[test]
fn only_what_a_midlet_reaches_is_an_error() {
    let mut other = ClassBuilder::new("demo/Other", "java/lang/Object");
    let [a, b] = other.class("java/lang/StringBuilder").to_be_bytes();
    let other = other.method(STATIC, "run", "()V", Code::new(&[0xbb, a, b, 0x57, 0xb1])).build();
    let said = "api-missing-unreached: `demo/Other.class`: method `run()V` uses `java.lang.StringBuilder`, \
        which CLDC 1.1 does not have";
    assert_says(suite().with("demo/Other.class", other.clone()), &[said]);
    let reached = said.replace("-unreached", "");
    assert_says(creates("demo/Other").with("demo/Other.class", other.clone()), &[&reached]);
    // By name: Class.forName.
    let named = main_class(|mut class| {
        class.string("demo.Other");
        class
    });
    assert_says(named.with("demo/Other.class", other), &[&reached]);
    assert!(suite().judge().findings.iter().all(|finding| finding.code.severity() == Severity::Error));
}

#[test]
fn a_missing_class_that_is_caught_comes_first() {
    let case = code(|class| {
        let [a, b] = class.class("demo/Absent").to_be_bytes();
        let caught = class.class("java/io/FileNotFoundException");
        Code::new(&[0xbb, a, b, 0x57, 0xb1, 0x57, 0xb1]).mapped(&[5]).handler(0, 4, 5, caught)
    });
    assert_says(
        case,
        &[
            "api-missing: `demo/Main.class`: method `run()V` catches `java.io.FileNotFoundException`, which \
             CLDC 1.1 does not have: the class that catches cannot start",
            "class-missing: `demo/Main.class`: method `run()V` uses `demo.Absent`, which is not in the JAR, \
             although its package is",
        ],
    );
}

#[test]
fn members() {
    let helper = || {
        ClassBuilder::new("demo/Helper", "demo/Base")
            .method(PUBLIC, "here", "()V", Code::new(&[0xb1]))
            .build()
    };
    let base = |superclass| {
        ClassBuilder::new("demo/Base", superclass)
            .method(PUBLIC, "above", "()V", Code::new(&[0xb1]))
            .field(STATIC, "COUNT", "I")
            .build()
    };
    let with = |superclass, tag, name, descriptor| {
        calls(tag, "demo/Helper", name, descriptor)
            .with("demo/Helper.class", helper())
            .with("demo/Base.class", base(superclass))
    };
    let object = "java/lang/Object";
    for (tag, name, descriptor) in [
        (METHOD, "here", "()V"),
        (METHOD, "above", "()V"),
        (FIELD, "COUNT", "I"),
        (METHOD, "hashCode", "()I"),
    ] {
        assert_eq!(with(object, tag, name, descriptor).says(), [""; 0], "{name}");
    }
    let by = "`demo/Main.class`: method `run()V` uses";
    assert_says(
        with(object, METHOD, "gone", "()V"),
        &[&format!("member-missing: {by} `gone()V` of `demo.Helper`, which the class does not have")],
    );
    assert_says(
        with(object, FIELD, "COUNT", "J"),
        &[&format!("member-missing: {by} `COUNT: J` of `demo.Helper`, which the class does not have")],
    );
    assert_says(with("java/util/Vector", METHOD, "addElement", "(Ljava/lang/Object;)V"), &[]);
    assert_says(
        with("java/util/Vector", METHOD, "add", "(Ljava/lang/Object;)Z"),
        &[&format!(
            "member-missing: {by} `add(Ljava/lang/Object;)Z` of `demo.Helper`, which the class does not have"
        )],
    );
    // Nothing is known of other classes.
    assert_says(with("com/siemens/icm/io/ATCommand", METHOD, "send", "()V"), &[]);
}

#[test]
fn members_of_the_device() {
    assert_says(calls(METHOD, "java/lang/String", "length", "()I"), &[]);
    assert_says(calls(METHOD, "java/io/IOException", "getMessage", "()Ljava/lang/String;"), &[]);
    assert_says(calls(METHOD, "com/siemens/icm/io/ATCommand", "any", "()V"), &[]);
    let case = calls(METHOD, "java/lang/Integer", "valueOf", "(I)Ljava/lang/Integer;");
    let findings = case.judge().findings;
    assert_eq!(
        findings[0].message,
        "`demo/Main.class`: method `run()V` uses `valueOf(I)Ljava/lang/Integer;` of `java.lang.Integer`, \
         which CLDC 1.1 and IMP-NG are not known to have"
    );
    assert_eq!(
        findings[0].hint.as_deref(),
        Some("compilers box numbers with it from Java 5 on: write `new Integer(…)`")
    );
    assert_eq!(calls(METHOD, "[I", "clone", "()Ljava/lang/Object;").says().len(), 1);
}

#[test]
fn floats() {
    let old = |build: fn(ClassBuilder) -> ClassBuilder| {
        let mut case = main_class(build);
        case.configuration_1_0 = true;
        case
    };
    let said = "class-float: `demo/Main.class`: the class uses floating point, which CLDC-1.0 does not have";
    assert_says(old(|class| class), &[]);
    assert_says(old(|class| class.method(STATIC, "run", "()V", Code::new(&[0x0b, 0x57, 0xb1]))), &[said]);
    assert_says(old(|class| class.field(PUBLIC, "x", "D")), &[said]);
    assert_says(old(|class| class.bare_method(PUBLIC | ABSTRACT, "x", "([F)V")), &[said]);
    assert_says(main_class(|class| class.field(PUBLIC, "x", "D")), &[]);
}

#[test]
fn attributes_and_flags_that_nobody_knows_are_ignored() {
    assert_says(
        main_class(|class| class.attribute("RuntimeVisibleAnnotations", &[0, 1]).attribute("X", &[1, 2, 3])),
        &[],
    );
    // Bridge, varargs and synthetic; enum and annotation.
    assert_says(main_class(|class| class.method(PUBLIC | 0x10c0, "run", "()V", Code::new(&[0xb1]))), &[]);
    assert_says(
        main_class(|mut class| {
            class.flags |= 0x6000;
            class
        }),
        &[],
    );
}

#[test]
fn the_same_fault_is_told_once_of_a_class() {
    let case = main_class(|class| {
        ["a", "b", "c"].iter().fold(class, |class, name| class.bare_method(PUBLIC | NATIVE, name, "()V"))
    });
    assert_says(
        case,
        &["class-native-method: `demo/Main.class`: method `a()V` is native (and 2 more such places in this \
             class)"],
    );
}
