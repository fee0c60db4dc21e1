//! The conformance suite on PostgreSQL, and what is PostgreSQL's own: sessions, schemas, a server that is
//! gone.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Barrier;
use std::thread;

use super::private::{FORGETFUL, Postgres};
use super::*;
use otapress_responder::conformance;
use otapress_responder::fixture::NOW;
use otapress_responder::record::RolloutRecord;
use otapress_responder::records::{Changes, Few, Keys};
use otapress_responder::store::Tx;
use otapress_responder::store::conformance::Subject;

struct Database {
    url: String,
}

impl Database {
    fn url(&self) -> PostgresUrl {
        PostgresUrl::parse(&self.url).unwrap()
    }

    fn store(&self) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(&patient(&self.url()))
    }
}

/// A server that may take its time.
fn patient(url: &PostgresUrl) -> Server<'_> {
    Server { url, passfile: None, patience: Duration::from_secs(20), until: None }
}

impl Subject for Database {
    fn new() -> Self {
        Database { url: Postgres::shared().database() }
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store().unwrap())
    }
}

conformance!(Database);

fn count(store: &mut dyn Store) -> Result<u32, StoreError> {
    let mut count = 0;
    store.read(&mut |tx| tx.offers_in_hour("c", NOW).map(|n| count = n))?;
    Ok(count)
}

fn add(store: &mut dyn Store) -> Result<(), StoreError> {
    store.write(Durability::Power, &mut |tx| {
        tx.put(&Changes { rates: vec![("c", NOW / 60, 1)], ..Changes::default() })
    })
}

/// A transaction that is to be over in half a second ends within one and a half.
#[track_caller]
fn in_time<T>(store: &mut dyn Store, work: impl FnOnce(&mut dyn Store) -> T) -> T {
    let start = Instant::now();
    store.set_deadline(start + Duration::from_millis(500));
    let done = work(store);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    done
}

#[test]
fn many_make_the_same_new_tables() {
    for _ in 0..3 {
        let database = Database::new();
        let barrier = Barrier::new(16);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    barrier.wait();
                    add(&mut *database.open()).unwrap();
                });
            }
        });
        assert_eq!(count(&mut *database.open()).unwrap(), 16);
    }
}

#[test]
fn a_look_changes_nothing_and_a_newer_schema_is_refused() {
    let database = Database::new();
    let url = database.url();
    assert!(PostgresStore::open_read_only(&patient(&url)).unwrap().is_none());
    assert!(PostgresStore::existing(&patient(&url)).unwrap().is_none());
    let server = Postgres::shared();
    assert_eq!(server.psql(&database.url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");

    add(&mut *database.open()).unwrap();
    add(&mut PostgresStore::existing(&patient(&url)).unwrap().unwrap()).unwrap();
    let mut look = PostgresStore::open_read_only(&patient(&url)).unwrap().unwrap();
    assert_eq!(count(&mut look).unwrap(), 2);
    assert!(add(&mut look).unwrap_err().to_string().contains("read-only transaction"));
    assert_eq!(count(&mut look).unwrap(), 2, "and it is as good as before");

    server.psql(&database.url, "UPDATE otapress_schema SET number = 99");
    let newer = database.store().map(|_| ()).unwrap_err();
    assert!(matches!(newer, StoreError::Schema { found: 99, .. }), "{newer}");
}

#[test]
fn a_lock_is_waited_for_but_not_for_ever() {
    let database = Database::new();
    let mut store =
        PostgresStore::open(&Server { patience: Duration::from_secs(2), ..patient(&database.url()) })
            .unwrap();
    let mut other = database.store().unwrap();
    other
        .write(Durability::Power, &mut |tx| {
            // The lock is taken with the first look.
            tx.rollouts()?;
            let error = add(&mut store).unwrap_err();
            assert!(matches!(error, StoreError::Busy { .. }), "{error}");
            assert_eq!(count(&mut store).unwrap(), 0, "who reads waits for nobody");
            Ok(())
        })
        .unwrap();
    add(&mut store).unwrap();
}

/// Adds one to the offers of a rollout, as a batch of questions does; `meanwhile` happens between its look
/// and its changes. Returns how often it looked.
fn offer(
    store: &mut dyn Store,
    durability: Durability,
    mut meanwhile: impl FnMut(),
) -> Result<u32, StoreError> {
    let mut looks = 0;
    store.write(durability, &mut |tx| {
        let records = tx.load(&Keys { rollouts: Few::from_iter([ROLLOUT]), ..Keys::default() }, NOW)?;
        let mut rollout = records.rollout(ROLLOUT).cloned().unwrap_or_else(|| RolloutRecord::new(ROLLOUT));
        rollout.offered += 1;
        looks += 1;
        meanwhile();
        tx.put(&Changes { rollouts: vec![&rollout], ..Changes::default() })
    })?;
    Ok(looks)
}

fn offered(store: &mut dyn Store) -> u32 {
    let mut offered = 0;
    store.read(&mut |tx| tx.rollout(ROLLOUT).map(|rollout| offered = rollout.offered)).unwrap();
    offered
}

const ROLLOUT: &str = "next/0.10.66";

#[test]
fn a_batch_whose_look_is_out_of_date_looks_again() {
    for durability in [Durability::Process, Durability::Power] {
        let database = Database::new();
        let (mut store, mut other) = (database.store().unwrap(), database.store().unwrap());
        for n in 0..3 {
            let mut is_first = true;
            let interfere = || {
                // Under the lock, nobody else comes to write.
                if std::mem::take(&mut is_first) {
                    // Whoever else uses the server may get a number meanwhile, too.
                    assert!(offer(&mut other, durability, || ()).unwrap() <= 2);
                }
            };
            assert_eq!(offer(&mut store, durability, interfere).unwrap(), 2);
            assert_eq!(offered(&mut store), 2 * n + 2, "the other one's is counted as well");
            assert!(store.prefers_reading(), "others are about");
            store.crowded = 0;
        }
        assert!(offer(&mut store, durability, || ()).unwrap() <= 2);
    }
}

#[test]
fn a_transaction_that_began_before_the_look_is_noticed() {
    let database = Database::new();
    let mut store = database.store().unwrap();
    offer(&mut store, Durability::Power, || ()).unwrap();
    let (mut writer, mut other) = (database.store().unwrap(), database.store().unwrap());
    // It has its number when the other one looks, and is kept only afterwards.
    let held = writer.write(Durability::Power, &mut |tx| {
        tx.rollouts()?;
        let rollout = RolloutRecord { offered: 7, ..RolloutRecord::new(ROLLOUT) };
        tx.put(&Changes { rollouts: vec![&rollout], ..Changes::default() })?;
        // This question sends what is to be written.
        tx.rollouts()?;
        other.set_deadline(Instant::now() + Duration::from_millis(500));
        assert!(offer(&mut other, Durability::Power, || ()).is_err(), "it waits for the lock in vain");
        Ok(())
    });
    held.unwrap();
    assert_eq!(offered(&mut store), 7);
}

#[test]
fn many_count_together() {
    let database = Database::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut store = database.store().unwrap();
                for _ in 0..25 {
                    store.crowded = 0;
                    offer(&mut store, Durability::Power, || ()).unwrap();
                }
            });
        }
    });
    assert_eq!(offered(&mut *database.open()), 100);
}

#[test]
fn who_changes_nothing_waits_for_nobody() {
    let database = Database::new();
    let (mut store, mut other) = (database.store().unwrap(), database.store().unwrap());
    let mut held = |tx: &mut dyn Tx| {
        tx.rollouts()?;
        let keys = Keys { rollouts: Few::from_iter([ROLLOUT]), ..Keys::default() };
        in_time(&mut store, |store| store.write(Durability::Process, &mut |tx| tx.load(&keys, NOW).map(drop)))
    };
    other.write(Durability::Power, &mut held).unwrap();
}

#[test]
fn two_schemas_of_one_database_do_not_wait_for_each_other() {
    let database = Database::new();
    Postgres::shared().psql(&database.url, "CREATE SCHEMA other");
    let other = Database { url: format!("{}?options=-c%20search_path%3Dother", database.url) };
    let (mut store, mut other) = (database.store().unwrap(), other.store().unwrap());
    let mut work = |_: &mut dyn Tx| add(&mut other);
    store.write(Durability::Power, &mut work).unwrap();
    assert_eq!((count(&mut store).unwrap(), count(&mut other).unwrap()), (0, 1));
}

#[test]
fn a_server_that_is_started_anew_is_not_even_noticed() {
    let server = Postgres::start(FORGETFUL);
    let database = Database { url: server.database() };
    let (mut store, mut lease) =
        (database.store().unwrap(), database.open().lease("relay").unwrap().unwrap());
    add(&mut store).unwrap();
    for stop in [Postgres::shut_down, Postgres::crash] {
        assert!(lease.holds());
        stop(&server);
        assert!(!lease.holds(), "it ends with its connection");
        let gone = in_time(&mut store, |store| count(store)).unwrap_err();
        assert!(matches!(gone, StoreError::Engine { .. }), "{gone}");
        server.restart("");
        store.set_deadline(Instant::now() + Duration::from_secs(20));
        assert!(count(&mut store).is_ok());
        lease = store.lease("relay").unwrap().unwrap();
        stop(&server);
        server.restart("");
        add(&mut store).unwrap();
        drop(lease);
        lease = store.lease("relay").unwrap().unwrap();
    }
}

#[test]
fn a_server_that_answers_nothing_is_given_up_in_time_and_nothing_was_done() {
    let server = Postgres::start(FORGETFUL);
    let database = Database { url: server.database() };
    let mut store = database.store().unwrap();
    add(&mut store).unwrap();
    server.freeze();
    for _ in 0..2 {
        let error = in_time(&mut store, |store| add(store)).unwrap_err();
        assert!(matches!(error, StoreError::Engine { .. }), "{error}");
        assert!(in_time(&mut store, |store| count(store)).is_err());
    }
    server.thaw();
    store.set_deadline(Instant::now() + Duration::from_secs(20));
    assert_eq!(count(&mut store).unwrap(), 1);
    add(&mut store).unwrap();
}

#[test]
fn a_commit_without_an_answer_is_in_doubt() {
    let database = Database::new();
    let mut store = database.store().unwrap();
    add(&mut store).unwrap();
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); \
        RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON rates DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
         EXECUTE \
         FUNCTION slow()";
    Postgres::shared().psql(&database.url, slow);
    let error = in_time(&mut store, |store| add(store)).unwrap_err();
    assert!(matches!(error, StoreError::InDoubt { .. }), "{error}");
}

#[test]
fn a_password_from_a_file_and_certificates_that_are_looked_at() {
    let server = Postgres::start(FORGETFUL);
    server.psql("postgres", "CREATE USER ota PASSWORD 'ge:heim'");
    server.psql("postgres", "CREATE DATABASE ota OWNER ota");
    server.shut_down();
    let data = server.directory().join("data");
    fs::write(
        data.join("pg_hba.conf"),
        "local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let certificate = |name: &str, host: &str| {
        let (key, pem) = (path(&format!("{name}.key")), path(&format!("{name}.pem")));
        let made = std::process::Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=test", "-addext", &format!("subjectAltName={host}")])
            // A certificate of an authority is none of a server.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&pem)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (key, pem)
    };
    let (key, pem) = certificate("here", "DNS:localhost");
    let (_, other) = certificate("other", "DNS:localhost");
    let owner = fs::metadata(data.join("PG_VERSION")).unwrap();
    for (file, of) in [("server.key", &key), ("server.crt", &pem)] {
        fs::copy(of, data.join(file)).unwrap();
        fs::set_permissions(data.join(file), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(data.join(file), Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    server.restart("-c ssl=on");

    let passfile = path("pgpass");
    fs::write(&passfile, "*:*:ota:ota:ge:heim\n").unwrap();
    fs::set_permissions(&passfile, fs::Permissions::from_mode(0o600)).unwrap();
    let port = server.address().port();
    let open = |host: &str, query: &str, passfile: Option<&Path>| {
        let url = PostgresUrl::parse(&format!("postgres://ota@{host}:{port}/ota?{query}")).unwrap();
        let opened = PostgresStore::open(&Server { passfile, ..patient(&url) });
        opened.and_then(|mut store| add(&mut store)).map_err(|error| error.to_string())
    };
    let file = Some(&*passfile);
    let trusted = format!("sslrootcert={}", pem.display());
    let untrusted = format!("sslrootcert={}", other.display());
    open("127.0.0.1", &format!("sslmode=verify-ca&{trusted}"), file).unwrap();
    open("127.0.0.1", &format!("sslmode=verify-ca&{trusted}&passfile={}", passfile.display()), None).unwrap();
    open("localhost", &format!("sslmode=verify-full&{trusted}"), file).unwrap();
    for (host, query, passfile, why) in [
        // On this machine nothing is encrypted unless it is asked for.
        ("127.0.0.1", String::new(), file, "no pg_hba.conf entry"),
        ("127.0.0.1", format!("sslmode=verify-ca&{trusted}"), None, "password missing"),
        ("127.0.0.1", format!("sslmode=verify-full&{trusted}"), file, "not valid for name"),
        ("localhost", format!("sslmode=verify-full&{untrusted}"), file, "certificate"),
        ("127.0.0.1", format!("sslmode=verify-ca&{untrusted}"), file, "certificate"),
        ("localhost", "sslmode=verify-full".to_owned(), file, "certificate"),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(),
            file,
            "sslrootcert `/nowhere.pem`",
        ),
    ] {
        let error = open(host, &query, passfile).unwrap_err();
        assert!(error.contains(why) && !error.contains("heim"), "{query}: {error}");
    }
}

#[test]
fn new_tables_are_not_read_whole() {
    use statements::{CHANNELS, CLIENTS, DEVICES, ROLLOUTS, UNKNOWN};

    let database = Database::new();
    let mut store = database.store().unwrap();
    let mut connection = store.connection.take().unwrap();
    let a = "'{a}'";
    for (sql, parameters) in [
        (DEVICES, vec![a, "'{b}'"]),
        (ROLLOUTS, vec![a, "'{true}'", "1", "2"]),
        (CLIENTS, vec![a]),
        (CHANNELS, vec![a, "1", "2"]),
        (UNKNOWN, vec![a]),
    ] {
        let sql = (1..)
            .zip(parameters)
            .fold(sql.to_owned(), |sql, (n, value)| sql.replace(&format!("${n}"), value));
        let explain = format!("EXPLAIN {sql}");
        let deadline = Instant::now() + Duration::from_secs(20);
        let plan = store.connector.run(&mut connection, deadline, async |connection| {
            let lines = connection.client().query(&explain, &[]).await?;
            lines.iter().map(|line| line.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>()
        });
        let plan = plan.unwrap().join("\n");
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{sql}:\n{plan}");
    }
}

#[test]
fn a_database_of_another_encoding_is_refused_by_its_name() {
    let server = Postgres::shared();
    server.psql(
        "postgres",
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc",
    );
    let url = PostgresUrl::parse(&format!("postgres://postgres@{}/latin", server.address())).unwrap();
    let error = PostgresStore::open(&patient(&url)).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("its encoding is LATIN1"), "{error}");
}
