//! A tracker that another one replaces, under the same clientID, keeps its history in every view; and a result
//! that names only the clientID is that device's.

use std::fs;

use serde_json::Value;

use crate::support::process::YAML;
use crate::support::story::Story;

const OLD: &str = "352099001761481";
const NEW: &str = "352099001761507";

/// A device upgrades and is replaced; the new one asks.
pub(crate) fn story() -> Story {
    let hour = 3600;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let mut story = Story::new(&format!("{YAML}  dev2: {{ imei: \"352099001761499\" }}\n"));
    story.upgrade(OLD, "dev1", now - 48 * hour);
    let yaml = fs::read_to_string(story.path("fleet.yaml")).unwrap();
    fs::write(story.path("fleet.yaml"), yaml.replace(OLD, NEW)).unwrap();
    story.publish();
    story.check(NEW, "0.10.64", now - hour);
    // As of a modem whose User-Agent holds a phone number.
    story.notify("dev2", "+4915112345678", "903 Loss of service", now - hour);
    story
}

fn said(story: &Story, args: &[&str]) -> String {
    let output = story.fleet.run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn parsed(story: &Story, args: &[&str]) -> Value {
    serde_json::from_str(&said(story, args)).unwrap()
}

#[test]
fn a_replaced_tracker_keeps_its_history() {
    let story = story();
    let one = said(&story, &["status", "dev1"]);
    let replaces = format!("  replaces          {OLD}, reported 0.10.66, last heard of ");
    assert!(one.contains(&replaces) && one.contains(&format!("IMEI              {NEW}\n")), "{one}");
    assert!(one.contains("900 Success") && one.contains("upgraded "), "the history of the old one: {one}");
    assert_eq!(said(&story, &["status", OLD]), one, "its IMEI leads to the device");
    assert_eq!(said(&story, &["status", NEW]), one);

    let json = parsed(&story, &["status", "dev1", "--json"]);
    assert_eq!(json["device"]["replaces"][0]["imei"], OLD);
    let events = json["device"]["events"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["imei"] == OLD) && events.iter().any(|event| event["imei"] == NEW)
    );
    let all = parsed(&story, &["status", "--events", "--json"]);
    let strangers = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["clientID"].is_null() && !event["imei"].is_null());
    assert_eq!(strangers.count(), 0, "{all}");

    assert!(said(&story, &["status", "--devices", "--search", OLD]).contains("dev1"));
    assert!(!said(&story, &["status", "--devices", "--search", OLD]).contains("dev2"));
    assert!(!said(&story, &["status", "--unknown"]).contains(OLD), "it is no stranger");

    assert!(said(&story, &["show", "dev1"]).contains(&format!("replaces   {OLD}, reported 0.10.66")));
    assert_eq!(parsed(&story, &["show", "dev1", "--json"])["replaces"][0]["imei"], OLD);

    said(&story, &["status", "--html", story.path("report").to_str().unwrap()]);
    let page = fs::read_to_string(story.path("report/index.html")).unwrap();
    assert!(page.contains(&format!("{OLD}, reported 0.10.66")), "in the opened row");
    assert!(page.contains("0.10.65 → 0.10.66"), "with its history");
}

#[test]
fn a_result_without_an_imei_is_the_named_devices() {
    let story = story();
    for args in [["status", "dev2"], ["show", "dev2"]] {
        let text = said(&story, &args);
        assert!(text.contains("903 Loss of service, ") && text.contains(", without its IMEI\n"), "{text}");
    }
    for args in [["status", "dev2", "--json"], ["show", "dev2", "--json"]] {
        let json = parsed(&story, &args);
        let device = json.get("device").unwrap_or(&json);
        assert_eq!(device["namedResult"]["text"], "903 Loss of service");
    }
    assert!(said(&story, &["status", "--devices", "--search", "903 loss"]).contains("dev2"));
    assert!(!said(&story, &["status", "--unknown"]).contains("dev2"));
    said(&story, &["status", "--html", story.path("report").to_str().unwrap()]);
    let page = fs::read_to_string(story.path("report/index.html")).unwrap();
    assert!(page.contains("903 Loss of service, "), "in the opened row");
}
