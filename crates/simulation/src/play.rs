//! Plays a fleet, to rehearse a rollout: against a server, or in a [`World`] of its own.
//!
//! # Time
//!
//! The devices live in simulated time: an [`Agenda`] that is worked off by one thread. A world in this
//! process has that time for its own; only the clock of a real server is real, and nothing can move it. So
//! whoever plays hours in seconds against a server must know what is judged by that clock: waves, windows and
//! rates are those of the moment at which the simulation runs; the minute after an offer, in which a check
//! means that its answer was lost, and the minute after which settings count as confirmed, are minutes of
//! that clock as well. What a device reports (its version, its result) is judged the same whenever it comes,
//! so upgrades and failures with a code are counted as in real life. A failure that is not reported is taken
//! for a lost answer, as long as the device is back within that minute, and its attempts would never end; so
//! the device counts them itself.
//!
//! # Chance
//!
//! Every device has a [`Prng`] of its own, seeded by the seed and its IMEI: the same seed gives the same
//! lives, as long as the server answers the same.

use crate::agenda::Agenda;
use crate::player::Player;
use crate::prng::Prng;
use crate::report::{Report, Sent};
use otapress_core::version::Version;
use otapress_core::wire::Site;
use otapress_devices::device::{CheckOutcome, Device, Faults, Otap, Program};
use otapress_publish::jad;

/// A device's consecutive repeated posts before it is played on at its next interval. A real one goes on
/// every second for ever.
const POSTS_AGAIN: u32 = 10;

/// The play ends after this many consecutive requests without a reply: no server is there, and each of them
/// costs the time for one exchange.
const WITHOUT_REPLY: usize = 10;

/// Seconds from an upgrade answer to the first request of the modem.
const BEFORE_OTAP: u64 = 5;

/// Seconds that the procedure takes: at least, and how much more at most.
const OTAP: (u64, u64) = (60, 120);

/// Seconds from the reboot to the version check.
const START: u64 = 60;

/// The running version where no release is lower than the target.
const FROM_THE_WORKS: &str = "0.0.1";

/// Where the requests of devices go.
pub trait World {
    /// Lets a device check in that second; the answer may be lost on its way.
    fn check(&mut self, at: u64, index: usize, device: &mut Device, is_lost: bool) -> Checked;

    /// Lets a device upgrade.
    fn otap(&mut self, at: u64, index: usize, device: &mut Device, faults: &Faults) -> Otap;
}

/// A version check that was made.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What it sent; `None` if it does not ask.
    pub sent: Option<Sent>,
    /// What it makes of the reply.
    pub outcome: CheckOutcome,
}

/// The servers that the devices' own networks lead to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Servers;

impl World for Servers {
    fn check(&mut self, _: u64, _: usize, device: &mut Device, is_lost: bool) -> Checked {
        let check = if is_lost { device.check_and_lose_the_answer() } else { device.check() };
        Checked { sent: check.exchange.as_ref().map(Sent::from), outcome: check.outcome }
    }

    fn otap(&mut self, _: u64, _: usize, device: &mut Device, faults: &Faults) -> Otap {
        device.otap(faults)
    }
}

/// The parameters of a play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// The seed of all random choices.
    pub seed: u64,
    /// The length in simulated seconds.
    pub seconds: u64,
    /// Use identities that the responder remembers.
    pub record: bool,
    /// The share of the devices with a target that fail at every installation, in basis points, and their
    /// code.
    pub fail: Option<(u16, u16)>,
    /// The share of the devices with a target that install it, say so, and are never heard of again, in basis
    /// points.
    pub silent: u16,
    /// The share of answers to version checks that are lost, in basis points.
    pub lose: u16,
}

/// The events of a device, in their order within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Check,
    Otap,
    Start,
}

/// What becomes of the upgrades of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// What the server lets happen.
    Open,
    /// They fail.
    Fails,
    /// The first one that it installs is its last.
    Silent,
}

/// A device while it is played.
struct Life {
    player: Player,
    prng: Prng,
    fate: Fate,
    /// Seconds between its checks, and how often the settings had changed then.
    interval: (u64, u64),
    posts_again: u32,
    failed: u32,
    /// Of these, those without a posted result.
    silent: u32,
}

/// The version a device starts with: the release before its target, as in a fleet that was up to date.
/// Without a target: the newest release.
pub fn starts_with(site: &Site, target: Option<Version>) -> String {
    let releases =
        || site.releases.iter().filter_map(|r| Some((r.version.parse::<Version>().ok()?, &r.version)));
    let before = releases().filter(|(version, _)| target.is_none_or(|target| *version < target)).max();
    before.map_or(FROM_THE_WORKS.into(), |(_, text)| text.clone())
}

/// Plays. `pace` is told each second of simulated time before what happens in it, may wait, and ends the
/// play by `false`.
pub fn play(
    play: &Play,
    players: Vec<Player>,
    world: &mut dyn World,
    pace: &mut dyn FnMut(u64) -> bool,
) -> Report {
    let mut report = Report::new(play.seconds, &players);
    let mut lives: Vec<Life> = players.into_iter().map(|player| Life::new(play, player)).collect();
    choose_fates(&mut lives, play);
    let mut agenda = Agenda::default();
    for (index, life) in (0_u32..).zip(&mut lives) {
        let begin = life.prng.below(life.interval.0);
        agenda.add(begin, (index, Step::Start));
    }
    while let Some((at, (number, step))) = agenda.next() {
        let index = number as usize;
        if at >= play.seconds {
            break;
        }
        if !pace(at) || report.without_reply >= WITHOUT_REPLY {
            report.interrupted = Some(at);
            break;
        }
        let life = &mut lives[index];
        let next = match step {
            Step::Check | Step::Start => life.check(play, (at, index), world, &mut report),
            Step::Otap => life.otap(play, (at, index), world, &mut report),
        };
        if let Some((wait, step)) = next {
            agenda.add(at + wait, (number, step));
        }
    }
    for (index, life) in lives.iter().enumerate() {
        report.end(index, &life.player);
    }
    report
}

/// Exactly those shares of the devices with a target, rounded up; which ones is up to chance.
fn choose_fates(lives: &mut [Life], play: &Play) {
    let fail = play.fail.map_or(0, |(share, _)| share);
    if fail == 0 && play.silent == 0 {
        return;
    }
    let with_target = lives.iter_mut().filter(|life| life.player.target.is_some());
    let mut lots: Vec<_> = with_target.map(|life| (life.prng.draw(), life)).collect();
    let count = |share: u16| (lots.len() * usize::from(share)).div_ceil(10_000);
    let fates = [(Fate::Fails, count(fail)), (Fate::Silent, count(play.silent))];
    lots.sort_by_key(|(lot, life)| (*lot, life.player.device.imei));
    let fates = fates.into_iter().flat_map(|(fate, count)| std::iter::repeat_n(fate, count));
    lots.into_iter().zip(fates).for_each(|((_, life), fate)| life.fate = fate);
}

impl Life {
    fn new(play: &Play, mut player: Player) -> Life {
        if !play.record {
            player.device.quirks.program = Program::Simu;
            player.device.product = Program::Simu.to_string();
        }
        let imei: u64 = player.device.imei.to_string().parse().unwrap_or_default();
        // One step of the generator separates neighbouring seeds and IMEIs.
        let prng = Prng::new(play.seed ^ Prng::new(imei).draw());
        let interval = (interval_of(&player.device), player.device.settings.changes());
        Life { player, prng, fate: Fate::Open, interval, posts_again: 0, failed: 0, silent: 0 }
    }

    /// Looked up again only when the settings changed: that takes as long as all else in a check.
    fn interval(&mut self) -> u64 {
        let device = &self.player.device;
        if self.interval.1 != device.settings.changes() {
            self.interval = (interval_of(device), device.settings.changes());
        }
        self.interval.0
    }

    fn check(
        &mut self,
        play: &Play,
        (at, index): (u64, usize),
        world: &mut dyn World,
        report: &mut Report,
    ) -> Option<(u64, Step)> {
        let is_lost = self.prng.below(10_000) < u64::from(play.lose);
        let check = world.check(at, index, &mut self.player.device, is_lost);
        report.sent(at, index, check.sent);
        let interval = self.interval();
        match check.outcome {
            CheckOutcome::Disabled => None,
            CheckOutcome::Checked(answered) => {
                self.posts_again = 0;
                // The responder does not remember a simulated device, so the device counts for it.
                let counted = if play.record { self.silent } else { self.failed };
                let spent = counted >= self.player.attempts;
                if answered.upgrade && !spent {
                    report.offered(index);
                    Some((BEFORE_OTAP, Step::Otap))
                } else {
                    Some((interval, Step::Check))
                }
            }
            CheckOutcome::RepostsEverySecond(why) => {
                report.no_answer(&why);
                self.posts_again += 1;
                if self.posts_again < POSTS_AGAIN {
                    return Some((1, Step::Check));
                }
                self.posts_again = 0;
                report.given_up += 1;
                Some((interval, Step::Check))
            }
        }
    }

    fn otap(
        &mut self,
        play: &Play,
        (at, index): (u64, usize),
        world: &mut dyn World,
        report: &mut Report,
    ) -> Option<(u64, Step)> {
        let pretend = play.fail.filter(|_| self.fate == Fate::Fails).map(|(_, code)| code);
        let faults = Faults { pretend, ..Faults::default() };
        let runs = self.player.device.version.clone();
        let otap = world.otap(at, index, &mut self.player.device, &faults);
        report.sent(at, index, otap.exchanges.iter().map(Sent::from));
        let code = otap.outcome.code();
        if code != Some(jad::SUCCESS) {
            self.failed += 1;
            self.silent += u32::from(code.is_none());
        }
        report.attempt(index, &otap.outcome, pretend);
        if self.fate == Fate::Silent && code == Some(jad::SUCCESS) {
            self.player.device.version = runs;
            report.fell_silent(index);
            return None;
        }
        self.player.device.reboot();
        report.reboots += 1;
        Some((OTAP.0 + self.prng.below(OTAP.1) + START, Step::Start))
    }
}

fn interval_of(device: &Device) -> u64 {
    u64::try_from(device.version_interval()).unwrap_or_default().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use otapress_core::digest::Sha256;
    use otapress_core::wire::{FORMAT, Release};

    fn site(versions: &[&str]) -> Site {
        let release = |version: &&str| Release {
            version: (*version).into(),
            path: format!("jars/{version}/x/OwnTracks.jar"),
            size: 1,
            sha256: Sha256::of(b""),
            suite: Default::default(),
            withdrawn: None,
        };
        Site {
            otapress: FORMAT,
            site: "http://ota.example.com".into(),
            releases: versions.iter().map(release).collect(),
            ..Site::default()
        }
    }

    #[test]
    fn devices_start_with_the_release_before_their_target() {
        let site = site(&["0.9.9", "0.10.0", "0.10.66"]);
        let start = |target: &str| starts_with(&site, Some(target.parse().unwrap()));
        assert_eq!(start("0.10.66"), "0.10.0");
        assert_eq!(start("0.10"), "0.9.9");
        assert_eq!(start("0.9.9"), "0.0.1");
        assert_eq!(starts_with(&site, None), "0.10.66");
        assert_eq!(starts_with(&self::site(&[]), None), "0.0.1");
    }
}
