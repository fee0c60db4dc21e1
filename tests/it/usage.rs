//! The command line: exit codes, completions and the manual.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use otapress_responder::store::sqlite::{FILE, SqliteStore};

use crate::support::hosts::program;
use crate::support::programs::{copy_program, otapress};
use crate::support::project::{Project, Ran, SMALL};

#[test]
fn wrong_usage_exits_with_2() {
    let project = Project::new(SMALL);
    for args in ["", "frobnicate", "build --frob", "check --format xml", "add", "show", "build -q -v"] {
        let ran = project.run(args);
        assert_eq!((ran.status, &*ran.stdout), (2, ""), "{args}: {}", ran.stderr);
        let helps = ["Usage: otapress", "try '--help'"].iter().any(|text| ran.stderr.contains(text));
        assert!(helps, "{args}: {}", ran.stderr);
    }
}

#[test]
fn warnings_fail_only_when_strict() {
    let project = Project::new(&SMALL.replace("352099001761481", "352099001761482"));
    assert_eq!(project.run("check").status, 0);
    assert_eq!(project.run("check --strict").status, 1);
    assert_eq!(project.run("build -q").status, 0);
    project.run("check -q").expect(0, "", "");
    Project::new(SMALL).run("check --strict").expect(0, "", "checked 2 devices: no mistakes\n");
    Project::new(SMALL).run("check --format json").expect(0, "[]\n", "");
    Project::new(SMALL).run("check --format github").expect(0, "", "");
}

/// Each shell reads what is printed for it, and knows then what begins with `pla`.
#[test]
fn shells_take_their_completions() {
    let project = Project::empty();
    for (shell, file, script, known) in [
        (
            "bash",
            "otapress",
            ". ./otapress; COMP_WORDS=(otapress pla); COMP_CWORD=1; _otapress otapress pla otapress; echo \
             ${COMPREPLY[@]}",
            "plan",
        ),
        (
            "zsh",
            "_otapress",
            "zsh -n _otapress; fpath=($PWD $fpath); autoload -U compinit; compinit -D -u; echo \
             ${_comps[otapress]}",
            "_otapress",
        ),
        ("fish", "otapress.fish", "source otapress.fish; complete -C 'otapress pla' | cut -f 1", "plan"),
    ] {
        project.write(file, project.run(&format!("completions {shell}")).stdout);
        let output = Command::new(program(shell))
            .args(["-c", script])
            .env("HOME", project.path(""))
            .current_dir(project.path(""))
            .output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        assert_eq!(said, [format!("{known}\n"), String::new()], "{shell}");
    }
}

/// And they ask for what the fleet has.
#[test]
fn shells_complete_what_the_fleet_has() {
    let project = Project::new(SMALL);
    let programs = Path::new(env!("CARGO_BIN_EXE_otapress")).parent().unwrap().to_owned();
    let path = std::env::join_paths(
        [programs].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let path = path.unwrap();
    for (shell, script) in [
        (
            "bash",
            ". ./script; COMP_WORDS=(otapress show d); COMP_CWORD=2; _otapress_or_values otapress d show; printf '%s\\n' ${COMPREPLY[@]}",
        ),
        ("fish", "source script; complete -C 'otapress show d' | cut -f 1"),
    ] {
        project.write("script", project.run(&format!("completions {shell}")).stdout);
        let mut command = Command::new(program(shell));
        command.args(["-c", script]).env("HOME", project.path("")).env("PATH", &path);
        let output = command.current_dir(project.path("")).output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        assert_eq!(said, ["dev1\ndev2\n".to_owned(), String::new()], "{shell}");
    }
    project.run("complete -- status --is l").expect(0, "lost\n", "");
    project.run("complete -- pla").expect(0, "", "");
}

#[test]
fn completions_and_manual_name_every_command() {
    let project = Project::empty();
    let commands =
        ["check", "plan", "build", "show", "add", "serve", "retry", "resume", "schema", "completions", "man"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = project.run(&format!("completions {shell}"));
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{shell}");
        for command in commands {
            assert!(ran.stdout.contains(command), "{shell}: {command}");
        }
    }
    let man = project.run("man");
    assert_eq!((man.status, &*man.stderr), (0, ""));
    assert!(man.stdout.contains(".TH otapress 1"), "{}", &man.stdout[..200]);
    project.run("man --dir man1").expect(0, "", "");
    for command in commands {
        let page = project.read(&format!("man1/otapress-{command}.1"));
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLES", ".SH FILES"] {
            assert!(page.contains(part), "{command}: {part}");
        }
        assert_eq!(project.run(&format!("man {command}")).stdout, page);
    }
    assert!(project.read("man1/otapress-build.1").contains("allow\\-mass\\-removal"));
    assert_eq!(project.run("man buidl").status, 1);
}

#[test]
fn the_state_is_named_by_an_option_or_the_environment_and_its_password_is_never_shown() {
    let project = Project::new(SMALL);
    let run = |args: &[&str], state: &str| {
        Ran::new(project.command().args(args).env("OTAPRESS_STATE", state).output().unwrap())
    };
    for url in
        ["mysql://ota:geheim@db/ota", "postgres://ota:geheim@db:x/ota", "postgres://ota:geh@eim@db/ota"]
    {
        for ran in [run(&["retry", "--all"], url), run(&["retry", "--all", "--state", url], "elsewhere")] {
            assert_eq!((ran.status, &*ran.stdout), (2, ""), "{}", ran.stderr);
            assert!(
                ran.stderr.starts_with("error: --state: ") && !ran.stderr.contains("eim"),
                "{}",
                ran.stderr
            );
        }
    }
    // Others can read the command line, and not the environment.
    let url = "postgres://ota:geheim@127.0.0.1:1/ota";
    for args in
        [&["retry", "--all", "--state", url][..], &["-s", url, "status"], &["state", "copy", url, "x"]]
    {
        let ran = run(args, "elsewhere");
        let says = ran.stderr.contains(": a password on the command line can be read by everybody");
        assert!(ran.status == 2 && says && !ran.stderr.contains("geheim"), "{}", ran.stderr);
    }
    assert!(run(&["retry", "--all"], url).stderr.contains("cannot use `postgres://ota@127.0.0.1:1/ota`"));
    let help = run(&["--help"], "postgres://ota:geheim@db/ota").stdout;
    assert!(help.contains("[env: OTAPRESS_STATE]") && !help.contains("geheim"), "{help}");
    run(&["retry", "--all"], "elsewhere").expect(
        1,
        "",
        "error: there is no state in `elsewhere`: no device has asked yet, or it is kept elsewhere \
         (`--state`)\n",
    );
}

/// What may not be read is an error that names who may, not a state without records.
#[test]
fn unreadable_is_not_empty() {
    let project = Project::new(SMALL);
    let state = project.path("state");
    drop(SqliteStore::open(&state, Duration::from_secs(1)).unwrap());
    let program = project.path("otapress");
    copy_program(otapress(), &program);
    fs::set_permissions(project.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    let run = |args: &str| {
        let mut command = Command::new(&program);
        command.current_dir(project.path(".")).args(args.split(' ')).env_remove("OTAPRESS_STATE");
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        Ran::new(command.output().unwrap())
    };
    closed(0o700);
    if rustix::process::geteuid().is_root() {
        for args in [
            "status",
            "status --prometheus",
            "status --gate --max-failures 0",
            "show dev1",
            "retry --all",
            "resume 0.10.65",
            "relay --mqtt mqtt://127.0.0.1:1",
        ] {
            let ran = run(args);
            let says = "belongs to `root`; run the command as that user";
            assert!(ran.status == 1 && ran.stderr.contains(says), "{args}: {} {}", ran.status, ran.stderr);
            assert_eq!(ran.stdout, "", "{args}");
        }
    }
    closed(0o755);
    fs::set_permissions(state.join(FILE), fs::Permissions::from_mode(0o444)).unwrap();
    let ran = run("retry --all");
    assert!(ran.status == 1 && ran.stderr.contains("this user may not change"), "{}", ran.stderr);
}

#[test]
fn a_state_that_is_not_there_is_an_error_where_it_matters() {
    let project = Project::new(SMALL);
    let missing = "there is no state in `state`: no device has asked yet";
    for args in ["status --prometheus", "status --gate --max-failures 0", "retry --all", "resume 0.10.65"] {
        let ran = project.run(args);
        assert!(ran.status == 1 && ran.stderr.contains(missing), "{args}: {}", ran.stderr);
    }
    assert_eq!(project.run("status").stderr, "note: no records yet: there is no state in `state`\n");
    assert_eq!(project.run("-s state status").status, 1);
    assert_eq!(project.run("show dev1").status, 0);
}
