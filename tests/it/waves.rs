//! Waves that open by success, as an operator follows them: what `status`, its gate and the devices' reasons
//! say at each stage. It is in `tests/status/waves.txt`; `UPDATE_GOLDEN=1` rewrites it (and fails).

use std::fmt::Write as _;

use otapress::report::status::gate::Gate;
use otapress::report::status::summary::Summary;
use otapress::report::status::{html, json, prometheus, text};
use otapress_responder::record::EventKind;

use crate::support::process::YAML;
use crate::support::project::{against_golden, repository};
use crate::support::story::{NOW, Story, car};

const DAY: i64 = 86_400;

const CHANNELS: &str = "channels:
  next:
    release: 0.10.66
    otherwise: 0.10.65
    rollout:
      - { percent: 30%, at: 2026-01-01T00:00:00Z }
      - { percent: 60%, after: { success: 95%, reached: 60%, soak: 24h } }
      - { percent: 100%, at: 2026-11-28T00:00:00Z, after: { success: 90% } }
    unproven: unlimited
";

/// Twelve devices: 1, 3, 7 and 8 are in the first wave, 4 and 10 to 12 in the third.
fn story() -> Story {
    let devices: String = (2..=12).map(|n| format!("  dev{n}: {{ imei: \"{}\" }}\n", car(n))).collect();
    let yaml = YAML.replace("channels: { next: 0.10.66 }\n", CHANNELS).replace("352099001761481", &car(1));
    Story::new(&(yaml + &devices))
}

/// What is said at a stage.
fn said(story: &mut Story, stage: &str, now: i64) -> String {
    let (fleet, status, changes) = story.at(now);
    let summary = Summary::of_all(&fleet, &status);
    let mut said = format!("## {stage}\n\n{}", text::summary(&fleet, &status, &summary));
    let gate = Gate {
        min_success: Some("95%".parse().unwrap()),
        max_failures: None,
        min_finished: "100%".parse().unwrap(),
    };
    said += &format!("\n{}\n", text::gate(&gate.judge(&fleet, &status, &summary)));
    let waits = |index: usize| ["dev2", "dev4"].contains(&fleet.devices()[index].client_id.as_str());
    let waiting: Vec<_> = status.devices.iter().filter(|device| waits(device.index)).collect();
    said += &text::list(&fleet, &status, &waiting);
    let answer = serde_json::to_value(json::Answer::of_summary(&fleet, &status, &summary)).unwrap();
    for wave in answer["rollouts"][0]["waves"].as_array().unwrap() {
        let fields = ["open", "opened", "waits", "missing"].map(|field| &wave[field]);
        let _ = write!(said, "\n{}", serde_json::json!(fields));
    }
    let pages = html::pages(&fleet, &status, &summary, changes.all()).unwrap();
    let page = String::from_utf8(pages.into_iter().find(|page| page.name == html::INDEX).unwrap().content);
    for cell in page.unwrap().split("<td>").filter(|cell| cell.contains("missing: ")) {
        let _ = write!(said, "\non the page: {}", cell.split("</td>").next().unwrap());
    }
    let metrics = prometheus::metrics(&status, &summary);
    let open = metrics.lines().filter(|line| line.starts_with("otapress_rollout_wave_open{"));
    said + "\n" + &open.map(|line| format!("{line}\n")).collect::<String>() + "\n"
}

#[test]
fn waves_open_one_after_the_other() {
    let mut story = story();
    let mut all = String::new();
    let mut stage = |story: &mut Story, what: &str, now: i64| all += &said(story, what, now);
    stage(&mut story, "Nobody has asked.", NOW);
    for n in [2, 4] {
        story.check(&car(n), "0.10.65", NOW);
    }
    story.upgrade(&car(1), "dev1", NOW + 600);
    stage(&mut story, "One of four runs it.", NOW + 3_600);
    story.upgrade(&car(3), "dev3", NOW + 4_000);
    story.check(&car(8), "0.10.65", NOW + 5_000);
    story.notify("dev8", &car(8), "903 Loss of service", NOW + 5_200);
    stage(&mut story, "Three have a verdict, and one of these has failed.", NOW + 5_400);
    story.upgrade(&car(8), "dev8", NOW + 9_000);
    stage(&mut story, "All three run it, and are watched.", NOW + 12_000);
    // Every device asks every three hours, so that time goes on.
    for hours in (3..=30).step_by(3) {
        for (n, runs) in [(1, "0.10.66"), (3, "0.10.66"), (8, "0.10.66"), (2, "0.10.65"), (4, "0.10.65")] {
            if (n, hours) != (2, 30) {
                story.check(&car(n), runs, NOW + hours * 3_600);
            }
        }
    }
    stage(&mut story, "The second wave is open.", NOW + 30 * 3_600 + 60);
    for n in [2, 5] {
        story.upgrade(&car(n), &format!("dev{n}"), NOW + 30 * 3_600 + 120);
    }
    stage(&mut story, "The third waits for its time, too.", NOW + 31 * 3_600);
    for hours in (33..=6 * 24).step_by(3) {
        for (n, runs) in [(1, "0.10.66"), (2, "0.10.66"), (4, "0.10.65")] {
            story.check(&car(n), runs, NOW + hours * 3_600);
        }
    }
    stage(&mut story, "All are open.", NOW + 6 * DAY + 60);
    let mut opened = Vec::new();
    let events = story.events_of_kind(EventKind::WaveOpened);
    opened.extend(events.into_iter().map(|event| (event.at - NOW, event.detail)));
    all += &format!("{opened:#?}\n");
    let wrong = against_golden(&all, &repository().join("tests/status/waves.txt"));
    assert_eq!(wrong, None);
}
