//! The versions of the fleet: over time as curves, and now as shares.

use serde_json::{Value, json};

use super::events::Mark;
use super::percent;
use crate::report::status::Status;
use crate::report::status::gate::share;
use crate::report::status::history::adoption;
use crate::report::status::records::Change;
use crate::report::status::summary::Summary;
use crate::report::status::time::moment;
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;

/// Versions with a colour of their own; the others share one.
const COLOURS: usize = 6;

/// The points of a curve.
const STEPS: usize = 160;

/// The latest marks that are shown.
const EVENTS: usize = 12;

/// The size of a drawing, which is stretched to the width of the page.
const SIZE: (f64, f64) = (1000.0, 240.0);

const DAY: i64 = 86_400;

/// The spans that are drawn: their names, and how many days, or all.
const SPANS: [(&str, Option<i64>); 3] = [("7 days", Some(7)), ("30 days", Some(30)), ("all", None)];

/// A drawing for each span that is not longer than the fleet's history.
pub(super) fn charts(
    fleet: &Fleet,
    status: &Status,
    changes: &[Change],
    beginning: &Option<i64>,
    versions: &[Version],
    marks: &[Mark],
) -> Vec<Value> {
    let Some(beginning) = *beginning else { return Vec::new() };
    let spans = SPANS.iter().filter_map(|(name, days)| match days {
        Some(days) => {
            let from = status.now - days * DAY;
            (from > beginning).then(|| ((*name).to_owned(), from))
        }
        None => {
            let is_all = status.history_since != Some(beginning);
            let name = if is_all { (*name).to_owned() } else { format!("since {}", date(beginning)) };
            Some((name, beginning.min(status.now - 3600)))
        }
    });
    let spans: Vec<_> = spans.collect();
    let wanted = spans.len().saturating_sub(1).min(1);
    spans
        .iter()
        .enumerate()
        .map(|(n, (name, from))| {
            let mut chart = chart(fleet, status, changes, *from, versions);
            chart["events"] = events(marks, *from, status.now).into();
            chart["name"] = name.as_str().into();
            chart["wanted"] = (n == wanted).into();
            chart
        })
        .collect()
}

/// The day of a moment.
fn date(at: i64) -> String {
    moment(at).chars().take("2026-11-23".len()).collect()
}

/// The colour of a version: the newest ones have their own.
fn colour(version: Version, versions: &[Version]) -> usize {
    versions.iter().position(|other| *other == version).unwrap_or(COLOURS).min(COLOURS)
}

fn chart(fleet: &Fleet, status: &Status, changes: &[Change], from: i64, versions: &[Version]) -> Value {
    let adoption = adoption(fleet, status, changes, from, STEPS);
    let points = adoption.times.len();
    let mut series = vec![vec![0u32; points]; COLOURS + 1];
    for (version, counts) in &adoption.versions {
        let of_colour = &mut series[colour(*version, versions)];
        of_colour.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    let total = |at: usize| series.iter().map(|counts| counts[at]).sum::<u32>();
    let most = top((0..points).map(total).max().unwrap_or(0));
    let x = |at: usize| SIZE.0 * at as f64 / (points - 1).max(1) as f64;
    let y = |n: u32| SIZE.1 * (1.0 - f64::from(n) / f64::from(most));
    let mut below = vec![0u32; points];
    let mut areas = Vec::new();
    // The newest version is at the bottom, where its growth is read best.
    for (number, counts) in series.iter().enumerate().filter(|(_, counts)| counts.iter().any(|n| *n > 0)) {
        let above: Vec<u32> = below.iter().zip(counts).map(|(below, n)| below + n).collect();
        let upper = (0..points).map(|at| format!("{:.1},{:.1}", x(at), y(above[at])));
        let lower = (0..points).rev().map(|at| format!("{:.1},{:.1}", x(at), y(below[at])));
        let path: Vec<_> = upper.chain(lower).collect();
        areas.push(json!({
            "points": path.join(" "), "colour": number, "name": name(number, versions),
            "label": place(&below, &above, most),
        }));
        below = above;
    }
    let span = status.now - from;
    let labels = labels(from, span);
    let shown: Vec<_> = (0..=COLOURS).filter(|n| series[*n].iter().any(|count| *count > 0)).collect();
    let data = json!({
        "times": adoption.times,
        "series": shown.iter().map(|n| json!([name(*n, versions), n, series[*n]])).collect::<Vec<_>>(),
    });
    json!({
        "width": SIZE.0, "height": SIZE.1, "areas": areas, "labels": labels,
        "ticks": [most, most / 2, 0], "data": data.to_string(),
        "devices": total(points - 1), "last": points - 1,
    })
}

fn name(colour: usize, versions: &[Version]) -> String {
    match versions.get(colour).filter(|_| colour < COLOURS) {
        Some(version) => version.to_string(),
        None => "older and others".into(),
    }
}

/// The least round number from which a scale can go down to half of it.
fn top(most: u32) -> u32 {
    let mut unit = 2;
    for step in [5, 2].into_iter().cycle() {
        if let Some(factor) = (1..=5).find(|factor| unit * factor >= most) {
            return unit * factor;
        }
        unit *= step;
    }
    most
}

/// Where the name of an area stands: in its thickest part, in percent, away from the edges; nowhere if the
/// area is thinner than its name.
fn place(below: &[u32], above: &[u32], most: u32) -> Option<Value> {
    let margin = below.len() / 12;
    let inner = margin..below.len().saturating_sub(margin);
    let thickness = |at: &usize| above[*at] - below[*at];
    let most_here = inner.clone().map(|at| thickness(&at)).max()?;
    let thickest: Vec<_> = inner.filter(|at| thickness(at) == most_here).collect();
    let at = thickest[thickest.len() / 2];
    let part = |n: f64| n * 100.0 / f64::from(most);
    if part(f64::from(above[at] - below[at])) < 12.0 {
        return None;
    }
    let x = at as f64 * 100.0 / (below.len() - 1).max(1) as f64;
    let y = 100.0 - part(f64::from(above[at] + below[at]) / 2.0);
    Some(json!({ "x": format!("{x:.1}"), "y": format!("{y:.1}") }))
}

/// Five moments of a span. A date stands once: `again` says that the one before has the same, and
/// `narrow-again` that the one before that has it, which is the one before where there is room for three.
fn labels(from: i64, span: i64) -> Vec<Value> {
    let moments: Vec<_> = (0..=4).map(|n| moment(from + span * n / 4)).collect();
    let day = |n: usize| moments[n].get(..10).unwrap_or_default();
    let label = |n: usize| {
        let is_again = |back: usize| n >= back && day(n - back) == day(n);
        let again = [(1, "again"), (2, "narrow-again")].into_iter().filter(|(back, _)| is_again(*back));
        let class: Vec<_> = again.map(|(_, class)| class).collect();
        let clock = moments[n].get(11..16).filter(|_| span <= 6 * DAY);
        json!({ "at": moments[n], "day": day(n), "clock": clock, "class": class.join(" ") })
    };
    (0..moments.len()).map(label).collect()
}

fn events(marks: &[Mark], from: i64, now: i64) -> Vec<Value> {
    let shown = marks.iter().filter(|mark| (from..=now).contains(&mark.at)).rev().take(EVENTS);
    let mut events: Vec<_> = shown
        .map(|mark| {
            let x = (mark.at - from) as f64 * 100.0 / (now - from).max(1) as f64;
            json!({ "x": format!("{x:.2}"), "at": moment(mark.at), "kind": mark.kind, "title": mark.title })
        })
        .collect();
    events.reverse();
    events
}

/// The versions that are reported now.
pub(super) fn shares(summary: &Summary, versions: &[Version]) -> Vec<Value> {
    summary
        .versions
        .iter()
        .rev()
        .map(|(version, n)| {
            json!({
                "name": version.map_or("not reported".into(), |version| version.to_string()),
                "colour": version.map_or(COLOURS, |version| colour(version, versions)),
                "known": version.is_some(),
                "n": n, "share": share(*n, summary.devices), "width": percent(*n, summary.devices),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        let tops: Vec<_> = [0, 1, 2, 3, 7, 9, 10, 11, 26, 99, 100, 101, 7300, 99_999].map(top).into();
        assert_eq!(tops, [2, 2, 2, 4, 8, 10, 10, 20, 30, 100, 100, 200, 8000, 100_000]);
    }

    #[test]
    fn a_date_stands_once() {
        // What is shown where there is room for each label, or for every second one.
        let texts = |from: i64, span, room: usize, again: &str| -> Vec<String> {
            let text = |label: &Value| {
                let part = |name: &str| label[name].as_str().unwrap_or_default().to_owned();
                let is_again = part("class").split(' ').any(|class| class == again);
                let day = if is_again { String::new() } else { part("day") };
                format!("{day} {}", part("clock")).trim().to_owned()
            };
            labels(from, span).iter().step_by(room).map(text).collect()
        };
        let from = 1_795_428_000;
        let wide = texts(from, DAY, 1, "again");
        assert_eq!(wide, ["2026-11-23 10:00", "16:00", "22:00", "2026-11-24 04:00", "10:00"]);
        let narrow = texts(from, DAY, 2, "narrow-again");
        assert_eq!(narrow, ["2026-11-23 10:00", "22:00", "2026-11-24 10:00"]);
        assert_eq!(texts(from, 8 * DAY, 1, "again")[..2], ["2026-11-23", "2026-11-25"]);
    }
}
