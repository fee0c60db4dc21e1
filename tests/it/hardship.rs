//! Times of trouble on a real machine: disks without room under the responder and the relay, clocks that jump, a
//! broker that is away for a day.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use otapress_responder::record::EventKind;
use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::{FILE, SqliteStore};
use serde_json::Value;

use crate::relay::World;
use crate::support::clock::Clock;
use crate::support::mosquitto::{Message, Mosquitto, Relay};
use crate::support::mounts::with_mounts;
use crate::support::process::{Fleet, PATIENCE, Serve, YAML, wait_until};
use crate::support::programs::otapress_cgi;

const NO: &str = r#"{"upgrade":0}"#;
const YES: &str = r#"{"upgrade":1}"#;

fn imei(n: usize) -> String {
    format!("3520990{n:08}")
}

/// A fleet of devices that are to run 0.10.66, and nothing holds them.
fn fleet(devices: usize) -> Fleet {
    let devices: String = (0..devices).map(|n| format!("  d{n}: {{ imei: \"{}\" }}\n", imei(n))).collect();
    let yaml = YAML.replace("  dev1: { imei: \"352099001761481\" }\n", &devices);
    Fleet::new(&yaml.replace("{ next: 0.10.66 }", "{ next: { release: 0.10.66, unproven: unlimited } }"))
}

/// The devices of which an event of that kind is kept.
fn kept(state: &Path, kind: EventKind) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut store = SqliteStore::open(state, PATIENCE).unwrap();
    let read = store.read(&mut |tx| {
        let events = tx.events_of_kinds(&[kind], 0, u32::MAX)?;
        found = events.into_iter().map(|(_, event)| event.imei.unwrap().to_string()).collect();
        Ok(())
    });
    read.unwrap();
    found
}

/// Room beyond what is used, in kB.
const ROOMS: [u32; 15] = [0, 4, 8, 16, 24, 32, 48, 64, 80, 96, 128, 160, 200, 256, 1024];

/// Devices ask and report where the disk of the records has some room: where there are no records yet, and where
/// there are.
const RESPONDER: &str = r#"
    post() {
        printf %s "$3" | env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=POST "REQUEST_URI=$1" "HTTP_USER_AGENT=$2" \
            "CONTENT_LENGTH=${#3}" "OTAPRESS_OUT=$PWD/out" "OTAPRESS_STATE=$PWD/disk/state" "$CGI" 2>> "$result/said"
    }
    CGI=$1
    shift
    mkdir -p disk results made
    result=$PWD
    mount -t tmpfs tmpfs disk
    mkdir disk/state
    post /otap/version GW/352099000000007 0.10.65 > first
    cp -a disk/state made/
    umount disk
    for kind in fresh made; do for room in $@; do
        result=$PWD/results/$kind-$room
        mkdir $result
        mount -t tmpfs tmpfs disk
        case $kind in fresh) mkdir disk/state ;; made) cp -a made/state disk/ ;; esac
        mount -o remount,size=$(($(du -sk disk | cut -f1) + room + 4))k tmpfs disk
        for n in 0 1 2 3; do
            post /otap/version GW/35209900000000$n 0.10.65 | tail -n 1 > $result/check-$n
            post "/otap/notify?id=d$n" "TC65i/35209900000000$n Profile/IMP-NG" '900 Success' > $result/notify-$n
        done
        mount -o remount,size=0 tmpfs disk
        post /otap/version GW/352099000000006 0.10.65 | tail -n 1 > $result/then
        "$0" state check -s disk/state > $result/checked
        cp -a disk/state $result/
        umount disk
    done; done"#;

/// At each of its writes the disk of the records is full for once: a device is answered all the same, and what is
/// acknowledged is kept.
#[test]
fn a_disk_that_is_full_at_any_write_of_the_responder() {
    let fleet = fleet(8);
    assert!(fleet.run(&["build"]).status.success());
    let rooms = ROOMS.map(|room| room.to_string());
    let cgi = [otapress_cgi().as_os_str()].into_iter();
    let arguments: Vec<_> = cgi.chain(rooms.iter().map(AsRef::as_ref)).collect();
    with_mounts(RESPONDER, &fleet.path(""), &arguments);
    let (mut refused, mut lost) = (0, Vec::new());
    let places = |kind| rooms.iter().map(move |room| format!("results/{kind}-{room}"));
    for place in places("fresh").chain(places("made")) {
        let read = |name: &str| fs::read_to_string(fleet.path(&format!("{place}/{name}"))).unwrap();
        let state = fleet.path(&format!("{place}/state"));
        let (offered, installed) = (kept(&state, EventKind::Offered), kept(&state, EventKind::Installed));
        for n in 0..4 {
            match read(&format!("check-{n}")).as_str() {
                YES if !offered.contains(&imei(n)) => lost.push(format!("{place}: the offer of {n}")),
                YES => {}
                NO => refused += 1,
                other => panic!("{place}: {other}: {}", read("said")),
            }
            let answer = read(&format!("notify-{n}"));
            match answer.lines().next().unwrap_or_default().trim_end() {
                "Status: 200 OK" if !installed.contains(&imei(n)) => {
                    lost.push(format!("{place}: the result of {n}"))
                }
                "Status: 200 OK" => {}
                "Status: 500 Internal Server Error" => refused += 1,
                other => panic!("{place}: {other}: {}", read("said")),
            }
        }
        assert_eq!(read("then"), YES, "{place}: {}", read("said"));
        assert!(read("checked").starts_with("nothing is wrong"), "{place}");
    }
    assert_eq!(lost, <[String; 0]>::default());
    assert!((20..200).contains(&refused), "{refused} were refused");
}

fn seq(message: &Message) -> i64 {
    serde_json::from_str::<Value>(&message.payload).unwrap()["seq"].as_i64().unwrap()
}

/// The disk of the records is full while a relay keeps how far it has come: every event arrives, some twice.
#[test]
fn a_disk_that_is_full_at_any_write_of_the_relay() {
    const EVENTS: usize = 40;
    let (world, broker) = (World::new(), Mosquitto::start());
    let listener = broker.listen("listener", "#");
    let mut store = world.store();
    world.happen(&mut store, 0..EVENTS);
    drop(store);
    // Without its log, for which there has to be room first.
    let database = world.0.path("state").join(FILE);
    let db = rusqlite::Connection::open(&database).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(database.with_file_name(format!("{FILE}{suffix}"))).ok();
    }
    let script = r#"
        broker=$1
        shift
        mkdir disk
        for room in $@; do
            mount -t tmpfs tmpfs disk
            cp -a state disk/
            mount -o remount,size=$(($(du -sk disk | cut -f1) + room + 4))k tmpfs disk
            relay() { "$0" relay --mqtt $broker --once --prefix room$room --client-id room$room -s disk/state 2>> said; }
            relay || echo $room >> failed
            mount -o remount,size=0 tmpfs disk
            relay
            "$0" state check -s disk/state > checked
            umount disk
        done"#;
    let (url, rooms) = (broker.url(), [0, 8, 32, 36, 40, 64, 1024].map(|room: u32| room.to_string()));
    let arguments: Vec<_> = [url.as_ref()].into_iter().chain(rooms.iter().map(AsRef::as_ref)).collect();
    with_mounts(script, &world.0.path(""), &arguments);
    for room in &rooms {
        let prefix = format!("room{room}/");
        let heard = || {
            let messages = listener.messages();
            let of_room = messages.iter().filter(|message| message.topic.starts_with(&prefix));
            of_room.map(seq).collect::<BTreeSet<_>>()
        };
        wait_until(|| heard().len() == EVENTS, || format!("{room}: {:?}", heard()));
    }
    let failed = fs::read_to_string(world.0.path("failed")).unwrap();
    assert!(failed.starts_with("0\n") && !failed.contains("1024"), "{failed}");
}

fn status(fleet: &Fleet) -> Value {
    let output = fleet.run(&["status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// `serve` with a clock of its own.
fn serve_with(fleet: &Fleet, clock: &Clock) -> Serve {
    let mut command = fleet.command(&["serve", "--listen", "127.0.0.1:0"]);
    clock.give(&mut command);
    Serve::start(command).unwrap_or_else(|ended| panic!("{ended:?}"))
}

/// The clock of the whole program goes days ahead, back, further back, and right again. Nobody loses an attempt or
/// fails by it, nobody is offered more than it may have, and the brake of a good release is not pulled.
#[test]
fn the_clock_of_serve_jumps_both_ways() {
    const EACH: usize = 12;
    let (fleet, clock) = (fleet(5 * EACH), Clock::new());
    let serve = serve_with(&fleet, &clock);
    let told = |n: usize, version: &str| {
        let reply = serve.check(&imei(n), version);
        assert_eq!(reply.status, 200);
        match reply.text() {
            YES => true,
            NO => false,
            other => panic!("{other}"),
        }
    };
    let mut offers = vec![0; 5 * EACH];
    for (round, jump) in ["+0", "+3d", "+0", "-2d", "+0"].into_iter().enumerate() {
        clock.set(jump);
        let new = round * EACH..(round + 1) * EACH;
        // Those of the round before report only now, whatever the clock says: half of them run it.
        let before = new.start.saturating_sub(EACH)..new.start;
        for (n, offers) in before.clone().zip(&mut offers[before]) {
            if n % 2 == 0 {
                assert!(!told(n, "0.10.66"), "device {n} runs its target");
            } else {
                *offers += usize::from(told(n, "0.10.65"));
            }
        }
        for (n, offers) in new.clone().zip(&mut offers[new]) {
            assert!(told(n, "0.10.65"), "{jump}: device {n} is offered nothing: {}", serve.log());
            *offers += 1;
        }
        assert_eq!(status(&fleet)["rollouts"][0]["halted"], Value::Null, "{jump}");
    }
    assert!(offers.iter().all(|&count| count <= 3), "{offers:?}");
}

/// A day without a broker, which comes back without a memory: everything arrives, and what devices say is heard.
#[test]
fn a_broker_that_comes_back_after_a_day() {
    let (world, clock) = (World::new(), Clock::new());
    let mut broker = Mosquitto::start();
    let mut store = world.store();
    world.happen(&mut store, 0..20);
    let mut command = world.0.command(&["relay", "--mqtt", &broker.url()]);
    clock.give_both(&mut command);
    let mut relay = Relay::start(command, world.0.path("relay.log"));
    wait_until(|| world.cursor() == 20, || relay.log());
    broker.kill();
    fs::remove_file(broker.path("mosquitto.db")).ok();
    relay.wait_for("trying again in");
    clock.set("+12h");
    world.happen(&mut store, 20..1_000);
    clock.set("+1d");
    broker.restart();
    let listener = broker.listen("listener", "events/#");
    wait_until(|| world.cursor() >= 1_000, || format!("{}: {}", world.cursor(), relay.log()));
    // The listener is as new as the broker: it may have missed what was sent before it came.
    let heard: Vec<_> = listener.wait_for(1).iter().map(seq).collect();
    wait_until(|| listener.messages().iter().any(|message| seq(message) == 1_000), || format!("{heard:?}"));
    let heard: Vec<_> = listener.messages().iter().map(seq).collect();
    assert!(heard.windows(2).all(|pair| pair[0] + 1 == pair[1]), "in order, and each once: {heard:?}");
    // Its subscription was made anew, too.
    clock.set("+0");
    let at = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(5)).to_string();
    let at = at.split('.').next().unwrap().replace(['-', ':'], "") + "Z";
    broker.publish("owntracks/gw/dev1/start", format!("352099001761481 0.10.66 {at}"), false);
    let is_known = || kept(&world.0.path("state"), EventKind::FirstSeen).contains("352099001761481");
    wait_until(is_known, || relay.log());
    relay.kill();
}
