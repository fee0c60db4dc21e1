//! The lives of devices, and the network between them and the hosts.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::faults::Fault;
use super::flaws::Flaw;
use super::fleet::{INTERVAL, imei};
use super::host::Host;
use super::oracle::Checked;
use super::tracker::{Nature, Step, Wire};
use super::unheard::{Sent, Taken};
use super::{Happening, Packet, World};
use otapress_core::id::{ClientId, Imei};
use otapress_core::out_path::OutPath;
use otapress_core::version::Version;
use otapress_core::wire;
use otapress_devices::device::http::Url;
use otapress_devices::device::{CheckOutcome, Faults};
use otapress_publish::jad;
use otapress_responder::files::out_path;
use otapress_responder::message::Posted;
use otapress_responder::service::Reply;
use otapress_responder::store::{Store as _, UNKNOWN_LIMIT};

/// A request that reached a host.
pub(super) struct Delivered {
    host: usize,
    sent: Sent,
    reply: Reply,
}

impl World {
    pub(super) fn device(&mut self, n: usize, life: u32, step: Step) -> Result<(), String> {
        let tracker = &mut self.trackers[n];
        if tracker.is_dead || tracker.life != life {
            return Ok(());
        }
        if self.now < tracker.off_until {
            let until = tracker.off_until;
            return self.restart(n, until);
        }
        match step {
            Step::Start | Step::Check => self.check(n),
            Step::Install => self.install(n),
        }
    }

    fn later(&mut self, n: usize, seconds: i64, step: Step) {
        let life = self.trackers[n].life;
        self.plan_at(self.now + seconds, Happening::Device { n, life, step });
    }

    /// What is under way ends, and the device starts at that time.
    fn restart(&mut self, n: usize, at: i64) -> Result<(), String> {
        let tracker = &mut self.trackers[n];
        tracker.device.reboot();
        tracker.life += 1;
        tracker.posts = 0;
        let life = tracker.life;
        self.plan_at(at + 60, Happening::Device { n, life, step: Step::Start });
        Ok(())
    }

    fn check(&mut self, n: usize) -> Result<(), String> {
        if self.happens(Fault::Parked, 2) {
            let days = 1 + self.prng.below(4) as i64;
            self.trackers[n].off_until = self.now + days * 86_400;
            self.trackers[n].mishaps += 1;
            return self.restart(n, self.now + days * 86_400);
        }
        if self.happens(Fault::Reboot, 10) {
            self.trackers[n].mishaps += 1;
            let soon = self.prng.below(5400) as i64;
            return self.restart(n, self.now + soon);
        }
        let Some(packet) = self.trackers[n].check(n) else { return Err(format!("dev{n} has no versionURI")) };
        if self.now < self.outage_until || self.happens(Fault::LostRequest, 20) {
            return self.not_answered(n);
        }
        if self.happens(Fault::LateRequest, 10) {
            let late = self.prng.below(2 * INTERVAL as u64) as i64;
            self.plan_at(self.now + late, Happening::Late(packet));
            return self.not_answered(n);
        }
        if self.happens(Fault::DoubleRequest, 10) {
            let late = self.prng.below(600) as i64;
            self.plan_at(self.now + late, Happening::Late(packet.clone()));
        }
        let delivered = self.deliver(&packet)?;
        if self.happens(Fault::Restart, 5) {
            self.hosts[delivered.host].restart();
            return self.not_answered(n);
        }
        if self.happens(Fault::LostReply, 20) {
            return self.not_answered(n);
        }
        self.answered(n, &delivered)
    }

    /// No clock was wrong by more than minutes for hours.
    fn is_time_right(&self) -> bool {
        self.now > self.clock_wrong_until
    }

    /// A device without an answer asks every second; this one has no coverage, and comes back now and then.
    fn not_answered(&mut self, n: usize) -> Result<(), String> {
        let tracker = &mut self.trackers[n];
        tracker.posts += 1;
        tracker.mishaps += 1;
        tracker.silent_since.get_or_insert(self.now);
        let posts = tracker.posts;
        self.lived.storm = self.lived.storm.max(posts);
        self.storm_is_short(n)?;
        let pause = [1, 1, 1, 1, 70][posts.min(4) as usize].max(i64::from(posts / 5) * 300);
        let is_impatient = self.case.flaw == Some(Flaw::AsksWithoutPause);
        self.later(n, if is_impatient { 1 } else { pause }, Step::Check);
        Ok(())
    }

    fn answered(&mut self, n: usize, delivered: &Delivered) -> Result<(), String> {
        let Delivered { reply, .. } = delivered;
        let flaw = self.case.flaw;
        let tracker = &mut self.trackers[n];
        tracker.posts = 0;
        tracker.silent_since = None;
        tracker.hearing.heard(&delivered.sent);
        let outcome = tracker.hear(reply);
        let CheckOutcome::Checked(answered) = outcome else {
            return Err(format!("dev{n} was answered {reply:?}: {outcome:?}"));
        };
        if !answered.corruptions.is_empty() || answered.garbage {
            return Err(format!("dev{n} was sent {answered:?}"));
        }
        let confirmed = answered.settings.iter().filter(|setting| setting.key != "minDistance").count();
        tracker.settings_heard += confirmed as u64 + u64::from(flaw == Some(Flaw::StoresAlways));
        if flaw == Some(Flaw::RestartsAlways) {
            tracker.device.reboot();
        }
        let interval = tracker.interval(n);
        let says_upgrade = reply.body.starts_with("{\"upgrade\":1");
        if answered.upgrade != says_upgrade {
            return Err(format!("dev{n} takes `{}` wrongly", reply.body));
        }
        if !answered.settings.is_empty() {
            self.flash_is_spared(n)?;
        }
        if !answered.upgrade {
            self.later(n, interval, Step::Check);
            return Ok(());
        }
        self.jad_is_there(n)?;
        self.later(n, 5, Step::Install);
        Ok(())
    }

    /// The device fetches its JAD after it has applied its settings: there must be one, with its JAR.
    fn jad_is_there(&self, n: usize) -> Result<(), String> {
        let Some(uri) = self.trackers[n].device.expanded("otapURI") else {
            return Err(format!("dev{n} has no otapURI"));
        };
        let path = Url::parse(&uri).and_then(|url| out_path("", &url.target));
        // Where copies differ, a host cannot know what the device was told by another one.
        let has_jar = |host: &Host, path: &OutPath| {
            host.copy.with(|files| {
                let text = String::from_utf8_lossy(files.get(path.as_str())?).into_owned();
                let url = text.lines().find_map(|line| line.strip_prefix("MIDlet-Jar-URL: "))?.to_owned();
                files.get(url.strip_prefix("http://ota.example.com/")?).map(|_| ())
            })
        };
        let is_there = path.is_some_and(|path| self.hosts.iter().any(|host| has_jar(host, &path).is_some()));
        match is_there {
            true => Ok(()),
            false => Err(format!("dev{n} is told to upgrade, and {uri} leads to no JAR")),
        }
    }

    fn install(&mut self, n: usize) -> Result<(), String> {
        let runs = self.trackers[n].device.version.clone();
        let is_transient = self.happens(Fault::Transient, 15);
        let mut wire = Wire {
            hosts: &self.hosts,
            prng: &mut self.prng,
            press: &self.press,
            last: None,
            posted: Vec::new(),
        };
        let pretend = is_transient.then_some(903);
        let otap = self.trackers[n].device.otap_over(&mut wire, &Faults { pretend, ..Faults::default() });
        let posted = std::mem::take(&mut wire.posted);
        self.trackers[n].installs += 1;
        let fetched: u64 = otap.exchanges.iter().map(|exchange| exchange.body_size() as u64).sum();
        let times = if self.case.flaw == Some(Flaw::FetchesTwice) { 2 } else { 1 };
        self.downloads_are_few(n, times * fetched)?;
        self.wear_is_bounded(n)?;
        let mut code = otap.outcome.code();
        let new = self.trackers[n].device.version.clone();
        self.note(format_args!("dev{n} {runs} {new} {code:?}"));
        let mut dies = false;
        if code == Some(jad::SUCCESS) {
            match self.natures.get(&*new).copied().unwrap_or(Nature::Good) {
                Nature::Good => {}
                Nature::Deadly(share) => dies = self.prng.below(100) < share,
                Nature::Faulty(share, fault) => {
                    if self.prng.below(100) < share {
                        self.trackers[n].device.version = runs;
                        code = Some(fault);
                    }
                }
                Nature::Fickle(share) => {
                    if self.prng.below(100) < share {
                        self.trackers[n].device.version = runs;
                    }
                }
            }
        }
        for request in posted {
            let Some(url) = Url::parse(&request.url) else { continue };
            let mut agent = request.header_value("User-Agent").unwrap_or_default().to_owned();
            if self.happens(Fault::NoImei, 100) {
                agent = "TC65i/+491701234567 Profile/IMP-NG".to_owned();
            }
            let body = code.map_or_else(String::new, |code| format!("{code} said"));
            self.post_result(&Rc::new(Packet::new(n, imei(n), url.target, agent, body)))?;
        }
        if dies {
            self.trackers[n].is_dead = true;
            self.count("device", "silenced");
            return Ok(());
        }
        let seconds = 60 + self.prng.below(120) as i64;
        self.restart(n, self.now + seconds)?;
        if self.case.flaw == Some(Flaw::UpgradesAgain) {
            self.later(n, seconds, Step::Install);
        }
        Ok(())
    }

    fn post_result(&mut self, packet: &Rc<Packet>) -> Result<(), String> {
        if self.now < self.outage_until || self.happens(Fault::LostRequest, 50) {
            return Ok(());
        }
        if self.happens(Fault::LateResult, 100) {
            let late = self.prng.below(3 * INTERVAL as u64) as i64;
            self.plan_at(self.now + late, Happening::Late(packet.clone()));
            if self.prng.below(2) == 0 {
                return Ok(());
            }
        }
        self.deliver(packet).map(drop)
    }

    /// A request reaches some host, which answers. Of a late one nobody waits for the reply.
    pub(super) fn deliver(&mut self, packet: &Rc<Packet>) -> Result<Delivered, String> {
        let host = self.prng.below(self.hosts.len() as u64) as usize;
        let halted = self.halted();
        let at = &mut self.hosts[host];
        let clock = at.clock(self.now, super::START);
        let reply = at.answer(packet, clock).ok_or("a POST was nobody's")?;
        self.note_answer(host, packet, &reply);
        let judged = self.judge(packet, host, clock, &reply, &halted);
        judged.map_err(|why| format!("day {}: {why}", (self.now - super::START) / 86_400))?;
        let delivered = Delivered { host, sent: self.sent(packet, host, clock, &reply), reply };
        let is_check = packet.agent.starts_with("GW/") && delivered.reply.log_kind != "unpublished path";
        if let Some(tracker) = self.trackers.get_mut(packet.n).filter(|_| is_check) {
            tracker.hearing.sent(&delivered.sent);
            let published = self.hosts[host].known_answers(packet.n);
            published.into_iter().for_each(|published| tracker.answered_from(published));
        }
        Ok(delivered)
    }

    /// What an answer means for the settings that its device may have.
    fn sent(&self, packet: &Packet, host: usize, clock: i64, reply: &Reply) -> Sent {
        let answers = || self.hosts[host].known_answers(packet.n);
        let with_settings = (reply.body.len() > wire::NO.len()).then(answers).flatten();
        let is_old = || packet.reported.is_some_and(|version| version < Version::READS_JSON);
        Sent {
            settings: with_settings.map(|answers| answers.once_in(&reply.body)).unwrap_or_default(),
            taken: match reply.log_kind {
                "no-state" => Taken::Unrecorded,
                "bad-version" | "no-answer-file" | "unknown-device" => Taken::AsNoProof,
                _ => Taken::AsProof,
            },
            needs_report: reply.body.starts_with("{\"upgrade\":1") && is_old(),
            clock,
        }
    }

    /// The device that a result is put down to: the one whose IMEI the modem names, or the only one whose
    /// results named this clientID. That may be another one, for which a stranger named it.
    fn sender(&self, packet: &Packet) -> Option<Imei> {
        if packet.agent.contains(&packet.imei.to_string()) {
            return Some(packet.imei);
        }
        let client = packet.target.rsplit('=').next();
        let devices = (0..self.case.devices).filter_map(|n| self.memory.device(imei(n)));
        let mut named = devices.filter(|device| device.client.as_ref().map(ClientId::as_str) == client);
        match (named.next(), named.next()) {
            (Some(device), None) => Some(device.imei),
            _ => None,
        }
    }

    /// Otherwise it is kept under the name that it came with.
    fn is_noted(&self, packet: &Packet, posted: &Posted) -> Result<(), String> {
        let mut is_noted = false;
        let read = self.memory.clone().read(&mut |tx| {
            let name = packet.target.rsplit('=').next().unwrap_or_default();
            let mut unknown = tx.unknowns(UNKNOWN_LIMIT)?.into_iter();
            is_noted = unknown.any(|known| known.name == name && known.said == posted.text);
            Ok(())
        });
        match (read, is_noted) {
            (Ok(()), true) => Ok(()),
            _ => Err(format!("the result `{}` of {} was acknowledged and lost", packet.body, packet.target)),
        }
    }

    fn judge(
        &mut self,
        packet: &Packet,
        host: usize,
        clock: i64,
        reply: &Reply,
        halted: &BTreeSet<Arc<str>>,
    ) -> Result<(), String> {
        let is_time_right = self.is_time_right();
        let is_check = packet.agent.starts_with("GW/");
        let is_device = packet.n < self.case.devices;
        let is_elsewhere = reply.log_kind == "unpublished path";
        let is_result = is_device && !is_check && reply.body.is_empty();
        let is_recorded = is_result && !is_elsewhere && reply.status == 200;
        if is_check {
            let kind = if reply.body.starts_with("{\"upgrade\":1") { "upgrade" } else { reply.log_kind };
            self.count("answer", kind);
        }
        self.oracle.read_events(&self.memory, self.now, is_time_right)?;
        if is_recorded {
            let posted = Posted::parse(packet.body.as_bytes());
            self.oracle.result(packet.n, posted.code);
            let Some(sender) = self.sender(packet) else { return self.is_noted(packet, &posted) };
            let device = self.memory.device(sender);
            let known = device.and_then(|device| device.result);
            if let Some(known) = known.filter(|known| *known.text != *posted.text) {
                return Err(format!(
                    "the result `{}` of {sender} was acknowledged and lost: {known:?}, {:?}",
                    packet.body, reply.log
                ));
            }
        }
        if !is_check {
            return Ok(());
        }
        let answers = self.hosts[host].read_answers(packet);
        if reply.status != 200 || reply.content_type != Some("application/json") {
            return Err(format!("a check was answered {reply:?}"));
        }
        if !is_device {
            return if reply.body == wire::NO {
                Ok(())
            } else {
                Err(format!("nobody was sent {}", reply.body))
            };
        }
        // What a new epoch lets go was pulled before.
        let checked = Checked {
            n: packet.n,
            imei: packet.imei,
            answers: answers.as_deref(),
            reported: packet.reported,
            body: &reply.body,
            kind: reply.log_kind,
            now: self.now,
            clock,
            is_time_right,
            halted,
        };
        self.oracle.check(&self.hosts[host], &checked)
    }
}
