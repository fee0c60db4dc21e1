//! What `out/` says of one device, as the responder needs it: an answer file whose parts agree.

use std::collections::BTreeMap;

use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Day, Limit, Rollout, Setting, Target, Wave, Window};

/// How long an answer may have been under way: who asks again sooner did not get it.
pub const LOST_SECONDS: i64 = 60;

/// A device's answer file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "few devices are held, and an offer lives as long as its question"
)]
pub enum Offer {
    /// No upgrade and no settings.
    Held,
    /// The device is the responder's to manage.
    Managed(Managed),
}

/// What a device is to run and to have set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// What it is to run, if anything.
    pub target: Option<Target>,
    /// Its versionInterval in seconds.
    pub interval: u32,
    /// The name of the settings that are sent until they are confirmed; other settings have another name.
    pub generation: Option<String>,
    /// The settings, in the order in which they are to be applied.
    pub settings: Vec<Push>,
    /// What holds for everybody with that target.
    pub rules: Rules,
}

/// What `otapress.json` and the files of `out/` say of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many devices may be unproven at a time.
    pub unproven: Limit,
    /// The strictest brake among the rollouts of the release: so many artifact's faults stop all of them; 0:
    /// never.
    pub artifact_faults: u32,
    /// The waves of the rollout, if it has several.
    pub waves: Vec<Wave>,
    /// The release is the one that its channel is to run, not only what devices outside of a rollout get.
    pub is_of_channel: bool,
    /// Nobody is to be sent the release.
    pub is_withdrawn: bool,
    /// The JAR is there, as long as it should be.
    pub is_published: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            unproven: Limit::DEFAULT,
            artifact_faults: 0,
            waves: Vec::new(),
            is_of_channel: true,
            is_withdrawn: false,
            is_published: true,
        }
    }
}

/// A setting that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// What is sent.
    pub setting: Setting,
    /// At every check, instead of until it is confirmed.
    pub always: bool,
    /// Whether its JSON has a digit 1, which firmware before [`Version::READS_JSON`] takes for an upgrade.
    pub has_one: bool,
}

/// Why an answer file is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// `upgrade` says otherwise than `offer`.
    #[error("`upgrade` contradicts `offer`")]
    Upgrade,
    /// Settings that are to be confirmed, and no name to confirm them by.
    #[error("settings without a `generation`")]
    Generation,
}

impl Offer {
    /// The offer of an answer file, with what `rollouts`, those of `otapress.json`, say of its wave.
    ///
    /// # Errors
    /// If the file contradicts itself.
    pub fn new(file: AnswerFile, rollouts: &BTreeMap<String, Rollout>) -> Result<Self, OfferError> {
        let mut offer = file.offer;
        if offer.held {
            return Ok(Offer::Held);
        }
        match (file.upgrade, &offer.target) {
            (0, None) | (1, Some(_)) => {}
            _ => return Err(OfferError::Upgrade),
        }
        if let Some(target) = &mut offer.target {
            target.from = match target.wave_in(rollouts) {
                Some(wave) => wave.at,
                None => Some(i64::MAX),
            };
        }
        let rules = offer.target.as_ref().map(|target| Rules::of(target, rollouts)).unwrap_or_default();
        let settings: Vec<_> = file
            .settings
            .into_iter()
            .map(|setting| Push {
                always: offer.always.contains(&setting.key),
                has_one: setting.to_json().contains('1'),
                setting,
            })
            .collect();
        if offer.generation.is_none() && settings.iter().any(|push| !push.always) {
            return Err(OfferError::Generation);
        }
        Ok(Offer::Managed(Managed {
            target: offer.target,
            interval: offer.interval,
            generation: offer.generation,
            settings,
            rules,
        }))
    }

    /// What the device is to run, if anything.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Offer::Managed(managed) => managed.target.as_ref(),
            Offer::Held => None,
        }
    }
}

impl Rules {
    fn of(target: &Target, rollouts: &BTreeMap<String, Rollout>) -> Self {
        let own = rollouts.get(&target.rollout);
        Rules {
            unproven: own.map_or(Limit::DEFAULT, |rollout| rollout.unproven),
            waves: own
                .filter(|own| own.has_several_waves())
                .map_or_else(Vec::new, |rollout| rollout.waves.clone()),
            artifact_faults: target.brake.artifact_faults,
            ..Rules::default()
        }
    }
}

impl Managed {
    /// How long success is awaited after an offer: two checks may be missed, and an hour for the rest.
    pub fn patience(&self) -> i64 {
        2 * i64::from(self.interval) + 3600
    }

    /// Its target's rollout and its wave there, if that has several.
    pub(super) fn wave(&self) -> Option<(&str, &Wave)> {
        let target = self.target.as_ref()?;
        let wave = self.rules.waves.iter().find(|wave| Some(wave.wave) == target.wave)?;
        Some((&target.rollout, wave))
    }
}

/// Whether a device that reports this can be sent a 1 in an answer that is no upgrade.
pub fn reads_json(reported: Version) -> bool {
    reported >= Version::READS_JSON
}

/// Whether the weekly window is open at `now`, in seconds since 1970-01-01 UTC.
pub fn is_open(window: &Window, now: i64) -> bool {
    const DAY: i64 = 24 * 60;
    // The first of January 1970 was a Thursday; the week starts on Monday.
    let minute_of_week = (now.div_euclid(60) + 3 * DAY).rem_euclid(7 * DAY);
    let is_open_since = |day: Day| {
        let opens = day as i64 * DAY + i64::from(window.from);
        (minute_of_week - opens).rem_euclid(7 * DAY) < i64::from(window.minutes)
    };
    window.days.iter().any(|&day| is_open_since(day))
}

/// When the weekly window opens next after `now`; none if it never does.
pub fn opens_at(window: &Window, now: i64) -> Option<i64> {
    const DAY: i64 = 24 * 60;
    let week = 7 * DAY;
    let minute = now.div_euclid(60);
    let minute_of_week = (minute + 3 * DAY).rem_euclid(week);
    let wait = |day: &Day| {
        let opens = *day as i64 * DAY + i64::from(window.from);
        // At this very minute means: in a week.
        (opens - minute_of_week - 1).rem_euclid(week) + 1
    };
    window.days.iter().map(wait).min().map(|wait| (minute + wait) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use otapress_core::wire::{Brake, Offer as WireOffer};

    /// 2026-11-23 was a Monday.
    const MONDAY: i64 = 1_795_392_000;

    #[test]
    fn windows_are_weekly_and_pass_midnight() {
        let window = Window { days: vec![Day::Mon, Day::Sun], from: 23 * 60, minutes: 120 };
        let hour = 3600;
        for (now, open) in [
            (MONDAY + 23 * hour - 1, false),
            (MONDAY + 23 * hour, true),
            (MONDAY + 25 * hour - 1, true),
            (MONDAY + 25 * hour, false),
            (MONDAY + 47 * hour, false),
            (MONDAY - hour, true),
            (MONDAY, true),
            (MONDAY + hour - 1, true),
            (MONDAY + hour, false),
            (MONDAY + 7 * 24 * hour + 23 * hour, true),
        ] {
            assert_eq!(is_open(&window, now), open, "{now}");
        }
        let always = Window { days: Day::WEEK.to_vec(), from: 90, minutes: 1440 };
        assert!((0..7 * 48).all(|half_hour| is_open(&always, MONDAY + half_hour * 1800)));
        assert!(is_open(&Window { days: vec![Day::Thu], from: 0, minutes: 1 }, 59));
        assert!(!is_open(&Window { days: vec![Day::Thu], from: 0, minutes: 1 }, -1));
        assert!(!is_open(&Window { days: vec![], from: 0, minutes: 1440 }, MONDAY));
    }

    #[test]
    fn the_next_opening_is_the_first_open_minute() {
        let window = Window { days: vec![Day::Tue, Day::Thu], from: 60, minutes: 240 };
        let (hour, day) = (3600, 86400);
        for (now, at) in [
            (MONDAY, MONDAY + day + hour),
            (MONDAY + day + hour - 1, MONDAY + day + hour),
            (MONDAY + day + hour, MONDAY + 3 * day + hour),
            (MONDAY + 3 * day + 9 * hour + 17, MONDAY + 8 * day + hour),
        ] {
            assert_eq!(opens_at(&window, now), Some(at), "{now}");
            assert!(is_open(&window, at) && !is_open(&window, at - 1));
        }
        assert_eq!(opens_at(&Window { days: vec![], ..window }, MONDAY), None);
    }

    fn target() -> Target {
        Target {
            version: "0.10.66".parse().unwrap(),
            rollout: "next/0.10.66".into(),
            channel: None,
            wave: None,
            from: None,
            window: None,
            attempts: 3,
            brake: Brake { artifact_faults: 3, failures_bp: 2000, after: 10 },
            no_downgrade: false,
            rate: None,
        }
    }

    fn setting(key: &str, val: &str) -> Setting {
        Setting { key: key.into(), val: val.into() }
    }

    #[test]
    fn an_offer_agrees_with_itself() {
        let parse = |upgrade, settings: &[Setting], offer: WireOffer| {
            Offer::new(AnswerFile { upgrade, settings: settings.to_vec(), offer }, &BTreeMap::new())
        };
        let idle = WireOffer { interval: 10800, ..WireOffer::default() };
        let aimed = WireOffer { target: Some(target()), ..idle.clone() };
        assert_eq!(parse(1, &[], idle.clone()), Err(OfferError::Upgrade));
        assert_eq!(parse(0, &[], aimed.clone()), Err(OfferError::Upgrade));
        assert_eq!(parse(2, &[], aimed.clone()), Err(OfferError::Upgrade));
        assert_eq!(parse(0, &[setting("qos", "0")], idle.clone()), Err(OfferError::Generation));
        assert_eq!(parse(1, &[], WireOffer { held: true, ..idle.clone() }), Ok(Offer::Held));
        let always = WireOffer { always: vec!["qos".into()], ..idle };
        let Ok(Offer::Managed(managed)) = parse(0, &[setting("qos", "0")], always) else { panic!() };
        assert_eq!(managed.settings, [Push { setting: setting("qos", "0"), always: true, has_one: false }]);
        assert_eq!(managed.patience(), 25200);
    }

    #[test]
    fn a_one_is_seen_wherever_it_is_sent() {
        let has_one = |key, val| {
            let offer = WireOffer { generation: Some("g".into()), ..WireOffer::default() };
            let file = AnswerFile { upgrade: 0, settings: vec![setting(key, val)], offer };
            let Ok(Offer::Managed(managed)) = Offer::new(file, &BTreeMap::new()) else { panic!() };
            managed.settings[0].has_one
        };
        assert!(!has_one("tid", "D2"));
        assert!(has_one("tid", "D1"));
        assert!(has_one("useGPIO1", "0"));
        assert!(has_one("tid", "\u{11}"), "its escape has one");
        assert!(!has_one("tid", "\u{1f600}"), "it is sent as \\ud83d\\ude00");
        assert!(has_one("tid", "\u{153}"), "its escape has one");
    }
}
