//! Requests and the replies that they must get, from `cases/responder.json`: every adapter of the responder
//! replays them.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// A request of a case.
pub struct Request {
    pub method: String,
    pub path: String,
    pub agent: Option<String>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The Content-Type, if there is one.
    pub content_type: Option<String>,
    /// The Content-Length, if there is one.
    pub length: Option<usize>,
    pub body: String,
}

/// Publishes a site with the usual paths in `out`, without devices.
pub fn publish_site(out: &Path) {
    fs::create_dir_all(out.join("vc")).unwrap();
    let jar = "jars/0.10.66/OwnTracks.jar";
    fs::create_dir_all(out.join(jar).parent().unwrap()).unwrap();
    fs::write(out.join(jar), "no JAR").unwrap();
    let site = serde_json::json!({
        "otapress": 2,
        "site": "http://ota.example.com",
        "versionPaths": ["/otap/version"],
        "notifyPaths": ["/otap/notify?id=@"],
        "auth": false,
        "releases": [{ "version": "0.10.66", "path": jar, "size": 6, "sha256": "0".repeat(64) }],
        "rollouts": { "next/0.10.66": {
            "release": "0.10.66",
            "waves": [],
            "unproven": "unlimited",
            "brake": { "artifactFaults": 0, "failuresBp": 10_000, "after": 1 },
        } },
    });
    fs::write(out.join("otapress.json"), site.to_string()).unwrap();
}

/// Publishes a device's answer file; a text stands for itself.
pub fn publish(out: &Path, imei: &str, file: &Value) {
    let text = file.as_str().map_or_else(|| file.to_string(), str::to_owned);
    fs::write(out.join("vc").join(format!("{imei}.json")), text).unwrap();
}

/// Replays every case against what `start` makes of a published directory and an empty state.
pub fn replay<S>(start: impl Fn(&Path, &Path) -> S, send: impl Fn(&mut S, &Request) -> Response) {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases/responder.json")).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        publish_site(&out);
        for (imei, file) in case["devices"].as_object().unwrap() {
            publish(&out, imei, file);
        }
        let mut server = start(&out, &directory.path().join("state"));
        for (n, request) in case["requests"].as_array().unwrap().iter().enumerate() {
            let text = |key: &str| request[key].as_str().map(str::to_owned);
            let body = text("bodyHex").map_or_else(|| text("body").unwrap().into_bytes(), |hex| unhex(&hex));
            let sent = Request {
                method: text("method").unwrap_or_else(|| "POST".into()),
                path: text("path").unwrap(),
                agent: text("agent"),
                body: body.repeat(request["repeat"].as_u64().unwrap_or(1) as usize),
            };
            let answer = text("answer").unwrap();
            let expected = Response {
                status: request["status"].as_u64().unwrap() as u16,
                content_type: (!answer.is_empty()).then(|| "application/json".into()),
                length: Some(answer.len()),
                body: answer,
            };
            assert_eq!(send(&mut server, &sent), expected, "{}: request {n}", case["name"]);
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}
