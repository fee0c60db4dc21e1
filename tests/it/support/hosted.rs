//! What must hold of a site on any server, as seen from outside.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use otapress_core::wire::NO;
use otapress_devices::device::http::{Framing, Reply, ReplyFraming, Request};
use otapress_devices::device::{CheckOutcome, Faults, Program, Purpose, Quirks};
use otapress_publish::resolve;

use super::hosts::{PASSWORD, Site, network};

/// The type of descriptors.
pub const JAD: &str = "text/vnd.sun.j2me.app-descriptor";
/// The type of JARs.
pub const JAR: &str = "application/java-archive";
/// A device that is not in the fleet.
pub const STRANGER: &str = "GW/352099001769997";

/// A site on a server.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The site.
    pub site: &'a Site,
    /// Where the server listens.
    pub address: SocketAddr,
}

impl Host<'_> {
    /// Sends a request to a path of the host, not of the site.
    #[track_caller]
    pub fn send(&self, path: &str, request: impl FnOnce(&str) -> Request) -> Reply {
        let url = format!("http://ota.example.com{path}");
        network(self.address).exchange(&request(&url)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send(path, |url| Request::get(url).header("Accept-Encoding", "gzip, deflate, br"))
    }

    #[track_caller]
    pub fn post(&self, path: &str, agent: &str, body: &[u8]) -> Reply {
        self.send(path, |url| {
            Request::post(url, body, Framing::Length)
                .header("User-Agent", agent)
                .header("Accept-Encoding", "gzip")
        })
    }

    /// Path and content of a file of out/, under the site's own path.
    pub fn file(&self, name: &str) -> (String, Vec<u8>) {
        (self.path(name), fs::read(self.site.path("out").join(name)).unwrap())
    }

    /// A path under the site's own path.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.site.fleet.site().uri().path().trim_end_matches('/'))
    }

    pub fn jar(&self) -> (String, Vec<u8>) {
        let sums = fs::read_to_string(self.site.path("out/jars/SHA256SUMS")).unwrap();
        let path = sums.lines().next().unwrap().split_once("  ").unwrap().1;
        self.file(&format!("jars/{path}"))
    }

    /// Every device does what it is told, from the check to the proof.
    pub fn upgrades_the_fleet(&self) {
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
                    // Up to the server is how it asks for a password.
                    Purpose::Jad | Purpose::Jar if reply.status == 401 => {}
                    Purpose::Jad | Purpose::Jar => assert_eq!(reply.framing, ReplyFraming::Length),
                }
            }
            let again = device.turn(&Faults::default());
            assert!(again.otap.is_none(), "{name}");
        }
        assert_eq!(held, 1);
    }

    /// Types, lengths, caching.
    pub fn serves_exact_files(&self) {
        let (path, jad) = self.file("files/dev1/OwnTracks.jad");
        let authorization = format!("Basic {}", base64(&format!("ota:{}", PASSWORD)));
        let auth = self.site.asks_for_password();
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
    pub fn hides_the_rest(&self) {
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
            let hidden = self.site.asks_for_password() && reply.status == 401;
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
    pub fn answers_every_post(&self) {
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
            assert!(matches!(check.outcome, CheckOutcome::Checked(_)), "{said}: {check:?}");
            assert_answer(check.exchange.unwrap().reply.as_ref().unwrap(), Some(NO));
        }
        // A chunked body arrives whole: it is read as the version that it is.
        let target = fleet.devices().iter().find(|d| resolve::assign(fleet, d).target.is_some()).unwrap();
        let mut device = self.site.device(target, "0.10.64", self.address);
        device.quirks = Quirks { program: Program::Simu, framing: Framing::Chunked, ..Quirks::default() };
        assert!(device.check().outcome.is_upgrade());
    }

    /// The database is tidied up although servers end a program as soon as they have its answer.
    pub fn keeps_the_database_small(&self) {
        let modem = "TC65i/352099001761481 Profile/IMP-NG Configuration/CLDC-1.1";
        let wal = || fs::metadata(self.site.path("state/otapress.db-wal")).map_or(0, |file| file.len());
        let most = (0..400).map(|n| {
            let reply = self.post("/otap/notify?id=dev1", modem, format!("{} x", 901 + n % 2).as_bytes());
            assert_eq!(reply.status, 200);
            wal()
        });
        assert!(most.max().unwrap() < 4 << 20);
    }

    /// `otapress probe` walks all of it and finds nothing.
    #[track_caller]
    pub fn is_clean(&self) {
        self.finds(&[]);
    }

    /// `otapress probe` finds exactly that.
    #[track_caller]
    pub fn finds(&self, codes: &[&str]) {
        let url = format!("http://{}", self.address);
        let output = self.site.command().args(["probe", &url, "--json"]).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        let report: serde_json::Value = serde_json::from_str(&found).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let found_codes: BTreeSet<_> =
            findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
        assert_eq!(found_codes, codes.iter().copied().collect(), "{found}");
        let errors = findings.iter().any(|finding| finding["severity"] == "error");
        assert_eq!(output.status.code(), Some(i32::from(errors)));
    }

    /// `otapress simulate` plays all of it: everybody upgrades with one download of the JAR, and every
    /// request is answered with 200.
    #[track_caller]
    pub fn upgrades_all_once(&self) {
        self.is_clean();
        let url = format!("http://{}", self.address);
        let played = self.site.otapress(&["--quiet", "simulate", "--url", &url, "--record", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&played).unwrap();
        let all = self.site.fleet.devices().len();
        assert!(all > 200);
        // One is held.
        let due = all - 1;
        for (key, expected) in [
            ("devices", serde_json::json!(all)),
            ("withTarget", due.into()),
            ("offered", due.into()),
            ("upgraded", due.into()),
            ("failed", 0.into()),
            ("attempts", serde_json::json!({ "900": due })),
            ("jarDownloads", serde_json::json!({ "0": 1, "1": due })),
            ("noAnswers", serde_json::json!({})),
            ("not200", serde_json::json!({})),
            ("interrupted", serde_json::Value::Null),
        ] {
            assert_eq!(report[key], expected, "{key}: {played}");
        }
    }

    /// Everything that holds on every full-grown server.
    pub fn holds(&self) {
        self.is_clean();
        self.upgrades_the_fleet();
        self.serves_exact_files();
        self.hides_the_rest();
        self.answers_every_post();
    }

    #[track_caller]
    pub fn logs_what_the_responder_says(&self, log: &str) {
        self.post("/", "GW/not-an-imei", b"0.1.2");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let said = || fs::read_to_string(self.site.path(log)).unwrap_or_default();
        while !said().contains("GW/not-an-imei") {
            assert!(std::time::Instant::now() < deadline, "{:?}", said());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Where the responder is down, checks are answered and results are not acknowledged.
    pub fn is_safe_without_responder(&self) {
        assert_answer(&self.post("/otap/version", "GW/352099001761481", b"0.10.64"), Some(NO));
        let modem = "TC65i/352099001761481 Profile/IMP-NG Configuration/CLDC-1.1";
        assert_eq!(self.post("/otap/notify?id=dev1", modem, b"900 Success").status, 500);
        let too_long = vec![b'x'; 2 << 20];
        assert_answer(&self.post("/otap/version", STRANGER, &too_long), Some(NO));
    }

    /// A directory whose name looks like a descriptor's is no reason for a redirect. (lighttpd sends one; no
    /// device asks for such a path.)
    #[track_caller]
    pub fn redirects_no_directory(&self) {
        let (site, _) = self.file("otapress.json");
        let prefix = site.trim_end_matches("/otapress.json");
        fs::create_dir_all(self.site.path("out/files/d.jad")).unwrap();
        for path in ["files/d.jad", "files/d.jad/"] {
            let reply = self.get(&format!("{prefix}/{path}"));
            let hidden = self.site.asks_for_password() && reply.status == 401;
            assert!(hidden || matches!(reply.status, 403 | 404), "{path}: {reply:?}");
        }
    }
}

pub fn base64(text: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.encode(text)
}

#[track_caller]
pub fn assert_file(reply: &Reply, content_type: &str, bytes: &[u8]) {
    assert_eq!((reply.status, reply.framing), (200, ReplyFraming::Length));
    assert_eq!(reply.header("Content-Type"), Some(content_type));
    assert_eq!(reply.header("Content-Encoding"), None);
    assert_eq!(reply.header("Content-Length"), Some(&*bytes.len().to_string()));
    assert_eq!(reply.body, bytes);
}

/// A version check's answer, whatever it says or exactly that.
#[track_caller]
pub fn assert_answer(reply: &Reply, body: Option<&str>) {
    assert_eq!((reply.status, &*reply.reason, reply.framing), (200, "OK", ReplyFraming::Length), "{reply:?}");
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert_eq!(reply.header("Content-Encoding"), None);
    if let Some(body) = body {
        assert_eq!(String::from_utf8_lossy(&reply.body), body);
    }
}
