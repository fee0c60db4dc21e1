//! The simulated device against servers that say exactly what a test wants.

use std::net::SocketAddr;
use std::time::Duration;

use otapress_core::wire::Release;
use otapress_devices::device::http::{Error, Framing, Network, ReplyFraming};
use otapress_devices::device::{CheckOutcome, Device, Faults, NoAnswer, Otap, OtapOutcome, Purpose, Refusal};

use crate::support::canned::{Canned, NOBODY};
use crate::support::jar::JarBuilder;
use crate::support::tree::{SITE, jad};

const IMEI: &str = "123456789012345";
const JAD: &str = "text/vnd.sun.j2me.app-descriptor";
const JAR: &str = "application/java-archive";

/// A device whose every request goes to one address.
fn device(address: SocketAddr) -> Device {
    let mut device = Device::new(IMEI.parse().unwrap(), "0.10.65");
    for (key, val) in [
        ("clientID", "dev1"),
        ("otapURI", &*format!("{SITE}/files/@/OwnTracks.jad")),
        ("notifyURI", &format!("{SITE}/otap/notify?id=@")),
        ("versionURI", &format!("{SITE}/otap/version?id=@")),
    ] {
        device = device.with(key, val).unwrap();
    }
    device.network =
        Network { connect_to: Some(address), timeout: Duration::from_secs(5), ..Network::default() };
    device
}

fn reply(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn answer(body: &str) -> Vec<u8> {
    reply("200 OK", "application/json", body)
}

fn suite() -> JarBuilder {
    JarBuilder::new("OwnTracks", "0.10.66", "Choral")
}

fn descriptor(size: usize) -> String {
    jad(&Release {
        version: "0.10.66".into(),
        path: "jars/OwnTracks.jar".into(),
        size: size as u64,
        sha256: otapress_core::digest::Sha256::of(b""),
        suite: Default::default(),
        withdrawn: None,
    })
}

/// Runs the OTAP procedure against a script; the device's running version is in the result, too.
fn otap(replies: Vec<Vec<u8>>) -> (Otap, String) {
    let server = Canned::play(replies);
    let mut device = device(server.address);
    let otap = device.otap(&Faults::default());
    server.seen();
    (otap, device.version)
}

/// Runs it with one JAD and one JAR and gives the code and what was found.
fn install(jad: &str, jar: &[u8]) -> (u16, String) {
    let script = vec![reply("200 OK", JAD, jad), reply("200 OK", JAR, jar), reply("200 OK", "", "")];
    match otap(script).0.outcome {
        OtapOutcome::Finished { code, why, .. } => (code, why),
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn a_version_check_is_what_the_firmware_sends() {
    let server = Canned::play([answer(r#"{"upgrade":0}"#)]);
    let mut device = device(server.address);
    let check = device.check();
    assert!(check.outcome.is_checked());
    let [seen] = &server.seen()[..] else { panic!() };
    // versionURI is not expanded, and the body has no line end.
    assert_eq!(seen.line, "POST /otap/version?id=@ HTTP/1.1");
    assert_eq!(
        seen.headers,
        ["Host: ota.example.com", "Content-Length: 7", &format!("User-Agent: GW/{IMEI}")]
    );
    assert_eq!(seen.body, b"0.10.65");
}

#[test]
fn a_version_check_has_its_quirks() {
    let server = Canned::play(vec![answer(r#"{"upgrade":0}"#); 3]);
    let mut device = device(server.address);
    device.quirks.agent_suffix = " UNTRUSTED/1.0".into();
    device.quirks.http10 = true;
    device.quirks.framing = Framing::Chunked;
    assert!(device.check().outcome.is_checked());
    device.quirks.framing = Framing::Close;
    assert!(device.check().outcome.is_checked());
    device.quirks.omit = vec!["user-agent".into(), "host".into()];
    device.quirks.add = vec![("X-Extra".into(), "1".into())];
    device.quirks.framing = Framing::Length;
    assert!(device.check().outcome.is_checked());
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /otap/version?id=@ HTTP/1.0");
    assert_eq!(seen[0].body, b"7\r\n0.10.65\r\n0\r\n\r\n");
    assert_eq!(seen[0].header("User-Agent"), Some(&*format!("GW/{IMEI} UNTRUSTED/1.0")));
    assert_eq!(seen[1].headers.len(), 2);
    assert_eq!(seen[1].body, b"0.10.65");
    assert_eq!(seen[2].headers, ["Content-Length: 7", "X-Extra: 1"]);
}

#[test]
fn only_a_200_with_a_reason_counts() {
    let cases: [(Vec<u8>, NoAnswer); 5] = [
        (reply("405 Method Not Allowed", "text/html", ""), NoAnswer::Status(405)),
        (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), NoAnswer::Status(204)),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://ota.example.com/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            NoAnswer::Status(302),
        ),
        (reply("200", "application/json", r#"{"upgrade":0}"#), NoAnswer::NoReason),
        (answer(r#"{"upgrade":0,"x":"\u00"}"#), NoAnswer::BadEscape),
    ];
    for (script, why) in cases {
        // The script has one reply: a redirect that was followed would fail.
        let server = Canned::play([script]);
        let outcome = device(server.address).check().outcome;
        server.seen();
        assert_eq!(outcome, CheckOutcome::RepostsEverySecond(why));
    }
}

#[test]
fn a_broken_answer_is_no_answer() {
    let server = Canned::play([&b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"upgrade\":0}"[..], b""]);
    let mut device = device(server.address);
    for _ in 0..2 {
        let outcome = device.check().outcome;
        assert!(
            matches!(outcome, CheckOutcome::RepostsEverySecond(NoAnswer::Http(Error::Broken(_)))),
            "{outcome:?}"
        );
    }
    server.seen();
    device.network.connect_to = Some(NOBODY);
    let outcome = device.check().outcome;
    assert!(
        matches!(outcome, CheckOutcome::RepostsEverySecond(NoAnswer::Http(Error::Connect(_)))),
        "{outcome:?}"
    );
}

#[test]
fn a_server_that_trickles_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        // Each byte comes in time, the whole never does.
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut device = device(address);
    device.network.timeout = Duration::from_millis(300);
    let outcome = device.check().outcome;
    assert_eq!(outcome, CheckOutcome::RepostsEverySecond(NoAnswer::Http(Error::Timeout)));
    server.join().unwrap();
}

#[test]
fn a_chunked_answer_is_read_and_told() {
    let script = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"upgrade\":0}\r\n0\r\n\r\n";
    let server = Canned::play([script]);
    let check = device(server.address).check();
    server.seen();
    assert!(check.outcome.is_checked());
    assert_eq!(check.exchange.unwrap().reply.unwrap().framing, ReplyFraming::Chunked);
}

#[test]
fn a_device_without_version_uri_never_asks() {
    let mut device = Device::new(IMEI.parse().unwrap(), "0.10.65");
    assert_eq!(device.check().outcome, CheckOutcome::Disabled);
}

#[test]
fn an_upgrade_is_four_exchanges_and_a_check_at_start() {
    let jar = suite().build();
    let script = vec![
        answer(r#"{"upgrade":1,"settings":[{"key":"tid","val":"D1"}]}"#),
        reply("200 OK", JAD, descriptor(jar.len())),
        reply("200 OK", JAR, &jar),
        reply("200 OK", "text/plain", ""),
        answer(r#"{"upgrade":0}"#),
    ];
    let server = Canned::play(script);
    let mut device = device(server.address);
    let turn = device.turn(&Faults::default());
    assert_eq!(
        turn.otap.as_ref().unwrap().outcome,
        OtapOutcome::Finished { code: 900, why: "installed".into(), delivered: true }
    );
    let purposes: Vec<_> = turn.exchanges().map(|e| e.purpose).collect();
    use Purpose::*;
    assert_eq!(purposes, [VersionCheck, Jad, Jar, Notify, VersionCheck]);
    assert_eq!(turn.exchanges().nth(2).unwrap().body_size(), jar.len());
    assert_eq!(device.version, "0.10.66");
    assert_eq!(device.settings.get("tid"), Some("D1"));
    assert!(!device.wants_upgrade());
    assert_eq!(device.reboots(), 1);

    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|s| s.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /otap/version?id=@ HTTP/1.1",
            "GET /files/dev1/OwnTracks.jad HTTP/1.1",
            "GET /jars/OwnTracks.jar HTTP/1.1",
            "POST /otap/notify?id=dev1 HTTP/1.1",
            "POST /otap/version?id=@ HTTP/1.1",
        ]
    );
    let agent = format!("TC65i/{IMEI} Profile/IMP-NG Configuration/CLDC-1.1");
    for modem in &seen[1..4] {
        assert_eq!(modem.header("User-Agent"), Some(&*agent));
    }
    assert_eq!(seen[3].body, b"900 Success");
    assert_eq!(seen[4].body, b"0.10.66");
}

#[test]
fn a_jad_that_is_not_one_is_refused_and_nobody_is_told() {
    let jad = descriptor(1);
    for (script, refusal) in [
        (reply("403 Forbidden", JAD, &jad), Refusal::Status(403)),
        (reply("404 Not Found", JAD, &jad), Refusal::Status(404)),
        (reply("301 Moved Permanently", JAD, &jad), Refusal::Status(301)),
        (reply("200 OK", "text/plain", &jad), Refusal::ContentType(Some("text/plain".into()))),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), Refusal::ContentType(None)),
    ] {
        let (otap, version) = otap(vec![script]);
        assert_eq!(otap.outcome, OtapOutcome::Refused(refusal));
        assert_eq!(otap.exchanges.len(), 1);
        assert_eq!(version, "0.10.65");
    }
}

#[test]
fn a_malformed_descriptor_is_906() {
    let good = descriptor(1);
    for (what, bad) in [
        ("empty", String::new()),
        ("without size", good.replace("MIDlet-Jar-Size: 1\n", "")),
        ("space before the colon", good.replace("MIDlet-Name:", "MIDlet-Name :")),
        ("continuation", good.replace("MIDlet-Vendor: Choral", "MIDlet-Vendor: Cho\n ral")),
        ("CR only", good.replace('\n', "\r")),
        ("four parts", good.replace("0.10.66\n", "0.10.66.1\n")),
        ("size", good.replace("Jar-Size: 1", "Jar-Size: 1k")),
    ] {
        let (otap, version) = otap(vec![reply("200 OK", JAD, &bad), reply("200 OK", "", "")]);
        assert_eq!(otap.outcome.code(), Some(906), "{what}");
        assert_eq!(otap.exchanges[1].request.body, b"906 Invalid Descriptor");
        assert_eq!(version, "0.10.65");
    }
    let (otap, _) =
        otap(vec![reply("200 OK", &format!("{JAD}; charset=\"utf-8\""), &good), reply("200 OK", "", "")]);
    assert_eq!(otap.outcome.code(), Some(906));
}

#[test]
fn a_descriptor_may_name_its_charset() {
    let jar = suite().build();
    let (otap, version) = otap(vec![
        reply("200 OK", &format!("{JAD};charset=utf-8"), descriptor(jar.len())),
        reply("200 OK", JAR, &jar),
        reply("200 OK", "", ""),
    ]);
    assert_eq!(otap.outcome.code(), Some(900), "{:?}", otap.outcome);
    assert_eq!(version, "0.10.66");
}

#[test]
fn what_is_wrong_with_the_jar_is_notified() {
    let jar = suite().build();
    let good = descriptor(jar.len());
    assert_eq!(install(&good, &jar), (900, "installed".into()));
    assert_eq!(install(&descriptor(jar.len() + 1), &jar).0, 904);
    for other in [
        JarBuilder::new("Other", "0.10.66", "Choral"),
        JarBuilder::new("OwnTracks", "0.10.066", "Choral"),
        JarBuilder::new("OwnTracks", "0.10.66", "Another"),
    ] {
        let other = other.build();
        let (code, why) = install(&descriptor(other.len()), &other);
        assert_eq!(code, 905, "{why}");
    }
    let mut damaged = jar.clone();
    damaged[60] ^= 1;
    assert_eq!(install(&good, &damaged).0, 907);
    let classless = suite().without_entry("demo/OwnTracks.class").build();
    assert_eq!(install(&descriptor(classless.len()), &classless).0, 907);
    assert_eq!(install(&good.replace(",demo.OwnTracks", ",demo.Absent"), &jar).0, 907);
}

#[test]
fn a_jar_that_does_not_come_is_notified() {
    let jad = descriptor(5);
    let script = |jar: Vec<u8>| vec![reply("200 OK", JAD, &jad), jar, reply("500 Oops", "", "")];
    let (missing, _) = otap(script(reply("404 Not Found", JAR, "")));
    assert_eq!(
        missing.outcome,
        OtapOutcome::Finished { code: 907, why: "the JAR came with status 404".into(), delivered: false }
    );
    let (wrong_type, _) = otap(script(reply("200 OK", "text/plain", "12345")));
    assert_eq!(wrong_type.outcome.code(), Some(907));
    let (broken, _) = otap(script(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/java-archive\r\nContent-Length: 5\r\n\r\n12".to_vec(),
    ));
    assert_eq!(broken.outcome.code(), Some(903));
}

#[test]
fn credentials_are_sent_only_when_asked_for() {
    let jar = suite().build();
    let challenge =
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"otap\"\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
    let server = Canned::play(vec![
        challenge.clone(),
        reply("200 OK", JAD, descriptor(jar.len())),
        challenge.clone(),
        reply("200 OK", JAR, &jar),
        reply("200 OK", "", ""),
    ]);
    let mut device = device(server.address).with("otapUser", "ota").unwrap();
    device = device.with("otapPassword", "s3cret").unwrap();
    let otap = device.otap(&Faults::default());
    assert_eq!(otap.outcome.code(), Some(900));
    let sent: Vec<_> = server.seen().iter().map(|s| s.header("Authorization").map(String::from)).collect();
    let basic = Some("Basic b3RhOnMzY3JldA==".to_owned());
    assert_eq!(sent, [None, basic.clone(), None, basic, None]);

    // Without a user it does not even try.
    let (otap, _) = self::otap(vec![challenge]);
    assert_eq!(otap.outcome, OtapOutcome::Refused(Refusal::Status(401)));
}

#[test]
fn parameters_that_break_the_command_never_start() {
    let address = "127.0.0.1:9".parse().unwrap();
    for (key, val) in [
        ("otapURI", "http://ota.example.com/a,b.jad"),
        ("notifyURI", "http://ota.example.com/a b"),
        ("otapPassword", "a;b"),
        ("apn", "inter\"net"),
    ] {
        let otap = device(address).with(key, val).unwrap().otap(&Faults::default());
        assert_eq!(otap.outcome, OtapOutcome::Refused(Refusal::Command(val.into())));
        assert!(otap.exchanges.is_empty());
    }
    for uri in ["https://ota.example.com/x.jad", "http://ota.example.com/x.jar"] {
        let otap = device(address).with("otapURI", uri).unwrap().otap(&Faults::default());
        assert_eq!(otap.outcome, OtapOutcome::Refused(Refusal::OtapUri(uri.into())));
    }
}

#[test]
fn an_at_sign_in_the_client_id_keeps_the_uris_as_they_are() {
    let server = Canned::play([reply("404 Not Found", "", "")]);
    let mut device = device(server.address).with("clientID", "a@b").unwrap();
    device.otap(&Faults::default());
    assert_eq!(server.seen()[0].line, "GET /files/@/OwnTracks.jad HTTP/1.1");
}

#[test]
fn faults_are_made_on_purpose() {
    let jar = suite().build();
    let downloads = || [reply("200 OK", JAD, descriptor(jar.len())), reply("200 OK", JAR, &jar)];
    let ok = || reply("200 OK", "", "");

    // It downloads everything, says 901 twice and keeps its version.
    let mut script = vec![answer(r#"{"upgrade":1}"#)];
    script.extend(downloads());
    script.extend([ok(), ok(), answer(r#"{"upgrade":0}"#)]);
    let server = Canned::play(script);
    let mut failing = device(server.address);
    let turn = failing.turn(&Faults { pretend: Some(901), repeat_notify: 1, ..Faults::default() });
    assert_eq!(turn.otap.unwrap().outcome.code(), Some(901));
    assert_eq!(failing.version, "0.10.65");
    let seen = server.seen();
    assert_eq!(seen[3], seen[4]);
    assert_eq!(seen[3].body, b"901 Insufficient Memory");

    // A lost answer tells it nothing.
    let server = Canned::play([answer(r#"{"upgrade":1,"settings":[{"key":"tid","val":"D1"}]}"#)]);
    let mut deaf = device(server.address);
    let turn = deaf.turn(&Faults { lose_answer: true, ..Faults::default() });
    assert_eq!(turn.check.unwrap().outcome, CheckOutcome::RepostsEverySecond(NoAnswer::Lost));
    assert!(!deaf.wants_upgrade() && turn.otap.is_none());
    assert_eq!(deaf.settings.get("tid"), None);
    server.seen();

    // Without a reboot the flag sticks, and it upgrades again without asking.
    let mut script = vec![answer(r#"{"upgrade":1}"#)];
    script.extend(downloads());
    script.push(ok());
    script.extend(downloads());
    script.extend([ok(), answer(r#"{"upgrade":0}"#)]);
    let server = Canned::play(script);
    let mut stuck = device(server.address);
    let turn = stuck.turn(&Faults { no_reboot: true, ..Faults::default() });
    assert!(turn.start.is_none() && stuck.wants_upgrade());
    let turn = stuck.turn(&Faults::default());
    assert!(turn.check.is_none() && turn.otap.is_some() && turn.start.is_some());
    assert!(!stuck.wants_upgrade());
    server.seen();
}
