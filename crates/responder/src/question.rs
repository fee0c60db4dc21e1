//! A request that takes records, as [`crate::exchange`] is asked it.

use std::sync::Arc;

use super::message::Posted;
use super::offer::Offer;
use super::record::StrayPath;
use super::records::Keys;
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;

/// A request that takes records.
#[derive(Clone, Debug)]
pub struct Question {
    pub(super) kind: Kind,
    /// A simulated device: it is answered as any, and nothing is recorded.
    pub(super) dry_run: bool,
    /// The former path that it was asked at.
    pub(super) former: Option<String>,
}

/// What the question is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A version check.
    Check {
        /// Whose.
        imei: Imei,
        /// What it runs, or what it says instead.
        reported: Result<Version, String>,
        /// What is published for it.
        offer: Result<Arc<Offer>, NoOffer>,
    },
    /// An OTAP result.
    Notify(Notice),
    /// A POST of a device of the fleet to an unpublished path.
    Stray {
        /// Whose.
        imei: Imei,
        /// Where to.
        path: String,
        /// Whether the MIDlet sent it, and not the modem.
        is_check: bool,
    },
    /// A start message.
    Start {
        /// What it says.
        start: Start,
        /// Whether there is an answer file for the IMEI.
        published: bool,
    },
}

/// What a device says of itself over MQTT after every start. Its own time counts, because a broker may keep a
/// message for as long as it likes: it is worth as much as a version check at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The clientID in the topic.
    pub client: ClientId,
    /// The IMEI in the message.
    pub imei: Imei,
    /// What it runs.
    pub version: Version,
    /// When it started, by its own clock.
    pub at: i64,
}

/// An OTAP result and who it may come from.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// The IMEI in the User-Agent.
    pub imei: Option<Imei>,
    /// The clientID in the path.
    pub client: Option<ClientId>,
    /// Whether there is an answer file for the IMEI, or for the clientID as one.
    pub published: bool,
    /// What it says.
    pub posted: Posted,
}

impl Notice {
    /// The IMEI that the clientID is, if it is one.
    pub(super) fn client_as_imei(&self) -> Option<Imei> {
        self.client.as_ref().and_then(|client| client.as_str().parse().ok())
    }

    /// How it is recorded if nobody of the fleet sent it.
    pub(super) fn name(&self) -> String {
        match (self.imei, &self.client) {
            (Some(imei), _) => imei.to_string(),
            (None, Some(client)) => client.to_string(),
            (None, None) => "-".to_owned(),
        }
    }
}

/// Why there is no offer for a device.
#[derive(Clone, Debug)]
pub enum NoOffer {
    /// It is not in the fleet.
    Unknown,
    /// What is published cannot be read.
    Broken(String),
}

impl Question {
    /// A version check, for those who ask without HTTP.
    pub fn check(imei: Imei, reported: Version, offer: Result<Offer, NoOffer>) -> Question {
        let kind = Kind::Check { imei, reported: Ok(reported), offer: offer.map(Arc::new) };
        Question { kind, dry_run: false, former: None }
    }

    /// Takes an offer that is like this one from `known`, where many devices have the same; up to a hundred
    /// are kept there.
    pub fn share_offer(&mut self, known: &mut Vec<Arc<Offer>>) {
        let Kind::Check { offer: Ok(offer), .. } = &mut self.kind else { return };
        match known.iter().find(|known| *known == offer) {
            Some(known) => *offer = known.clone(),
            None if known.len() < 100 => known.push(offer.clone()),
            None => {}
        }
    }

    /// An OTAP result of a device of the fleet, for those who ask without HTTP.
    pub fn result(imei: Imei, client: Option<ClientId>, body: &[u8]) -> Question {
        let posted = Posted::parse(body);
        Question {
            kind: Kind::Notify(Notice { imei: Some(imei), client, published: true, posted }),
            dry_run: false,
            former: None,
        }
    }

    /// Whose POST went to which unpublished path, if that is what it is.
    pub fn stray(&self) -> Option<(Imei, StrayPath<'_>)> {
        match &self.kind {
            Kind::Stray { imei, path, is_check } => {
                Some((*imei, StrayPath { path, is_check: *is_check, is_former: false }))
            }
            _ => None,
        }
    }

    /// The device and the former path, if it was asked at one.
    pub(super) fn former_path(&self) -> Option<(Imei, StrayPath<'_>)> {
        let path = self.former.as_deref()?;
        let (imei, is_check) = match &self.kind {
            Kind::Check { imei, .. } => (*imei, true),
            Kind::Notify(notice) => (notice.imei.or(notice.client_as_imei())?, false),
            Kind::Stray { .. } | Kind::Start { .. } => return None,
        };
        Some((imei, StrayPath { path, is_check, is_former: true }))
    }

    /// Adds what it needs.
    pub fn add_keys<'a>(&'a self, keys: &mut Keys<'a>) {
        keys.names.extend(self.former_path().map(|(imei, at)| at.note_name(imei)));
        match &self.kind {
            Kind::Check { imei, offer, .. } => {
                let target = offer.as_ref().ok().and_then(|offer| offer.target());
                keys.devices.push((*imei, target.map(|target| &*target.rollout)));
                keys.rollouts.extend(target.map(|target| &*target.rollout));
                keys.channels.extend(target.and_then(|target| target.channel.as_deref()));
                if offer.is_err() {
                    keys.names.push(imei.to_string());
                }
            }
            Kind::Notify(notice) => {
                keys.devices.extend(notice.imei.or(notice.client_as_imei()).map(|imei| (imei, None)));
                keys.clients.extend(&notice.client);
                keys.names.push(notice.name());
            }
            Kind::Stray { imei, .. } => keys.names.push(imei.to_string()),
            Kind::Start { start, .. } => {
                keys.devices.push((start.imei, None));
                keys.clients.push(&start.client);
                keys.names.push(start.imei.to_string());
            }
        }
    }

    /// How the log names it.
    pub(super) fn name(&self) -> String {
        match &self.kind {
            Kind::Check { imei, .. } => format!("version check of {imei}"),
            Kind::Notify(Notice { imei, client, posted, .. }) => {
                let imei = imei.map_or("-".into(), |imei| imei.to_string());
                let client = client.as_ref().map_or("-", ClientId::as_str);
                format!("result of {client} ({imei}), `{}`", posted.text)
            }
            Kind::Stray { imei, .. } => format!("POST of {imei}"),
            Kind::Start { start, .. } => format!("start message of {} ({})", start.client, start.imei),
        }
    }
}
