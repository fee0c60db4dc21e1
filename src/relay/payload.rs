//! An event as the JSON that is published: over MQTT as it is, and as the data of a CloudEvent.

use jiff::Timestamp;
#[expect(clippy::disallowed_types, reason = "the format of messages")]
use serde::Serialize;

use otapress_core::digest::Sha256;
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

/// A CloudEvent 1.0, structured.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'static str,
    data: Message<'a>,
}

/// The message of event `seq`.
pub(crate) fn payload(seq: i64, event: &Event, client_id: Option<&ClientId>) -> String {
    json(&message(seq, event, client_id))
}

/// The CloudEvent of event `seq`, and its id. The id stays, whatever happens to the device meanwhile, and is
/// another one for another event with that number: of other records, or of restored ones.
pub(crate) fn cloud_event(
    source: &str,
    seq: i64,
    event: &Event,
    client_id: Option<&ClientId>,
) -> (String, String) {
    let id = format!("{seq}-{:016x}", Sha256::of(payload(seq, event, None).as_bytes()).prefix64());
    let data = message(seq, event, client_id);
    let device = client_id.map(ClientId::to_string).or_else(|| event.imei.map(|imei| imei.to_string()));
    let cloud_event = CloudEvent {
        specversion: "1.0",
        id: &id,
        source,
        kind: format!("otapress.{}", event.kind),
        subject: device.or_else(|| event.rollout.as_deref().map(str::to_owned)),
        time: data.at.clone(),
        datacontenttype: "application/json",
        data,
    };
    let text = json(&cloud_event);
    (id, text)
}

#[expect(clippy::disallowed_types, reason = "the format of messages")]
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers always serialize")
}

fn message<'a>(seq: i64, event: &'a Event, client_id: Option<&'a ClientId>) -> Message<'a> {
    Message {
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
    }
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

    #[test]
    fn a_cloud_event_keeps_its_id() {
        let event = Event {
            at: 1_796_126_400,
            kind: EventKind::Halted,
            imei: None,
            rollout: Some("next/0.10.66".into()),
            code: None,
            detail: "3 devices".into(),
        };
        let (id, text) = cloud_event("http://ota.example.com", 7, &event, None);
        let data = payload(7, &event, None);
        assert_eq!(
            text,
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"http://ota.example.com","type":"otapress.halted","subject":"next/0.10.66","time":"2026-12-01T12:00:00Z","datacontenttype":"application/json","data":{data}}}"#
            )
        );
        let of = |event: &Event, client: Option<&str>| {
            let client = client.map(|client| client.parse().unwrap());
            let (id, text) = cloud_event("http://ota.example.com", 7, event, client.as_ref());
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            (id, value["subject"].as_str().unwrap().to_owned())
        };
        let event = Event { imei: Some("352099001761481".parse().unwrap()), ..event };
        let (one, subject) = of(&event, None);
        assert_eq!(subject, "352099001761481");
        assert_eq!(of(&event, Some("dev1")), (one.clone(), "dev1".to_owned()));
        assert_ne!(of(&Event { detail: "4 devices".into(), ..event }, None).0, one);
    }
}
