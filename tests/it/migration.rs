//! Records and `out/` of otapress 0.1 under this responder, and an otapress 0.1 beside `out/` of today.
//!
//! `tests/migration/0.1` was made with the programs of 0.1: `fleet.yaml` was built into `published/`,
//! `play.sh` let devices ask `otapress-cgi` at faked times, `state.sql` is what `sqlite3` dumps of its
//! database, and `postgres.sql` what `pg_dump --inserts` says after `otapress state copy`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use otapress_core::wire::NO;
use otapress_responder::message::Request;
use otapress_responder::record::{EventKind, Refusal, Verdict};
use otapress_responder::service::{Reply, Responder, Step, answer};
use otapress_responder::store::sqlite::{FILE, SqliteStore};
use otapress_responder::store::{Durability, Store};
use otapress_server::location::Location;
use otapress_server::postgres::{PostgresStore, Server};
use serde_json::Value;
use walkdir::WalkDir;

use crate::support::postgres::Postgres;
use crate::support::process::PATIENCE;
use crate::support::project::repository;

/// 2026-11-20, 18:00 UTC: an hour after the last check that 0.1 answered.
const NOW: i64 = 1_795_197_600;

const YES: &str = r#"{"upgrade":1}"#;

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/migration/0.1").join(name)
}

fn imei(name: &str) -> String {
    let fleet = fs::read_to_string(fixture("fleet.yaml")).unwrap();
    let line = fleet.lines().find(|line| line.starts_with(&format!("  {name}: "))).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

fn check(responder: &Responder, store: &mut dyn Store, name: &str, version: &str) -> Reply {
    let agent = format!("GW/{}", imei(name));
    let (agent, body) = (Some(agent.as_bytes()), version.as_bytes());
    let request =
        Request { method: "POST", target: "/otap/version", host: None, agent, body, is_complete: true };
    let Step::Ask(question) = responder.prepare(&request) else { panic!("{name}") };
    answer(store, Durability::Process, &[question], NOW).swap_remove(0)
}

fn what_0_1_has_recorded_counts(store: &mut dyn Store) {
    let responder = Responder::new(fixture("published"));
    assert_eq!(responder.site().unwrap().otapress, 1);
    store
        .read(&mut |tx| {
            let next = tx.rollout("next/0.10.66")?;
            assert_eq!((next.places, next.proven, next.offered), (3, 1, 6), "silent, installed, and van");
            assert_eq!((next.installed, next.succeeded, next.failed), (1, 1, 2));
            assert_eq!((tx.rollout("pin/0.10.66")?.places, tx.rollout("canary/0.10.65")?.places), (1, 0));
            let faults: Vec<_> =
                tx.releases()?.into_iter().map(|release| (release.version, release.faults)).collect();
            assert_eq!(faults, [("0.10.65".into(), 2)]);
            let mut offer = |name: &str| -> Result<_, _> {
                let device = tx.device(imei(name).parse().unwrap())?.unwrap();
                let offer = device.latest_offer().unwrap();
                Ok((offer.place, offer.attempts, offer.verdict))
            };
            assert_eq!(offer("silent")?, (true, 1, None));
            assert_eq!(offer("installed")?, (true, 1, Some(Verdict::Installed)));
            assert_eq!(offer("van")?, (true, 1, None));
            assert_eq!(offer("proven")?, (false, 1, Some(Verdict::Succeeded)));
            assert_eq!(offer("failed")?, (false, 3, Some(Verdict::Failed)));
            assert_eq!(offer("back")?, (false, 3, Some(Verdict::Failed)), "heard of since");
            assert_eq!(tx.events(0, 99)?.len(), 36);
            Ok(())
        })
        .unwrap();
    for (name, version, refusal) in [
        ("new", "0.10.65", Refusal::Proving),
        ("failed", "0.10.65", Refusal::AttemptsUsed),
        ("back", "0.10.65", Refusal::AttemptsUsed),
        ("halted", "0.10.64", Refusal::Halted),
        ("proven", "0.10.66", Refusal::Current),
        ("late", "0.10.65", Refusal::Held),
    ] {
        let reply = check(&responder, store, name, version);
        assert_eq!((&*reply.body, reply.log_kind), (NO, refusal.as_str()), "{name}");
    }
    // It comes back, and has its settings: this check comes long enough after they were sent.
    assert_eq!(check(&responder, store, "van", "0.10.65").body, YES);
    assert_eq!(check(&responder, store, "new", "0.10.65").log_kind, Refusal::Proving.as_str());
    assert_eq!(check(&responder, store, "silent", "0.10.66").log_kind, Refusal::Current.as_str());
    assert_eq!(check(&responder, store, "new", "0.10.65").body, YES);
    store
        .read(&mut |tx| {
            let next = tx.rollout("next/0.10.66")?;
            assert_eq!((next.places, next.proven), (3, 2), "installed, van, and new");
            let later: Vec<_> = tx.events(36, 99)?.into_iter().map(|(_, event)| event.kind).collect();
            assert!(later.contains(&EventKind::SettingsConfirmed), "{later:?}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_database_of_0_1_is_brought_up_to_date() {
    let state = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(state.path().join(FILE)).unwrap();
    db.execute_batch(&fs::read_to_string(fixture("state.sql")).unwrap()).unwrap();
    db.close().unwrap();
    what_0_1_has_recorded_counts(&mut SqliteStore::open(state.path(), PATIENCE).unwrap());
}

#[test]
fn a_postgresql_of_0_1_is_brought_up_to_date() {
    let url = Postgres::shared().database();
    Postgres::shared().psql(&url, &fs::read_to_string(fixture("postgres.sql")).unwrap());
    let Ok(Location::Postgres(url)) = Location::parse(url.into()) else { panic!("a URL") };
    let server = Server { url: &url, passfile: None, patience: PATIENCE, until: None };
    what_0_1_has_recorded_counts(&mut PostgresStore::open(&server).unwrap());
}

/// The keys that otapress 0.1 knows of a target. It refuses an answer that has any other.
const KNOWN: [&str; 9] =
    ["version", "rollout", "channel", "from", "window", "attempts", "brake", "noDowngrade", "rate"];

/// Tried with `otapress-cgi` of 0.1 on an `out/` of today: the check of each device with a target is answered
/// `{"upgrade":0}`, with "no-answer-file: … unknown field `wave`" on stderr. 0.1 does not look at the number
/// of the format, so only such a key keeps it from offers whose rules it does not know.
#[test]
fn every_answer_with_a_target_has_a_key_that_0_1_refuses() {
    let (mut targets, mut old) = (0, 0);
    for root in ["out", "tests/golden", "tests/migration/0.1"] {
        for entry in WalkDir::new(repository().join(root)) {
            let entry = entry.unwrap();
            let parent = entry.path().parent().and_then(Path::file_name);
            if parent.is_none_or(|parent| parent != "vc") {
                continue;
            }
            let answer: Value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
            let Some(target) = answer["offer"]["target"].as_object() else { continue };
            let keys: BTreeSet<_> = target.keys().map(String::as_str).collect();
            let is_refused = keys.iter().any(|key| !KNOWN.contains(key));
            if root.ends_with("0.1") {
                assert!(!is_refused, "{keys:?}");
                old += 1;
            } else {
                assert!(is_refused && keys.contains("wave"), "{}: {keys:?}", entry.path().display());
                targets += 1;
            }
        }
    }
    assert!(targets > 40 && old == 11, "{targets} and {old}");
}
