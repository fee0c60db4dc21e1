//! The two endpoints of the responder, and what becomes of POSTs to anything else.

use serde_json::Value;

use super::transport::is_redirect;
use super::{CHECK, Code, RESULT, Sent, Subject, Walk};
use crate::device::http::{Framing, Reply, Request};
use crate::device::{Device, Program};
use otapress_core::out::answer_path;
use otapress_core::wire::{DECISION, NO};

/// A User-Agent of the MIDlet that names no IMEI: it is answered as any, and there is nobody to remember.
const NOBODY: &str = "GW/0";

const STRAY: super::What = "the answer to a POST of another path";

impl Walk<'_> {
    /// A version check of a device that runs its target (if it has one): it must never upgrade.
    pub(super) fn version_check(&mut self, device: &mut Device, has_target: bool) {
        let Some(exchange) = device.check().exchange else { return };
        let sent = self.sent(CHECK, device, exchange.request, exchange.reply);
        let Ok(reply) = &sent.reply else { return };
        if reply.status != 200 {
            self.bad_status(Code::VersionStatus, &sent, reply);
            return;
        }
        let members = match serde_json::from_slice(&reply.body) {
            Ok(Value::Object(members)) if reply.body.is_ascii() => members,
            _ => {
                let message = format!("{CHECK} is not an object of JSON in ASCII");
                self.find(Code::VersionMalformed, &sent, message);
                return;
            }
        };
        match members.get("upgrade").and_then(Value::as_i64) {
            None => {
                let message = format!("{CHECK} has no integer `upgrade`");
                self.find(Code::VersionMalformed, &sent, message);
            }
            Some(upgrade) if upgrade != 0 && has_target => {
                let message = format!("{CHECK} upgrades a device that runs its target, {}", device.version);
                self.find(Code::VersionLoop, &sent, message);
            }
            Some(_) if reply.body == NO.as_bytes() && reply.header(DECISION).is_none() => {
                let message = format!("{CHECK} is that of a path which the responder does not know");
                self.find(Code::VersionUnpublished, &sent, message);
            }
            Some(_) => {}
        }
        if let Some(other) = members.keys().find(|key| !matches!(key.as_str(), "upgrade" | "settings")) {
            self.find(Code::VersionLeak, &sent, format!("{CHECK} has the member `{other}`"));
        }
    }

    /// A result of a simulated device.
    pub(super) fn result(&mut self, device: &Device) {
        let Some(url) = device.expanded("notifyURI").filter(|url| !url.is_empty()) else { return };
        let mut simulated = device.clone();
        simulated.product = Program::Simu.to_string();
        let request = simulated.modem_post(&url, otapress_publish::jad::SUCCESS);
        let sent = self.send(RESULT, device, request);
        if let Ok(reply) = &sent.reply
            && reply.status != 200
        {
            self.bad_status(Code::NotifyStatus, &sent, reply);
        } else if let Ok(reply) = &sent.reply
            && reply.body == NO.as_bytes()
        {
            let message = format!("{RESULT} is that of a path which the responder does not know");
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
