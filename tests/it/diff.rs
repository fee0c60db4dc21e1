//! `diff`, and what `plan` shows of releases that are new in it: `tests/diff/<name>.txt` has every form of
//! each pair of JARs. `UPDATE_GOLDEN=1` rewrites them (and fails).

use std::fmt::Write as _;

use crate::support::jar::JarBuilder;
use crate::support::jar::class::{ClassBuilder, Code, FIELD, METHOD, PUBLIC};
use crate::support::project::{Project, SMALL, against_golden, repository};

fn jar(version: &str) -> JarBuilder {
    JarBuilder::new("OwnTracks", version, "Choral")
        .attribute(
            "MIDlet-Permissions",
            "javax.microedition.io.Connector.http, javax.microedition.io.Connector.socket",
        )
        .class(&ClassBuilder::midlet("demo/OwnTracks", ""), "demo/OwnTracks")
        .class(&ClassBuilder::new("demo/Helper", "java/lang/Object").constructor(), "demo/Helper")
}

/// A class whose method `run` calls these methods of classes of the device.
fn calling(name: &str, calls: &[(&str, &str, &str)]) -> ClassBuilder {
    let mut class = ClassBuilder::new(name, "java/lang/Object").constructor();
    let mut code = Vec::new();
    for (owner, method, descriptor) in calls {
        let tag = if descriptor.starts_with('(') { METHOD } else { FIELD };
        let [a, b] = class.member(tag, owner, method, descriptor).to_be_bytes();
        code.extend([if tag == METHOD { 0xb6 } else { 0xb2 }, a, b]);
    }
    code.push(0xb1);
    class.method(PUBLIC, "run", "()V", Code::new(&code))
}

/// A name, the older release and the newer one.
fn pairs() -> Vec<(&'static str, JarBuilder, JarBuilder)> {
    let (old, new) = (|| jar("0.10.65"), || jar("0.10.66"));
    let many = (0..30).fold(new(), |jar, n| {
        let name = format!("demo/many/C{n:02}");
        jar.class(&ClassBuilder::new(&name, "java/lang/Object").constructor(), &name)
    });
    let timer = [
        ("java/util/Timer", "schedule", "(Ljava/util/TimerTask;J)V"),
        ("java/util/Timer", "cancel", "()V"),
        ("java/lang/System", "out", "Ljava/io/PrintStream;"),
    ];
    let http = "javax.microedition.io.Connector.http";
    vec![
        ("version-alone", old(), new()),
        (
            "permissions",
            old(),
            new().attribute("MIDlet-Permissions", &format!("{http}, javax.microedition.io.Connector.comm")),
        ),
        (
            "permission-optional",
            old(),
            new().attribute("MIDlet-Permissions-Opt", "javax.microedition.io.Connector.https"),
        ),
        (
            "attributes",
            old().attribute("MIDlet-Description", "before").attribute("X-Gone", "1"),
            new().attribute("MIDlet-Description", "a | b `c`").attribute("X-New", "2"),
        ),
        (
            "classes",
            old(),
            new().without_entry("demo/Helper.class").class(&calling("demo/Other", &[]), "demo/Other"),
        ),
        ("class-changed", old(), new().class(&calling("demo/Helper", &[]), "demo/Helper")),
        ("apis", old(), new().class(&calling("demo/Helper", &timer), "demo/Helper")),
        (
            "members-of-a-known-api",
            old().class(&calling("demo/Helper", &timer[..1]), "demo/Helper"),
            new().class(&calling("demo/Helper", &timer), "demo/Helper"),
        ),
        ("many-classes", old(), many),
        ("smaller", old().entry("noise", &[7; 5000]), new()),
    ]
}

#[test]
fn every_form_is_golden() {
    let pairs = pairs();
    assert!(pairs.len() >= 8);
    let mut wrong = String::new();
    for (name, old, new) in pairs {
        let project = Project::empty().file("fleet.yaml", SMALL).file("jars/old.jar", old.build());
        project.build();
        project.write("jars/new.jar", new.build());
        let mut said = String::new();
        for command in [
            "diff 0.10.65 0.10.66",
            "diff --markdown 0.10.65 0.10.66",
            "diff --json 0.10.65 0.10.66",
            "plan",
            "plan --markdown",
        ] {
            let ran = project.run(command);
            assert_eq!(ran.status, 0, "{name}: {command}: {}", ran.stderr);
            writeln!(said, "$ otapress {command}\n{}", ran.stdout).unwrap();
        }
        assert_eq!(
            project.run("diff jars/old.jar jars/new.jar").stdout,
            project.run("diff 0.10.65 0.10.66").stdout
        );
        wrong +=
            &against_golden(&said, &repository().join(format!("tests/diff/{name}.txt"))).unwrap_or_default();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_cannot_be_compared() {
    let project = Project::empty().file("fleet.yaml", SMALL).jar("0.10.65").file("page.jar", "a page");
    let ran = project.run("diff 0.10.65 0.10.99");
    assert_eq!(
        (ran.status, &*ran.stderr),
        (1, "error: release 0.10.99 is not in the catalog, which has 0.10.65\n")
    );
    let ran = project.run("diff 0.10.65 page.jar");
    assert_eq!(
        (ran.status, &*ran.stderr),
        (1, "error: `page.jar` is not a JAR that a device would install: not a zip file\n")
    );
    assert_eq!(project.run("diff 0.10.65 missing.jar").status, 1);
}

/// What `add` says of a JAR when 0.10.65 is published; `check` says the same of it in the catalog.
fn said_of(fleet: &str, new: &JarBuilder) -> String {
    let project = Project::empty().file("fleet.yaml", SMALL).file("jars/old.jar", jar("0.10.65").build());
    project.build();
    project.write("fleet.yaml", fleet);
    project.write("new.jar", new.build());
    let added = project.run("add new.jar");
    std::fs::remove_file(project.path("jars/old.jar")).unwrap();
    let is_there = project.path("jars/OwnTracks-0.10.66.jar").exists();
    assert_eq!(is_there, added.status == 0);
    project.write("jars/OwnTracks-0.10.66.jar", new.build());
    let checked = project.run("check");
    for line in added.stderr.lines().filter(|line| line.contains("]: ")) {
        let (_, message) = line.split_once("]: ").unwrap();
        assert!(checked.stderr.contains(message), "{message}\n{}", checked.stderr);
    }
    added.stderr
}

#[test]
fn what_a_new_release_loses_is_told() {
    let new = || jar("0.10.66");
    let connector = |name: &str| format!("javax.microedition.io.Connector.{name}");
    let other = || {
        let class = ClassBuilder::midlet("demo/Other", "");
        new().attribute("MIDlet-1", "Own,,demo.Other").class(&class, "demo/Other")
    };
    let changed = |what: &str| SMALL.replace("vendor: Choral", what);
    let vendor = || {
        JarBuilder::new("OwnTracks", "0.10.66", "Other")
            .attribute("MIDlet-Permissions", &format!("{}, {}", connector("http"), connector("socket")))
    };
    let mut said = String::new();
    for (name, fleet, jar) in [
        ("nothing", SMALL.to_owned(), new()),
        ("permission", SMALL.to_owned(), new().attribute("MIDlet-Permissions", &connector("http"))),
        ("permission-http", SMALL.to_owned(), new().attribute("MIDlet-Permissions", &connector("socket"))),
        ("midlet", SMALL.to_owned(), other()),
        ("midlet-allowed", changed("vendor: Choral, allow: [midlet-changed]"), other()),
        ("vendor", changed("vendor: Other"), vendor()),
        ("vendor-meant", changed("vendor: Other, renamed: true"), vendor()),
    ] {
        writeln!(said, "== {name}\n{}", said_of(&fleet, &jar)).unwrap();
    }
    let wrong = against_golden(&said, &repository().join("tests/regressions.txt"));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}
