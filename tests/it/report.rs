//! The report in a real browser: what it says, search and order, no word on the console, no request to
//! anybody.
//!
//! `SCREENSHOTS=DIR` keeps pictures of it there, to be looked at.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use otapress::report::status::Status;
use otapress::report::status::filter::Filter;
use otapress::report::status::html::{self, INDEX};
use otapress::report::status::records::{Changes, Extent, Records};
use otapress::report::status::summary::Summary;
use otapress_responder::record::DeviceRecord;
use otapress_responder::records;
use otapress_responder::store::sqlite::SqliteStore;
use otapress_responder::store::{Durability, Store as _};
use serde_json::{Value, json};

use crate::support::browser::{Browser, Screen};
use crate::support::process::{Fleet, PATIENCE, Serve, YAML, wait_until};
use crate::support::story::{self, NOW, Story};

/// Writes the report of a story; returns its directory and the URL of its page.
fn written(story: &mut Story) -> (PathBuf, String) {
    let (fleet, status, changes) = story.at(NOW);
    let summary = Summary::of_all(&fleet, &status);
    let directory = story.path("report");
    fs::create_dir_all(&directory).unwrap();
    for page in html::pages(&fleet, &status, &summary, changes.all()).unwrap() {
        assert!(!String::from_utf8(page.content.clone()).unwrap().contains("swordfish"), "the password");
        fs::write(directory.join(page.name), page.content).unwrap();
    }
    let url = format!("file://{}", directory.join(INDEX).display());
    (directory, url)
}

/// The page has said nothing, and asked nobody but its own directory.
#[track_caller]
fn assert_quiet(browser: &Browser, own: &str) {
    assert_eq!(browser.console(), [""; 0]);
    let (own, strange): (Vec<_>, Vec<_>) = browser
        .requests()
        .into_iter()
        .filter(|url| !url.starts_with("data:"))
        .partition(|url| url.starts_with(own));
    assert_eq!(strange, [""; 0]);
    assert!(!own.is_empty(), "requests are seen");
}

/// The clientIDs that the table shows.
fn shown(browser: &Browser) -> Vec<String> {
    let names =
        "return [...document.querySelectorAll('#table tbody th')].map((th) => th.firstChild.textContent)";
    serde_json::from_value(browser.run(names)).unwrap()
}

/// What a reader sees of an element.
fn text(browser: &Browser, selector: &str) -> String {
    let text = browser.run(&format!("return document.querySelector({}).innerText", json!(selector)));
    text.as_str().unwrap().to_owned()
}

fn click(browser: &Browser, selector: &str) {
    browser.run(&format!("document.querySelector({}).click()", json!(selector)));
}

/// Fills a field in as a reader does.
fn fill(browser: &Browser, id: &str, value: &str) {
    let script = "const field = document.getElementById(ID); field.value = VALUE;
                  field.dispatchEvent(new Event(field.tagName === 'SELECT' ? 'change' : 'input'))";
    browser.run(&script.replace("ID", &json!(id).to_string()).replace("VALUE", &json!(value).to_string()));
    browser.run("return new Promise((done) => setTimeout(done, 30))");
}

/// Texts that are too faint against what is behind them (less than 4.5 to 1, WCAG AA).
const FAINT: &str = "
const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) \
** 2.4)
  .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const colour = parse(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const faint = new Set();
for (const element of document.querySelectorAll('body *')) {
  if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '')) continue;
  if (!element.checkVisibility() || element.closest('script, style, noscript, option, :disabled')) continue;
  const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
  if ((a + 0.05) / (b + 0.05) < 4.5) faint.add(`${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 30)}`);
}
return [...faint];";

/// What makes the page wider than the screen.
const STICKS_OUT: &str = "
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
return [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > \
width)
  .map((element) => `${element.tagName}.${element.className}`);";

#[test]
fn a_rollout_on_every_screen() {
    let mut story = story::of_a_rollout();
    let (directory, url) = written(&mut story);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "a small fleet is one file");
    let browser = Browser::start();
    for (screen, name) in [(Screen::Desktop, "desktop"), (Screen::Phone, "phone")] {
        for scheme in ["light", "dark"] {
            browser.on(screen, scheme);
            browser.open(&url);
            browser.picture(&format!("rollout-{name}-{scheme}"));
            assert_eq!(browser.run(FAINT), json!([]), "{name} {scheme}");
            assert_eq!(browser.run(STICKS_OUT), json!([]), "{name} {scheme}");
            assert_eq!(browser.accessibility(), [""; 0], "{name} {scheme}");
            // The same with open rows.
            browser.run("for (const name of [...document.querySelectorAll('[data-open]')].slice(0, 4)) document.querySelector(`[data-open='${name.dataset.open}']`).click()");
            browser.picture(&format!("rollout-{name}-{scheme}-open"));
            assert_eq!(browser.run(FAINT), json!([]), "{name} {scheme}");
            assert_eq!(browser.run(STICKS_OUT), json!([]), "{name} {scheme}");
            assert_eq!(browser.accessibility(), [""; 0], "{name} {scheme}");
        }
    }
    // The toggle wins over the system, and the choice stays.
    let paper = || browser.run("return getComputedStyle(document.body).backgroundColor");
    let dark = paper();
    click(&browser, "#theme");
    assert_eq!(browser.run("return document.documentElement.dataset.theme"), "light");
    assert_ne!(paper(), dark);
    browser.open(&url);
    assert_eq!(browser.run("return document.documentElement.dataset.theme"), "light");
    click(&browser, "#theme");
    assert_eq!(paper(), dark);
    assert_quiet(&browser, &format!("file://{}/", directory.display()));
}

#[test]
fn what_the_report_says_and_how_it_is_searched() {
    let mut story = Story::of_every_state();
    let (directory, url) = written(&mut story);
    let browser = Browser::start();
    browser.on(Screen::Desktop, "light");
    browser.open(&url);
    browser.picture("states-desktop-light");

    // The counts are those of the text.
    let tiles = browser.run(
        "return [...document.querySelectorAll('.tile')].map((tile) => tile.innerText.split('\\n').join(' '))",
    );
    let wanted = [
        "0 lost 0%",
        "1 halted 3.6%",
        "5 failed 17.9%",
        "2 silent 7.1%",
        "6 under way 21.4%",
        "4 waiting 14.3%",
        "3 on target 10.7%",
        "6 never heard of 21.4%",
        "28 devices",
    ];
    assert_eq!(tiles, json!(wanted));
    let needs = browser.run(
        "return [...document.querySelectorAll('#needs li')].map((need) => need.innerText.split('\\n')[0])",
    );
    assert_eq!(
        needs,
        json!([
            "brittle/0.10.66 is halted since 2026-11-23 08:36: 2 of 2 devices that finished failed. Find the cause first",
            "1 device failed for good: car-04: no attempts are left; see why, then give new ones",
            "2 devices silent: car-09, car-15: missed more than two checks; see to power, SIM and coverage",
        ])
    );
    let halted = text(&browser, "[aria-label='Rollout brittle/0.10.66'] .alarm");
    assert_eq!(
        halted,
        "Halted 1 h 23 min before (2026-11-23 08:36): 2 of 2 devices that finished failed. \
         Find the cause, then otapress resume brittle/0.10.66."
    );
    let failures = text(&browser, ".failures tbody");
    assert!(failures.contains("904\tJAR size mismatch\tthe release\tbrittle/0.10.66\t1"), "{failures}");

    // Search, filters, order.
    assert_eq!(shown(&browser).len(), 28);
    assert_eq!(text(&browser, "#found"), "28 devices");
    fill(&browser, "search", "Insufficient MEMORY");
    assert_eq!(shown(&browser), ["car-04"]);
    let row = text(&browser, "#table tbody tr");
    assert!(row.contains("see to the device, then otapress retry car-04"), "{row}");
    assert_eq!(text(&browser, "#found"), "1 of 28 devices");
    fill(&browser, "search", "no such thing");
    assert_eq!(text(&browser, "#table tbody"), "No device is like that.");
    click(&browser, "#clear");
    assert_eq!(shown(&browser).len(), 28);
    click(&browser, ".tile[data-filter=bad]");
    assert_eq!(shown(&browser), ["car-04", "car-03", "car-09", "odd-1", "odd-2"]);
    fill(&browser, "rollout", "brittle/0.10.66");
    assert_eq!(shown(&browser), ["odd-1", "odd-2"]);
    click(&browser, "[data-filter=halted][data-rollout='brittle/0.10.66']");
    assert_eq!(shown(&browser), ["odd-3"]);
    // The address says what is looked for.
    assert_eq!(browser.run("return location.hash"), "#state=halted&rollout=brittle%2F0.10.66");
    browser.open("about:blank");
    browser.open(&format!("{url}#state=silent"));
    assert_eq!(shown(&browser), ["car-09", "car-15"]);
    click(&browser, "#clear");
    click(&browser, "[data-sort='8']");
    assert_eq!(shown(&browser)[..2], ["car-13", "car-05"], "those that were heard of last");
    click(&browser, "[data-sort='8']");
    let sorted = "return document.querySelector('[aria-sort]').innerText + \
        document.querySelector('[aria-sort]').ariaSort";
    assert_eq!(browser.run(sorted), "Hearddescending");
    assert_eq!(shown(&browser).last().unwrap(), "car-13");

    // A row opens by keyboard, and shows what `otapress status` does.
    fill(&browser, "search", "car-04");
    browser.run("document.querySelector('[data-open]').focus()");
    browser.press("Enter");
    let open = text(&browser, "#table .details");
    for wanted in ["Insufficient memory", "offer\nnext/0.10.66: 0.10.65 → 0.10.66", "otapress show car-04"]
    {
        assert!(open.contains(wanted), "{open}");
    }
    let focused = "return document.activeElement.dataset.open + document.activeElement.ariaExpanded";
    assert_eq!(browser.run(focused), "352099001760004true");
    click(&browser, "#clear");

    // By keyboard alone: the curve tells its values.
    browser.run("document.querySelector('.plot').focus()");
    browser.press("ArrowLeft");
    assert_eq!(text(&browser, ".tip"), "2026-11-23 10:00\n\n0.10.65\n19\n\n0.10.66\n3");
    browser.press("Home");
    assert_eq!(text(&browser, ".tip"), "2026-11-19 22:40\n\n0.10.65\n1");

    // What stands in a comment is text.
    fill(&browser, "search", "onerror");
    assert!(text(&browser, "#table tbody").contains("</script><img src=x onerror=fail()>"));
    assert_eq!(browser.run("return document.querySelectorAll('img').length"), 0);
    assert_quiet(&browser, &format!("file://{}/", directory.display()));
}

#[test]
fn the_status_is_served_live() {
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&["--admin", "127.0.0.1:0"]);
    let log = serve.log();
    let admin = log.lines().find_map(|line| line.strip_prefix("status on http://")).unwrap();
    assert_eq!(serve.check("352099001761481", "0.10.65").status, 200);
    let browser = Browser::start();
    browser.open(&format!("http://{admin}/"));
    assert_eq!(shown(&browser), ["dev1"]);
    assert_quiet(&browser, &format!("http://{admin}/"));
    drop(browser);

    let ask =
        |method: &str, path: &str, host: &str| Serve::ask_at(admin.parse().unwrap(), method, path, host);
    let metrics = ask("GET", "/metrics", admin);
    assert_eq!(
        (metrics.status, metrics.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    assert!(metrics.text().contains("otapress_rollout_devices{rollout=\"next/0.10.66\",channel=\"next\",release=\"0.10.66\",state=\"offered\"} 1\n"), "{}", metrics.text());
    assert_eq!(ask("GET", "/healthz", "localhost").text(), "ok\n");
    let json: Value = serde_json::from_slice(&ask("GET", "/status.json", admin).body).unwrap();
    assert_eq!(json["summary"]["devices"], 1);
    for (method, path, host, status) in [
        ("POST", "/", admin, 405),
        ("GET", "/devices-0000.js", admin, 404),
        ("GET", "/otap/version", admin, 404),
        ("GET", "/files/dev1/OwnTracks.jad", admin, 404),
        ("GET", "/metrics", "evil.example.com", 421),
    ] {
        assert_eq!(ask(method, path, host).status, status, "{method} {path} {host}");
    }
    // And never where the devices ask.
    for path in ["/metrics", "/healthz", "/status.json"] {
        assert_eq!(serve.get(path).status, 404, "{path}");
    }
    // Asked again at once, the records are not looked at again.
    assert_eq!(serve.check("352099001769997", "0.1").status, 200);
    assert_eq!(ask("GET", "/metrics", admin).text(), metrics.text());
    assert_eq!(serve.terminate().code, Some(0));
}

/// A fleet of 100,000 devices that have all been heard of.
fn large() -> (Fleet, SqliteStore) {
    let fleet = Fleet::new(
        &YAML
            .replace(
                "channels: { next: 0.10.66 }",
                "channels: { next: { release: 0.10.66, otherwise: 0.10.65, rollout: 30% } }",
            )
            .replace("devices:\n  dev1: { imei: \"352099001761481\" }\n", "inventory: [all.csv]\n"),
    );
    let imei = |n: u32| format!("1000000001{n:05}");
    let lines = (0..LARGE).map(|n| format!("unit-{n:05},{},comment of {n}\n", imei(n)));
    fleet.write("all.csv", "clientID,imei,comment\n".to_owned() + &lines.collect::<String>());
    let mut store = SqliteStore::open(&fleet.path("state"), PATIENCE).unwrap();
    let record = |n: u32| DeviceRecord {
        last_seen: NOW - i64::from(n % 9000),
        reported: Some(if n.is_multiple_of(4) { "0.10.66" } else { "0.10.65" }.parse().unwrap()),
        ..DeviceRecord::new(imei(n).parse().unwrap(), NOW - 2_000_000 + i64::from(n))
    };
    store
        .write(Durability::Process, &mut |tx| {
            (0..LARGE).try_for_each(|n| {
                tx.put(&records::Changes { devices: vec![&record(n)], ..Default::default() })
            })
        })
        .unwrap();
    (fleet, store)
}

const LARGE: u32 = 100_000;

#[test]
fn a_hundred_thousand_devices_stay_usable() {
    let (fleet, mut store) = large();
    let loaded = otapress_publish::fleet::load(&fleet.path("fleet.yaml")).fleet.unwrap();
    let mut changes = Changes::default();
    let records = Records::read(&mut store, &loaded, Extent::ALL, &mut changes, NOW).unwrap();
    let status = Status::new(&loaded, records, NOW);
    let directory = fleet.path("report");
    fs::create_dir(&directory).unwrap();
    for page in html::pages(&loaded, &status, &Summary::of_all(&loaded, &status), changes.all()).unwrap() {
        fs::write(directory.join(page.name), page.content).unwrap();
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 21);
    let page = fs::metadata(directory.join(INDEX)).unwrap().len();
    assert!(page < 150_000, "the page itself has {page} bytes, whatever the size of the fleet");
    let browser = Browser::start();
    browser.on(Screen::Desktop, "light");
    let begun = Instant::now();
    browser.open(&format!("file://{}", directory.join(INDEX).display()));
    let found = |wanted: &str| wait_until(|| text(&browser, "#found") == wanted, || text(&browser, "#found"));
    found("100,000 devices");
    eprintln!("100,000 devices: {:?} until all are there", begun.elapsed());
    browser.picture("large-desktop-light");
    assert_eq!(browser.accessibility(), [""; 0]);
    assert_eq!(shown(&browser).len(), 100, "a page of them");
    fill(&browser, "search", "unit-54321");
    found("1 of 100,000 devices");
    assert_eq!(shown(&browser), ["unit-54321"]);
    click(&browser, "#clear");
    found("100,000 devices");
    click(&browser, "[data-sort='8']");
    assert_eq!(shown(&browser)[..2], ["unit-00000", "unit-09000"]);
    click(&browser, "#next");
    assert_eq!(text(&browser, "#page"), "2 of 1,000");
    // How long a reader waits, with room for a busy machine.
    for (what, script) in [
        (
            "to search",
            "document.getElementById('search').value = 'comment of 777'; \
             document.getElementById('state').dispatchEvent(new Event('change'))",
        ),
        (
            "to sort",
            "document.getElementById('clear').click(); document.querySelector(\"[data-sort='4']\").click()",
        ),
    ] {
        let took = browser
            .run(&format!("const begun = performance.now(); {script}; return performance.now() - begun"));
        eprintln!("100,000 devices: {took} ms {what}");
        assert!(took.as_f64().unwrap() < 3000.0, "{took} ms {what}");
    }
    assert_quiet(&browser, &format!("file://{}/", directory.display()));
}

/// What stands in fields of devices, and what does not, in pieces and together.
fn queries(fields: &[String]) -> Vec<String> {
    let mut state = 0x9e37_79b9_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut piece = || {
        let text: Vec<char> = fields[next(fields.len())].chars().collect();
        let from = next(text.len());
        let piece: String = text[from..].iter().take(1 + next(12)).collect();
        if next(4) == 0 { piece.to_uppercase() } else { piece }
    };
    (0..200).map(|n| (0..=n % 3).map(|_| piece()).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_page_finds_what_the_command_line_finds() {
    let mut story = Story::of_every_state();
    let (_, url) = written(&mut story);
    let (fleet, status, _) = story.at(NOW);
    let browser = Browser::start();
    browser.open(&url);
    let fields: Vec<String> = serde_json::from_value(browser.run(
        "document.querySelectorAll('[data-open]').forEach((name) => document.querySelector(`[data-open='${name.dataset.open}']`).click());
         return document.querySelector('#table tbody').innerText.split(String.fromCharCode(10)).filter((text) => text.trim() !== '')",
    ))
    .unwrap();
    for query in queries(&fields) {
        let filter = Filter { text: Some(query.clone()), ..Filter::default() };
        let kept = status.devices.iter().filter(|device| filter.keeps(&fleet, &status, device));
        let wanted: Vec<_> = kept.map(|device| fleet.devices()[device.index].client_id.to_string()).collect();
        let set = format!("document.getElementById('search').value = {}; ", json!(query));
        browser.run(&(set + "document.getElementById('state').dispatchEvent(new Event('change'))"));
        let mut found = shown(&browser);
        found.sort();
        assert_eq!(found, wanted, "{query:?}");
    }
}

#[test]
fn a_healthy_small_fleet_needs_nobody() {
    let devices: String =
        (1..=9).map(|n| format!("  unit-{n}: {{ imei: \"35209900176{n:04}\" }}\n")).collect();
    let yaml = YAML.replace("  dev1: { imei: \"352099001761481\" }\n", &devices);
    let mut story = Story::new(&format!("name: Acme couriers\n{yaml}"));
    for n in 1..=9 {
        let (imei, client) = (format!("35209900176{n:04}"), format!("unit-{n}"));
        story.check(&imei, "0.10.65", NOW - 90_000 + n);
        story.notify(&client, &imei, "900 Success", NOW - 89_000 + n);
        story.check(&imei, "0.10.66", NOW - 4_000 + n);
    }
    let (directory, url) = written(&mut story);
    let browser = Browser::start();
    for (screen, name) in [(Screen::Desktop, "desktop"), (Screen::Phone, "phone")] {
        for scheme in ["light", "dark"] {
            browser.on(screen, scheme);
            browser.open(&url);
            browser.picture(&format!("healthy-{name}-{scheme}"));
            assert_eq!(browser.run(STICKS_OUT), json!([]), "{name} {scheme}");
            assert_eq!(browser.accessibility(), [""; 0], "{name} {scheme}");
        }
    }
    assert_eq!(text(&browser, "h1"), "Acme couriers");
    assert!(text(&browser, "#needs").starts_with("Needs you\n\nNothing."));
    // Two of them answer 900 to the next release, and are never heard of again.
    story.fleet.write(
        "fleet.yaml",
        format!("name: Acme couriers\n{}", yaml.replace("next: 0.10.66", "next: 0.10.65")),
    );
    story.publish();
    for n in 1..=2 {
        let imei = format!("35209900176{n:04}");
        story.check(&imei, "0.10.66", NOW + 7_000 + n);
        story.notify(&format!("unit-{n}"), &imei, "900 Success", NOW + 7_200 + n);
    }
    for n in 3..=9 {
        story.check(&format!("35209900176{n:04}"), "0.10.66", NOW + 90_000 - n * 60);
    }
    let (fleet, status, changes) = story.at(NOW + 90_000);
    let summary = Summary::of_all(&fleet, &status);
    for page in html::pages(&fleet, &status, &summary, changes.all()).unwrap() {
        fs::write(directory.join(page.name), page.content).unwrap();
    }
    for (screen, name) in [(Screen::Desktop, "desktop"), (Screen::Phone, "phone")] {
        browser.on(screen, "light");
        browser.open(&url);
        browser.picture(&format!("lost-{name}-light"));
        assert_eq!(browser.accessibility(), [""; 0], "{name}");
    }
    let need = text(&browser, ".needs li");
    assert!(need.starts_with("2 devices lost: unit-1, unit-2: answered 900 (installed)"), "{need}");
    assert_eq!(text(&browser, ".tile"), "2\nlost\n22.2%");
    assert_eq!(shown(&browser)[..2], ["unit-1", "unit-2"]);
    assert_quiet(&browser, &format!("file://{}/", directory.display()));
}

/// The page that `serve --admin` shows renews itself, and the reader stays where he is.
#[test]
fn the_live_page_keeps_the_place() {
    let devices: String =
        (1..=30).map(|n| format!("  unit-{n:02}: {{ imei: \"35209900176{n:04}\" }}\n")).collect();
    let fleet = Fleet::new(&YAML.replace("  dev1: { imei: \"352099001761481\" }\n", &devices));
    let serve = fleet.serve(&["--admin", "127.0.0.1:0"]);
    let log = serve.log();
    let admin = log.lines().find_map(|line| line.strip_prefix("status on http://")).unwrap();
    assert_eq!(serve.check("352099001760007", "0.10.65").status, 200);
    let browser = Browser::start();
    browser.on(Screen::Desktop, "light");
    browser.open(&format!("http://{admin}/"));
    fill(&browser, "search", "unit-0");
    browser.run("document.querySelector(\"[data-open='352099001760007']\").click()");
    browser.run("document.querySelector(\"[data-open='352099001760007']\").focus(); scrollTo(0, 300)");
    let place =
        "return [document.activeElement.dataset.open, scrollY, document.getElementById('search').value,
        document.querySelectorAll('.details').length, location.hash]";
    let before = browser.run(place);
    assert_eq!(before, json!(["352099001760007", 300, "unit-0", 1, "#search=unit-0"]));
    let state = "return document.querySelector(\"[data-open='352099001760007']\").closest('tr').innerText";
    assert!(browser.run(state).as_str().unwrap().contains("upgrade under way"));
    assert_eq!(serve.check("352099001760007", "0.10.66").status, 200);
    let is_news = || browser.run(state).as_str().unwrap().contains("runs its target");
    wait_until(is_news, || browser.run(state).to_string());
    assert_eq!(browser.run(place), before);
    assert_eq!(text(&browser, ".tile[data-filter=good] .n"), "1");
    assert_eq!(browser.run("return document.getElementById('age').className"), "");
    assert_quiet(&browser, &format!("http://{admin}/"));
    // Without its server it says so.
    assert_eq!(serve.terminate().code, Some(0));
    let age = || text(&browser, "#age");
    wait_until(|| age().ends_with("not refreshed: the server does not answer"), age);
    assert_eq!(browser.run("return document.getElementById('age').className"), "stale");
    assert_eq!(browser.accessibility(), [""; 0]);
}
