//! The commands on a PostgreSQL database, and devices that are answered whatever becomes of it.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::postgres::{FORGETFUL, Postgres};
use crate::support::process::{Fleet, Serve, YAML};

const IMEI: &str = "352099001761481";

/// A fleet whose records are in a new database of that server.
fn fleet(server: &Postgres) -> (Fleet, String) {
    let fleet = Fleet::new(YAML);
    assert!(fleet.run(&["build"]).status.success());
    (fleet, server.database())
}

fn serve(fleet: &Fleet, url: &str) -> Serve {
    let mut command = fleet.command(&["serve", "--listen", "127.0.0.1:0", "--no-build"]);
    command.env("OTAPRESS_STATE", url);
    Serve::start(command).unwrap_or_else(|ended| panic!("{ended:?}"))
}

/// What a command says on the standard output, or else on the standard error.
fn says(fleet: &Fleet, url: &str, arguments: &[&str]) -> String {
    let mut command = fleet.command(arguments);
    if !url.is_empty() {
        command.env("OTAPRESS_STATE", url);
    }
    let output = command.output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8(text).unwrap()
}

#[test]
fn the_commands_take_the_url_of_a_database() {
    let (fleet, url) = fleet(Postgres::shared());
    let none = format!(
        "error: there is no state in `{url}`: no device has asked yet, or it is kept elsewhere (`--state`)\n"
    );
    assert_eq!(says(&fleet, &url, &["retry", "dev1"]), none);
    assert_eq!(says(&fleet, &url, &["show", "dev1"]), none);
    let server = serve(&fleet, &url);
    server.has_its_records(IMEI, "0.10.65");
    assert_eq!(server.notify("dev1", IMEI, "907 Invalid JAR").status, 200);
    let state = says(&fleet, &url, &["show", "dev1"]);
    assert!(state.contains("907"), "{state}");
    assert_eq!(says(&fleet, &url, &["retry", "dev1"]), "dev1 may try again\n");
    assert_eq!(
        says(&fleet, &url, &["retry", "--all"]),
        "no such device has used an attempt or takes a place\n"
    );
    assert_eq!(says(&fleet, &url, &["resume", "0.10.66"]), "error: no rollout of `0.10.66` is halted\n");
    assert!(!fleet.path("state").exists());
    assert_eq!(server.terminate().code, Some(0));

    let away = says(&fleet, "postgres://ota:geheim@127.0.0.1:1/ota", &["show", "dev1"]);
    let expected = "error: cannot use `postgres://ota@127.0.0.1:1/ota`: error \
         connecting to server: Connection refused (os error 111)\n";
    assert_eq!(away, expected);
}

/// Checks and results of many devices at once, while the database is not there: each is answered in time.
#[track_caller]
fn assert_without_state(server: &Serve) {
    thread::scope(|scope| {
        for n in 0..20 {
            scope.spawn(move || {
                // Spread over a second, so that some come while others are waited for.
                thread::sleep(Duration::from_millis(50 * n));
                let start = Instant::now();
                let check = server.check(IMEI, "0.10.65");
                let notify = server.notify("dev1", IMEI, "900 Success");
                assert_eq!((check.status, check.text()), (200, r#"{"upgrade":0}"#));
                assert_eq!(notify.status, 500);
                assert!(start.elapsed() < Duration::from_secs(4), "both took {:?}", start.elapsed());
            });
        }
    });
}

#[test]
fn devices_are_answered_while_the_database_is_gone_or_silent_and_it_is_used_again_afterwards() {
    let database = Postgres::start(FORGETFUL);
    let (fleet, url) = fleet(&database);
    let server = serve(&fleet, &url);
    server.has_its_records(IMEI, "0.10.65");
    let recovers = || {
        server.has_its_records(IMEI, "0.10.65");
        assert_eq!(server.notify("dev1", IMEI, "912 Deletion").status, 200);
        assert_eq!(says(&fleet, &url, &["retry", "dev1"]), "dev1 may try again\n");
    };
    database.freeze();
    assert_without_state(&server);
    database.thaw();
    recovers();
    database.crash();
    assert_without_state(&server);
    database.restart(FORGETFUL);
    recovers();
    // One that is there before its database is waits for it as well.
    database.shut_down();
    let early = serve(&fleet, &url);
    assert_without_state(&early);
    database.restart(FORGETFUL);
    recovers();
    early.has_its_records(IMEI, "0.10.65");
}

#[test]
fn the_records_are_copied_into_a_database_and_back() {
    let (fleet, url) = fleet(Postgres::shared());
    let state = fleet.path("state").display().to_string();
    let server = fleet.serve(&["--no-build"]);
    let check = server.check(IMEI, "0.10.65");
    assert_eq!((check.status, check.text()), (200, r#"{"upgrade":1}"#));
    assert_eq!(server.notify("dev1", IMEI, "907 Invalid JAR").status, 200);
    server.check("999999999999999", "0.10.65");
    assert_eq!(server.terminate().code, Some(0));

    let there = says(&fleet, "", &["state", "copy", &state, &url]);
    let (first, sums) = there.split_once('\n').unwrap();
    assert_eq!(first, format!("copied `{state}` to `{url}`; both are the same:"));
    let counts: Vec<_> = sums.lines().map(|line| line.split("sha256").next().unwrap().trim()).collect();
    let kinds = [
        "1 device",
        "1 rollout",
        "1 release",
        "1 channel",
        "0 rates",
        "3 events",
        "1 unknown device",
        "0 cursors",
    ];
    assert_eq!(counts, kinds);
    assert_eq!(says(&fleet, &url, &["show", "dev1"]), says(&fleet, &state, &["show", "dev1"]));
    let back = fleet.path("back").display().to_string();
    let copied = says(&fleet, "", &["state", "copy", &url, &back]);
    assert_eq!(copied, format!("copied `{url}` to `{back}`; both are the same:\n{sums}"));

    let again = says(&fleet, "", &["state", "copy", &state, &url]);
    assert_eq!(again, format!("error: there are records in `{url}` already: name an empty place\n"));
    let nothing = says(&fleet, "", &["state", "copy", "nowhere", &url]);
    assert_eq!(nothing, "error: there is no state in `nowhere`\n");
    let wrong = says(&fleet, "", &["state", "copy", "postgres://ota:geheim@db:x/ota", &url]);
    assert!(
        wrong.starts_with("error: FROM: the URL of the database: ") && !wrong.contains("geheim"),
        "{wrong}"
    );
}
