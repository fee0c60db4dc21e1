//! An event as the JSON that is published.

use jiff::Timestamp;
use serde_json::json;

use otapress_core::id::ClientId;
use otapress_responder::code;
use otapress_responder::record::Event;

/// The message of event `seq`. Its members are always there, and null where there is nothing; what is not known by these
/// names may be added one day, none of them will change.
pub(crate) fn payload(seq: i64, event: &Event, client: Option<&ClientId>) -> String {
    let meaning = event.code.and_then(code::lookup).map(|known| known.meaning);
    json!({
        "seq": seq,
        "at": Timestamp::from_second(event.at).ok().map(|at| at.to_string()),
        "unix": event.at,
        "kind": event.kind.as_str(),
        "imei": event.imei.map(|imei| imei.to_string()),
        "clientID": client.map(ClientId::as_str),
        "rollout": event.rollout,
        "code": event.code,
        "meaning": meaning,
        "detail": event.detail,
    })
    .to_string()
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
