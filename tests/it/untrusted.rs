//! A merge request that nobody has read yet: CI checks, plans and builds it, and neither leaks anything nor
//! waits for ever.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use crate::support::process::PATIENCE;
use crate::support::project::{Project, Ran, SMALL};

/// What only the operator and CI know.
const SECRET: &str = "hunter2-of-the-operator";

const OUTSIDE: &str = "lies outside the directory of the fleet file";

/// Files of the operator: text as an inventory, a template and a fleet file might have it, and a directory of
/// JARs.
fn operator() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("secret"), format!("clientID,{SECRET}\n{SECRET},{SECRET}\n")).unwrap();
    fs::write(dir.path().join("secret.yaml"), format!("{SECRET}: [{SECRET}\n")).unwrap();
    fs::write(dir.path().join("secret.json"), format!("{{\"{SECRET}\":\"{SECRET}\"}}")).unwrap();
    let jars = Project::new(SMALL);
    fs::create_dir(dir.path().join("jars")).unwrap();
    for entry in fs::read_dir(jars.path("jars")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join("jars").join(entry.file_name())).unwrap();
    }
    dir
}

/// Runs a command with a secret in its environment; whatever it says, it says soon, and not that.
#[track_caller]
fn run(project: &Project, args: &str) -> Ran {
    let begun = Instant::now();
    let output = Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_otapress"), "--color=never"])
        .args(args.split(' '))
        .current_dir(project.path("."))
        .env("CI_JOB_TOKEN", SECRET)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let ran = Ran::new(output);
    assert!(begun.elapsed() < PATIENCE, "`{args}` took {:?}", begun.elapsed());
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "`{args}`: {ran:?}");
    ran
}

/// Every command that CI runs refuses the fleet and says why.
#[track_caller]
fn refused(project: &Project, why: &str) {
    for args in ["check", "check --format json", "plan", "build", "show dev1", "config nginx"] {
        let ran = run(project, args);
        assert_eq!(ran.status, 1, "`{args}`: {ran:?}");
        assert!(ran.stderr.contains(why) || ran.stdout.contains(why), "`{args}`: {why}: {ran:?}");
        assert!(ran.stderr.len() + ran.stdout.len() < 8000, "`{args}`: {}", ran.stderr.len());
    }
    assert!(!project.path("out").exists());
}

fn with_inventory(pattern: &str) -> Project {
    Project::new(&format!("inventory: [\"{pattern}\"]\n{SMALL}"))
}

fn outside(project: &Project, link: &str, target: &Path) {
    let _ = fs::remove_dir_all(project.path(link));
    let _ = fs::remove_file(project.path(link));
    symlink(target, project.path(link)).unwrap();
    refused(project, OUTSIDE);
}

#[test]
fn nothing_outside_is_read() {
    let operator = operator();
    let secret = operator.path().join("secret");
    for pattern in [secret.to_str().unwrap(), "/proc/self/environ", "/proc/*/environ", "../*", "/**/passwd"] {
        refused(&with_inventory(pattern), OUTSIDE);
    }
    outside(&with_inventory("devices.csv"), "devices.csv", &secret);
    outside(&with_inventory("devices.csv"), "devices.csv", Path::new("/proc/self/environ"));
    outside(&with_inventory("devices/*"), "devices", operator.path());
    outside(&Project::new(SMALL), "fleet.yaml", &operator.path().join("secret.yaml"));
    outside(&Project::new(SMALL), "jars", &operator.path().join("jars"));
    outside(&Project::new(SMALL).file("templates/x", ""), "templates/OwnTracks.jad", &secret);
    outside(&Project::new(SMALL), "jars/OwnTracks-0.10.65.jar", Path::new("/proc/self/environ"));
    let jars = operator.path().join("jars");
    let elsewhere = SMALL.replace("vendor: Choral", &format!("vendor: Choral, jars: {}", jars.display()));
    refused(&Project::new(&elsewhere), OUTSIDE);
    refused(&Project::new(&elsewhere.replace(jars.to_str().unwrap(), "../..")), OUTSIDE);
}

#[test]
fn the_operator_can_allow_directories() {
    let operator = operator();
    let dir = operator.path().display();
    fs::write(operator.path().join("more.csv"), "clientID,imei\ndev9,352099001761564\n").unwrap();
    let text = format!("inventory: [\"{dir}/*.csv\"]\n{SMALL}")
        .replace("vendor: Choral", &format!("vendor: Choral, jars: {dir}/jars"));
    let project = Project::new(&text);
    fs::remove_dir_all(project.path("jars")).unwrap();
    assert_eq!(run(&project, "check").status, 1);
    assert_eq!(run(&project, &format!("check --allow-path {dir}/jars")).status, 1);
    let ran = run(&project, &format!("--allow-path {dir}/jars build -q --allow-path {dir}"));
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert!(project.path("out/files/dev9/OwnTracks.jad").exists());
}

#[test]
fn only_plain_files_are_read() {
    let mode = Mode::RUSR | Mode::WUSR;
    let pipe = |project: Project, path: &str| {
        let _ = fs::remove_file(project.path(path));
        mkfifoat(CWD, project.path(path), mode).unwrap();
        project
    };
    refused(&pipe(with_inventory("devices.csv"), "devices.csv"), "is a named pipe, not a file");
    refused(&pipe(Project::new(SMALL), "fleet.yaml"), "is a named pipe, not a file");
    let template = Project::new(SMALL).file("templates/x", "");
    refused(&pipe(template, "templates/OwnTracks.jad"), "is a named pipe, not a file");
    refused(&pipe(Project::new(SMALL), "jars/OwnTracks-0.10.65.jar"), "is a named pipe, not a file");
    refused(&with_inventory("/dev/zero"), OUTSIDE);
    refused(&with_inventory("jars"), "is a directory, not a file");
}

#[test]
fn sizes_are_bounded() {
    // A file of a terabyte takes no room in a repository.
    let huge = |project: Project, path: &str| {
        fs::File::create(project.path(path)).unwrap().set_len(1 << 40).unwrap();
        project
    };
    refused(&huge(with_inventory("devices.csv"), "devices.csv"), "has more than 536870912 bytes");
    refused(&huge(Project::new(SMALL), "fleet.yaml"), "has more than 536870912 bytes");
    let template = Project::new(SMALL).file("templates/x", "");
    refused(&huge(template, "templates/OwnTracks.jad"), "has more than 262144 bytes");
    refused(&huge(Project::new(SMALL), "jars/x.jar"), "has more than 16777216 bytes");
    let many = Project::new(SMALL);
    let one = fs::read(many.path("jars/OwnTracks-0.10.65.jar")).unwrap();
    many.write("jars/0.jar", one);
    for n in 1..2000 {
        fs::hard_link(many.path("jars/0.jar"), many.path(&format!("jars/{n}.jar"))).unwrap();
    }
    refused(&many, "holds more than 2000 JARs");
}

#[test]
fn patterns_are_bounded() {
    refused(&with_inventory(&"?".repeat(2000)), "is longer than 1000 bytes");
    refused(&with_inventory(&"*a".repeat(20)), "has more than 16 `*`");
    let project = with_inventory("**/**/**/*a*a*a*a*a*b");
    for n in 0..20 {
        fs::create_dir_all(project.path(&format!("d/{n}"))).unwrap();
        for link in ["x", "y"] {
            symlink(format!("../{}", n + 1), project.path(&format!("d/{n}/{link}"))).unwrap();
        }
        project.write(&format!("d/{n}/{}", "a".repeat(200)), "");
    }
    fs::create_dir(project.path("d/20")).unwrap();
    let ran = run(&project, "check");
    assert!(ran.stderr.contains("leads to more than 100000 files and directories"), "{ran:?}");
}

#[test]
fn templates_are_bounded() {
    let nested = |depth: usize, inner: &str| {
        let loops: String = (0..depth).map(|n| format!("{{% for a{n} in range(end=1000) %}}")).collect();
        loops + inner + &"{% endfor %}".repeat(depth)
    };
    let doubled = "{% set x = \"0123456789abcdef\" %}".to_owned() + &"{% set x = x ~ x %}".repeat(60);
    let only_dev3 = format!("{{% if device.clientID == \"dev2\" %}}{}{{% endif %}}", nested(6, ""));
    let cases = [
        (nested(6, ""), "the template fails: it takes more than 5 seconds"),
        (only_dev3, "the template fails: it takes more than 5 seconds"),
        (doubled, "the template fails: it takes more than"),
        (nested(3, &"x".repeat(1000)), "the template fails: it gives more than 1 MB"),
        ("{% for a in range(end=1001) %}{% endfor %}".into(), "`range` has more than 1000 numbers"),
    ];
    for (template, why) in cases {
        let project = Project::new(SMALL).file("templates/OwnTracks.jad", &template);
        let ran = run(&project, "check");
        assert_eq!(ran.status, 1, "{why}: {ran:?}");
        assert!(ran.stderr.contains(why), "{why}: {ran:?}");
        assert_eq!(run(&project, "build -q").status, 1);
    }
    let config = Project::new(SMALL).file("templates/config/nginx.conf", nested(6, ""));
    let ran = run(&config, "config nginx");
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("it takes more than 5 seconds"), "{ran:?}");
}

/// In out/ of a repository that commits it there can be anything, too.
#[test]
fn nothing_that_out_leads_to_is_quoted() {
    let operator = operator();
    for name in ["secret.json", "secret"] {
        let project = Project::new(SMALL);
        project.build();
        fs::remove_file(project.path("out/otapress.json")).unwrap();
        symlink(operator.path().join(name), project.path("out/otapress.json")).unwrap();
        for args in ["check", "plan", "build", "build --check", "show dev1"] {
            let _ = run(&project, args);
        }
        let ran = run(&project, "build");
        assert!(ran.stderr.contains("is a symbolic link"), "{ran:?}");
    }
    let project = Project::new(SMALL);
    project.build();
    let huge = fs::File::create(project.path("out/files/dev1/OwnTracks.jad")).unwrap();
    huge.set_len(1 << 40).unwrap();
    for args in ["build", "plan", "build --check --verify"] {
        let ran = run(&project, args);
        assert_eq!(ran.status, 1);
        assert!(ran.stderr.contains("has more than 16777216 bytes"), "{ran:?}");
    }
}

/// A password may lie anywhere, but is never shown but to those who are to type it.
#[test]
fn a_password_file_is_plain_small_and_never_quoted() {
    let operator = operator();
    let with = |file: &str| {
        let auth = format!("provisioning:\n  otapUser: ota\n  otapPasswordFile: \"{file}\"\n");
        Project::new(&SMALL.replace("provisioning:\n", &auth))
    };
    let absolute = operator.path().join("secret");
    for file in [absolute.to_str().unwrap(), "/proc/self/environ", "/dev/zero", "../secret", "fifo", "link"] {
        let project = with(file);
        mkfifoat(CWD, project.path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        symlink(&absolute, project.path("link")).unwrap();
        for args in ["check", "build -q", "show dev1", "show dev1 --provision", "config htpasswd"] {
            let _ = run(&project, args);
        }
        assert_eq!(run(&project, "config htpasswd").status, 1, "{file}");
    }
}
