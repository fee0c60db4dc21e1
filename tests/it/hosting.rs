//! Real servers, configured by what `otapress config` prints and nothing else, under the example fleet.
//!
//! Around the printed configuration stands what a distribution's own would be, with defaults that are bad for
//! devices: compression of everything, charsets, foreign types.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::hosted::{Host, JAD, JAR, STRANGER, assert_file};
use crate::support::hosts::{Process, Site, USER, free_address, give, if_root, program};

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

fn nginx(site: &Site, address: SocketAddr, more: &[&str]) -> Process {
    let printed = site.configure(address, "nginx", more);
    let dir = site.text("");
    let main = site.path("main.conf");
    let user = if_root("user www-data;");
    let text = format!(
        "daemon off; {user} worker_processes 2; pid {dir}tmp/nginx.pid; error_log {dir}logs/main.log;\n\
         events {{ }}\n\
         http {{\n\
         include /etc/nginx/mime.types; default_type application/octet-stream; charset utf-8;\n\
         gzip on; gzip_types *; gzip_min_length 1; sendfile on; access_log {dir}logs/access.log;\n\
         client_body_temp_path {dir}tmp/1; proxy_temp_path {dir}tmp/2; fastcgi_temp_path {dir}tmp/3;\n\
         uwsgi_temp_path {dir}tmp/4; scgi_temp_path {dir}tmp/5;\n\
         include {printed};\n}}\n"
    );
    fs::write(&main, text).unwrap();
    let mut command = Command::new(program("nginx"));
    command.arg("-c").arg(main).arg("-e").arg(site.path("logs/main.log"));
    Process::start(site, command).listening(address)
}

fn fcgiwrap(site: &Site) -> Process {
    let socket = site.path("tmp/fcgi.socket");
    let mut command = Command::new(program("spawn-fcgi"));
    command.arg("-n").arg("-s").arg(&socket).arg("-M").arg("0600");
    if !if_root(USER).is_empty() {
        command.args(["-u", USER, "-g", USER, "-U", USER, "-G", USER]);
    }
    command.arg("--").arg(program("fcgiwrap")).args(["-f", "-c", "2"]);
    Process::start(site, command).wait_for(|| socket.exists())
}

fn htpasswd(site: &Site) {
    let file = site.path("secrets/htpasswd");
    fs::write(&file, site.otapress(&["config", "htpasswd"])).unwrap();
    give(&file);
}

fn with_nginx(change: fn(String) -> String) {
    let site = Site::new(change);
    if site.fleet.groups()[0].provisioning.auth.is_some() {
        htpasswd(&site);
    }
    let address = free_address();
    let wrap = fcgiwrap(&site);
    let _nginx = nginx(&site, address, &["--fcgiwrap", &site.text("tmp/fcgi.socket")]);
    let host = Host { site: &site, address };
    host.holds();
    host.redirects_no_directory();
    host.logs_what_the_responder_says("logs/error.log");
    drop(wrap);
    host.is_safe_without_responder();
}

#[test]
fn nginx_with_fcgiwrap() {
    with_nginx(with_at);
}

#[test]
fn nginx_with_fcgiwrap_and_200_devices() {
    with_nginx(with_many);
}

#[test]
fn nginx_with_fcgiwrap_and_auth() {
    with_nginx(with_auth);
}

#[test]
fn nginx_with_fcgiwrap_below_a_path() {
    with_nginx(below_a_path);
}

fn with_upstream(change: fn(String) -> String) {
    let site = Site::new(change);
    if site.fleet.groups()[0].provisioning.auth.is_some() {
        htpasswd(&site);
    }
    let (address, upstream) = (free_address(), free_address().to_string());
    let mut command = site.command();
    command.args(["serve", "--no-build", "--listen", &upstream]);
    let serve = Process::start(&site, command).listening(upstream.parse().unwrap());
    let _nginx = nginx(&site, address, &["--upstream", &upstream]);
    let host = Host { site: &site, address };
    host.holds();
    host.redirects_no_directory();
    drop(serve);
    host.is_safe_without_responder();
}

#[test]
fn nginx_with_serve() {
    with_upstream(with_at);
}

#[test]
fn nginx_with_serve_and_200_devices() {
    with_upstream(with_many);
}

#[test]
fn nginx_with_serve_and_auth() {
    with_upstream(with_auth);
}

fn with_apache(change: fn(String) -> String) {
    let site = Site::new(change);
    let auth = site.fleet.groups()[0].provisioning.auth.is_some();
    if auth {
        htpasswd(&site);
    }
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    let (dir, modules) = (site.text(""), "/usr/lib/apache2/modules");
    let mut text = String::new();
    // What Debian enables, and what the printed configuration asks for.
    for module in [
        "mpm_event",
        "authn_core",
        "authz_core",
        "authz_host",
        "mime",
        "dir",
        "autoindex",
        "alias",
        "setenvif",
        "deflate",
        "filter",
        "negotiation",
        "reqtimeout",
        "cgid",
        "env",
        "headers",
        "rewrite",
    ]
    .into_iter()
    .chain(["auth_basic", "authn_file", "authz_user"].into_iter().filter(|_| auth))
    {
        text += &format!("LoadModule {module}_module {modules}/mod_{module}.so\n");
    }
    text += &format!(
        "{user}\nListen {address}\nServerName localhost\nServerRoot {dir}tmp\nDefaultRuntimeDir {dir}tmp\n\
         PidFile {dir}tmp/apache.pid\nScriptSock {dir}tmp/cgid.socket\nErrorLog {dir}logs/main.log\n\
         TypesConfig /etc/mime.types\nAddDefaultCharset UTF-8\nSetOutputFilter DEFLATE\n\
         RequestReadTimeout header=20-40,minrate=500 body=10,minrate=500\n\
         <Directory />\nAllowOverride None\nRequire all denied\n</Directory>\n\
         Include {printed}\n",
        user = if_root("User www-data\nGroup www-data"),
    );
    let main = site.path("main.conf");
    fs::write(&main, text).unwrap();
    let mut command = Command::new(program("apache2"));
    command.arg("-DFOREGROUND").arg("-f").arg(main);
    let _apache = Process::start(&site, command).listening(address);
    let host = Host { site: &site, address };
    host.holds();
    host.redirects_no_directory();
    host.logs_what_the_responder_says("logs/main.log");
}

#[test]
fn apache() {
    with_apache(with_at);
}

#[test]
fn apache_and_200_devices() {
    with_apache(with_many);
}

#[test]
fn apache_with_auth() {
    with_apache(with_auth);
}

#[test]
fn apache_below_a_path() {
    with_apache(below_a_path);
}

fn with_lighttpd(change: fn(String) -> String) {
    let site = Site::new(change);
    if site.fleet.groups()[0].provisioning.auth.is_some() {
        htpasswd(&site);
    }
    let address = free_address();
    let printed = site.configure(address, "lighttpd", &[]);
    let dir = site.text("");
    give(&site.path("logs"));
    let text = format!(
        "server.modules = ( \"mod_deflate\" )\n\
         server.bind = \"127.0.0.1\"\nserver.port = {port}\n{user}\n\
         server.document-root = \"{dir}tmp\"\nserver.errorlog = \"{dir}logs/main.log\"\n\
         server.upload-dirs = ( \"{dir}tmp\" )\n\
         deflate.mimetypes = ( \"text/\", \"application/\" )\n\
         deflate.allowed-encodings = ( \"gzip\" )\n\
         include \"{printed}\"\n",
        port = address.port(),
        user = if_root("server.username = \"www-data\"\nserver.groupname = \"www-data\""),
    );
    let main = site.path("main.conf");
    fs::write(&main, text).unwrap();
    let mut command = Command::new(program("lighttpd"));
    command.arg("-D").arg("-f").arg(main);
    let _lighttpd = Process::start(&site, command).listening(address);
    let host = Host { site: &site, address };
    host.holds();
    host.keeps_the_database_small();
    host.logs_what_the_responder_says("logs/error.log");
}

#[test]
fn lighttpd() {
    with_lighttpd(with_at);
}

#[test]
fn lighttpd_and_200_devices() {
    with_lighttpd(with_many);
}

#[test]
fn lighttpd_with_auth() {
    with_lighttpd(with_auth);
}

#[test]
fn lighttpd_below_a_path() {
    with_lighttpd(below_a_path);
}

/// busybox httpd runs programs in cgi-bin/ only, so that versionURI and notifyURI must lead there; a POST to
/// anything else is answered with 501, and there are no cache headers. It hosts a fleet none the less.
#[test]
fn busybox_with_cgi() {
    let site = Site::new(|yaml| {
        with_at(yaml)
            .replace("/otap/notify?id=@", "/cgi-bin/otapress-cgi/notify?id=@")
            .replace("/otap/version", "/cgi-bin/otapress-cgi/version")
    });
    let address = free_address();
    fs::create_dir_all(site.path("www/cgi-bin")).unwrap();
    // vc/ and otapress.json are not linked, and so not served.
    for (target, link) in [
        ("out/files", "www/files"),
        ("out/jars", "www/jars"),
        ("bin/otapress-cgi", "www/cgi-bin/otapress-cgi"),
    ] {
        symlink(site.path(target), site.path(link)).unwrap();
    }
    let types = site.path("httpd.conf");
    fs::write(&types, format!(".jad:{JAD}\n.jar:{JAR}\n")).unwrap();
    let mut command = Command::new(program("busybox"));
    command.args(["httpd", "-f", "-p", &address.to_string()]);
    command.arg("-h").arg(site.path("www")).arg("-c").arg(types);
    if !if_root(USER).is_empty() {
        command.args(["-u", USER]);
    }
    command.env("OTAPRESS_OUT", site.path("out")).env("OTAPRESS_STATE", site.path("state"));
    let _busybox = Process::start(&site, command).listening(address);
    let host = Host { site: &site, address };
    host.upgrades_the_fleet();
    for (path, bytes, content_type) in [
        {
            let (path, bytes) = host.file("files/dev1/OwnTracks.jad");
            (path, bytes, JAD)
        },
        {
            let (path, bytes) = host.jar();
            (path, bytes, JAR)
        },
    ] {
        assert_file(&host.get(&path), content_type, &bytes);
    }
    for path in ["/otapress.json", "/vc/352099001761481.json"] {
        assert_eq!(host.get(path).status, 404, "{path}");
    }
    assert_eq!(host.post("/files/dev1/OwnTracks.jad", STRANGER, b"0.10.65").status, 501);
}
