//! The URIs that devices may still have been told: they are kept alive until `formerly` is taken out.

use super::{PublishedJad, Subject, Walk, What};
use crate::device::Device;

const JAD: What = "the JAD at a former otapURI";
const CHECK: What = "the answer to a version check at a former versionURI";
const RESULT: What = "the answer to a result at a former notifyURI";

/// Everything that is asked here.
pub(super) const WHATS: [What; 3] = [JAD, CHECK, RESULT];

/// The former URIs of a device, as it was told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormerUris {
    /// otapURIs, and what is published there if the device has a target.
    pub otap: Vec<(String, Option<PublishedJad>)>,
    /// versionURIs.
    pub version: Vec<String>,
    /// notifyURIs.
    pub notify: Vec<String>,
}

impl Walk<'_> {
    /// Asks at the former URIs of a device; where it is not expanded, once for all devices.
    pub(super) fn former_uris(&mut self, device: &Device, subject: &Subject) {
        let FormerUris { otap, version, notify } = &subject.formerly;
        for (uri, published) in otap {
            let moved = with(device, "otapURI", uri);
            if let (Some(published), Some(url)) = (published, moved.expanded("otapURI"))
                && self.former.insert(url.clone())
            {
                self.jad(JAD, &moved, &url, published);
            }
        }
        for uri in version {
            if self.former.insert(uri.clone()) {
                let mut moved = with(device, "versionURI", uri);
                if let Some((sent, _)) = self.version_answer(CHECK, &mut moved)
                    && let Ok(reply) = &sent.reply
                {
                    self.no_upgrade(&moved, &sent, reply, subject);
                }
            }
        }
        for uri in notify {
            let moved = with(device, "notifyURI", uri);
            if self.former.insert(uri.clone())
                && let Some(url) = moved.expanded("notifyURI")
            {
                self.result(RESULT, &moved, &url);
            }
        }
    }
}

/// The device with another URI. One that would damage the settings file was refused with the fleet.
fn with(device: &Device, key: &str, uri: &str) -> Device {
    let mut device = device.clone();
    let _ = device.settings.apply(key, uri);
    device
}
