//! The command line: exit codes, completions and the manual.

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
    for command in commands {
        assert!(man.stdout.contains(&format!(".SH \"COMMAND {}\"", command.to_uppercase())), "{command}");
    }
    assert!(man.stdout.contains("allow\\-mass\\-removal"));
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
    let help = run(&["--help"], "postgres://ota:geheim@db/ota").stdout;
    assert!(help.contains("[env: OTAPRESS_STATE]") && !help.contains("geheim"), "{help}");
    run(&["retry", "--all"], "elsewhere").expect(
        1,
        "",
        "error: there is no state in `elsewhere`: no device has asked yet\n",
    );
}
