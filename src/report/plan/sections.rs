//! The sections of a plan, in order.

use super::rows::{files, jar, obstacle, rule, setting, suite, transition, wave};
use std::collections::BTreeMap;

use super::{Mark, Row, Section, Words};
use crate::report::status::time::moment;
use crate::report::words::{bytes, count, form};
use otapress_publish::plan::Costs;
use otapress_publish::plan::{Kind, Opening, Plan};
use otapress_publish::publish::is_mass_removal;

/// How many devices go now and when the others may, as of `now`: `71 now · 91 from 2026-11-30T08:00:00Z · 138
/// after wave 2 has proven itself`.
pub(super) fn schedule(plan: &Plan, now: i64) -> Option<String> {
    let mut counts: BTreeMap<Opening, usize> = BTreeMap::new();
    for departure in &plan.departures {
        let at = departure.opening.at.filter(|at| *at > now);
        let after = departure.opening.after;
        *counts.entry(Opening { at, after }).or_default() += departure.devices;
    }
    let said = |(opening, devices): (Opening, usize)| {
        let at = opening.at.map(|at| format!(" from {}", moment(at)));
        let after = opening.after.map(|proof| format!(" after wave {} has proven itself", proof.wave));
        let now = if at.is_none() && after.is_none() { " now" } else { "" };
        format!("{devices}{}{}{now}", at.unwrap_or_default(), after.unwrap_or_default())
    };
    let parts: Vec<_> = counts.into_iter().map(said).collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// The whole plan in one sentence.
pub(super) fn headline(plan: &Plan) -> String {
    if plan.is_empty() {
        return format!("nothing would change for {}", count(plan.after.devices, "device"));
    }
    let kinds = [
        (Kind::Downgrade, "sent back to a lower version"),
        (Kind::Upgrade, "sent to a higher version"),
        (Kind::Gains, "told a version for the first time"),
        (Kind::Loses, form(plan.count(Kind::Loses), "left with what it runs", "left with what they run")),
        (Kind::Held, "held"),
        (Kind::Released, "released"),
        (Kind::Added, "added"),
        (Kind::Removed, "removed"),
    ];
    let mut parts: Vec<_> = kinds
        .into_iter()
        .map(|(kind, verb)| (plan.count(kind), verb))
        .filter(|(n, _)| *n > 0)
        .map(|(n, verb)| format!("{n} {verb}"))
        .collect();
    let stay = plan.transitions.iter().filter(|transition| transition.kind() != Kind::Stays);
    let others = plan.changed - stay.map(|transition| transition.devices.count()).sum::<usize>();
    if others > 0 {
        parts.push(format!("{others} with other rules or settings"));
    }
    let devices: usize = plan.transitions.iter().map(|transition| transition.devices.count()).sum();
    let all = count(devices, "device");
    let mut line = match (&plan.before.site, plan.changed) {
        (None, _) => format!("first publication, for {all}"),
        (_, 0) => format!("{all} {} told the same as before", form(devices, "is", "are")),
        (_, changed) => {
            format!("{changed} of {all} {}: {}", form(changed, "changes", "change"), parts.join(", "))
        }
    };
    let moved: usize = plan.moves.iter().map(|moved| moved.devices.count()).sum();
    if moved > 0 {
        line += &format!("; {moved} {} JAD elsewhere", form(moved, "finds its", "find their"));
    }
    line
}

/// What the plan costs.
pub(super) fn price(plan: &Plan) -> Option<String> {
    plan.costs.as_ref()?.line()
}

/// Everything that changes; nothing that does not.
pub(super) fn sections(plan: &Plan) -> Vec<Section<'_>> {
    let all = [
        ("Devices", devices(plan)),
        ("Waves", plan.waves.iter().map(wave).collect()),
        ("In the way", plan.obstacles.iter().map(obstacle).collect()),
        ("Rules", plan.rules.iter().map(|change| rule(plan, change)).collect()),
        ("Settings", plan.settings.iter().map(setting).collect()),
        ("Site", site(plan)),
        ("JARs", plan.jars.iter().map(|change| jar(plan, change)).collect()),
        ("New in the releases", plan.suites.iter().map(suite).collect()),
        ("Expected", expected(plan)),
        ("Files", files(&plan.files)),
    ];
    all.into_iter()
        .map(|(title, rows)| Section { title, rows })
        .filter(|part| !part.rows.is_empty())
        .collect()
}

fn devices(plan: &Plan) -> Vec<Row<'_>> {
    let changes = plan.transitions.iter().filter(|transition| transition.kind() != Kind::Stays);
    let mut rows: Vec<_> = changes.map(transition).collect();
    if plan.replaced.count() > 0 {
        let what = Words::said("another IMEI under a clientID that is published");
        let row = Row::new(Mark::Changed, what).of(&plan.replaced);
        rows.push(row.note("a replaced tracker: what is known of the old one is not known of the new one"));
    }
    let removed = plan.count(Kind::Removed);
    if is_mass_removal(removed, plan.before.devices) {
        let text = format!(
            "{removed} of {} {} removed, which is more than 10 %: `build` refuses that without ",
            count(plan.before.devices, "device"),
            form(removed, "is", "are")
        );
        rows.push(Row::new(Mark::Danger, Words::said(text).and_value("--allow-mass-removal")));
    }
    rows
}

fn site(plan: &Plan) -> Vec<Row<'_>> {
    let ask =
        |what: &str| format!("devices go on asking where they were told to, until their {what} is set again");
    let mut rows = Vec::new();
    if let (Some(before), Some(after)) = (&plan.before.site, &plan.after.site) {
        if before.site != after.site {
            let what = Words::said("site: ").and_value(&before.site);
            rows.push(Row::new(Mark::Changed, what.becomes(Words::value(&after.site))).note(ask("otapURI")));
        }
        for (name, old, new) in [
            ("versionURI", &before.version_paths, &after.version_paths),
            ("notifyURI", &before.notify_paths, &after.notify_paths),
        ] {
            for path in new.iter().filter(|path| !old.contains(path)) {
                rows.push(Row::new(Mark::Added, Words::said(format!("{name}: ")).and_value(path)));
            }
            for path in old.iter().filter(|path| !new.contains(path)) {
                let what = Words::said(format!("{name}: ")).and_value(path);
                rows.push(Row::new(Mark::Removed, what).note(ask(name)));
            }
        }
        if before.auth != after.auth {
            let what =
                if after.auth { "JADs and JARs need a password" } else { "JADs and JARs are open to all" };
            rows.push(Row::new(Mark::Changed, Words::said(what)));
        }
    }
    for moved in &plan.moves {
        let before = moved.before.as_ref().map_or_else(|| Words::said("elsewhere"), Words::value);
        let what = Words::said("JADs move: ").then(before).becomes(Words::value(&moved.after));
        rows.push(Row::new(Mark::Changed, what).of(&moved.devices).note(ask("otapURI")));
    }
    let rewritten = plan.files.jads_rewritten;
    if rewritten > 0 {
        let what = format!("{} of the same version with another text", count(rewritten, "JAD"));
        rows.push(Row::new(Mark::Changed, Words::said(what)));
    }
    rows
}

fn expected(plan: &Plan) -> Vec<Row<'_>> {
    let upgrades = &plan.upgrades;
    let mut rows = Vec::new();
    if upgrades.devices > 0 {
        let what = format!(
            "{} to download {} in all, each with a reboot",
            count(upgrades.devices, "device"),
            bytes(upgrades.bytes)
        );
        rows.push(Row::new(Mark::Plain, Words::said(what)));
    }
    if upgrades.unsure > 0 {
        let more = if upgrades.devices > 0 { " more" } else { "" };
        let what = format!(
            "{}{more} to download up to {}: those that do not run their target already",
            count(upgrades.unsure, "device"),
            bytes(upgrades.unsure_bytes)
        );
        rows.push(Row::new(Mark::Plain, Words::said(what)));
    }
    let costs = plan.costs.iter().filter(|_| !plan.is_empty());
    rows.extend(costs.flat_map(Costs::lines).map(|line| Row::new(Mark::Plain, Words::said(line))));
    rows
}
