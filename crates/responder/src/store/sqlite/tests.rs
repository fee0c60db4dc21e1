//! The conformance suite on SQLite, and what is SQLite's own: files, locks, schemas.

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::conformance;
use crate::fixture::{NOW, OneByOne as _, Out, aimed, check, is_upgrade, notify, target};
use crate::record::{Event, EventKind};
use crate::store::conformance::Subject;

struct Directory(tempfile::TempDir);

impl Directory {
    fn store(&self, patience: Duration) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.0.path().join("state"), patience)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("state").join(FILE)
    }
}

impl Subject for Directory {
    fn new() -> Self {
        Directory(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store(Duration::from_secs(20)).unwrap())
    }
}

conformance!(Directory);

#[test]
fn many_make_the_same_new_database() {
    for _ in 0..5 {
        let directory = Directory::new();
        let barrier = Barrier::new(16);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    barrier.wait();
                    let mut store = directory.store(Duration::from_secs(20)).unwrap();
                    store.write(Durability::Process, &mut |tx| tx.count_offer("c", NOW)).unwrap();
                });
            }
        });
        let mut count = 0;
        directory.open().read(&mut |tx| tx.offers_in_hour("c", NOW).map(|n| count = n)).unwrap();
        assert_eq!(count, 16);
    }
}

#[test]
fn a_lock_is_waited_for_but_not_for_ever() {
    let (directory, out) = (Directory::new(), Out::new());
    out.publish(1, &aimed(target("0.10.66")));
    out.publish(2, &crate::fixture::settings("g", &[]));
    let responder = out.responder();
    let mut store = directory.store(Duration::from_millis(200)).unwrap();
    assert!(!is_upgrade(&check(&responder, &mut store, 2, "0.10.65", NOW)));
    let other = Connection::open(directory.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let quiet = check(&responder, &mut store, 2, "0.10.65", NOW + 1);
    assert_eq!(quiet.log, None, "what changes nothing waits for nobody");
    let start = Instant::now();
    let reply = check(&responder, &mut store, 1, "0.10.65", NOW);
    assert_eq!(reply.body, otapress_core::wire::NO);
    let log = reply.log.unwrap();
    assert!(log.contains("no-state") && log.ends_with("is locked by another process"), "{log}");
    assert_eq!(notify(&responder, &mut store, 1, "900 Success", NOW).status, 500);
    assert!(start.elapsed() >= Duration::from_millis(400) && start.elapsed() < Duration::from_secs(5));

    other.execute_batch("ROLLBACK").unwrap();
    assert!(is_upgrade(&check(&responder, &mut store, 1, "0.10.65", NOW)));
    assert_eq!(notify(&responder, &mut store, 1, "900 Success", NOW).status, 200);
}

#[test]
fn one_unreadable_record_does_not_take_the_others_answers() {
    use crate::message::Request;
    use crate::service::{Step, answer};

    let (directory, out) = (Directory::new(), Out::new());
    (1..=3).for_each(|n| out.publish(n, &aimed(target("0.10.66"))));
    let responder = out.responder();
    let mut store = directory.store(Duration::from_secs(1)).unwrap();
    check(&responder, &mut store, 2, "0.10.66", NOW);
    Connection::open(directory.file()).unwrap().execute("UPDATE devices SET refusal = 'odd'", []).unwrap();
    let questions: Vec<_> = (1..=3)
        .map(|n| {
            let agent = format!("GW/{}", crate::fixture::imei(n));
            let request = Request {
                method: "POST",
                target: "/otap/version",
                host: None,
                agent: Some(agent.as_bytes()),
                body: b"0.10.65",
                is_complete: true,
            };
            let Step::Ask(question) = responder.prepare(&request) else { panic!() };
            question
        })
        .collect();
    let replies = answer(&mut store, Durability::Power, &questions, NOW);
    let upgrades: Vec<_> = replies.iter().map(is_upgrade).collect();
    assert_eq!(upgrades, [true, false, true]);
    assert!(replies[1].log.as_ref().unwrap().contains("refusal `odd`"), "{:?}", replies[1].log);
}

#[test]
fn leaving_does_not_checkpoint_and_maintenance_keeps_the_log_short() {
    let directory = Directory::new();
    let log = directory.file().with_file_name(format!("{FILE}-wal"));
    let mut count = 0;
    let mut write = |maintain: bool| {
        let mut store = directory.store(Duration::from_secs(1)).unwrap();
        count += 1;
        store.write(Durability::Process, &mut |tx| tx.count_offer("c", NOW + count * 60)).unwrap();
        if maintain {
            store.maintain().unwrap();
        }
    };
    write(false);
    let short = fs::metadata(&log).unwrap().len();
    assert!(short > 0, "the log is still there");
    for _ in 0..1000 {
        write(true);
    }
    let long = fs::metadata(&log).unwrap().len();
    assert!(long <= 2 * LOG_PAGES as u64 * 4096 + 100_000, "{long} bytes");
    let mut store = directory.open();
    let mut read = 0;
    store.read(&mut |tx| tx.offers_in_hour("c", NOW + 1001 * 60).map(|n| read = n)).unwrap();
    assert_eq!(read, 61);
}

/// Appends events until the log is that long.
fn lengthen(store: &mut SqliteStore, pages: i32) {
    let (kind, detail) = (EventKind::FirstSeen, "x".repeat(20_000));
    let event = Event { at: NOW, kind, imei: None, rollout: None, code: None, detail };
    while store.log_pages.load(atomic::Ordering::Relaxed) < pages {
        store.write(Durability::Process, &mut |tx| tx.put_event(&event)).unwrap();
    }
}

/// The number of the last event, as somebody sees it who comes now.
fn last(directory: &Directory) -> i64 {
    let mut last = 0;
    let read =
        directory.open().read(&mut |tx| tx.events_before(i64::MAX, 1).map(|events| last = events[0].0));
    read.map(|()| last).unwrap()
}

#[test]
fn an_errand_copies_the_log_beside_the_writes() {
    let directory = Directory::new();
    let mut store = directory.store(Duration::from_secs(1)).unwrap();
    assert!(store.background_checkpoint().is_none(), "there is nothing to copy");
    lengthen(&mut store, LOG_PAGES);
    let (before, errand, barrier) =
        (last(&directory), store.background_checkpoint().unwrap(), Barrier::new(2));
    thread::scope(|scope| {
        let errand = scope.spawn(|| {
            barrier.wait();
            errand()
        });
        barrier.wait();
        lengthen(&mut store, 2 * LOG_PAGES);
        errand.join().unwrap().unwrap();
    });
    // The database without its log has what there was before.
    let alone = Directory::new();
    fs::create_dir(alone.0.path().join("state")).unwrap();
    fs::copy(directory.file(), alone.file()).unwrap();
    assert!(last(&alone) >= before, "{} of {before}", last(&alone));
    assert!(last(&directory) > before);
}

#[test]
fn a_long_log_keeps_its_length_only_with_one_who_stays() {
    for stays in [true, false] {
        let directory = Directory::new();
        let log = directory.file().with_file_name(format!("{FILE}-wal"));
        let length = || fs::metadata(&log).unwrap().len();
        let mut store = directory.store(Duration::from_secs(1)).unwrap();
        lengthen(&mut store, LONG_LOG_PAGES);
        let (long, before) = (length(), last(&directory));
        if stays {
            store.background_checkpoint().unwrap()().unwrap();
        }
        store.maintain().unwrap();
        assert_eq!(length(), if stays { long } else { 0 });
        // It is begun anew, however long it is.
        lengthen(&mut store, 1);
        assert!(length() <= long);
        assert_eq!(last(&directory), before + 1);
        // There is little in it now.
        store.maintain().unwrap();
        assert_eq!(length() == 0, stays);
        assert_eq!(last(&directory), before + 1);
    }
}

#[test]
fn what_is_not_our_database_is_left_alone() {
    let directory = Directory::new();
    fs::create_dir(directory.0.path().join("state")).unwrap();
    fs::write(directory.file(), "certainly no database".repeat(100)).unwrap();
    assert!(matches!(directory.store(Duration::from_secs(1)), Err(StoreError::Engine { .. })));
    assert_eq!(fs::read_to_string(directory.file()).unwrap(), "certainly no database".repeat(100));

    let newer = Directory::new();
    drop(newer.open());
    Connection::open(newer.file()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = newer.store(Duration::from_secs(1)).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Schema { found: 99, .. }), "{error}");
    let says = "has the schema 99, this program knows 4: a newer otapress wrote it, use that one";
    assert!(error.to_string().ends_with(says), "{error}");
}

#[test]
fn a_state_directory_that_cannot_be_is_an_error() {
    let directory = Directory::new();
    fs::write(directory.0.path().join("state"), "a file").unwrap();
    let error = directory.store(Duration::from_secs(1)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("state/otapress.db"), "{error}");
}

#[test]
fn a_database_that_loses_its_name_is_opened_anew_and_an_old_log_is_no_part_of_it() {
    let directory = Directory::new();
    let mut store = directory.store(Duration::from_secs(1)).unwrap();
    let count = |store: &mut SqliteStore| {
        let mut count = 0;
        store.read(&mut |tx| tx.offers_in_hour("c", NOW).map(|n| count = n)).unwrap();
        count
    };
    let add = &mut |tx: &mut dyn crate::store::Tx| tx.count_offer("c", NOW);
    store.write(Durability::Power, add).unwrap();
    assert_eq!(count(&mut store), 1);
    // The database alone: what is left of it must not be taken for the log of the next one.
    fs::remove_file(directory.file()).unwrap();
    assert_eq!(count(&mut store), 0);
    store.write(Durability::Power, add).unwrap();
    fs::remove_dir_all(directory.file().parent().unwrap()).unwrap();
    store.write(Durability::Power, add).unwrap();
    store.write(Durability::Power, add).unwrap();
    assert_eq!(count(&mut directory.store(Duration::from_secs(1)).unwrap()), 2);

    // In the middle of a transaction nothing can be done but to say so.
    let removed = store.write(Durability::Power, &mut |tx| {
        fs::rename(directory.file(), directory.file().with_extension("away")).unwrap();
        tx.count_offer("c", NOW)
    });
    assert!(removed.unwrap_err().to_string().ends_with("it was removed while it was written"));
}

#[test]
fn a_look_changes_nothing() {
    let directory = tempfile::Builder::new().prefix("100% of a?b#c ü").tempdir().unwrap();
    let state = directory.path();
    let names = || {
        let names = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let look = || -> Result<u32, StoreError> {
        let mut count = 0;
        let mut store = SqliteStore::open_read_only(state, Duration::from_secs(1))?;
        store.read(&mut |tx| tx.offers_in_hour("c", NOW).map(|n| count = n))?;
        Ok(count)
    };
    assert!(look().is_err());
    assert_eq!(names().len(), 0);
    create(&state.join(FILE)).unwrap();
    assert_eq!((look().unwrap(), names().len()), (0, 1), "there is neither a log nor its index");
    let mut store = SqliteStore::open(state, Duration::from_secs(1)).unwrap();
    store.write(Durability::Process, &mut |tx| tx.count_offer("c", NOW)).unwrap();
    assert_eq!(look().unwrap(), 1, "what is only in the log is seen");
    drop(store);
    assert_eq!(look().unwrap(), 1);
    let mut store = SqliteStore::open_read_only(state, Duration::from_secs(1)).unwrap();
    assert!(store.write(Durability::Process, &mut |tx| tx.count_offer("c", NOW)).is_err());

    let db = Connection::open(state.join(FILE)).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    let error = look().unwrap_err().to_string();
    let says = "has the schema 1 of an older otapress, this one reads 4: the responder brings it up to date \
                (`otapress serve` when it starts, `otapress-cgi` at its next request)";
    assert!(error.ends_with(says), "{error}");
    db.pragma_update(None, "user_version", 99).unwrap();
    assert!(look().unwrap_err().to_string().ends_with("a newer otapress wrote it, use that one"));
}

#[test]
fn an_older_database_is_brought_up_to_date_with_all_that_is_in_it() {
    for number in 1..schema::CURRENT {
        let directory = Directory::new();
        fs::create_dir(directory.0.path().join("state")).unwrap();
        let old = Connection::open(directory.file()).unwrap();
        old.pragma_update(None, "journal_mode", "WAL").unwrap();
        schema::tests::create_older(&old, number);
        old.execute("INSERT INTO rates VALUES ('c', ?, 7)", [NOW / 60]).unwrap();
        // It stays open, as in a responder that runs on while the program is replaced.
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for n in 1..=8 {
                let (barrier, directory) = (&barrier, &directory);
                scope.spawn(move || {
                    barrier.wait();
                    let mut store = directory.store(Duration::from_secs(20)).unwrap();
                    store.write(Durability::Power, &mut |tx| tx.put_cursor("relay", n)).unwrap();
                });
            }
        });
        let mut store =
            SqliteStore::open_read_only(&directory.0.path().join("state"), Duration::from_secs(1)).unwrap();
        store
            .read(&mut |tx| {
                assert_eq!((tx.offers_in_hour("c", NOW)?, tx.cursor("relay")?), (7, 8));
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_lease_ends_with_its_state_directory() {
    let directory = Directory::new();
    let mut lease = directory.open().lease("relay").unwrap().unwrap();
    assert!(lease.holds());
    fs::remove_dir_all(directory.file().parent().unwrap()).unwrap();
    assert!(!lease.holds());
    let mut next = directory.open().lease("relay").unwrap().unwrap();
    assert!(next.holds() && !lease.holds());
}

#[test]
fn a_file_system_without_links_is_named() {
    let told = |errno: Errno| unlinked(Path::new("state/otapress.db"), errno.into()).to_string();
    for errno in [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS] {
        assert!(told(errno).contains("its file system has no hard links"), "{}", told(errno));
    }
    assert!(!told(Errno::NOSPC).contains("hard links"), "{}", told(Errno::NOSPC));
}
