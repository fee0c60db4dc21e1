//! What operators are told without asking: that records are gone, and that the clock moved.

use std::fs;
use std::time::{Duration, SystemTime};

use otapress::report::status::summary::Summary;
use otapress::report::status::{history, html, json, text};

use crate::support::process::{Fleet, Serve, YAML, wait_until};
use crate::support::programs::otapress_cgi;
use crate::support::story::{NOW, Story};
use crate::{cases, cgi};

const NO_MEMORY: &str = "no memory: attempts, places and brakes begin anew";

/// A fleet that was published so many seconds ago.
fn published(ago: u64) -> Fleet {
    let fleet = Fleet::new(YAML);
    assert!(fleet.run(&["build"]).status.success());
    let site = fs::File::options().write(true).open(fleet.path("out/otapress.json")).unwrap();
    site.set_modified(SystemTime::now() - Duration::from_secs(ago)).unwrap();
    fleet
}

/// What `otapress-cgi` says to the log.
fn check(fleet: &Fleet) -> String {
    let request = cases::Request {
        method: "POST".into(),
        path: "/otap/version".into(),
        agent: Some("GW/352099001761481".into()),
        body: b"0.10.65".to_vec(),
    };
    let command = cgi::command(otapress_cgi(), &fleet.path("out"), &fleet.path("state"));
    let (response, said) = cgi::run(command, &request);
    assert_eq!(response.status, 200);
    said
}

fn status(fleet: &Fleet) -> String {
    let output = fleet.run(&["status"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

const ANEW: &str =
    ", all: the records were made beside an older out/: attempts, places and brakes begin anew\n";

#[test]
fn otapress_cgi_and_status_say_that_the_records_are_gone() {
    let fleet = published(2 * 3600);
    assert_eq!(check(&fleet), format!("otapress-cgi: {NO_MEMORY}\n"));
    assert_eq!(check(&fleet), "", "once");
    assert!(status(&fleet).contains(ANEW), "{}", status(&fleet));
    // A fleet that is published for the first time has lost nothing.
    let fleet = published(600);
    assert_eq!(check(&fleet), "");
    assert!(!status(&fleet).contains("notice"), "{}", status(&fleet));
}

#[test]
fn serve_says_that_the_records_are_gone_when_it_starts_and_while_it_runs() {
    let fleet = published(2 * 3600);
    let said = |serve: &Serve| serve.log().matches(NO_MEMORY).count();
    let serve = fleet.serve(&["--no-build"]);
    assert_eq!(said(&serve), 1, "{}", serve.log());
    assert_eq!(serve.check("352099001761481", "0.10.65").text(), r#"{"upgrade":1}"#);
    assert!(status(&fleet).contains(ANEW), "{}", status(&fleet));
    fs::remove_dir_all(fleet.path("state")).unwrap();
    wait_until(|| said(&serve) == 2, || serve.log());
    serve.terminate();
    let serve = fleet.serve(&["--no-build"]);
    serve.check("352099001761481", "0.10.65");
    assert_eq!(said(&serve), 0, "{}", serve.log());
}

#[test]
fn status_says_that_the_clock_moved() {
    let mut story = Story::new(YAML);
    let hour = 3600;
    for at in [NOW, NOW + 3 * hour, NOW + 75 * hour, NOW + 6 * hour] {
        story.check("352099001761481", "0.10.66", at);
    }
    let notices = |story: &mut Story, now| {
        let (fleet, status, _) = story.at(now);
        let summary = Summary::of_all(&fleet, &status);
        let rows: Vec<_> = text::summary(&fleet, &status, &summary)
            .lines()
            .filter_map(|line| Some(line.strip_prefix("  notice            ")?.to_owned()))
            .collect();
        let answer = serde_json::to_value(json::Answer::of_summary(&fleet, &status, &summary)).unwrap();
        assert_eq!(answer["notices"].as_array().map_or(0, Vec::len), rows.len());
        // The report has them, too, each time in a form of its own.
        let pages = html::pages(&fleet, &status, &summary, &[]).unwrap();
        let index = String::from_utf8(pages.last().unwrap().content.clone()).unwrap();
        assert_eq!(index.matches("<li class=\"notice\">").count(), rows.len());
        for row in &rows {
            let (at, rest) = row.split_once(", ").unwrap();
            let shown = format!("<b>Notice</b> of <time datetime=\"{at}\">{at}</time>, {rest}</p>");
            assert!(
                index.contains(&shown.replace("next/", "next&#x2F;")) || index.contains(&shown),
                "{shown}"
            );
        }
        rows
    };
    let set_back = "2026-11-23T16:00:00Z, next/0.10.66: the clock was set back by 69 h 00 min";
    assert_eq!(notices(&mut story, NOW + 7 * hour), [set_back]);
    assert_eq!(notices(&mut story, NOW + 7 * 24 * hour), [set_back]);
    assert_eq!(notices(&mut story, NOW + 8 * 24 * hour), [""; 0]);
}

#[test]
fn the_history_goes_back_to_the_first_event_that_is_kept() {
    let mut story = Story::new(YAML);
    let day = 86_400;
    for (days, version) in [(600, "0.10.64"), (500, "0.10.65"), (300, "0.10.66"), (0, "0.10.66")] {
        story.check("352099001761481", version, NOW - days * day);
    }
    let beginning = |story: &mut Story| {
        let (fleet, status, changes) = story.at(NOW);
        let summary = Summary::of_all(&fleet, &status);
        let pages = html::pages(&fleet, &status, &summary, changes.all()).unwrap();
        let index = String::from_utf8(pages.last().unwrap().content.clone()).unwrap();
        let spans = ["all", "since 2026-01-27"].map(|name| index.contains(&format!(">{name}</label>")));
        (history::beginning(&status).unwrap(), spans)
    };
    assert_eq!(beginning(&mut story), (NOW - 600 * day, [true, false]));
    story.prune(400, NOW);
    assert_eq!(beginning(&mut story), (NOW - 300 * day, [false, true]));
}
