//! A month of a fleet in git, played by a shell script with nothing but commands.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::git::ALONE;
use crate::support::programs::{otapress_cgi, write_program};
use crate::support::project::{Project, make_jar, repository};

/// Posts what a device posts, through `otapress-cgi`: a version check, or a result.
const DEVICE: &str = r#"#!/usr/bin/env bash
set -euo pipefail
imei=$1 client=$2 version=$3 result=${4:-}
export OTAPRESS_OUT=$ROOT/fleet/out OTAPRESS_STATE=$ROOT/fleet/state REQUEST_METHOD=POST GATEWAY_INTERFACE=CGI/1.1
path() { sed -n "s|^ *$1URI: http://[^/]*||p" "$ROOT/fleet/fleet.yaml" | sed 's/id=@$//'; }
if [ -n "$result" ]; then
    export REQUEST_URI="$(path notify)id=$client" HTTP_USER_AGENT="TC65i/$imei" body=$result
else
    export REQUEST_URI="$(path version)" HTTP_USER_AGENT="GW/$imei" body=$version
fi
export CONTENT_LENGTH=${#body}
printf %s "$body" | "$CGI" | tail -n 1
"#;

#[test]
fn a_month_is_played_without_an_editor() {
    let project = Project::empty();
    for version in ["0.10.65", "0.10.66", "0.10.67"] {
        project.write(&format!("jars/OwnTracks-{version}.jar"), make_jar(version, "good"));
    }
    fs::create_dir(project.path("bin")).unwrap();
    write_program(&project.path("bin/device"), DEVICE);
    let programs = Path::new(env!("CARGO_BIN_EXE_otapress")).parent().unwrap();
    let path = format!(
        "{}:{}:{}",
        project.path("bin").display(),
        programs.display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .arg(repository().join("tests/it/month.sh"))
        .current_dir(project.path(""))
        .envs(ALONE)
        .env("PATH", path)
        .env("ROOT", project.path(""))
        .env("JARS", project.path("jars"))
        .env("CGI", otapress_cgi())
        .env("EDITOR", "false")
        .env_remove("OTAPRESS_STATE")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "{said}");
}
