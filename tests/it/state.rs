//! Backups of the records: whole while responders run, put back with nothing left of what was there, and
//! never half of each.

use std::fs;
use std::path::Path;
use std::process::Output;

use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::{FILE, SqliteStore};

use crate::support::postgres::Postgres;
use crate::support::process::{Fleet, PATIENCE, Serve, YAML, wait_until};

const DEVICES: usize = 400;

fn imei(n: usize) -> String {
    format!("3520990{n:08}")
}

fn fleet() -> Fleet {
    let devices: String = (0..DEVICES).map(|n| format!("  d{n}: {{ imei: \"{}\" }}\n", imei(n))).collect();
    Fleet::new(&YAML.replace("  dev1: { imei: \"352099001761481\" }\n", &devices))
}

/// Devices ask, each once.
fn ask(serve: &Serve, devices: std::ops::Range<usize>) {
    let mut client = serve.connect();
    for n in devices {
        let agent = format!("GW/{}", imei(n));
        let reply = client.send("POST", "/otap/version", &agent, "", b"0.10.66").unwrap();
        assert_eq!(reply.status, 200);
    }
}

#[track_caller]
fn said(output: &Output, status: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

fn devices(fleet: &Fleet) -> String {
    let text = said(&fleet.run(&["state", "check"]), 0);
    text.lines().find(|line| line.contains(" devices ")).unwrap().trim().split(' ').next().unwrap().to_owned()
}

fn copy_over(from: &Path, to: &Path) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

#[test]
fn a_backup_is_whole_and_comes_back() {
    let fleet = fleet();
    let serve = fleet.serve(&[]);
    ask(&serve, 0..100);
    let backup = fleet.path("backups.db");
    let backup_name = backup.to_str().unwrap();
    // While it answers.
    std::thread::scope(|scope| {
        scope.spawn(|| ask(&serve, 100..200));
        assert!(said(&fleet.run(&["state", "backup", backup_name]), 0).starts_with("backed up"));
    });
    let db = rusqlite::Connection::open(&backup).unwrap();
    let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    let kept: u32 = db.query_row("SELECT count(*) FROM devices", [], |row| row.get(0)).unwrap();
    assert!(whole == "ok" && (100..=200).contains(&kept), "{whole}, {kept}");
    drop(db);
    ask(&serve, 200..DEVICES);
    let refused = said(&fleet.run(&["state", "restore", backup_name]), 1);
    assert!(refused.contains("somebody uses the records: stop every responder and relay first"), "{refused}");
    drop(serve);
    assert_eq!(devices(&fleet), DEVICES.to_string());
    let restored = said(&fleet.run(&["state", "restore", backup_name]), 0);
    assert!(restored.contains(&format!("{kept} devices, before {DEVICES}")), "{restored}");
    assert!(
        restored.contains(&format!("kept as `{}", fleet.path("state").join(FILE).display())),
        "{restored}"
    );
    assert_eq!(devices(&fleet), kept.to_string());
    ask(&fleet.serve(&[]), 0..DEVICES);
    assert_eq!(devices(&fleet), DEVICES.to_string());
}

#[test]
fn a_damaged_database_is_named_and_replaced() {
    let fleet = fleet();
    ask(&fleet.serve(&[]), 0..DEVICES);
    let backup = fleet.path("backup.db");
    let file = fleet.path("state").join(FILE);
    let name = backup.to_str().unwrap();
    said(&fleet.run(&["state", "backup", name]), 0);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(fleet.path("state").join(format!("{FILE}{suffix}")));
    }
    copy_over(&backup, &file);
    let mut bytes = fs::read(&file).unwrap();
    let len = bytes.len();
    bytes[4096..len / 2].fill(0x55);
    fs::write(&file, &bytes).unwrap();
    let told = said(&fleet.run(&["state", "check"]), 1);
    assert!(told.contains("is damaged: ") && told.contains("`otapress state restore FILE`"), "{told}");
    said(&fleet.run(&["state", "restore", name]), 0);
    assert_eq!(devices(&fleet), DEVICES.to_string());
    // A damaged backup replaces nothing.
    fs::write(&backup, &bytes).unwrap();
    let told = said(&fleet.run(&["state", "restore", name]), 1);
    assert!(told.contains("the backup is damaged"), "{told}");
    fs::write(&backup, "not a database").unwrap();
    said(&fleet.run(&["state", "restore", name]), 1);
    assert_eq!(devices(&fleet), DEVICES.to_string());
}

/// As `cp backup.db state/otapress.db` does.
#[test]
fn a_log_that_belongs_to_another_database_is_taken_away() {
    let fleet = fleet();
    let serve = fleet.serve(&[]);
    ask(&serve, 0..150);
    let backup = fleet.path("backup.db");
    said(&fleet.run(&["state", "backup", backup.to_str().unwrap()]), 0);
    drop(serve);
    // What the log holds now is about a larger database.
    let file = fleet.path("state").join(FILE);
    let db = rusqlite::Connection::open(&file).unwrap();
    let _: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    drop(db);
    let serve = fleet.serve(&[]);
    ask(&serve, 150..DEVICES);
    // Killed, so that the log stays.
    drop(serve);
    let log = fleet.path("state").join(format!("{FILE}-wal"));
    assert!(fs::metadata(&log).unwrap().len() > 0);
    copy_over(&backup, &file);
    // `cp -p` keeps the time.
    let written = fs::metadata(&backup).unwrap().modified().unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
    ask(&fleet.serve(&[]), 0..10);
    assert_eq!(devices(&fleet), "150");
    assert!(fleet.path("state").join(format!("{FILE}-wal.foreign")).exists());
}

#[test]
fn old_events_are_forgotten_by_command_and_by_serve() {
    let fleet = fleet();
    ask(&fleet.serve(&[]), 0..100);
    let pruned = said(&fleet.run(&["state", "prune"]), 0);
    assert_eq!(pruned, "forgot 0 events and 0 unknown devices, older than 400 days\n");
    let file = fleet.path("state").join(FILE);
    let change =
        |sql: &str| -> usize { rusqlite::Connection::open(&file).unwrap().execute(sql, []).unwrap() };
    let events = || -> i64 {
        let db = rusqlite::Connection::open(&file).unwrap();
        db.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(change("UPDATE events SET at = at - 401 * 86400 WHERE seq <= 60"), 60);
    change("INSERT INTO cursors VALUES ('relay', 20)");
    let pruned = said(&fleet.run(&["state", "prune", "--keep", "500d"]), 0);
    assert_eq!(pruned, "forgot 0 events and 0 unknown devices, older than 500 days\n");
    let pruned = said(&fleet.run(&["state", "prune"]), 0);
    let kept = "forgot 20 events and 0 unknown devices, older than 400 days; older ones that a relay has not sent are \
                kept\nreader `relay` has read no event since ";
    assert!(pruned.starts_with(kept), "{pruned}");
    assert_eq!(events(), 80);
    assert_eq!(devices(&fleet), "100", "they stay");
    change("UPDATE cursors SET seq = 50");
    let serve = fleet.serve(&["--keep", "forever"]);
    ask(&serve, 100..101);
    assert_eq!(events(), 81);
    drop(serve);
    let serve = fleet.serve(&[]);
    wait_until(|| events() == 51, || events().to_string());
    drop(serve);
    let wrong = said(&fleet.run(&["state", "prune", "--keep", "400"]), 2);
    assert!(wrong.contains("it is no number of days: write 400d, or forever"), "{wrong}");
}

/// A relay that was given up keeps its events for ever unless somebody says so.
#[test]
fn a_reader_that_is_gone_is_named_and_forgotten() {
    let fleet = fleet();
    ask(&fleet.serve(&[]), 0..100);
    let file = fleet.path("state").join(FILE);
    let change = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute(sql, []).unwrap();
    let forget = |name: &str| fleet.run(&["state", "prune", "--forget-reader", name]);
    let told = said(&forget("relay"), 1);
    assert_eq!(told, "error: nobody has read events, so no reader is called `relay`\n");
    change("UPDATE events SET at = 1732968000 WHERE seq <= 60");
    change("INSERT INTO cursors VALUES ('webhook-0123456789abcdef', 20), ('relay', 100), ('looks', 1)");
    let late = "`webhook-0123456789abcdef` has read no event since 2024-11-30T12:00:00Z, and they are kept for it: run that \
                relay, or `otapress state prune --forget-reader webhook-0123456789abcdef`";
    for command in [&["status"][..], &["state", "check"], &["state", "prune", "--keep", "300d"]] {
        let told = said(&fleet.run(command), 0);
        assert!(told.contains(late) && !told.contains("`relay` has read"), "{command:?}: {told}");
    }
    let json: serde_json::Value = serde_json::from_str(&said(&fleet.run(&["status", "--json"]), 0)).unwrap();
    assert_eq!(
        json["lateReaders"],
        serde_json::json!([{ "name": "webhook-0123456789abcdef", "since": 1_732_968_000 }])
    );
    let told = said(&forget("https://hooks.example.com/"), 1);
    assert!(told.starts_with("error: no reader is called `webhook-"), "{told}");
    assert!(
        told.ends_with(
            "`: there are `relay`, which has read all and `webhook-0123456789abcdef`, for which events wait since \
             2024-11-30T12:00:00Z\n"
        ),
        "{told}"
    );
    // One that works is not taken its place.
    let mut store = SqliteStore::open(&fleet.path("state"), PATIENCE).unwrap();
    let lease = store.lease("webhook-0123456789abcdef").unwrap().unwrap();
    let told = said(&forget("webhook-0123456789abcdef"), 1);
    assert!(
        told.contains("a relay that reads as `webhook-0123456789abcdef` is active: stop it first"),
        "{told}"
    );
    drop(lease);
    // A process that another test begins to start has the lock's file open, too, until it is another program.
    let mut told = None;
    wait_until(
        || told.insert(forget("webhook-0123456789abcdef")).status.success(),
        || "the lease is never given back".into(),
    );
    assert_eq!(
        said(&told.unwrap(), 0),
        "forgot the reader `webhook-0123456789abcdef`, which had read up to event 20\nforgot 40 events and 0 unknown \
         devices, older than 400 days\n"
    );
    assert!(!said(&fleet.run(&["status"]), 0).contains("reader"));
}

#[test]
fn records_are_put_into_postgresql_only_while_nobody_uses_it() {
    let fleet = fleet();
    ask(&fleet.serve(&[]), 0..50);
    let (backup, url) = (fleet.path("backup.db"), Postgres::shared().database());
    let backup = backup.to_str().unwrap();
    said(&fleet.run(&["state", "backup", backup]), 0);
    let serve = fleet.serve(&["--no-build", "--state", &url]);
    serve.has_its_records(&imei(0), "0.10.65");
    let restore = |url: &str| fleet.run(&["state", "restore", backup, "--state", url]);
    let refused = said(&restore(&url), 1);
    assert!(refused.contains("somebody uses the records in `postgres://"), "{refused}");
    assert!(refused.contains("stop every responder and relay first"), "{refused}");
    serve.terminate();
    let refused = said(&restore(&url), 1);
    assert!(refused.contains("there are records in `postgres://"), "{refused}");
    let restored = said(&restore(&Postgres::shared().database()), 0);
    assert!(restored.contains("50 devices"), "{restored}");
}
