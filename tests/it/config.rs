//! `otapress config` by itself: what it refuses, and whose template it takes. `hosting` tries what it prints.

use std::fs;
use std::process::{Command, Output};

use crate::support::hosts::{Process, Site, program};
use crate::support::ports::free_address;

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
    assert!(!unit.contains("IPAddressDeny") && !unit.contains("PrivateUsers"));
}

/// systemd finds nothing to complain about, and rates what an attacker could do from there as little: the
/// units have 1.0 and 1.2 of 10, and 1.5 on a port below 1024.
#[test]
fn systemd_takes_the_units() {
    let site = Site::new(|yaml| yaml);
    let analyze = |args: &[&str]| {
        let output = Command::new(program("systemd-analyze")).args(args).output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for (listen, exposure) in [("127.0.0.1:8810", "12"), ("0.0.0.0:80", "15")] {
        let units = [
            ("serve", "otapress.service"),
            ("socket", "otapress.socket"),
            ("relay", "otapress-relay.service"),
        ]
        .map(|(unit, file)| {
            let printed = site.otapress(&["config", "systemd", unit, "--listen", listen]);
            fs::write(site.path(file), printed).unwrap();
            site.text(file)
        });
        let verified = analyze(&["verify", "--man=no", &units[0], &units[1], &units[2]]);
        assert_eq!(verified, (true, String::new(), String::new()));
        for unit in [&units[0], &units[2]] {
            let (passes, said, _) = analyze(&["security", "--offline=true", "--threshold", exposure, unit]);
            assert!(passes, "{said}");
        }
    }
    let relay = site.otapress(&[
        "config",
        "systemd",
        "relay",
        "--mqtt",
        "mqtts://broker.example.com",
        "--user",
        "www-data",
    ]);
    let start =
        format!("--state {} relay --mqtt mqtts://broker.example.com\nUser=www-data\n", site.text("state"));
    assert!(relay.contains(&start), "{relay}");
    // Who writes records in a database writes no file at all, and no password stands in a unit.
    let unit = site.otapress(&["-s", "postgres://u@db/ota?passfile=/secret", "config", "systemd"]);
    assert!(
        unit.contains("\nEnvironmentFile=/etc/otapress.env\nExecStart=") && !unit.contains("secret"),
        "{unit}"
    );
    assert!(!unit.contains("--state") && !unit.contains("ReadWritePaths") && !unit.contains("IPAddressDeny"));
    assert_fails(&site, &["systemd", "relay", "--mqtt", "mqtt://a%b"], "contains '%'");
}

/// What systemd does with the two units: it listens, and starts the daemon with the first connection.
#[test]
fn a_running_server_is_probed_instead_of_configured() {
    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let (listen, url) = (address.to_string(), format!("http://{address}"));
    let mut command = Command::new(program("systemd-socket-activate"));
    command.args(["--listen", &listen]).arg(env!("CARGO_BIN_EXE_otapress"));
    command.arg("--fleet").arg(site.path("fleet.yaml"));
    // It would fail to listen here: the socket is what counts.
    command.args(["serve", "--no-build", "--listen", "192.0.2.1:1"]);
    let daemon = Process::start(&site, command).listening(address);
    let probed = site.otapress(&["probe", &url]);
    assert!(probed.ends_with("nothing is wrong\n"), "{probed}");
    for args in [
        &["nginx", "--check", &url][..],
        &["apache", "--listen", &listen, "--check"],
        &["systemd", "--listen", &listen, "--check"],
    ] {
        // `host_check` has what is said of the machine.
        let said = String::from_utf8(config(&site, args).stdout).unwrap();
        let (_, walked) = said.split_once("this host: ").unwrap().1.split_once('\n').unwrap();
        assert_eq!(walked, probed, "{args:?}");
    }
    drop(daemon);
    let output = config(&site, &["lighttpd", "--check", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("\nerror[unreachable]: "));
}

#[test]
fn serve_takes_one_socket_from_systemd() {
    let site = Site::new(|yaml| yaml);
    let serve = |sockets: &[String]| {
        let mut command = Command::new(program("systemd-socket-activate"));
        command.args(sockets.iter().map(|socket| format!("--listen={socket}")));
        command.args([
            env!("CARGO_BIN_EXE_otapress"),
            "--fleet",
            &site.text("fleet.yaml"),
            "serve",
            "--no-build",
        ]);
        command
    };
    let socket = site.text("tmp/socket");
    let (one, another) = (free_address(), free_address());
    for (sockets, says) in [
        (
            vec![one.to_string(), another.to_string()],
            "the socket unit has 2 sockets: let it have one `ListenStream=`",
        ),
        (vec![socket.clone()], "the socket unit must listen on a TCP port"),
    ] {
        let mut child = serve(&sockets).stderr(std::process::Stdio::piped()).spawn().unwrap();
        // It is started by the first connection.
        while child.try_wait().unwrap().is_none() {
            match sockets.len() {
                1 => drop(std::os::unix::net::UnixStream::connect(&socket)),
                _ => drop(std::net::TcpStream::connect(one)),
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn busybox_hosts_only_what_lies_below_its_programs() {
    assert_fails(&Site::new(|yaml| yaml), &["busybox"], "let `site` be `http://ota.example.com/cgi-bin/ota`");
    let below = |yaml: String| {
        yaml.replace("site: http://ota.example.com", "site: http://ota.example.com/cgi-bin/ota")
            .replace("example.com/files/", "example.com/cgi-bin/ota/files/")
    };
    // The responder's paths, too.
    assert_fails(&Site::new(below), &["busybox"], "let otapURI, notifyURI and versionURI begin with that");
    let site = Site::new(|yaml| {
        below(yaml).replace("example.com/otap/", "example.com/cgi-bin/ota/files/").replace(
            "  apn: internet\n",
            "  apn: internet\n  otapUser: ota\n  otapPasswordFile: secrets/otap\n",
        )
    });
    assert_fails(&site, &["busybox"], "busybox httpd asks for passwords by directory");
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
