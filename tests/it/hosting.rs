//! Real servers, configured by what `otapress config` prints and nothing else, under the example fleet.

use crate::support::hosted::{Host, STRANGER};
use crate::support::hosts::{Process, Site};
use crate::support::ports::free_address;
use crate::support::servers;

/// What is tried on a server.
type Trial = fn(&Host);

/// A device whose clientID keeps the `@` in its URIs.
fn with_at(yaml: String) -> String {
    yaml.replace("devices:\n", "devices:\n  me@home: { imei: \"352099001761572\", release: 0.10.66 }\n")
}

/// The same with basic auth, and the clientID in the path of the notification.
fn with_auth(yaml: String) -> String {
    with_at(yaml)
        .replace("  apn: internet\n", "  apn: internet\n  otapUser: ota\n  otapPasswordFile: secrets/otap\n")
        .replace("/otap/notify?id=@", "/otap/@/result")
}

/// A site below a path, with queries in the URIs.
fn below_a_path(yaml: String) -> String {
    with_at(yaml)
        .replace("site: http://ota.example.com", "site: http://ota.example.com/fleet")
        .replace("example.com/files/@", "example.com/fleet/files/@")
        .replace("/otap/notify?id=@", "/ota.cgi?what=result&id=@")
        .replace("/otap/version", "/ota.cgi?what=version")
}

/// Two hundred devices more.
fn with_many(yaml: String) -> String {
    let more: String = (0..200)
        .map(|n| format!("  sim-{n:03}: {{ imei: \"10000000000{n:04}\", group: couriers }}\n"))
        .collect();
    with_at(yaml).replace("devices:\n", &format!("devices:\n{more}"))
}

fn with_nginx(change: fn(String) -> String, trial: Trial) {
    let site = Site::new(change);
    let address = free_address();
    let wrap = servers::fcgiwrap(&site);
    let printed = site.configure(address, "nginx", &["--fcgiwrap", &site.text("tmp/fcgi.socket")]);
    let _nginx = servers::nginx(&site, &[&printed]).listening(address);
    let host = Host { site: &site, address };
    trial(&host);
    host.redirects_no_directory();
    host.logs_what_the_responder_says("logs/error.log");
    drop(wrap);
    host.is_safe_without_responder();
}

#[test]
fn nginx_with_fcgiwrap() {
    with_nginx(with_at, |host| host.holds());
}

#[test]
fn nginx_with_fcgiwrap_and_200_devices() {
    with_nginx(with_many, |host| host.upgrades_all_once());
}

#[test]
fn nginx_with_fcgiwrap_and_auth() {
    with_nginx(with_auth, |host| host.holds());
}

#[test]
fn nginx_with_fcgiwrap_below_a_path() {
    with_nginx(below_a_path, |host| host.holds());
}

fn with_upstream(change: fn(String) -> String, trial: Trial) {
    let site = Site::new(change);
    let (address, upstream) = (free_address(), free_address().to_string());
    let mut command = site.command();
    command.args(["serve", "--no-build", "--listen", &upstream]);
    let serve = Process::start(&site, command).listening(upstream.parse().unwrap());
    let printed = site.configure(address, "nginx", &["--upstream", &upstream]);
    let _nginx = servers::nginx(&site, &[&printed]).listening(address);
    let host = Host { site: &site, address };
    trial(&host);
    host.redirects_no_directory();
    drop(serve);
    host.is_safe_without_responder();
}

#[test]
fn nginx_with_serve() {
    with_upstream(with_at, |host| host.holds());
}

#[test]
fn nginx_with_serve_and_200_devices() {
    with_upstream(with_many, |host| host.upgrades_all_once());
}

#[test]
fn nginx_with_serve_and_auth() {
    with_upstream(with_auth, |host| host.holds());
}

fn with_apache(change: fn(String) -> String, trial: Trial) {
    let site = Site::new(change);
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    let _apache = servers::apache(&site, address, &printed);
    let host = Host { site: &site, address };
    trial(&host);
    host.redirects_no_directory();
    host.logs_what_the_responder_says("logs/main.log");
}

#[test]
fn apache() {
    with_apache(with_at, |host| host.holds());
}

#[test]
fn apache_and_200_devices() {
    with_apache(with_many, |host| host.upgrades_all_once());
}

#[test]
fn apache_with_auth() {
    with_apache(with_auth, |host| host.holds());
}

#[test]
fn apache_below_a_path() {
    with_apache(below_a_path, |host| host.holds());
}

fn with_lighttpd(change: fn(String) -> String, trial: Trial) {
    let site = Site::new(change);
    let address = free_address();
    let printed = site.configure(address, "lighttpd", &[]);
    let _lighttpd = servers::lighttpd(&site, address, &printed);
    let host = Host { site: &site, address };
    trial(&host);
    host.keeps_the_database_small();
    host.logs_what_the_responder_says("logs/error.log");
}

#[test]
fn lighttpd() {
    with_lighttpd(with_at, |host| host.holds());
}

#[test]
fn lighttpd_and_200_devices() {
    with_lighttpd(with_many, |host| host.upgrades_all_once());
}

#[test]
fn lighttpd_with_auth() {
    with_lighttpd(with_auth, |host| host.holds());
}

#[test]
fn lighttpd_below_a_path() {
    with_lighttpd(below_a_path, |host| host.holds());
}

/// A site below the program that serves all of it.
fn below_a_program(yaml: String) -> String {
    yaml.replace("site: http://ota.example.com", "site: http://ota.example.com/cgi-bin/ota")
        .replace("example.com/files/", "example.com/cgi-bin/ota/files/")
        .replace("example.com/otap/", "example.com/cgi-bin/ota/otap/")
}

fn with_busybox(change: fn(String) -> String, trial: Trial) {
    let site = Site::new(|yaml| below_a_program(change(yaml)));
    let address = free_address();
    let _busybox = servers::busybox(&site, address);
    let host = Host { site: &site, address };
    trial(&host);
    host.logs_what_the_responder_says("logs/busybox.out");
    // What it cannot do, as the printed file says.
    for (path, status) in
        [("/", 200), ("/old/", 200), ("/cgi-bin/ota", 200), ("/old", 501), ("/cgi-bin/old", 404)]
    {
        assert_eq!(host.post(path, STRANGER, b"0.10.65").status, status, "{path}");
    }
}

#[test]
fn busybox() {
    with_busybox(with_at, |host| {
        host.is_clean();
        host.upgrades_the_fleet();
        host.serves_exact_files();
    });
}

#[test]
fn busybox_with_auth() {
    with_busybox(with_auth, |host| {
        // It asks for passwords by path, of POSTs as well, as the printed file says.
        host.finds(&["post-status"]);
        for name in ["files/dev1/OwnTracks.jad", "jars/SHA256SUMS", "jars/x"] {
            assert_eq!(host.post(&host.path(name), STRANGER, b"0.10.65").status, 401, "{name}");
        }
        assert_eq!(host.post(&host.path("x"), STRANGER, b"0.10.65").status, 200);
        host.upgrades_the_fleet();
    });
}

#[test]
fn busybox_and_200_devices() {
    with_busybox(with_many, |host| host.upgrades_all_once());
}
