//! Faults that no reply to a device may have, whatever the request.

use super::{CHECK, Code, JAD, JAR, Sent, Subject, Walk};
use crate::device::Program;
use crate::device::http::{Reply, ReplyFraming};

impl Walk<'_> {
    /// Looks at what is not the body of a reply.
    pub(super) fn transport(&mut self, sent: &Sent, reply: &Reply) {
        let what = sent.what;
        if is_redirect(reply) {
            let to = reply.header("Location").unwrap_or_default();
            let secure = to.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
            let code = if secure { Code::HttpsRedirect } else { Code::Redirect };
            self.find(code, sent, format!("{what} is a redirect to {to:?}"));
            return;
        }
        if reply.reason.is_empty() {
            self.find(Code::NoReason, sent, format!("{what} has a status line without a reason"));
        }
        if reply.status != 200 {
            return;
        }
        if let Some(encoding) = reply.header("Content-Encoding")
            && !encoding.eq_ignore_ascii_case("identity")
        {
            self.find(Code::Compressed, sent, format!("{what} is encoded as {encoding:?}"));
        }
        match reply.framing {
            ReplyFraming::Length => {}
            ReplyFraming::Chunked => self.find(Code::Chunked, sent, format!("{what} comes in chunks")),
            ReplyFraming::Close => self.find(Code::NoLength, sent, format!("{what} has no Content-Length")),
        }
        // JARs may be cached for ever: their path names their content.
        if what != JAR && from_cache(reply) {
            self.find(Code::Cached, sent, format!("{what} comes out of a cache"));
        }
    }

    /// Asks as a proxy on the way does, which takes compressed replies: what a device gets then is up to
    /// the proxy.
    pub(super) fn through_a_cache(&mut self, subject: &Subject) {
        const ENCODINGS: (&str, &str) = ("Accept-Encoding", "gzip, deflate, br");
        let mut device = subject.device.clone();
        if let Some(published) = &subject.jad {
            let jad = format!("{}/{}", self.site.site, published.path);
            let jar =
                self.release_of(published).map(|release| format!("{}/{}", self.site.site, release.path));
            for (what, url) in [(JAD, Some(jad)), (JAR, jar)] {
                let Some(url) = url else { continue };
                let request = device.modem_get(&url).header(ENCODINGS.0, ENCODINGS.1);
                let request = device.with_credentials(&request).unwrap_or(request);
                self.send(what, &device, request);
            }
        }
        device.quirks.program = Program::Simu;
        device.quirks.add = vec![(ENCODINGS.0.into(), ENCODINGS.1.into())];
        if let Some(exchange) = device.check().exchange {
            self.sent(CHECK, &device, exchange.request, exchange.reply);
        }
    }
}

/// Whether the reply is a redirect, which devices do not follow.
pub(super) fn is_redirect(reply: &Reply) -> bool {
    matches!(reply.status, 301..=303 | 305 | 307 | 308)
}

/// A reply that was asked for just now has an age (RFC 9111, section 5.1) only if a cache had it.
fn from_cache(reply: &Reply) -> bool {
    let aged = reply.header("Age").is_some_and(|age| !age.trim_start_matches('0').is_empty());
    let hit = ["X-Cache", "X-Cache-Status", "CF-Cache-Status"]
        .iter()
        .filter_map(|name| reply.header(name))
        .any(|value| ["HIT", "STALE"].iter().any(|word| value.to_ascii_uppercase().starts_with(word)));
    aged || hit
}
