//! Each rule of the judge, on classes that break it and on classes that just keep it.

#![allow(clippy::unwrap_used)]

#[path = "../../../../tests/it/support/class.rs"]
mod class;
mod relations;

use std::collections::BTreeSet;

use class::{
    ABSTRACT, ClassBuilder, Code, FIELD, FINAL, INTERFACE_METHOD, METHOD, NATIVE, PRIVATE, PUBLIC, STATIC,
};
use otapress_classfile::{CLASS_VERSION, Finding, Judgement, Rules, Severity, judge};

const MIDLET: &str = "demo/Main";

/// A suite of one MIDlet, and what it is judged by.
struct Case {
    classes: Vec<(String, Vec<u8>)>,
    midlets: Vec<(&'static str, &'static str)>,
    api: Vec<String>,
    allowed: BTreeSet<String>,
    configuration_1_0: bool,
    has_display: bool,
    class_version: u16,
}

fn suite() -> Case {
    Case {
        classes: vec![("demo/Main.class".into(), ClassBuilder::midlet(MIDLET, "").build())],
        midlets: vec![("MIDlet-1", "demo.Main")],
        api: Vec::new(),
        allowed: BTreeSet::new(),
        configuration_1_0: false,
        has_display: false,
        class_version: CLASS_VERSION,
    }
}

impl Case {
    /// Adds an entry, or replaces it.
    fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.classes.retain(|(known, _)| known != path);
        self.classes.push((path.into(), bytes.into()));
        self
    }

    fn judge(&self) -> Judgement {
        let entries: Vec<_> =
            self.classes.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        judge(
            &entries,
            &Rules {
                midlets: self.midlets.clone(),
                configuration_1_0: self.configuration_1_0,
                has_display: self.has_display,
                class_version: self.class_version,
                api: &self.api,
                allowed: &self.allowed,
            },
        )
    }

    /// Codes and messages.
    fn says(&self) -> Vec<String> {
        let shown = |f: Finding| format!("{}: {}", f.code, f.message);
        self.judge().findings.into_iter().map(shown).collect()
    }
}

/// The suite, with the MIDlet built anew.
fn main_class(build: impl FnOnce(ClassBuilder) -> ClassBuilder) -> Case {
    suite().with("demo/Main.class", build(ClassBuilder::midlet(MIDLET, "")).build())
}

/// The suite, with a static method `run()V` of this code in the MIDlet.
fn code(build: impl FnOnce(&mut ClassBuilder) -> Code) -> Case {
    main_class(|mut class| {
        let code = build(&mut class);
        class.method(PUBLIC | STATIC, "run", "()V", code)
    })
}

fn bytes(code: &[u8]) -> Case {
    self::code(|_| Code::new(code))
}

#[track_caller]
fn assert_says(case: Case, said: &[&str]) {
    assert_eq!(case.says(), said);
}

#[test]
fn a_right_suite_is_silent() {
    assert_says(suite(), &[]);
    // A branch, a handler, a switch, and code after a goto: each with its entry, one more entry that nothing
    // needs.
    let code_bytes = [0x03, 0x99, 0, 4, 0, 0xa7, 0, 3, 0xb1];
    assert_says(code(|_| Code::new(&code_bytes).mapped(&[0, 5, 8])), &[]);
    let summary = suite().judge().summary;
    assert_eq!(summary.classes.keys().collect::<Vec<_>>(), ["demo.Main"]);
    assert_eq!(
        summary.uses.iter().collect::<Vec<_>>(),
        [(&"javax.microedition.midlet.MIDlet".to_owned(), &BTreeSet::from(["<init>()V".to_owned()]))]
    );
}

#[test]
fn what_is_no_class() {
    let broken = |bytes: &[u8]| suite().with("demo/Other.class", bytes);
    assert_says(broken(b""), &["class-malformed: `demo/Other.class`: the file is empty"]);
    assert_says(
        broken(b"hello"),
        &["class-malformed: `demo/Other.class`: the file is not a class: it does not start with the bytes \
             ca fe ba be"],
    );
    let whole = ClassBuilder::midlet("demo/Other", "").build();
    for length in 4..whole.len() {
        let says = broken(&whole[..length]).says();
        assert!(says.len() == 1 && says[0].starts_with("class-malformed: "), "{length}: {says:?}");
    }
}

#[test]
fn versions() {
    let of = |major| {
        main_class(|mut class| {
            class.major = major;
            class
        })
    };
    for major in 45..=48 {
        assert_says(of(major), &[]);
    }
    assert_says(
        of(52),
        &["class-version: `demo/Main.class`: the class file has version 52 (Java 8); devices read 45 to 48"],
    );
    assert_says(
        of(44),
        &["class-version: `demo/Main.class`: the class file has version 44; devices read 45 to 48"],
    );
    let mut case = of(52);
    case.class_version = 52;
    assert_says(case, &[]);
    let mut case = of(52);
    case.allowed.insert("class-version".into());
    assert_says(case, &[]);
}

#[test]
fn a_foreign_version_is_all_that_is_said_of_a_class() {
    let case = main_class(|mut class| {
        class.major = 61;
        class.constant(vec![18, 0, 0, 0, 1]);
        class.method(STATIC, "run", "()V", Code::new(&[0xba, 0, 1, 0, 0]))
    });
    assert_says(
        case,
        &["class-version: `demo/Main.class`: the class file has version 61 (Java 17); devices read 45 to 48"],
    );
}

#[test]
fn constants() {
    let with = |constant: &[u8]| {
        main_class(|mut class| {
            class.constant(constant.into());
            class
        })
    };
    assert_says(with(&[3, 0, 0, 0, 1]), &[]);
    assert_says(with(&[5, 0, 0, 0, 0, 0, 0, 0, 1]), &[]);
    for (constant, kind) in [
        (&[15, 1, 0, 1][..], "method handle (15)"),
        (&[16, 0, 1], "method type (16)"),
        (&[17, 0, 0, 0, 1], "dynamic constant (17)"),
        (&[18, 0, 0, 0, 1], "dynamic call (18)"),
        (&[19, 0, 1], "module (19)"),
        (&[20, 0, 1], "package (20)"),
    ] {
        let [said] = &*with(constant).says() else { panic!("{kind}") };
        assert!(said.ends_with(&format!(" is a {kind}, which CLDC does not know")), "{said}");
        assert!(said.starts_with("class-constant-tag: "), "{said}");
    }
    for tag in [2, 13, 14, 21, 255] {
        assert_says(
            with(&[tag, 0, 1]),
            &[&format!("class-constant-tag: `demo/Main.class`: a constant is of the unknown kind {tag}")],
        );
    }
    // A class whose name is a class; a string of a number that is not there.
    let [said] = &*with(&[7, 0, 2]).says() else { panic!() };
    assert!(said.starts_with("class-constant: "), "{said}");
    let [said] = &*with(&[8, 0x7f, 0]).says() else { panic!() };
    assert!(said.ends_with("refers to a constant of the wrong kind"), "{said}");
}

#[test]
fn a_missing_stack_map() {
    let said = "class-not-preverified: `demo/Main.class`: method `run()V` has no StackMap, which instruction \
        4 needs";
    // A branch; code behind goto, athrow, return, a switch.
    assert_says(bytes(&[0x03, 0x99, 0, 3, 0xb1]), &[said]);
    assert_says(bytes(&[0, 0xa7, 0, 4, 0, 0xb1]), &[said]);
    assert_says(bytes(&[0, 0, 0, 0xb1, 0xb1]), &[said]);
    assert_says(bytes(&[0, 0, 0x01, 0xbf, 0xb1]), &[said]);
    let lookup = [0x03, 0xab, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0xb1];
    assert_says(bytes(&lookup), &[&said.replace("4 needs", "12 needs")]);
    // A handler.
    assert_says(code(|_| Code::new(&[0, 0, 0, 0xb1, 0xb1]).handler(0, 3, 4, 0)), &[said]);
    // Without any of them none is needed.
    assert_says(bytes(&[0x03, 0x57, 0xb1]), &[]);
    // A StackMapTable is no substitute and no fault.
    let table = main_class(|mut class| {
        let table = class.utf8("StackMapTable").to_be_bytes();
        let mut content = vec![0, 1, 0, 1, 0, 0, 0, 2, 0xb1, 0xb1, 0, 0, 0, 1];
        content.extend(table);
        content.extend([0, 0, 0, 3, 0, 1, 0]);
        class.method_with(STATIC | PUBLIC, "run", "()V", &content)
    });
    assert_says(table, &[&said.replace("4 needs", "1 needs")]);
}

/// A branch over a `nop`: the StackMap needs an entry for 5.
const BRANCH: [u8; 6] = [0x03, 0x99, 0, 4, 0, 0xb1];

#[test]
fn wrong_stack_maps() {
    let map = |content: &[u8]| code(|_| Code::new(&BRANCH).map(content));
    let says = |case: Case, what: &str| {
        let said = format!("class-stack-map: `demo/Main.class`: the StackMap of method `run()V` {what}");
        assert_eq!(case.says(), [said]);
    };
    assert_says(map(&[0, 1, 0, 5, 0, 0, 0, 0]), &[]);
    says(map(&[]), "is cut off");
    says(map(&[0, 1, 0, 5, 0, 0, 0]), "is cut off");
    says(map(&[0, 0]), "has no entry for offset 5, which code branches to or does not run into");
    says(map(&[0, 1, 0, 5, 0, 0, 0, 0, 0]), "has 1 byte behind its last entry");
    says(map(&[0, 1, 0, 6, 0, 0, 0, 0]), "has an entry for offset 6, beyond the code");
    says(map(&[0, 1, 0, 2, 0, 0, 0, 0]), "has an entry for offset 2, where no instruction starts");
    let twice = [0, 2, 0, 5, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0];
    says(map(&twice), "has an entry for offset 5 in the wrong order or twice");
    let descending = [0, 2, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    says(map(&descending), "has an entry for offset 0 in the wrong order or twice");
    says(map(&[0, 1, 0, 5, 0, 1, 9, 0, 0]), "has an entry for offset 5 with the unknown type 9");
    says(
        map(&[0, 1, 0, 5, 0, 1, 7, 0, 1, 0, 0]),
        "has an entry for offset 5 with constant 1, which is not a class",
    );
    says(
        map(&[0, 1, 0, 5, 0, 1, 8, 0, 0, 0, 0]),
        "has an entry for offset 5 with an object made at 0, where no `new` is",
    );
    let five = [0, 1, 0, 5, 0, 5, 1, 1, 1, 1, 1, 0, 0];
    says(map(&five), "has an entry for offset 5 with 5 slots of local variables; there are 4");
    let longs = [0, 1, 0, 5, 0, 0, 0, 3, 4, 3, 1];
    says(map(&longs), "has an entry for offset 5 with 5 slots of stack; there are 4");
    // Types that are right: top, int, float, double, null, an object.
    assert_says(map(&[0, 1, 0, 5, 0, 4, 0, 1, 2, 5, 0, 2, 3, 4]), &[]);
}

#[test]
fn two_stack_maps_or_inner_classes() {
    assert_says(
        code(|_| Code::new(&BRANCH).mapped(&[5]).mapped(&[5])),
        &["class-duplicate-attribute: `demo/Main.class`: method `run()V` has the attribute StackMap more \
             than once"],
    );
    assert_says(main_class(|class| class.attribute("InnerClasses", &[0, 0])), &[]);
    assert_says(
        main_class(|class| class.attribute("InnerClasses", &[0, 0]).attribute("InnerClasses", &[0, 0])),
        &["class-duplicate-attribute: `demo/Main.class`: the class has the attribute InnerClasses more \
             than once"],
    );
}

#[test]
fn instructions_that_cldc_lacks() {
    let says = |case: Case, what: &str| {
        let said = format!("class-instruction: `demo/Main.class`: instruction {what}");
        assert_eq!(case.says(), [said]);
    };
    says(
        code(|_| Code::new(&[0xa8, 0, 3, 0xb1]).mapped(&[3])),
        "0 of method `run()V` is `jsr`, which CLDC does not have",
    );
    says(
        code(|_| Code::new(&[0xc9, 0, 0, 0, 5, 0xb1]).mapped(&[5])),
        "0 of method `run()V` is `jsr_w`, which CLDC does not have",
    );
    says(bytes(&[0xa9, 0]), "0 of method `run()V` is `ret`, which CLDC does not have");
    says(bytes(&[0xc4, 0xa9, 0, 0, 0xb1]), "0 of method `run()V` is `ret`, which CLDC does not have");
    says(
        bytes(&[0xba, 0, 1, 0, 0, 0xb1]),
        "0 of method `run()V` is `invokedynamic`, which CLDC does not have",
    );
    for op in [0xca, 0xcb, 0xfe, 0xff] {
        says(bytes(&[0, op, 0xb1]), &format!("1 of method `run()V` is the unknown {op:#04x}"));
    }
    says(bytes(&[0x04, 0xbc, 3, 0x57, 0xb1]), "1 of method `run()V` makes an array of the unknown type 3");
    let statically = code(|class| {
        let [a, b] = class.member(INTERFACE_METHOD, "demo/Face", "of", "()V").to_be_bytes();
        Code::new(&[0xb8, a, b, 0xb1])
    });
    let face = ClassBuilder::interface("demo/Face").bare_method(PUBLIC | ABSTRACT, "of", "()V");
    says(
        statically.with("demo/Face.class", face.build()),
        "0 of method `run()V` calls a method of an interface statically, which came with Java 8",
    );
}

#[test]
fn class_literals() {
    let case = code(|class| {
        let class = class.class("java/lang/String");
        Code::new(&[0x12, class as u8, 0x57, 0xb1])
    });
    assert_says(
        case,
        &["class-literal: `demo/Main.class`: instruction 0 of method `run()V` loads a class constant, \
             which CLDC cannot"],
    );
    let text = code(|class| {
        let text = class.string("text");
        Code::new(&[0x13, 0, text as u8, 0x57, 0xb1])
    });
    assert_says(text, &[]);
}

#[test]
fn switches() {
    let padded = |byte: u8| {
        // tableswitch at 1, two bytes of padding, one entry, both to 24.
        let code = [0x03, 0xaa, 0, byte, 0, 0, 0, 23, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 0xb1];
        self::code(|_| Code::new(&code).mapped(&[20, 24]))
    };
    assert_says(padded(0), &[]);
    assert_says(
        padded(1),
        &["class-switch-padding: `demo/Main.class`: instruction 1 of method `run()V` is a switch whose \
             padding is not zero"],
    );
    let lookup = |keys: [u8; 2]| {
        let mut code = vec![0x03, 0xab, 0, 0, 0, 0, 0, 27, 0, 0, 0, 2];
        for key in keys {
            code.extend([0, 0, 0, key, 0, 0, 0, 27]);
        }
        code.push(0xb1);
        self::code(|_| Code::new(&code).mapped(&[28]))
    };
    assert_says(lookup([1, 2]), &[]);
    let said = "class-instruction: `demo/Main.class`: instruction 1 of method `run()V` is a lookupswitch \
        whose keys do not ascend";
    assert_says(lookup([2, 1]), &[said]);
    assert_says(lookup([2, 2]), &[said]);
    // More entries than there is code.
    let huge = [0x03, 0xab, 0, 0, 0, 0, 0, 8, 0x7f, 0xff, 0xff, 0xff, 0xb1];
    assert_says(
        bytes(&huge),
        &["class-code-end: `demo/Main.class`: instruction 1 of method `run()V` is cut off by the end of \
             the code"],
    );
}

#[test]
fn branches_and_handlers_that_lead_nowhere() {
    let says = |case: Case, what: &str| {
        let said = format!("class-branch-target: `demo/Main.class`: {what}");
        assert_eq!(case.says(), [said]);
    };
    let branch = |by: u8| bytes(&[0x03, 0x99, if by > 127 { 0xff } else { 0 }, by, 0xb1]);
    says(branch(9), "instruction 1 of method `run()V` branches to 10, where no instruction starts");
    says(branch(1), "instruction 1 of method `run()V` branches to 2, where no instruction starts");
    says(branch(0xf0), "instruction 1 of method `run()V` branches to -15, where no instruction starts");
    let handler =
        |from, to, at| code(|_| Code::new(&[0, 0, 0xa7, 0, 3, 0xb1]).mapped(&[5]).handler(from, to, at, 0));
    assert_says(handler(0, 2, 5), &[]);
    assert_says(handler(0, 6, 5), &[]);
    for (from, to, at) in [(2, 2, 5), (3, 5, 5), (0, 7, 5), (0, 4, 5), (0, 2, 4), (0, 2, 6)] {
        let what = format!("handler 0 of method `run()V` ({from} to {to}, at {at}) fits no instructions");
        says(handler(from, to, at), &what);
    }
}

#[test]
fn code_that_has_no_end() {
    let said = "class-code-end: `demo/Main.class`: ";
    assert_says(
        bytes(&[0]),
        &[&format!("{said}the code of method `run()V` runs beyond its last instruction")],
    );
    let cut = format!("{said}instruction 1 of method `run()V` is cut off by the end of the code");
    assert_says(bytes(&[0, 0x10]), &[&cut]);
    assert_says(bytes(&[]), &["class-method-code: `demo/Main.class`: the code of method `run()V` is empty"]);
}

#[test]
fn code_that_is_too_long_or_cut_off() {
    let long = |length: usize| {
        let mut code = vec![0; length];
        code[length - 1] = 0xb1;
        bytes(&code)
    };
    assert_says(long(65535), &[]);
    assert_says(
        long(65536),
        &["class-code-length: `demo/Main.class`: the code of method `run()V` has 65536 bytes; at most \
             65535 are allowed"],
    );
    let with = |content: &[u8]| main_class(|class| class.method_with(STATIC, "run", "()V", content));
    let cut = "class-malformed: `demo/Main.class`: the code of method `run()V` is cut off";
    assert_says(with(&[0, 1, 0, 1, 0, 0, 0, 9, 0xb1]), &[cut]);
    assert_says(with(&[0, 1, 0, 1, 0, 0, 0, 1, 0xb1, 0, 0]), &[cut]);
    assert_says(
        with(&[0, 1, 0, 1, 0, 0, 0, 1, 0xb1, 0, 0, 0, 0, 7]),
        &["class-malformed: `demo/Main.class`: 1 byte follows the end of the code of method `run()V`"],
    );
}

#[test]
fn frames() {
    let frame = |max_stack, max_locals| code(|_| Code { max_stack, max_locals, ..Code::new(&[0xb1]) });
    assert_says(frame(0x7fff, 0), &[]);
    assert_says(
        frame(0x4000, 0x4000),
        &["class-frame-size: `demo/Main.class`: a frame of method `run()V` takes 16384 + 16384 slots; it \
             must be below 32768"],
    );
    let small = main_class(|class| {
        class.method(PUBLIC, "take", "(IJ)V", Code { max_locals: 3, ..Code::new(&[0xb1]) })
    });
    assert_says(
        small,
        &["class-malformed: `demo/Main.class`: method `take(IJ)V` has 3 local variables, and its \
             parameters take 4"],
    );
}

#[test]
fn parameters() {
    let with = |flags, count: usize| {
        let descriptor = format!("({})V", "I".repeat(count));
        main_class(|class| {
            class.method(flags, "take", &descriptor, Code { max_locals: 300, ..Code::new(&[0xb1]) })
        })
    };
    assert_says(with(PUBLIC | STATIC, 255), &[]);
    assert_says(with(PUBLIC, 254), &[]);
    let [said] = &*with(PUBLIC, 255).says() else { panic!() };
    assert!(
        said.starts_with("class-parameters: ") && said.ends_with(" take 256 slots; at most 255 are allowed"),
        "{said}"
    );
    assert_says(
        main_class(|class| class.bare_method(PUBLIC | ABSTRACT, "take", "(V)V")),
        &["class-malformed: `demo/Main.class`: method `take(V)V` has an invalid descriptor"],
    );
    assert_says(
        main_class(|class| class.field(PUBLIC, "odd", "Q")),
        &["class-malformed: `demo/Main.class`: field `odd` has the invalid type `Q`"],
    );
}

#[test]
fn methods_and_their_code() {
    assert_says(
        main_class(|class| class.bare_method(PUBLIC, "run", "()V")),
        &["class-method-code: `demo/Main.class`: method `run()V` has no code"],
    );
    assert_says(
        main_class(|class| class.method(PUBLIC | ABSTRACT, "run", "()V", Code::new(&[0xb1]))),
        &["class-method-code: `demo/Main.class`: method `run()V` is abstract or native and has code"],
    );
    assert_says(
        main_class(|class| class.bare_method(PUBLIC | NATIVE, "run", "()V")),
        &["class-native-method: `demo/Main.class`: method `run()V` is native"],
    );
    // finalize is never called, and harmless.
    assert_says(main_class(|class| class.method(PUBLIC, "finalize", "()V", Code::new(&[0xb1]))), &[]);
}

#[test]
fn bytes_behind_the_class() {
    let case = main_class(|mut class| {
        class.trailing = vec![0];
        class
    });
    assert_says(case, &["class-trailing-bytes: `demo/Main.class`: 1 byte follows the end of the class"]);
}

#[test]
fn members_of_interfaces() {
    let face = |build: fn(ClassBuilder) -> ClassBuilder| {
        suite().with("demo/Face.class", build(ClassBuilder::interface("demo/Face")).build())
    };
    assert_says(
        face(|face| {
            face.field(PUBLIC | STATIC | FINAL, "ONE", "I")
                .bare_method(PUBLIC | ABSTRACT, "run", "()V")
                .method(STATIC, "<clinit>", "()V", Code::new(&[0xb1]))
        }),
        &[],
    );
    let method = "class-interface-member: `demo/Face.class`: method `run()V` of the interface is not public \
        and abstract";
    assert_says(face(|face| face.method(PUBLIC, "run", "()V", Code::new(&[0xb1]))), &[method]);
    assert_says(face(|face| face.method(PUBLIC | STATIC, "run", "()V", Code::new(&[0xb1]))), &[method]);
    assert_says(
        face(|face| face.field(PUBLIC | STATIC, "ONE", "I")),
        &["class-interface-member: `demo/Face.class`: field `ONE` of the interface is not public, static \
             and final"],
    );
}

#[test]
fn superclasses() {
    let with = |class: ClassBuilder| suite().with("demo/Sub.class", class.build());
    let says = |case: Case, what: &str| {
        assert_eq!(case.says(), [format!("class-superclass: `demo/Sub.class`: {what}")]);
    };
    says(
        with(ClassBuilder::new("demo/Sub", "java/lang/String")),
        "the superclass `java.lang.String` is final",
    );
    says(
        with(ClassBuilder::new("demo/Sub", "java/lang/Runnable")),
        "the superclass `java.lang.Runnable` is an interface",
    );
    says(
        with(ClassBuilder::new("demo/Sub", "java/lang/Object").implements("java/util/Vector")),
        "the class implements `java.util.Vector`, which is not an interface",
    );
    let mut face = ClassBuilder::new("demo/Sub", "java/util/Vector");
    face.flags = class::INTERFACE | ABSTRACT;
    says(with(face), "the superclass of the interface is `java.util.Vector` and not `java.lang.Object`");
    let mut last = ClassBuilder::new("demo/Last", "java/lang/Object");
    last.flags |= FINAL;
    let case = with(ClassBuilder::new("demo/Sub", "demo/Last")).with("demo/Last.class", last.build());
    says(case, "the superclass `demo.Last` is final");
    says(with(ClassBuilder::new("demo/Sub", "demo/Sub")), "the class is its own superclass");
    let cycle = with(ClassBuilder::new("demo/Sub", "demo/Sup"))
        .with("demo/Sup.class", ClassBuilder::new("demo/Sup", "demo/Sub").build());
    assert_eq!(cycle.says().len(), 2);
    let mut orphan = ClassBuilder::new("demo/Sub", "java/lang/Object");
    orphan.superclass = 0;
    says(with(orphan), "the class has no superclass");
}
