//! `otapress config` by itself: what it refuses, and whose template it takes. `hosting` tries what it prints.

use std::fs;
use std::process::Output;

use crate::support::hosts::Site;

fn config(site: &Site, args: &[&str]) -> Output {
    site.command().arg("config").args(args).output().unwrap()
}

#[track_caller]
fn assert_fails(site: &Site, args: &[&str], says: &str) {
    let output = config(site, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(says), "{args:?}: {said}");
}

#[test]
fn the_templates_of_the_fleet_go_first() {
    let site = Site::new(|yaml| yaml);
    fs::create_dir_all(site.path("templates/config")).unwrap();
    let template = site.path("templates/config/nginx.conf");
    fs::write(&template, "{{ host }} {{ listen }} {{ responder }}\n").unwrap();
    let printed = site.otapress(&["config", "nginx"]);
    assert_eq!(printed, "ota.example.com 80 ^(?:/otap/notify|/otap/version)$\n");
    fs::write(&template, "{{ nothing_of_this_name }}").unwrap();
    assert_fails(&site, &["nginx"], &format!("the template `{}` fails", template.display()));
    assert!(site.otapress(&["config", "apache"]).contains("<VirtualHost *:80>"));
}

#[test]
fn what_would_break_a_configuration_is_refused() {
    let site = Site::new(|yaml| yaml);
    assert_fails(&site, &["nginx", "--cgi", "/usr/lib/a b/otapress-cgi"], "contains ' '");
    assert_fails(&site, &["apache", "--error-log", "/var/log/${x}"], "contains '$'");
    assert_fails(&site, &["lighttpd", "--cgi", "/a\"/otapress-cgi"], "contains '\"'");
    assert_fails(&site, &["systemd", "--user", "a b"], "`a b` is not the name of a user");
    assert_eq!(config(&site, &["nginx", "--listen", "everywhere"]).status.code(), Some(2));
}

#[test]
fn the_unit_starts_the_daemon_and_lets_it_write_its_state_alone() {
    let site = Site::new(|yaml| yaml);
    let unit = site.otapress(&["config", "systemd"]);
    let start = format!(
        "ExecStart={} --fleet {} --out {} --state {} serve --no-build --listen 127.0.0.1:8810",
        env!("CARGO_BIN_EXE_otapress"),
        site.text("fleet.yaml"),
        site.text("out"),
        site.text("state"),
    );
    for line in [
        &*start,
        &format!("ReadWritePaths={}", site.text("state")),
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "User=otapress",
        "CapabilityBoundingSet=",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}\n{unit}");
    }
    let unit = site.otapress(&["config", "systemd", "--listen", "0.0.0.0:80"]);
    assert!(unit.contains("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"));
}

#[test]
fn each_user_has_one_password() {
    let auth = |yaml: String, groups: &str| {
        yaml.replace(
            "  apn: internet\n",
            "  apn: internet\n  otapUser: ota\n  otapPasswordFile: secrets/otap\n",
        )
        .replace("  vans: { ", &format!("  vans: {{ {groups}"))
    };
    assert_fails(&Site::new(|yaml| yaml), &["htpasswd"], "has no `otapUser`");
    let site = Site::new(|yaml| auth(yaml, "provisioning: { otapUser: van }, "));
    let printed = site.otapress(&["config", "htpasswd"]);
    let users: Vec<_> = printed.lines().map(|line| line.split_once(":$6$").unwrap().0).collect();
    assert_eq!(users, ["ota", "van"]);
    assert_ne!(site.otapress(&["config", "htpasswd"]), printed, "every hash has a salt of its own");
    let site = Site::new(|yaml| auth(yaml, "provisioning: { otapPasswordFile: secrets/van }, "));
    fs::write(site.path("secrets/van"), "another\n").unwrap();
    assert_fails(&site, &["htpasswd"], "has one password in `secrets/otap` and another in `secrets/van`");
}
