//! An event as the JSON that is published.

use jiff::Timestamp;
#[expect(clippy::disallowed_types, reason = "the format of messages")]
use serde::Serialize;

use otapress_core::id::{ClientId, Imei};
use otapress_responder::code;
use otapress_responder::record::Event;

/// The members of a message, in the order of the wire. They are always present, and null without a value.
/// More may be added, but none of them changes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    at: Option<String>,
    #[serde(rename = "clientID")]
    client_id: Option<&'a ClientId>,
    code: Option<u16>,
    detail: &'a str,
    imei: Option<Imei>,
    kind: &'static str,
    meaning: Option<&'static str>,
    rollout: Option<&'a str>,
    seq: i64,
    unix: i64,
}

/// The message of event `seq`.
pub(crate) fn payload(seq: i64, event: &Event, client_id: Option<&ClientId>) -> String {
    let message = Message {
        at: Timestamp::from_second(event.at).ok().map(|at| at.to_string()),
        client_id,
        code: event.code,
        detail: &event.detail,
        imei: event.imei,
        kind: event.kind.as_str(),
        meaning: event.code.and_then(code::lookup).map(|known| known.meaning),
        rollout: event.rollout.as_deref(),
        seq,
        unix: event.at,
    };
    serde_json::to_string(&message).expect("texts and numbers always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use otapress_responder::record::EventKind;

    #[test]
    fn all_members_are_always_there() {
        let event = Event {
            at: 1_796_126_400,
            kind: EventKind::Failed,
            imei: Some("352099001761481".parse().unwrap()),
            rollout: Some("next/0.10.66".into()),
            code: Some(904),
            detail: "904 \"JAR\" ä".into(),
        };
        assert_eq!(
            payload(7, &event, Some(&"dev1".parse().unwrap())),
            r#"{"at":"2026-12-01T12:00:00Z","clientID":"dev1","code":904,"detail":"904 \"JAR\" ä","imei":"352099001761481","kind":"failed","meaning":"JAR size mismatch","rollout":"next/0.10.66","seq":7,"unix":1796126400}"#
        );
        let bare = Event { imei: None, rollout: None, code: Some(999), detail: String::new(), ..event };
        assert_eq!(
            payload(8, &bare, None),
            r#"{"at":"2026-12-01T12:00:00Z","clientID":null,"code":999,"detail":"","imei":null,"kind":"failed","meaning":null,"rollout":null,"seq":8,"unix":1796126400}"#
        );
    }
}
