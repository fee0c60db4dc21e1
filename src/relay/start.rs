//! Start messages: `IMEI version yyyyMMddTHHmmssZ`, retained, from every device after every start.

use jiff::Timestamp;

use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_responder::service::Start;

/// Why a message is no start message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartError {
    /// There are not three fields.
    #[error("a start message has three fields, IMEI, version and time")]
    Fields,
    /// The first one.
    #[error("its first field is not an IMEI")]
    Imei,
    /// The second one.
    #[error("its second field is not a version")]
    Version,
    /// The third one.
    #[error("its third field is not a time such as 20261201T120000Z")]
    Time,
}

/// The longest start message.
const LONGEST: usize = 100;

/// Reads the message of the device with that clientID.
///
/// A simulated device has no IMEI of its own to name, `SIMU/…` is none: it leaves no trace.
pub(crate) fn parse(client: ClientId, payload: &[u8]) -> Result<Start, StartError> {
    let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= LONGEST);
    let fields: Vec<_> = text.ok_or(StartError::Fields)?.split_ascii_whitespace().collect();
    let [imei, version, time] = fields[..] else { return Err(StartError::Fields) };
    Ok(Start {
        client,
        imei: imei.parse::<Imei>().map_err(|_| StartError::Imei)?,
        version: version.parse::<Version>().map_err(|_| StartError::Version)?,
        at: seconds(time).ok_or(StartError::Time)?,
    })
}

/// Seconds since 1970-01-01 UTC of `yyyyMMddTHHmmssZ`.
fn seconds(text: &str) -> Option<i64> {
    let shape = |(i, b): (usize, u8)| match i {
        8 => b == b'T',
        15 => b == b'Z',
        _ => b.is_ascii_digit(),
    };
    if text.len() != 16 || !text.bytes().enumerate().all(shape) {
        return None;
    }
    let (date, time) = (&text[..8], &text[9..15]);
    let at = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    Some(at.parse::<Timestamp>().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: impl AsRef<[u8]>) -> Result<Start, StartError> {
        parse("dev1".parse().unwrap(), payload.as_ref())
    }

    #[test]
    fn a_start_message_is_read() {
        let start = Start {
            client: "dev1".parse().unwrap(),
            imei: "352099001761481".parse().unwrap(),
            version: "0.10.66".parse().unwrap(),
            at: 1_796_126_400,
        };
        assert_eq!(read("352099001761481 0.10.66 20261201T120000Z"), Ok(start.clone()));
        assert_eq!(read(" 352099001761481  0.10.66 20261201T120000Z\r\n"), Ok(start));
        assert_eq!(read("352099001761481 0.10.66 19700101T000001Z").map(|start| start.at), Ok(1));
    }

    #[test]
    fn everything_else_is_said_to_be_none() {
        let long = format!("352099001761481 0.10.66 {}20261201T120000Z", " ".repeat(80));
        for (payload, error) in [
            ("", StartError::Fields),
            ("352099001761481 0.10.66", StartError::Fields),
            ("352099001761481 0.10.66 20261201T120000Z x", StartError::Fields),
            (&long, StartError::Fields),
            ("SIMU/352099001761481 0.10.66 20261201T120000Z", StartError::Imei),
            ("dev1 0.10.66 20261201T120000Z", StartError::Imei),
            ("352099001761481 new 20261201T120000Z", StartError::Version),
            ("352099001761481 0.10.66 2026-12-01T12:00:00Z", StartError::Time),
            ("352099001761481 0.10.66 20261201T120000", StartError::Time),
            ("352099001761481 0.10.66 20261301T120000Z", StartError::Time),
            ("352099001761481 0.10.66 20260229T120000Z", StartError::Time),
            ("352099001761481 0.10.66 20261201T250000Z", StartError::Time),
            ("352099001761481 0.10.66 20261201Tä00000Z", StartError::Time),
        ] {
            assert_eq!(read(payload), Err(error), "{payload}");
        }
        assert_eq!(read(b"\xff\xfe \xff 1"), Err(StartError::Fields));
    }
}
