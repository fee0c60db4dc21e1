//! Real servers, configured by what `otapress config` prints and nothing else, under the example fleet.
//!
//! Around the printed configuration stands what a distribution's own would be, with defaults that are bad for
//! devices: compression of everything, charsets, foreign types.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::process::Command;

use otapress::device::http::{Framing, Reply, ReplyFraming, Request};
use otapress::device::{Faults, Outcome, Program, Purpose, Quirks};
use otapress::resolve;
use otapress::wire::NO;

use crate::support::hosts::{Process, Site, USER, free_address, give, if_root, network, program};

const JAD: &str = "text/vnd.sun.j2me.app-descriptor";
const JAR: &str = "application/java-archive";
const STRANGER: &str = "GW/352099001769997";

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

#[derive(Clone, Copy)]
struct Host<'a> {
    site: &'a Site,
    address: SocketAddr,
}

impl Host<'_> {
    /// Sends a request to a path of the host, not of the site.
    #[track_caller]
    fn send(&self, path: &str, request: impl FnOnce(&str) -> Request) -> Reply {
        let url = format!("http://ota.example.com{path}");
        network(self.address).exchange(&request(&url)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Reply {
        self.send(path, |url| Request::get(url).header("Accept-Encoding", "gzip, deflate, br"))
    }

    #[track_caller]
    fn post(&self, path: &str, agent: &str, body: &[u8]) -> Reply {
        self.send(path, |url| {
            Request::post(url, body, Framing::Length)
                .header("User-Agent", agent)
                .header("Accept-Encoding", "gzip")
        })
    }

    fn asks_for_password(&self) -> bool {
        self.site.fleet.groups()[0].provisioning.auth.is_some()
    }

    /// Path and content of a file of out/, under the site's own path.
    fn file(&self, name: &str) -> (String, Vec<u8>) {
        let prefix = self.site.fleet.site().uri().path().trim_end_matches('/').to_owned();
        (format!("{prefix}/{name}"), fs::read(self.site.path("out").join(name)).unwrap())
    }

    fn jar(&self) -> (String, Vec<u8>) {
        let sums = fs::read_to_string(self.site.path("out/jars/SHA256SUMS")).unwrap();
        let path = sums.lines().next().unwrap().split_once("  ").unwrap().1;
        self.file(&format!("jars/{path}"))
    }

    /// Every device does what it is told, from the check to the proof.
    fn upgrades_the_fleet(&self) {
        let mut held = 0;
        for declared in self.site.fleet.devices() {
            let mut device = self.site.device(declared, "0.10.64", self.address);
            let turn = device.turn(&Faults::default());
            let name = declared.client_id.as_str();
            let said: Vec<_> = turn.exchanges().map(|x| (x.purpose, x.status().unwrap_or(0))).collect();
            let Some(target) = resolve::assign(&self.site.fleet, declared).target else {
                held += 1;
                assert_eq!(said, [(Purpose::VersionCheck, 200)], "{name}");
                assert_answer(turn.exchanges().next().unwrap().reply.as_ref().unwrap(), Some(NO));
                continue;
            };
            let provisioning = &self.site.fleet.group(declared).provisioning;
            let fetch = |purpose| {
                let asked = provisioning.auth.is_some().then_some((purpose, 401));
                asked.into_iter().chain([(purpose, 200)])
            };
            let expected: Vec<_> = [(Purpose::VersionCheck, 200)]
                .into_iter()
                .chain(fetch(Purpose::Jad))
                .chain(fetch(Purpose::Jar))
                .chain([(Purpose::Notify, 200), (Purpose::VersionCheck, 200)])
                .collect();
            assert_eq!(said, expected, "{name}: {turn:?}");
            assert_eq!(turn.otap.as_ref().unwrap().outcome.code(), Some(900), "{name}");
            assert_eq!(device.version, target.to_string(), "{name}");
            assert!(!device.wants_upgrade(), "{name}");
            for exchange in turn.exchanges() {
                let reply = exchange.reply.as_ref().unwrap();
                match exchange.purpose {
                    Purpose::VersionCheck => assert_answer(reply, None),
                    Purpose::Notify => {
                        assert_eq!((reply.header("Content-Length"), reply.body.len()), (Some("0"), 0))
                    }
                    Purpose::Jad | Purpose::Jar => assert_eq!(reply.framing, ReplyFraming::Length),
                }
            }
            let again = device.turn(&Faults::default());
            assert!(again.otap.is_none(), "{name}");
        }
        assert_eq!(held, 1);
    }

    /// Types, lengths, caching.
    fn serves_exact_files(&self) {
        let (path, jad) = self.file("files/dev1/OwnTracks.jad");
        let authorization = format!("Basic {}", base64(&format!("ota:{}", crate::support::hosts::PASSWORD)));
        let auth = self.asks_for_password();
        let fetch = |path: &str| {
            if auth {
                let reply = self.get(path);
                assert_eq!(reply.status, 401, "{path}");
                assert!(reply.header("WWW-Authenticate").unwrap().starts_with("Basic realm="), "{path}");
                let wrong = format!("Basic {}", base64("ota:wrong"));
                let reply = self.send(path, |url| Request::get(url).header("Authorization", &wrong));
                assert_eq!(reply.status, 401, "{path}");
            }
            self.send(path, |url| {
                let request = Request::get(url).header("Accept-Encoding", "gzip, deflate, br");
                if auth { request.header("Authorization", &authorization) } else { request }
            })
        };
        let reply = fetch(&path);
        assert_file(&reply, JAD, &jad);
        assert_eq!(reply.header("Cache-Control"), Some("no-cache, no-transform"));
        assert_eq!((reply.header("ETag"), reply.header("Last-Modified").unwrap_or_default()), (None, ""));
        let (path, jar) = self.jar();
        let reply = fetch(&path);
        assert_file(&reply, JAR, &jar);
        let immutable = "public, max-age=31536000, immutable, no-transform";
        assert_eq!(reply.header("Cache-Control"), Some(immutable));
        let (path, sums) = self.file("jars/SHA256SUMS");
        assert_file(&self.get(&path), "text/plain", &sums);
        let (path, literal) = self.file("files/@/OwnTracks.jad");
        assert_file(&fetch(&path), JAD, &literal);
    }

    /// What is not served, and that nothing is a redirect.
    fn hides_the_rest(&self) {
        let out = self.site.path("out");
        fs::write(out.join("files/dev1/.otapress-temporary.jad"), "half").unwrap();
        fs::create_dir_all(out.join("files/.d")).unwrap();
        fs::write(out.join("files/.d/x.jad"), "half").unwrap();
        fs::write(out.join("vc/x.jad"), "secret").unwrap();
        let (site, _) = self.file("otapress.json");
        let prefix = site.trim_end_matches("/otapress.json");
        for path in [
            "otapress.json",
            "vc/352099001761481.json",
            "vc/x.jad",
            "files/../vc/352099001761481.json",
            "%76c/352099001761481.json",
            "vc//352099001761481.json",
            "vc",
            "vc/",
            "",
            "files",
            "files/",
            "files/dev1",
            "files/dev1/",
            "jars",
            "jars/",
            "jars/0.10.65",
            "files/dev1/.otapress-temporary.jad",
            "files/.d/x.jad",
            "files/dev1/owntracks.jad",
            "files/dev1/OwnTracks.JAD",
            "files/nobody/OwnTracks.txt",
            ":responder/x",
        ] {
            let reply = self.get(&format!("{prefix}/{path}"));
            // Whoever has no password does not learn which descriptors exist.
            let hidden = self.asks_for_password() && reply.status == 401;
            assert!(hidden || matches!(reply.status, 403 | 404), "{path}: {reply:?}");
        }
        let provisioning = &self.site.fleet.groups()[0].provisioning;
        for uri in [&provisioning.version_uri.value, &provisioning.notify_uri.value] {
            let path = uri.path().replace('@', "dev1");
            let reply = self.get(&path);
            assert_eq!((reply.status, reply.header("Allow")), (405, Some("POST")), "{path}");
        }
    }

    /// A device's POST gets its answer wherever it goes and however it is made.
    fn answers_every_post(&self) {
        let (jad, _) = self.file("files/dev1/OwnTracks.jad");
        let (jar, _) = self.jar();
        let (vc, _) = self.file("vc/352099001761481.json");
        let (site, _) = self.file("otapress.json");
        let elsewhere = ["/", "/files", "/files/", "/nothing", "/nothing/at.all?x=1", "/:responder", "/vc/"];
        for path in [&jad, &jar, &vc, &site].into_iter().map(String::as_str).chain(elsewhere) {
            for agent in [STRANGER, "XAK/352099001769997", "GW/352099001769997 UNTRUSTED/1.0", "GW/x"] {
                assert_answer(&self.post(path, agent, b"0.10.65"), Some(NO));
            }
        }
        let (fleet, stranger) = (&self.site.fleet, "352099001769997".parse().unwrap());
        let mut declared = fleet.devices()[0].clone();
        declared.imei = stranger;
        let mut device = self.site.device(&declared, "0.10.65", self.address);
        let long = vec![b'9'; 9000];
        for (http10, framing, body) in [
            (true, Framing::Length, None),
            (false, Framing::Chunked, None),
            (false, Framing::Length, Some(Vec::new())),
            (false, Framing::Length, Some(long.clone())),
            (false, Framing::Chunked, Some(long)),
            (false, Framing::Length, Some(b"\0\xff\r\n".to_vec())),
        ] {
            let said = format!("{http10} {framing:?} {:?}", body.as_ref().map(Vec::len));
            device.quirks = Quirks { program: Program::Simu, http10, framing, body, ..Quirks::default() };
            let check = device.check();
            assert!(matches!(check.outcome, Outcome::Checked(_)), "{said}: {check:?}");
            assert_answer(check.exchange.unwrap().reply.as_ref().unwrap(), Some(NO));
        }
        // A chunked body arrives whole: it is read as the version that it is.
        let target = fleet.devices().iter().find(|d| resolve::assign(fleet, d).target.is_some()).unwrap();
        let mut device = self.site.device(target, "0.10.64", self.address);
        device.quirks = Quirks { program: Program::Simu, framing: Framing::Chunked, ..Quirks::default() };
        assert!(device.check().outcome.is_upgrade());
    }

    /// The database is tidied up although servers end a program as soon as they have its answer.
    fn keeps_the_database_small(&self) {
        let modem = "TC65i/352099001761481 Profile/IMP-NG Configuration/CLDC-1.1";
        let wal = || fs::metadata(self.site.path("state/otapress.db-wal")).map_or(0, |file| file.len());
        let most = (0..400).map(|n| {
            let reply = self.post("/otap/notify?id=dev1", modem, format!("{} x", 901 + n % 2).as_bytes());
            assert_eq!(reply.status, 200);
            wal()
        });
        assert!(most.max().unwrap() < 4 << 20);
    }

    /// Everything that holds on every full-grown server.
    fn holds(&self) {
        self.upgrades_the_fleet();
        self.serves_exact_files();
        self.hides_the_rest();
        self.answers_every_post();
    }

    #[track_caller]
    fn logs_what_the_responder_says(&self, log: &str) {
        self.post("/", "GW/not-an-imei", b"0.1.2");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let said = || fs::read_to_string(self.site.path(log)).unwrap_or_default();
        while !said().contains("GW/not-an-imei") {
            assert!(std::time::Instant::now() < deadline, "{:?}", said());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn base64(text: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.encode(text)
}

#[track_caller]
fn assert_file(reply: &Reply, content_type: &str, bytes: &[u8]) {
    assert_eq!((reply.status, reply.framing), (200, ReplyFraming::Length));
    assert_eq!(reply.header("Content-Type"), Some(content_type));
    assert_eq!(reply.header("Content-Encoding"), None);
    assert_eq!(reply.header("Content-Length"), Some(&*bytes.len().to_string()));
    assert_eq!(reply.body, bytes);
}

/// A version check's answer, whatever it says or exactly that.
#[track_caller]
fn assert_answer(reply: &Reply, body: Option<&str>) {
    assert_eq!((reply.status, &*reply.reason, reply.framing), (200, "OK", ReplyFraming::Length), "{reply:?}");
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert_eq!(reply.header("Content-Encoding"), None);
    if let Some(body) = body {
        assert_eq!(String::from_utf8_lossy(&reply.body), body);
    }
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
    host.logs_what_the_responder_says("logs/error.log");
    drop(wrap);
    host.is_safe_without_responder();
}

impl Host<'_> {
    /// Where the responder is down, checks are answered and results are not acknowledged.
    fn is_safe_without_responder(&self) {
        assert_answer(&self.post("/otap/version", "GW/352099001761481", b"0.10.64"), Some(NO));
        let modem = "TC65i/352099001761481 Profile/IMP-NG Configuration/CLDC-1.1";
        assert_eq!(self.post("/otap/notify?id=dev1", modem, b"900 Success").status, 500);
        let too_long = vec![b'x'; 2 << 20];
        assert_answer(&self.post("/otap/version", STRANGER, &too_long), Some(NO));
    }
}

#[test]
fn nginx_with_fcgiwrap() {
    with_nginx(with_at);
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
    drop(serve);
    host.is_safe_without_responder();
}

#[test]
fn nginx_with_serve() {
    with_upstream(with_at);
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
    host.logs_what_the_responder_says("logs/main.log");
}

#[test]
fn apache() {
    with_apache(with_at);
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
