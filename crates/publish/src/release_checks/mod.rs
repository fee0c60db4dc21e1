//! What is wrong with a fleet that only its JARs tell: releases that are missing or withdrawn, and rollouts
//! that are odd.

mod rollouts;

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::diag::{Code, Diagnostic, Span};
use crate::fleet::{Channel, Fleet, Loaded, MUCH, Spanned, Withdrawal};
use crate::traffic::{self, megabytes};
use otapress_core::version::Version;
use otapress_core::words::{count, form};

pub use rollouts::past_waves;

/// Notes that the fleet refers to releases that a catalog does not have or that are withdrawn, and what
/// is odd about its rollouts. From here on releases are spelled as in their manifests.
pub fn check(loaded: &mut Loaded, catalog: &Catalog) {
    let Some(jars) = &loaded.jars else { return };
    let name = loaded.midlet.as_ref().map_or("FILE", |midlet| &midlet.name);
    // A release that is missing is one mistake, however often it is named.
    let mut missing: BTreeMap<Version, (Span, usize)> = BTreeMap::new();
    for release in loaded.releases.iter().filter(|release| catalog.misses(release.value)) {
        let (first, times) = missing.entry(release.value).or_insert((release.span, 0));
        *first = release.span.min(*first);
        *times += 1;
    }
    let missing: Vec<_> = missing
        .into_iter()
        .map(|(version, (span, times))| {
            let there = neighbours(version, &catalog.versions().collect::<Vec<_>>());
            let also = match times {
                1 => String::new(),
                2 => "; it is named in another place, too".into(),
                n => format!("; it is named in {} more places", n - 1),
            };
            let message = format!("release `{version}` is not in {}/, {there}{also}", jars.display());
            Diagnostic::new(Code::UnknownRelease, span, message)
                .hint(format!("add its JAR with `otapress add {name}-{version}.jar`"))
        })
        .collect();
    let withdrawn: Vec<_> =
        loaded.releases.iter().filter_map(|release| withdrawal(loaded, release)).collect();
    let costly: Vec<_> = loaded.fleet.iter().flat_map(|fleet| attempts(fleet, catalog)).collect();
    loaded.report(missing.into_iter().chain(withdrawn).chain(costly));
    if let Some(fleet) = &mut loaded.fleet {
        fleet.spell(catalog);
        let found = rollouts::check(fleet);
        loaded.report(found);
    }
}

/// What is wrong with a target that is withdrawn.
fn withdrawal(loaded: &Loaded, release: &Spanned<Version>) -> Option<Diagnostic> {
    let Withdrawal { reason, span } = loaded.withdrawn.get(&release.value)?;
    let (line, _) = loaded.sources.line_column(*span);
    let message = format!("release `{}` is withdrawn: {reason}", release.value);
    let hint = format!("name another release, or remove it from `withdrawn` in line {line}");
    Some(Diagnostic::new(Code::WithdrawnRelease, release.span, message).hint(hint))
}

/// What a catalog has instead of a version: all of it, or of many the nearest ones.
fn neighbours(version: Version, has: &[Version]) -> String {
    let at = has.partition_point(|other| *other < version);
    let (near, of) = match has.len() {
        0..=6 => (has, String::new()),
        n => (&has[at.saturating_sub(2)..n.min(at + 2)], format!(" among its {n}")),
    };
    let near: Vec<_> = near.iter().map(Version::to_string).collect();
    match &near[..] {
        [] => "which has none".into(),
        [one] => format!("which has {one}{of}"),
        [init @ .., last] => format!("which has {} and {last}{of}", init.join(", ")),
    }
}

/// Releases whose offers, all failing, would take much of a month's data.
fn attempts(fleet: &Fleet, catalog: &Catalog) -> Vec<Diagnostic> {
    let much = fleet.data_plan().and_then(|plan| plan.per_device).map_or(MUCH, |bytes| bytes as f64);
    let costly = |channel: &Channel| {
        let jar = catalog.get(channel.release.value)?.jar().size();
        let bytes = traffic::download(jar, 0) as f64 * f64::from(channel.attempts);
        (bytes > much).then(|| {
            let message = format!(
                "{} of release `{}` {} up to {} on a device where it fails",
                count(channel.attempts, "attempt"),
                channel.release.value,
                form(channel.attempts, "costs", "cost"),
                megabytes(bytes)
            );
            Diagnostic::new(Code::CostlyAttempts, channel.release.span, message)
                .hint("lower `attempts` of the channel: 3 is usual")
        })
    };
    fleet.channels().iter().filter_map(costly).collect()
}
