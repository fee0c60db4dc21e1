//! What `ci/` has for those who copy it: the steps of the pipelines run against a real git, and metrics are
//! named as they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::git;
use crate::support::project::{Project, Ran, SMALL, repository};

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap()
}

fn git(project: &Project, args: &[&str]) -> String {
    git::git(&project.path(""), args)
}

/// A fleet whose `main` is built and committed, and a branch that moves `stable`, in the state that `change`
/// leaves.
fn merge_request(change: impl FnOnce(&Project)) -> (Project, String) {
    let project = Project::new(SMALL);
    git(&project, &["init", "--quiet", "--initial-branch=main"]);
    project.write(".gitignore", ".*.otapress-*\n");
    project.build();
    git(&project, &["add", "--all"]);
    git(&project, &["commit", "--quiet", "--message=The fleet"]);
    let base = git(&project, &["rev-parse", "HEAD"]);
    git(&project, &["checkout", "--quiet", "-b", "change"]);
    project.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.66");
    change(&project);
    git(&project, &["add", "--all"]);
    git(&project, &["commit", "--quiet", "--message=0.10.66"]);
    (project, base)
}

fn built(project: &Project) {
    project.build();
}

/// Runs a script as the runners do.
fn bash(project: &Project, script: &str, variables: &[(&str, &str)]) -> Ran {
    let output = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
        .current_dir(project.path(""))
        .env("OTAPRESS", env!("CARGO_BIN_EXE_otapress"))
        .env("FLEET", "fleet.yaml")
        .env_remove("OTAPRESS_STATE")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Ran::new(output)
}

const PLANNED: &str = "\n2 of 2 devices change: 2 sent to a higher version\n";

#[test]
fn the_steps_of_the_action_check_compare_and_plan() {
    let action = yaml("ci/action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let run = |project: &Project, base: &str| -> Vec<Ran> {
        let summary = project.path(".git/summary");
        let variables = [("BASE", base), ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
        let run = |step: &Value| bash(project, step["run"].as_str().unwrap(), &variables);
        let ran = steps.iter().map(run).collect();
        let said = fs::read_to_string(&summary).unwrap();
        fs::remove_file(summary).unwrap();
        assert!(said.contains(PLANNED), "{said}");
        ran
    };

    let (project, base) = merge_request(built);
    for ran in run(&project, &base) {
        assert_eq!((ran.status, &*ran.stdout), (0, ""), "{}", ran.stderr);
    }
    assert_eq!(git(&project, &["worktree", "list"]).lines().count(), 1);
    assert_eq!(git(&project, &["status", "--porcelain"]), "");

    let (project, base) = merge_request(|_| {});
    let statuses: Vec<_> = run(&project, &base).iter().map(|ran| ran.status).collect();
    assert_eq!(statuses, [0, 3, 0], "nobody has built it");

    let (project, _) = merge_request(|project| project.edit("fleet.yaml", "dev1: {", "dev1: { tip: x,"));
    let ran = bash(&project, steps[0]["run"].as_str().unwrap(), &[]);
    assert_eq!(ran.status, 1);
    assert!(ran.stdout.starts_with("::error file=fleet.yaml,line=11,"), "{}", ran.stdout);
}

#[test]
fn the_job_for_gitlab_reports_and_plans() {
    let template = yaml("ci/gitlab.yml");
    let lines = template["otapress"]["script"].as_array().unwrap();
    let script = lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n");

    let (project, base) = merge_request(built);
    let ran = bash(&project, &script, &[("CI_MERGE_REQUEST_DIFF_BASE_SHA", &base)]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(project.read("plan.md").contains(PLANNED));
    assert_eq!(project.read("gl-code-quality-report.json"), "[]\n");
    assert!(project.read("otapress.xml").contains("<testcase classname=\"otapress\" name=\"check\"/>"));

    let (project, base) = merge_request(|project| project.edit("fleet.yaml", "dev1: {", "dev1: { tip: x,"));
    let ran = bash(&project, &script, &[("CI_MERGE_REQUEST_DIFF_BASE_SHA", &base)]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&project.read("gl-code-quality-report.json")).unwrap();
    assert_eq!(report[0]["location"], serde_json::json!({ "path": "fleet.yaml", "lines": { "begin": 11 } }));
    assert!(
        project
            .read("otapress.xml")
            .contains("<failure message=\"unknown key `tip` in device `dev1`\" type=\"error\">")
    );

    let (project, base) = merge_request(|_| {});
    let ran = bash(&project, &script, &[("CI_MERGE_REQUEST_DIFF_BASE_SHA", &base)]);
    assert_eq!(ran.status, 3, "nobody has built it: {}", ran.stderr);
}

#[test]
fn the_hooks_for_pre_commit_are_commands_that_pass_for_a_good_fleet() {
    let (project, _) = merge_request(built);
    let bin = Path::new(env!("CARGO_BIN_EXE_otapress")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for hook in yaml(".pre-commit-hooks.yaml").as_array().unwrap() {
        let ran = bash(&project, hook["entry"].as_str().unwrap(), &[("PATH", &path)]);
        assert_eq!(ran.status, 0, "{hook}: {}", ran.stderr);
    }
}

/// The metrics that the program prints.
fn printed() -> BTreeSet<String> {
    let source = read("src/report/status/prometheus.rs");
    let texts = source.split('"').skip(1).step_by(2);
    texts
        .filter(|text| text.starts_with("otapress_") && !text.contains(['{', ' ']))
        .map(String::from)
        .collect()
}

/// Every word of a text that is a metric.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("otapress_"))
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_there_are() {
    let printed = printed();
    let known: BTreeSet<_> = printed.iter().map(String::as_str).collect();
    assert!(known.is_superset(&metrics(&read("tests/status/metrics.prom"))));
    for path in ["ci/grafana.json", "ci/alerts.yml", "ci/alerts-test.yml"] {
        let text = read(path);
        let named = metrics(&text);
        assert!(named.len() > 4, "{path}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
    let dashboard: Value = serde_json::from_str(&read("ci/grafana.json")).unwrap();
    let shown = dashboard["panels"].to_string();
    let left_out: Vec<_> = known.difference(&metrics(&shown)).copied().collect();
    assert_eq!(
        left_out,
        [
            "otapress_rollout_offered_devices",
            "otapress_rollout_silent_devices",
            "otapress_rollout_wave_opens_timestamp_seconds"
        ]
    );
}
