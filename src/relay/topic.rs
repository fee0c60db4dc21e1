//! The topics: the only ones that are ever published to or subscribed.

use otapress_core::id::ClientId;
use otapress_responder::record::EventKind;

/// The two trees of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topics {
    /// The prefix of the kind of an event.
    events: String,
    /// The prefix of a clientID.
    devices: String,
}

/// Why a text cannot be the prefix of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicError {
    /// It would match more topics than intended.
    #[error("it has a `+`, a `#` or a control character, which topics are matched with")]
    Wildcard,
    /// `$SYS` and the like.
    #[error("topics that begin with `$` are the broker's own")]
    Reserved,
    /// Topics have at most 65,535 bytes, and devices far less.
    #[error("it has more than 200 bytes")]
    Length,
    /// Topics of other people would match.
    #[error("it does not end in `/`; it is what devices put before their clientID, their setting `publish`")]
    Slash,
    /// There is nothing.
    #[error("it is empty")]
    Empty,
}

fn checked(text: &str) -> Result<&str, TopicError> {
    match text {
        "" => Err(TopicError::Empty),
        text if text.len() > 200 => Err(TopicError::Length),
        text if text.starts_with('$') => Err(TopicError::Reserved),
        text if text.contains(|c: char| matches!(c, '+' | '#') || c.is_control()) => {
            Err(TopicError::Wildcard)
        }
        text => Ok(text),
    }
}

impl Topics {
    /// Events go to `<prefix>/otap/<kind>`; `publish` is the prefix of clientIDs.
    pub(crate) fn new(prefix: &str, publish: &str) -> Result<Topics, (&'static str, TopicError)> {
        let events = checked(prefix).map_err(|error| ("prefix", error))?;
        let devices = checked(publish).map_err(|error| ("publish", error))?;
        if !devices.ends_with('/') {
            return Err(("publish", TopicError::Slash));
        }
        let events = events.trim_end_matches('/');
        Ok(Topics { events: format!("{events}/otap/"), devices: devices.to_owned() })
    }

    /// The topic of an event.
    pub(crate) fn event(&self, kind: EventKind) -> String {
        format!("{}{kind}", self.events)
    }

    /// What matches all events.
    pub(crate) fn all_events(&self) -> String {
        format!("{}+", self.events)
    }

    /// Whether that is the topic of an event.
    pub(crate) fn is_event(&self, topic: &[u8]) -> bool {
        topic.starts_with(self.events.as_bytes())
    }

    /// The filter for the start messages of all devices.
    pub(crate) fn starts(&self) -> String {
        format!("{}+/start", self.devices)
    }

    /// The topic of a device's commands.
    pub(crate) fn command(&self, client: &ClientId) -> String {
        format!("{}{client}/cmd", self.devices)
    }

    /// Whose start messages have that topic. A broker may deliver others, too: a session remembers what was
    /// subscribed with other options.
    pub(crate) fn starter(&self, topic: &[u8]) -> Option<ClientId> {
        let topic = std::str::from_utf8(topic).ok()?;
        topic.strip_prefix(&self.devices)?.strip_suffix("/start")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_stay_in_their_trees() {
        let topics = Topics::new("events", "owntracks/gw/").unwrap();
        assert_eq!(topics.event(EventKind::FirstSeen), "events/otap/first-seen");
        assert_eq!(topics.starts(), "owntracks/gw/+/start");
        assert_eq!(topics.command(&"dev1".parse().unwrap()), "owntracks/gw/dev1/cmd");
        assert_eq!(topics.starter(b"owntracks/gw/dev1/start"), Some("dev1".parse().unwrap()));
        for other in [
            "owntracks/gw/dev1/cmd",
            "owntracks/gw/dev1/a/start",
            "owntracks/gw//start",
            "owntracks/gw/start",
            "x/owntracks/gw/dev1/start",
            "owntracks/gw/a b/start",
        ] {
            assert_eq!(topics.starter(other.as_bytes()), None, "{other}");
        }
        assert_eq!(topics.starter(b"owntracks/gw/\xff/start"), None);
        assert_eq!(Topics::new("a/b/", "c/").unwrap().event(EventKind::Failed), "a/b/otap/failed");
    }

    #[test]
    fn what_matches_more_is_refused() {
        let long = "x".repeat(201);
        for (prefix, error) in [
            ("", TopicError::Empty),
            ("a/+", TopicError::Wildcard),
            ("#", TopicError::Wildcard),
            ("a\0", TopicError::Wildcard),
            ("$SYS", TopicError::Reserved),
            (&long, TopicError::Length),
        ] {
            assert_eq!(Topics::new(prefix, "gw/"), Err(("prefix", error)));
            assert_eq!(Topics::new("events", &format!("{prefix}/")).is_err(), !prefix.is_empty());
        }
        assert_eq!(Topics::new("events", "gw"), Err(("publish", TopicError::Slash)));
    }
}
