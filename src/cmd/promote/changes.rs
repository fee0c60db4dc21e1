//! The edits of fleet.yaml that promote a release, or take it back.

use anyhow::bail;
use jiff::Timestamp;

use super::{Args, Release, no_channel, proof};
use crate::context::WrongUsage;
use otapress_publish::edit::{Edit, Step, scalar, value, withdrawal};
use otapress_publish::fleet::{BasisPoints, Channel, Fleet, Wave};

/// The edits, and what they do in a few words.
pub(super) struct Changes {
    pub(super) edits: Vec<Edit>,
    pub(super) title: String,
}

/// A place in the entry of a channel.
fn place(channel: &str, steps: &[Step]) -> Vec<Step> {
    [&[Step::Key("channels".into()), Step::Key(channel.into())], steps].concat()
}

fn key(name: &str) -> Step {
    Step::Key(name.into())
}

/// Whether a fleet file says already what is asked for.
pub(super) fn are_in(text: &str, args: &Args) -> bool {
    let named = |steps: &[Step]| value(text, &place(&args.channel, steps));
    let of_channel = named(&[]).or_else(|| named(&[key("release")])).and_then(|text| text.parse().ok());
    let Some(release) = &args.release else { return false };
    if args.back {
        let withdrawn = value(text, &[key("withdrawn"), key(&release.text)]).is_some();
        withdrawn && of_channel != Some(release.version)
    } else {
        // A rollout that has begun can still be told to reach everyone.
        of_channel == Some(release.version) && !args.everyone
    }
}

impl Changes {
    /// A channel goes to a release.
    pub(super) fn forward(
        fleet: &Fleet,
        text: &str,
        args: &Args,
        release: &Release,
        now: i64,
    ) -> anyhow::Result<Self> {
        let name = &args.channel;
        let title = format!("{name}: {}", release.text);
        let Some(channel) = fleet.channels().iter().find(|channel| channel.name == *name) else {
            if !args.new {
                return Err(no_channel(fleet, name));
            }
            return Ok(Changes { edits: first(fleet, text, name, release), title });
        };
        let at = Place { text, channel };
        let before = channel.release.value;
        if before == release.version {
            let edits = if args.everyone { at.everyone(now) } else { Vec::new() };
            return Ok(Changes { edits, title: format!("{title} for everyone") });
        }
        let title = format!("{name}: {before} → {}", release.text);
        let mut edits = at.release(&release.text, otherwise(channel, args, now)?.as_deref());
        edits.extend(match (args.everyone, args.start) {
            (true, _) => at.everyone(now),
            (false, Some(start)) => at.shifted(start, |waves| waves.first().copied())?,
            (false, None) => Vec::new(),
        });
        let times: Vec<_> = channel.waves.iter().filter_map(|wave| wave.at).collect();
        if !args.everyone && args.start.is_none() && !times.is_empty() && times.iter().all(|at| *at <= now) {
            bail!(
                "every wave of channel `{name}` has opened, so that {} would reach everyone at once: \
                 `--start TIME` begins with the first wave again, `--everyone` says that this is meant",
                release.text
            );
        }
        Ok(Changes { edits, title })
    }

    /// The release of a channel is withdrawn, and every channel that names it returns to another one.
    pub(super) fn back(fleet: &Fleet, text: &str, args: &Args, why: &str, now: i64) -> anyhow::Result<Self> {
        let bad = proof::channel(fleet, &args.channel)?.release.value;
        let spelling = fleet.spelling(bad).into_owned();
        let mut edits = Vec::new();
        let mut moves = Vec::new();
        for channel in fleet.channels() {
            let outside = channel.otherwise.map(|release| release.value);
            if channel.release.value != bad && outside != Some(bad) {
                continue;
            }
            let to = match (&args.to, outside.filter(|outside| *outside != bad)) {
                (Some(to), _) if to.version == bad => {
                    bail!(WrongUsage(format!("--to: {bad} is what is taken back")))
                }
                (Some(to), _) => to.text.clone(),
                (None, Some(outside)) => fleet.spelling(outside).into_owned(),
                (None, None) if channel.release.value != bad => {
                    fleet.spelling(channel.release.value).into_owned()
                }
                (None, None) => bail!(WrongUsage(format!(
                    "channel `{}` has no other release in `otherwise`: name one with `--to RELEASE`",
                    channel.name
                ))),
            };
            let at = Place { text, channel };
            if channel.release.value == bad {
                edits.extend(at.release(&to, (outside == Some(bad)).then_some(&*to)));
                edits.extend(at.everyone(now));
                moves.push(format!("{}: {bad} → {to}", channel.name));
            } else {
                edits.extend(at.set("otherwise", &to));
            }
        }
        edits.push(withdrawal(&spelling, why));
        Ok(Changes { edits, title: format!("{bad} is taken back, {}", moves.join(", ")) })
    }
}

/// The first release of a channel, which is the default if it is the first of all.
fn first(fleet: &Fleet, text: &str, name: &str, release: &Release) -> Vec<Edit> {
    let mut edits = vec![Edit::Set { place: place(name, &[]), value: release.text.clone() }];
    let default = [key("default"), key("channel")];
    if fleet.channels().is_empty() && value(text, &default).is_none() {
        edits.push(Edit::Set { place: default.into(), value: scalar(name) });
    }
    edits
}

/// The release of devices outside of the rollout, if that is to change: what has reached everyone is what
/// they run.
fn otherwise(channel: &Channel, args: &Args, now: i64) -> anyhow::Result<Option<String>> {
    if let Some(release) = &args.otherwise {
        return Ok(Some(release.text.clone()));
    }
    let Some(outside) = channel.otherwise.map(|release| release.value) else { return Ok(None) };
    let reached_everyone = match is_everyone(&channel.waves, now) {
        Some(reached) => reached,
        None if outside == channel.release.value => false,
        None => bail!(WrongUsage(format!(
            "channel `{}` has waves that open by success, so that the fleet file does not tell which release \
             its \
             devices run: name that of devices outside of the rollout, with `--otherwise {}` if {0} has \
             reached \
             everyone, else with `--otherwise {outside}`",
            channel.name, channel.release.value
        ))),
    };
    Ok(reached_everyone.then(|| channel.spelling.clone()))
}

/// Whether the waves have let everyone in; none: the records alone tell.
fn is_everyone(waves: &[Wave], now: i64) -> Option<bool> {
    let is_open = |wave: &Wave| wave.at.is_none_or(|at| at <= now);
    let last = waves.last()?;
    if last.percent != BasisPoints::ALL || !waves.iter().all(is_open) {
        return Some(false);
    }
    if waves.iter().any(|wave| wave.after.is_some()) { None } else { Some(true) }
}

/// A channel's entry.
struct Place<'a> {
    text: &'a str,
    channel: &'a Channel,
}

impl Place<'_> {
    fn set(&self, name: &str, value: &str) -> Option<Edit> {
        Some(Edit::Set { place: place(&self.channel.name, &[key(name)]), value: value.to_owned() })
    }

    /// Other releases. A channel in one word may become an entry.
    fn release(&self, release: &str, otherwise: Option<&str>) -> Vec<Edit> {
        let name = &self.channel.name;
        if value(self.text, &place(name, &[])).is_some() {
            let value = match otherwise {
                Some(otherwise) => format!("{{ release: {release}, otherwise: {otherwise} }}"),
                None => release.to_owned(),
            };
            return vec![Edit::Set { place: place(name, &[]), value }];
        }
        let otherwise = otherwise.and_then(|otherwise| self.set("otherwise", otherwise));
        self.set("release", release).into_iter().chain(otherwise).collect()
    }

    /// Lets everyone in: the times of the waves move into the past, so that they can begin again later.
    fn everyone(&self, now: i64) -> Vec<Edit> {
        if is_everyone(&self.channel.waves, now) == Some(true) {
            return Vec::new();
        }
        let by_time = self.channel.waves.iter().all(|wave| wave.after.is_none());
        let reaches_all = self.channel.waves.last().is_some_and(|wave| wave.percent == BasisPoints::ALL);
        match self.shifted(now, |times| times.last().copied()) {
            Ok(edits) if by_time && reaches_all => edits,
            _ => self.set("rollout", &BasisPoints::ALL.to_string()).into_iter().collect(),
        }
    }

    /// Moves the times of all waves equally, so that one of them becomes `to`.
    fn shifted(&self, to: i64, which: impl Fn(&[i64]) -> Option<i64>) -> anyhow::Result<Vec<Edit>> {
        let waves = || self.channel.waves.iter().enumerate();
        let times: Vec<_> = waves().filter_map(|(_, wave)| wave.at).collect();
        let Some(from) = which(&times) else {
            bail!(WrongUsage(format!("--start: no wave of channel `{}` has an `at`", self.channel.name)));
        };
        let edits = waves().filter_map(|(n, wave)| Some((n, wave.at? + (to - from))));
        edits
            .map(|(n, at)| {
                let steps = [key("rollout"), Step::Item(n), key("at")];
                let value = Timestamp::from_second(at)?.to_string();
                Ok(Edit::Set { place: place(&self.channel.name, &steps), value })
            })
            .collect()
    }
}
