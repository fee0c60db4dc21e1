//! The application: auth, status, type, length and content.

use super::transport::is_redirect;
use super::{Code, JAR, Walk};
use crate::device::{Device, JAR_TYPES, media_type};
use otapress_core::digest::Sha256;
use otapress_publish::jad::{self, Jad};
use otapress_publish::jar::{Fault, Rules};
use otapress_publish::signing;

impl Walk<'_> {
    /// Fetches the JAR that a JAD names and looks at it. Each JAR is fetched once for each user.
    pub(super) fn jar(&mut self, device: &Device, jad: &Jad) {
        let Some(url) = jad.get("MIDlet-Jar-URL") else { return };
        if !self.jars.insert((url.to_owned(), device.settings.get("otapUser").map(str::to_owned))) {
            return;
        }
        let Some(sent) = self.fetch(JAR, device, url) else { return };
        let Ok(reply) = &sent.reply else { return };
        if reply.status != 200 {
            if !is_redirect(reply) {
                self.find(Code::JarStatus, &sent, format!("the JAR came with status {}", reply.status));
            }
            return;
        }
        let content_type = reply.header("Content-Type").unwrap_or_default();
        if !JAR_TYPES.contains(&media_type(content_type).as_str()) {
            self.find(Code::JarType, &sent, format!("the JAR comes as {content_type:?}"));
        }
        let (size, said) = (reply.body.len().to_string(), jad.get("MIDlet-Jar-Size").unwrap_or_default());
        if size != said.trim_start_matches('0') {
            let message = format!("the JAR has {size} bytes, and its JAD says {said}");
            self.find(Code::JarSize, &sent, message);
            return;
        }
        let expected = self.release_at(url).map(|release| release.sha256);
        let sha256 = Sha256::of(&reply.body);
        if expected.is_some_and(|expected| expected != sha256) {
            let message = format!("the JAR has the SHA-256 {sha256}, which is not that of out/");
            self.find(Code::JarAltered, &sent, message);
        }
        let (chains, concerns) = jad::verify(jad, &reply.body, &Rules::default());
        let invalid = chains.iter().flat_map(|chain| signing::validity(chain, self.now()));
        let faults = concerns.into_iter().map(|concern| concern.fault);
        let faults = faults.chain(invalid.map(|invalid| invalid.fault)).filter(Fault::is_error);
        for fault in faults.collect::<Vec<_>>() {
            let message = format!("the JAR is refused with {}: {}", jad::AUTHENTICATION, fault.message);
            self.find(Code::JarSignature, &sent, message);
        }
    }
}
