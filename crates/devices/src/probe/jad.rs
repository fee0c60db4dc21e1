//! The descriptor: auth, status, type, cache headers, form and content.

use super::transport::is_redirect;
use super::{Code, PublishedJad, Sent, Walk, What};
use crate::device::http::Reply;
use crate::device::{Device, JAD_TYPE, media_type, unknown_charset};
use otapress_core::wire::Release;
use otapress_publish::jad::{self, Jad};

impl Walk<'_> {
    /// Fetches a device's JAD and looks at it; gives what the device goes on with.
    pub(super) fn jad(
        &mut self,
        what: What,
        device: &Device,
        url: &str,
        published: &PublishedJad,
    ) -> Option<Jad> {
        let sent = self.fetch(what, device, url)?;
        let reply = sent.reply.as_ref().ok()?;
        if reply.status != 200 {
            if !is_redirect(reply) {
                self.find(Code::JadStatus, &sent, format!("{what} was answered with {}", reply.status));
            }
            return None;
        }
        self.jad_headers(&sent, reply);
        self.jad_content(&sent, reply, published)
    }

    /// A GET of the modem: without credentials, and with them where the fleet has some. `None` if there is
    /// no reply to judge, or if the credentials are at fault.
    pub(super) fn fetch(&mut self, what: What, device: &Device, url: &str) -> Option<Sent> {
        let request = device.modem_get(url);
        let Some(authorized) = device.with_credentials(&request) else {
            return Some(self.send(what, device, request));
        };
        let bare = self.send(what, device, request);
        let reply = bare.reply.as_ref().ok()?;
        if is_redirect(reply) {
            return None;
        }
        if reply.status != 401 {
            if reply.status == 200 {
                self.find(Code::NoAuth, &bare, format!("{what} is given to those without credentials"));
            }
            // The modem sends its credentials only if it is asked for them.
            return Some(bare);
        }
        let challenge = reply.header("WWW-Authenticate").unwrap_or_default();
        if !challenge.split_whitespace().next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("Basic")) {
            self.find(
                Code::AuthScheme,
                &bare,
                format!("{what} is asked for with the challenge {challenge:?}"),
            );
            return None;
        }
        let sent = self.send(what, device, authorized);
        let status = sent.reply.as_ref().ok()?.status;
        if matches!(status, 401 | 403) {
            self.find(Code::AuthRefused, &sent, format!("{what} is refused to the fleet's otapUser"));
            return None;
        }
        Some(sent)
    }

    fn jad_headers(&mut self, sent: &Sent, reply: &Reply) {
        match reply.header("Content-Type") {
            None => self.find(Code::JadType, sent, "the JAD comes without a Content-Type".into()),
            Some(content_type) => {
                let charset = unknown_charset(content_type);
                if media_type(content_type) != JAD_TYPE || charset.is_some() {
                    self.find(Code::JadType, sent, format!("the JAD comes as {content_type:?}"));
                }
            }
        }
        let control = reply.header("Cache-Control").unwrap_or_default().to_ascii_lowercase();
        let has = |name: &str| control.split(',').any(|directive| directive.trim() == name);
        let kept = control.split(',').filter_map(|d| d.trim().split_once('=')).any(|(name, seconds)| {
            matches!(name, "max-age" | "s-maxage") && seconds.trim_matches('"') != "0"
        });
        let uncached = has("no-cache") || has("no-store");
        // Without Cache-Control, Expires has its say; `0` and dates of the past are common ways to say no.
        let expires = reply.header("Expires").filter(|_| control.is_empty());
        let later =
            expires.is_some_and(|expires| expires.contains(':') && Some(expires) != reply.header("Date"));
        if !uncached && (kept || has("immutable") || later) {
            self.find(Code::JadCacheable, sent, "the JAD may be kept by caches".into());
        } else if !uncached || !(has("no-transform") || has("no-store")) {
            let message = "the JAD comes without `Cache-Control: no-cache, no-transform`".into();
            self.find(Code::JadCacheControl, sent, message);
        }
    }

    fn jad_content(&mut self, sent: &Sent, reply: &Reply, published: &PublishedJad) -> Option<Jad> {
        let parsed = jad::parse(&reply.body).and_then(|jad| {
            let faults: Vec<_> = jad::check_alone(&jad)
                .into_iter()
                .filter(|fault| fault.code_on_device != jad::SUCCESS)
                .collect();
            if faults.is_empty() { Ok(jad) } else { Err(faults) }
        });
        if let Err(faults) = &parsed
            && let Some(fault) = faults.first()
        {
            let (line, code) = (fault.line, fault.code_on_device);
            let message = match code {
                jad::SUCCESS => format!("some devices misread the JAD: line {line}: {}", fault.message),
                _ => format!("the JAD is refused with {code}: line {line}: {}", fault.message),
            };
            self.find(Code::JadMalformed, sent, message);
        }
        if reply.body != published.bytes {
            let ours = jad::parse(&published.bytes).ok();
            let differs = |name| match (&parsed, &ours) {
                (Ok(served), Some(ours)) => served.get(name) != ours.get(name),
                _ => false,
            };
            let version = |jad: &Jad| jad.get("MIDlet-Version").unwrap_or("?").to_owned();
            if ["MIDlet-Version", "MIDlet-Jar-URL"].into_iter().any(differs)
                && let (Ok(served), Some(ours)) = (&parsed, &ours)
            {
                let message = format!("the JAD is of {}, not of {}", version(served), version(ours));
                self.find(Code::JadStale, sent, message);
            } else {
                let (served, ours) = (reply.body.len(), published.bytes.len());
                let message =
                    format!("the JAD is not that of out/: {served} bytes instead of {ours}, or other ones");
                self.find(Code::JadAltered, sent, message);
            }
        }
        parsed.ok()
    }

    /// The release that a published JAD names.
    pub(super) fn release_of(&self, published: &PublishedJad) -> Option<&Release> {
        self.release_at(jad::parse(&published.bytes).ok()?.get("MIDlet-Jar-URL")?)
    }

    /// The release that is published at a URL.
    pub(super) fn release_at(&self, url: &str) -> Option<&Release> {
        let path = url.strip_prefix(&self.site.site)?.strip_prefix('/')?;
        self.site.releases.iter().find(|release| release.path == path)
    }
}
