//! Trouble with the disk and the database under a running server: version checks are answered all the
//! same, and no result is acknowledged that is not kept.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use otapress_core::wire::NO;
use otapress_devices::device::http::{Framing, Request};
use otapress_devices::device::{Answered, CheckOutcome};
use otapress_responder::store::sqlite::FILE;

use crate::support::server::Server;
use crate::support::tree::{SITE, Tree};

const IMEI: &str = "123456789012345";

fn published() -> Tree {
    let mut tree = Tree::new();
    let release = tree.release("0.10.66");
    tree.offer("dev1", IMEI, &release);
    tree
}

/// Posts a result and gives the status of the answer.
fn notify(server: &Server) -> u16 {
    let device = server.device("dev1", IMEI, "0.10.65");
    let request = Request::post(&format!("{SITE}/otap/notify?id=dev1"), b"900 Success", Framing::Length)
        .header("User-Agent", &format!("TC65i/{IMEI} Profile/IMP-NG"));
    device.network.exchange(&request).unwrap().status
}

/// Whether the device is told to upgrade; it is answered in any case.
#[track_caller]
fn upgrades(server: &Server) -> bool {
    let check = server.device("dev1", IMEI, "0.10.65").check();
    let reply = check.exchange.unwrap().reply.unwrap();
    match check.outcome {
        CheckOutcome::Checked(answered) if answered.upgrade => true,
        outcome => {
            assert_eq!(outcome, CheckOutcome::Checked(Answered::default()));
            assert_eq!(reply.body, NO.as_bytes());
            false
        }
    }
}

#[track_caller]
fn assert_without_state(server: &Server) {
    assert!(!upgrades(server));
    assert_eq!(notify(server), 500);
}

/// Waits until the server uses its state again.
#[track_caller]
fn assert_recovers(server: &Server) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !upgrades(server) {
        assert!(Instant::now() < patience, "the state is not used again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(notify(server), 200);
}

#[test]
fn a_state_directory_where_nothing_can_be_made() {
    let tree = published();
    fs::remove_dir(tree.state()).unwrap();
    // Not even root makes a file there.
    symlink("/proc", tree.state()).unwrap();
    let server = Server::start(&tree);
    assert_without_state(&server);
    fs::remove_file(tree.state()).unwrap();
    assert_recovers(&server);
}

#[test]
fn a_full_disk() {
    let tree = published();
    let server = Server::start(&tree);
    assert!(upgrades(&server));
    server.stop();
    // What is written to the log meets a full device, as it does on a full disk.
    let log = tree.state().join(format!("{FILE}-wal"));
    fs::remove_file(&log).ok();
    symlink("/dev/full", &log).unwrap();
    let server = Server::start(&tree);
    server.advance(3600);
    assert_without_state(&server);
    fs::remove_file(&log).unwrap();
    assert_recovers(&server);
}

#[test]
fn a_corrupt_database() {
    let tree = published();
    let file = tree.state().join(FILE);
    fs::write(&file, "this is not a database, and it is long enough to be taken for one".repeat(100))
        .unwrap();
    let server = Server::start(&tree);
    assert_without_state(&server);
    fs::remove_file(&file).unwrap();
    assert_recovers(&server);
}

#[test]
fn a_database_of_a_newer_program() {
    let tree = published();
    let db = rusqlite::Connection::open(tree.state().join(FILE)).unwrap();
    db.pragma_update(None, "user_version", 9999).unwrap();
    drop(db);
    let server = Server::start(&tree);
    assert_without_state(&server);
}

#[test]
fn a_locked_database() {
    let tree = published();
    let server = Server::start(&tree);
    assert!(upgrades(&server));
    server.advance(3600);
    let other = rusqlite::Connection::open(tree.state().join(FILE)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_without_state(&server);
    other.execute_batch("ROLLBACK").unwrap();
    assert_recovers(&server);
}

#[test]
fn an_output_directory_that_is_gone() {
    let tree = published();
    let server = Server::start(&tree);
    assert!(upgrades(&server));
    let away = tree.out().with_extension("away");
    fs::rename(tree.out(), &away).unwrap();
    assert!(!upgrades(&server));
    // The User-Agent tells who posts, so the result is kept even so.
    assert_eq!(notify(&server), 200);
    fs::write(tree.out(), "a file in its place").unwrap();
    assert!(!upgrades(&server));
    fs::remove_file(tree.out()).unwrap();
    fs::rename(&away, tree.out()).unwrap();
    server.advance(60);
    assert!(upgrades(&server));
}

#[test]
fn a_corrupt_otapress_json() {
    let tree = published();
    let server = Server::start(&tree);
    let good = fs::read(tree.out().join("otapress.json")).unwrap();
    for bad in [&b""[..], b"{", b"{\"otapress\":2}", b"\xff\xfe"] {
        tree.write("otapress.json", bad);
        // Nobody knows which paths are published, so that nobody is sent anything; a modem is still known.
        assert!(!upgrades(&server));
    }
    assert_eq!(notify(&server), 200);
    tree.write("otapress.json", good);
    server.advance(3600);
    assert!(upgrades(&server));
}
