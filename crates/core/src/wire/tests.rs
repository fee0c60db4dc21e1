//! The bytes of both formats.

use super::*;

const BRAKE: Brake = Brake { artifact_faults: 3, failures_bp: 2000, after: 10 };

fn target() -> Target {
    Target {
        version: "0.10.66".parse().unwrap(),
        rollout: "next/0.10.66".into(),
        channel: Some("next".into()),
        wave: Some(500),
        from: None,
        window: None,
        attempts: 3,
        brake: BRAKE,
        no_downgrade: false,
        rate: None,
    }
}

fn setting(key: &str, val: &str) -> Setting {
    Setting { key: key.into(), val: val.into() }
}

#[test]
fn the_no_is_exact() {
    assert_eq!(Answer::NO.to_body(), NO);
    assert!(!NO.contains('1'));
}

#[test]
fn answers_are_ascii_and_strict_json() {
    let answer = Answer {
        upgrade: true,
        settings: vec![setting("tid", "ä\u{1F600}\"\\\u{7f}"), setting("keepAlive", "300")],
    };
    let body = answer.to_body();
    assert!(body.is_ascii());
    assert_eq!(
        body,
        "{\"upgrade\":1,\"settings\":[{\"key\":\"tid\",\"val\":\"\\u00e4\\ud83d\\ude00\\\"\\\\\u{7f}\"},\
         {\"key\":\"keepAlive\",\"val\":\"300\"}]}"
    );
    let read: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(read["settings"][0]["val"], "ä\u{1F600}\"\\\u{7f}");
}

#[test]
fn an_answer_file_is_read_back() {
    let file = AnswerFile {
        upgrade: 1,
        settings: vec![setting("keepAlive", "300")],
        offer: Offer {
            target: Some(Target {
                window: Some(Window { days: vec![Day::Mon, Day::Tue], from: 60, minutes: 240 }),
                rate: Some(500),
                ..target()
            }),
            interval: 10800,
            generation: Some("0123456789abcdef".into()),
            ..Offer::default()
        },
    };
    let text = file.to_text();
    assert_eq!(
        text,
        concat!(
            r#"{"upgrade":1,"settings":[{"key":"keepAlive","val":"300"}],"offer":{"target":{"version":"0.10.66","#,
            r#""rollout":"next/0.10.66","channel":"next","wave":500,"window":{"days":["mon","tue"],"from":60,"#,
            r#""minutes":240},"attempts":3,"brake":{"artifactFaults":3,"failuresBp":2000,"after":10},"rate":500},"#,
            r#""interval":10800,"generation":"0123456789abcdef"}}"#,
            "\n"
        )
    );
    assert_eq!(AnswerFile::parse(text.as_bytes()).unwrap(), file);
}

/// Every key that otapress 0.1 knows in an answer's `offer` and `target`; it refuses a file that has any
/// other.
const KEYS_0_1: [&str; 14] = [
    "held",
    "target",
    "interval",
    "generation",
    "always",
    "version",
    "rollout",
    "channel",
    "from",
    "window",
    "attempts",
    "brake",
    "noDowngrade",
    "rate",
];

#[test]
fn otapress_0_1_refuses_an_answer_of_format_2_that_has_a_target() {
    let offer = Offer { target: Some(target()), interval: 10800, ..Offer::default() };
    let text = AnswerFile { upgrade: 1, settings: vec![], offer }.to_text();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys = file["offer"]["target"].as_object().unwrap().keys();
    assert_eq!(keys.filter(|key| !KEYS_0_1.contains(&key.as_str())).collect::<Vec<_>>(), ["wave"], "{text}");
}

#[test]
fn format_1_is_read() {
    let text = concat!(
        r#"{"upgrade":1,"offer":{"target":{"version":"0.10.66","rollout":"next/0.10.66","channel":"next","#,
        r#""from":1768204800,"attempts":3,"brake":{"artifactFaults":2,"failuresBp":2000,"after":5},"rate":500},"#,
        r#""interval":10800}}"#,
        "\n"
    );
    let file = AnswerFile::parse(text.as_bytes()).unwrap();
    assert_eq!(file.to_text(), text);
    let target = file.offer.target.unwrap();
    assert_eq!((target.wave, target.from), (None, Some(1_768_204_800)));

    let site = concat!(
        r#"{"otapress":1,"site":"http://h","versionPaths":["/v"],"notifyPaths":["/n"],"auth":false,"#,
        r#""releases":[{"version":"1.0","path":"jars/1.0/x/x.jar","size":7,"sha256":"#,
        r#""0d8d8afeb2d9be56f23a667439546b9a9e251bb1b404733ef6bd74ebc5551e5b"}]}"#
    );
    let site = Site::parse(site.as_bytes()).unwrap();
    assert!(READABLE.contains(&site.otapress));
    assert_eq!(target.wave_in(&site.rollouts).unwrap().at, Some(1_768_204_800));
}

#[test]
fn an_unknown_wave_is_closed() {
    let rollout = Rollout {
        release: "0.10.66".into(),
        waves: vec![Wave { wave: 500, devices: 3, at: None, after: None }],
        unproven: Limit::DEFAULT,
        brake: BRAKE,
    };
    let rollouts = [("next/0.10.66".into(), rollout)].into();
    let of = |wave, rollout: &str| {
        Target { wave: Some(wave), rollout: rollout.into(), ..target() }.wave_in(&rollouts).is_some()
    };
    assert!(of(500, "next/0.10.66"));
    assert!(!of(501, "next/0.10.66"));
    assert!(!of(500, "next/0.10.67"));
}

#[test]
fn rollouts_are_read_back() {
    let after = After { success_bp: 9500, reached_bp: 5000, soak: 86_400 };
    let rollout = |unproven| Rollout {
        release: "0.10.66".into(),
        waves: vec![
            Wave { wave: 500, devices: 3, at: Some(1_796_112_000), after: None },
            Wave { wave: 10_000, devices: 97, at: None, after: Some(after) },
        ],
        unproven,
        brake: BRAKE,
    };
    let waves = concat!(
        r#"{"release":"0.10.66","waves":[{"wave":500,"devices":3,"at":1796112000},"#,
        r#"{"wave":10000,"devices":97,"after":{"successBp":9500,"reachedBp":5000,"soak":86400}}],"unproven":"#
    );
    let brake = r#","brake":{"artifactFaults":3,"failuresBp":2000,"after":10}}"#;
    for (limit, text) in
        [(Limit::DEFAULT, r#"{"least":3,"shareBp":1000}"#), (Limit::Unlimited, r#""unlimited""#)]
    {
        let text = format!("{waves}{text}{brake}");
        assert_eq!(serde_json::to_string(&rollout(limit)).unwrap(), text);
        assert_eq!(serde_json::from_str::<Rollout>(&text).unwrap(), rollout(limit));
    }
    for wrong in [r#""never""#, "null", r#"{"least":3}"#, r#"{"least":3,"shareBp":1000,"more":1}"#] {
        assert!(serde_json::from_str::<Rollout>(&format!("{waves}{wrong}{brake}")).is_err(), "{wrong}");
    }
}

#[test]
fn places_grow_with_proof() {
    for (proven, places) in [(0, 3), (39, 3), (40, 4), (1999, 199), (u64::MAX, u64::MAX / 10_000)] {
        assert_eq!(Limit::DEFAULT.places(proven), Some(places), "{proven}");
    }
    assert_eq!(Limit::Unlimited.places(7), None);
}
