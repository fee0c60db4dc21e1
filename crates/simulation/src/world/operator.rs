//! The operator, the builds and the copies, and what happens once a day.

use std::rc::Rc;
use std::sync::Arc;

use super::faults::Fault;
use super::fleet::{imei, wanted};
use super::host::{Write, apply, writes};
use super::jars::VERSIONS;
use super::tracker::Nature;
use super::{DAY, Happening, Packet, World};
use crate::published::Published;
use otapress_core::out::{self, SITE_FILE};
use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Site};
use otapress_responder::{departed, operate};

impl World {
    /// One edit, a build, and copies to the hosts.
    pub(super) fn operate(&mut self) {
        if self.is_quiet {
            return;
        }
        let mut plan = self.plan.clone();
        let mut prng = self.prng.clone();
        for _ in 0..=prng.below(2) {
            let what = plan.edit(&mut prng, self.now);
            self.count("edit", what);
            self.note(format_args!("{what}"));
        }
        self.prng = prng;
        self.scrap(&mut plan);
        self.publish(plan);
        let hours = 4 + self.prng.below(30) as i64;
        self.plan_at(self.now + hours * 3600, Happening::Operator);
    }

    /// Takes a device out of the fleet that nobody has heard of.
    fn scrap(&mut self, plan: &mut super::Plan) {
        let is_gone = |n: &usize| self.trackers[*n].is_dead && plan.entries[*n].is_there;
        let Some(n) = (0..self.case.devices).find(is_gone) else { return };
        if self.prng.below(3) == 0 {
            plan.entries[n].is_there = false;
            self.count("edit", "scrap");
        }
    }

    /// Builds what the plan says; a mistake in it changes nothing.
    fn publish(&mut self, plan: super::Plan) {
        let mut built = match self.press.build(&plan) {
            Ok(built) => built,
            Err(_) => return self.count("build", "refused"),
        };
        // An older otapress knows no withdrawals.
        if plan.withdrawn.is_empty() && self.happens(Fault::OldFormat, 500) {
            as_before_waves_had_names(&mut built.files);
        }
        let mut steps = writes(&self.master, &built.files);
        if self.happens(Fault::TornBuild, 150) {
            steps.truncate(self.prng.below(steps.len() as u64 + 1) as usize);
        }
        steps.iter().for_each(|step| apply(&mut self.master, step));
        self.count("build", "published");
        (self.plan, self.fleet) = (plan, built.fleet);
        for host in 0..self.hosts.len() {
            let late = if self.happens(Fault::LateCopy, 300) {
                self.prng.below(10 * 3600)
            } else {
                self.prng.below(60)
            };
            self.plan_at(self.now + late as i64, Happening::Sync { host });
        }
    }

    /// Copies `out/` to a host, perhaps not all of it.
    pub(super) fn sync(&mut self, host: usize) {
        let mut steps = self.hosts[host].copy.with(|files| writes(files, &self.master));
        // What is withdrawn is named by answers only where a copy is torn, which is too seldom to be seen.
        // Today's answers name their wave, which the new `otapress.json` has no more; those of an older
        // otapress say it all.
        let is_withdrawn = !self.plan.withdrawn.is_empty();
        if self.happens(Fault::TornCopy, if is_withdrawn { 800 } else { 150 }) && !steps.is_empty() {
            // As rsync goes by names: `otapress.json` comes before `vc/`.
            if self.prng.below(2) == 0 || is_withdrawn {
                steps.sort_by_key(|step| step.path() != SITE_FILE);
            }
            let cut = self.prng.below(steps.len() as u64) as usize;
            steps.truncate(if is_withdrawn { 1 } else { cut + 1 });
            self.sync_again(host);
        }
        self.hosts[host].write(&steps);
        if self.happens(Fault::CutJar, 200) {
            self.cut_a_jar(host);
        }
        if self.happens(Fault::CutAnswer, 100) {
            self.cut_an_answer(host);
        }
    }

    fn sync_again(&mut self, host: usize) {
        let hours = 1 + self.prng.below(8) as i64;
        self.plan_at(self.now + hours * 3600, Happening::Sync { host });
    }

    /// One of the JARs of a host loses its end, until the next copy.
    fn cut_a_jar(&mut self, host: usize) {
        let version = VERSIONS[2 + self.prng.below(VERSIONS.len() as u64 - 2) as usize];
        let cut = self.hosts[host].copy.with(|files| {
            let (path, jar) =
                files.files().find(|(path, _)| path.starts_with(&format!("jars/{version}/")))?;
            Some(Write::Put(path.to_owned(), jar[..jar.len() / 2].into()))
        });
        self.hosts[host].write(cut.as_slice());
        self.sync_again(host);
    }

    /// The same of an answer file.
    fn cut_an_answer(&mut self, host: usize) {
        let path = out::answer_path(imei(self.prng.below(self.case.devices as u64) as usize));
        let cut = self.hosts[host].copy.with(|files| {
            let answer = files.get(path.as_str())?;
            Some(Write::Put(path.to_string(), answer[..answer.len() / 2].into()))
        });
        self.hosts[host].write(cut.as_slice());
        self.sync_again(host);
    }

    pub(super) fn sync_whole(&mut self, host: usize) {
        let steps = self.hosts[host].copy.with(|files| writes(files, &self.master));
        self.hosts[host].write(&steps);
    }

    pub(super) fn set_clock(&mut self, host: usize, offset: i64) {
        self.hosts[host].offset = if self.is_quiet { 0 } else { offset };
        // What it recorded may be ahead of the others for as long.
        self.clock_wrong_until = self.clock_wrong_until.max(self.now + 5 * DAY);
    }

    /// Outages, clocks, backups, strangers, and an operator who looks at the status.
    pub(super) fn daily(&mut self) -> Result<(), String> {
        self.plan_at(self.now + DAY, Happening::Daily);
        if self.happens(Fault::Outage, 60) {
            self.outage_until = self.now + 3600 * (1 + self.prng.below(20) as i64);
        }
        if self.happens(Fault::Jump, 60) {
            let host = self.prng.below(self.hosts.len() as u64) as usize;
            let days = self.prng.below(7) as i64 - 3;
            let hours = 1 + self.prng.below(30) as i64;
            self.set_clock(host, days * DAY);
            self.plan_at(self.now + hours * 3600, Happening::Clock { host, offset: 0 });
        }
        if self.case.weather.has(Fault::Restore) {
            if self.backup.is_some() && self.happens(Fault::Restore, 40) {
                let (backup, oracle, hearings) = self.backup.take().expect("there is one");
                self.memory.restore(&backup);
                // What happened is not undone with the records of it.
                let renewals = self.oracle.renewals;
                self.oracle = oracle;
                self.oracle.renewals = renewals;
                for (tracker, hearing) in self.trackers.iter_mut().zip(hearings) {
                    tracker.mishaps += 4;
                    tracker.hearing = hearing;
                }
            }
            let hearings = self.trackers.iter().map(|tracker| tracker.hearing.clone()).collect();
            self.backup = Some((self.memory.backup(), self.oracle.clone(), hearings));
        }
        if self.happens(Fault::Stranger, 700) {
            self.strangers()?;
        }
        if self.case.weather.has(Fault::Edit) && self.prng.below(4) == 0 {
            self.tend();
        }
        Ok(())
    }

    /// Judges those that are overdue, and looks for answer files, as a server does beside its answers.
    pub(super) fn upkeep(&mut self) {
        self.plan_at(self.now + 3600, Happening::Upkeep);
        let host = self.prng.below(self.hosts.len() as u64) as usize;
        let host = &mut self.hosts[host];
        let clock = host.clock(self.now, super::START);
        // What fails now is done the next time.
        let judged = operate::judge_overdue(&mut host.store, clock).is_ok();
        let looked = departed::look(&mut host.store, &host.responder, clock).is_ok();
        self.count("upkeep", if judged && looked { "done" } else { "failed" });
    }

    fn strangers(&mut self) -> Result<(), String> {
        let of = |n: usize| (n, imei(n).to_string());
        let target = self.trackers[0]
            .device
            .settings
            .get("versionURI")
            .unwrap_or_default()
            .replace("http://ota.example.com", "");
        let (unknown, unknown_imei) = of(self.case.devices + 3);
        let (known, known_imei) = of(0);
        for (n, target, agent, body) in [
            (unknown, &*target, format!("GW/{unknown_imei}"), "0.10.65"),
            (known, &*target, format!("GW/{known_imei}"), "no version"),
            (known, "/elsewhere", format!("GW/{known_imei}"), "0.10.65"),
            (unknown, &*target, "GW/".to_owned(), "0.10.65"),
            (unknown, "/otap/notify?id=nobody", format!("TC65i/{unknown_imei}"), "907 Invalid JAR"),
            (known, "/otap/notify?id=dev0", format!("TC65i/{known_imei}"), "912 Deletion notification"),
            (known, "/otap/notify?id=dev1", format!("TC65i/{known_imei}"), "912 Deletion notification"),
        ] {
            self.deliver(&Rc::new(Packet::new(n, imei(n), target.into(), agent, body.into())))?;
        }
        Ok(())
    }

    /// The operator looks at the status: releases brakes of good releases, and gives new attempts.
    pub(super) fn tend(&mut self) {
        let clock = self.hosts[0].clock(self.now, super::START);
        let good: Vec<&str> =
            VERSIONS.into_iter().filter(|version| self.natures[version] == Nature::Good).collect();
        let mut store = self.memory.clone();
        for rollout in self.memory.rollouts() {
            let release = rollout.id.rsplit('/').next().unwrap_or_default().to_owned();
            if good.contains(&&*release) && (rollout.halted.is_some() || rollout.places > 0) && self.is_quiet
            {
                let _ = operate::resume(&mut store, &release, clock);
            }
        }
        if self.is_quiet || self.prng.below(3) == 0 {
            let targets: Vec<_> = (0..self.case.devices).map(|n| (imei(n), self.target(n))).collect();
            let devices: Vec<_> = targets.iter().map(|(imei, target)| (*imei, target.as_deref())).collect();
            let _ = operate::retry(&mut store, &devices, clock);
            self.count("operator", "retry");
        }
    }

    /// The rollout of a device's target, as the operator published it last.
    fn target(&self, n: usize) -> Option<String> {
        let answers = self.readings.read(self.master.get(out::answer_path(imei(n)).as_str())?)?;
        answers.file.offer.target.as_ref().map(|target| target.rollout.clone())
    }

    /// Faults end: everything is whole, and the fleet is to run one good release.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.is_quiet = true;
        self.outage_until = 0;
        for host in &mut self.hosts {
            (host.offset, host.drift) = (0, 0);
            host.store.weather = super::Weather::CALM;
        }
        let mut plan = self.plan.clone();
        let good: Vec<_> =
            VERSIONS.into_iter().filter(|version| self.natures[version] == Nature::Good).collect();
        plan.settle(good.last().copied().unwrap_or("0.10.65"));
        let built = self.press.build(&plan).map_err(|why| format!("the last build fails: {why}"))?;
        (self.plan, self.fleet, self.master) = (plan, built.fleet, built.files);
        (0..self.hosts.len()).for_each(|host| self.sync_whole(host));
        for tracker in &mut self.trackers {
            tracker.off_until = tracker.off_until.min(self.now);
        }
        self.tend();
        Ok(())
    }

    /// In the end every device that can runs its target and has its settings.
    pub(super) fn all_is_well(&mut self) -> Result<(), String> {
        let target: Version = self.plan.release.parse().map_err(|_| "no version".to_owned())?;
        for (n, tracker) in self.trackers.iter().enumerate() {
            if tracker.is_dead || !self.plan.entries[n].is_there {
                continue;
            }
            let record = || self.memory.device(imei(n));
            if tracker.device.version.parse() != Ok(target) {
                let runs = &tracker.device.version;
                return Err(format!("dev{n} still runs {runs} instead of {target}: {:?}", record()));
            }
            self.wear_is_bounded(n)?;
            for (key, value) in wanted(&self.plan, n) {
                let has = tracker.device.settings.get(key);
                if has != Some(&*value) && !tracker.hearing.is_claimed(key, &value) {
                    return Err(format!("dev{n} has {key} {has:?} instead of {value}: {:?}", record()));
                }
            }
        }
        for rollout in self.memory.rollouts() {
            super::oracle::audit(&self.memory, &rollout.id)
                .map_err(|why| format!("records of {}: {why}", rollout.id))?;
        }
        Ok(())
    }
}

/// Makes the answers those of format 1, in which the time of a wave stands in the answer. Waves that wait for
/// success came later.
fn as_before_waves_had_names(files: &mut Published) {
    let site = files.get(SITE_FILE).and_then(|text| Site::parse(text).ok());
    let Some(Site { rollouts, .. }) = site else { return };
    let older = |bytes: &[u8]| {
        let mut file = AnswerFile::parse(bytes).ok()?;
        let target = file.offer.target.as_mut()?;
        let wave = target.wave_in(&rollouts).filter(|wave| wave.after.is_none())?;
        (target.wave, target.from) = (None, wave.at);
        Some(Arc::from(file.to_text().into_bytes()))
    };
    let answers = files.files().filter(|(path, _)| path.starts_with(out::ANSWERS));
    let older: Vec<_> = answers.filter_map(|(path, bytes)| Some((path.to_owned(), older(bytes)?))).collect();
    older.into_iter().for_each(|(path, bytes)| files.put(&path, bytes));
}
