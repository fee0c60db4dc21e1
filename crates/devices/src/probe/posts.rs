//! The two endpoints of the responder, and what becomes of POSTs to anything else.

use serde_json::Value;

use super::decision::is_upgrade;
use super::transport::is_redirect;
use super::{CHECK, Code, Sent, Subject, Walk, What};
use crate::device::http::{Framing, Reply, Request};
use crate::device::{Device, Program};
use otapress_core::out::answer_path;
use otapress_core::wire::NO;

/// A User-Agent of the MIDlet that names no IMEI: it is answered as any, and there is nobody to remember.
const NOBODY: &str = "GW/0";

const STRAY: What = "the answer to a POST of another path";

impl Walk<'_> {
    /// A version check of a device that runs its target (if it has one): it must never upgrade.
    pub(super) fn version_check(&mut self, device: &mut Device, subject: &Subject) {
        let Some((sent, upgrades)) = self.version_answer(CHECK, device) else { return };
        let Ok(reply) = &sent.reply else { return };
        if upgrades && subject.answer.offer.target.is_some() && !is_upgrade(reply) {
            let message = format!("{CHECK} upgrades a device that runs its target, {}", device.version);
            self.find(Code::VersionLoop, &sent, message);
        } else {
            self.no_upgrade(device, &sent, reply, subject);
        }
    }

    /// A version check, and whether its answer upgrades; `None` if there is no answer to go on with.
    pub(super) fn version_answer(&mut self, what: What, device: &mut Device) -> Option<(Sent, bool)> {
        let exchange = device.check().exchange?;
        let sent = self.sent(what, device, exchange.request, exchange.reply);
        let reply = sent.reply.as_ref().ok()?;
        if reply.status != 200 {
            self.bad_status(Code::VersionStatus, &sent, reply);
            return None;
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(&reply.body) else {
            self.find(Code::VersionMalformed, &sent, format!("{what} is not an object of JSON"));
            return None;
        };
        if !reply.body.is_ascii() {
            self.find(Code::VersionMalformed, &sent, format!("{what} is not pure ASCII"));
            return None;
        }
        if let Some(other) = members.keys().find(|key| !matches!(key.as_str(), "upgrade" | "settings")) {
            self.find(Code::VersionLeak, &sent, format!("{what} has the member `{other}`"));
            return None;
        }
        let Some(upgrade) = members.get("upgrade").and_then(Value::as_i64) else {
            self.find(Code::VersionMalformed, &sent, format!("{what} has no integer `upgrade`"));
            return None;
        };
        Some((sent, upgrade != 0))
    }

    /// A result of a simulated device.
    pub(super) fn result(&mut self, what: What, device: &Device, url: &str) {
        let mut simulated = device.clone();
        simulated.product = Program::Simu.to_string();
        let request = simulated.modem_post(url, otapress_publish::jad::SUCCESS);
        let sent = self.send(what, device, request);
        let Ok(reply) = &sent.reply else { return };
        if reply.status != 200 {
            self.bad_status(Code::NotifyStatus, &sent, reply);
        } else if reply.body == NO.as_bytes()
            && !self.report.has(Code::ResponderOut)
            && !self.is_fallback(device, &sent)
        {
            let message = format!("{what} is that of a path which the responder does not know");
            self.find(Code::NotifyUnpublished, &sent, message);
        }
    }

    /// Version checks on paths that are not the responder's: what a device does whose versionURI is old.
    pub(super) fn other_posts(&mut self, subject: &Subject) {
        let site = &self.site.site;
        let mut urls = vec![format!("{site}/"), format!("{site}/otapress-probe/no-such-path")];
        if let Some(published) = &subject.jad {
            urls.push(format!("{site}/{}", published.path));
            urls.extend(self.release_of(published).map(|release| format!("{site}/{}", release.path)));
        }
        urls.push(format!("{site}/{}", answer_path(subject.device.imei)));
        for url in urls {
            let body = subject.device.version.as_bytes();
            let request = Request::post(&url, body, Framing::Length).header("User-Agent", NOBODY);
            let sent = self.send(STRAY, &subject.device, request);
            if let Ok(reply) = &sent.reply
                && reply.status != 200
            {
                self.bad_status(Code::PostStatus, &sent, reply);
            }
        }
    }

    fn bad_status(&mut self, code: Code, sent: &Sent, reply: &Reply) {
        if !is_redirect(reply) {
            self.find(code, sent, format!("{} has the status {}", sent.what, reply.status));
        }
    }
}
