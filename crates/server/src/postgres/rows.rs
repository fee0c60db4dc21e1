//! Records as rows of the PostgreSQL database.

use std::str::FromStr;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use otapress_core::id::Imei;
use otapress_core::wire::Brake;
use otapress_responder::record::{
    ChannelRecord, Clock, DeviceRecord, Event, EventKind, Halt, OfferRecord, Portion, Refusal, ReleaseRecord,
    ResultRecord, RolloutRecord, Sent, SettingsRecord, UnknownRecord, Verdict,
};
use otapress_responder::store::{Member, Place, Rate, Standing};
use otapress_responder::waves::Waves;

/// What was read, or which value is none of ours.
pub(super) type Read<T> = Result<T, String>;

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Read<T> {
    row.try_get(column).map_err(|error| format!("an unexpected value: {column}: {error}"))
}

/// A BIGINT that must fit a narrower type.
pub(super) fn number<T: TryFrom<i64>>(row: &Row, column: &str) -> Read<T> {
    optional(row, column)?.ok_or_else(|| format!("no {column}"))
}

fn optional<T: TryFrom<i64>>(row: &Row, column: &str) -> Read<Option<T>> {
    let wrong = |number| format!("an unexpected value: {column} {number}");
    get::<Option<i64>>(row, column)?.map(|n| T::try_from(n).map_err(|_| wrong(n))).transpose()
}

/// A value that is stored as text.
fn text<T>(row: &Row, column: &str, parse: impl Fn(&str) -> Option<T>) -> Read<Option<T>> {
    let Some(text) = get::<Option<&str>>(row, column)? else { return Ok(None) };
    let wrong = || format!("an unexpected value: {column} `{text}`");
    parse(text).map(Some).ok_or_else(wrong)
}

/// The same where there must be one.
fn text_there<T>(row: &Row, column: &str, parse: impl Fn(&str) -> Option<T>) -> Read<T> {
    text(row, column, parse)?.ok_or_else(|| format!("no {column}"))
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// The IMEI of a row of any table.
pub(super) fn imei(row: &Row) -> Read<Imei> {
    text_there(row, "imei", parse)
}

/// A place that a device takes.
pub(super) fn place(row: &Row) -> Read<Place> {
    Ok(Place { rollout: get(row, "rollout")?, imei: imei(row)?, missing: get(row, "missing")? })
}

/// A device that is counted in a wave.
pub(super) fn member(row: &Row) -> Read<Member> {
    Ok(Member { imei: imei(row)?, wave: number(row, "wave")?, outside: get(row, "outside")? })
}

/// A rollout and a device that is overdue in it.
pub(super) fn of_rollout(row: &Row) -> Read<(String, Imei)> {
    Ok((get(row, "rollout")?, imei(row)?))
}

/// A channel and how many offers it made.
pub(super) fn recent(row: &Row) -> Read<(String, u32)> {
    Ok((get(row, "channel")?, u32::try_from(seq(row)?).unwrap_or(u32::MAX)))
}

/// The only number of a row.
pub(super) fn seq(row: &Row) -> Read<i64> {
    get(row, "seq")
}

/// A device without its offers.
pub(super) fn device(row: &Row) -> Read<DeviceRecord> {
    let portion = |generation: &str, is_complete: &str| -> Read<Option<Portion>> {
        let Some(generation) = get(row, generation)? else { return Ok(None) };
        Ok(Some(Portion { generation, is_complete: get(row, is_complete)? }))
    };
    let sent = match portion("sent_generation", "sent_whole")? {
        Some(portion) => Some(Sent {
            portion,
            at: get(row, "sent_at")?,
            target: text(row, "sent_target", parse)?,
            checks: number(row, "sent_checks")?,
            checked: get(row, "sent_checked")?,
        }),
        None => None,
    };
    let confirmed = portion("confirmed_generation", "confirmed_whole")?;
    let result = match get(row, "result_at")? {
        Some(at) => Some(ResultRecord {
            at,
            code: optional(row, "result_code")?,
            text: get(row, "result_text")?,
            rollout: get(row, "result_rollout")?,
        }),
        None => None,
    };
    Ok(DeviceRecord {
        imei: imei(row)?,
        client: text(row, "client", parse)?,
        first_seen: get(row, "first_seen")?,
        last_seen: get(row, "last_seen")?,
        reported: text(row, "reported", parse)?,
        refusal: text(row, "refusal", Refusal::from_name)?,
        settings: SettingsRecord { sent, confirmed },
        latest: get(row, "latest")?,
        offers: Vec::new(),
        result,
        budget: text(row, "budget", parse)?.unwrap_or_default(),
    })
}

/// An offer and whose it is.
pub(super) fn offer(row: &Row) -> Read<(Imei, OfferRecord)> {
    let offer = OfferRecord {
        rollout: get(row, "rollout")?,
        target: text_there(row, "target", parse)?,
        attempts: number(row, "attempts")?,
        at: get(row, "at")?,
        from: text_there(row, "reported", parse)?,
        deadline: get(row, "deadline")?,
        until: get(row, "until")?,
        answered: get(row, "answered")?,
        code: optional(row, "code")?,
        verdict: text(row, "verdict", Verdict::from_name)?,
        artifact_fault: get(row, "artifact_fault")?,
        epoch: number(row, "epoch")?,
        place: get(row, "place")?,
        proven: optional(row, "proven")?,
        since: get(row, "since")?,
        blamed: optional(row, "blamed")?,
        missing: get(row, "missing")?,
        wave: optional(row, "wave")?,
        outside: get(row, "outside")?,
    };
    Ok((imei(row)?, offer))
}

/// A rollout.
pub(super) fn rollout(row: &Row) -> Read<RolloutRecord> {
    let brake = match optional(row, "brake_artifact_faults")? {
        Some(artifact_faults) => Some(Brake {
            artifact_faults,
            failures_bp: number(row, "brake_failures_bp")?,
            after: number(row, "brake_after")?,
        }),
        None => None,
    };
    Ok(RolloutRecord {
        id: get(row, "id")?,
        brake,
        epoch: number(row, "epoch")?,
        offered: number(row, "offered")?,
        succeeded: number(row, "succeeded")?,
        failed: number(row, "failed")?,
        artifact_faults: number(row, "artifact_faults")?,
        halted: halted(row)?,
        installed: number(row, "installed")?,
        places: number(row, "places")?,
        proven: number(row, "proven")?,
        proven_since: number(row, "proven_since")?,
        attempts_since: number(row, "attempts_since")?,
        clock: clock(row)?,
        judged: get(row, "judged")?,
        waves: text(row, "waves", Waves::from_text)?.unwrap_or_default(),
    })
}

fn halted(row: &Row) -> Read<Option<Halt>> {
    let Some(at) = get(row, "halted_at")? else { return Ok(None) };
    Ok(Some(Halt { at, reason: get(row, "halted_reason")? }))
}

fn clock(row: &Row) -> Read<Clock> {
    Ok(Clock { heard: get(row, "heard")?, lag: get(row, "lag")?, patience: get(row, "patience")? })
}

/// A release.
pub(super) fn release(row: &Row) -> Read<ReleaseRecord> {
    Ok(ReleaseRecord {
        version: get(row, "version")?,
        epoch: number(row, "epoch")?,
        faults: number(row, "faults")?,
        halted: halted(row)?,
        judged: get(row, "judged")?,
    })
}

/// A channel.
pub(super) fn channel(row: &Row) -> Read<ChannelRecord> {
    Ok(ChannelRecord { name: get(row, "name")?, clock: clock(row)? })
}

/// An unknown device.
pub(super) fn unknown(row: &Row) -> Read<UnknownRecord> {
    Ok(UnknownRecord {
        name: get(row, "name")?,
        first_seen: get(row, "first_seen")?,
        last_seen: get(row, "last_seen")?,
        said: get(row, "said")?,
    })
}

/// An event and its number.
pub(super) fn event(row: &Row) -> Read<(i64, Event)> {
    let event = Event {
        at: get(row, "at")?,
        kind: text_there(row, "kind", EventKind::from_name)?,
        imei: text(row, "imei", parse)?,
        rollout: get(row, "rollout")?,
        code: optional(row, "code")?,
        detail: get(row, "detail")?,
    };
    Ok((seq(row)?, event))
}

/// How the devices of a rollout stand.
pub(super) fn standing(row: &Row) -> Read<(String, Standing)> {
    let standing = Standing {
        open: number(row, "open")?,
        installed: number(row, "installed")?,
        succeeded: number(row, "succeeded")?,
        failed: number(row, "failed")?,
    };
    Ok((get(row, "rollout")?, standing))
}

/// A count of offers.
pub(super) fn rate(row: &Row) -> Read<Rate> {
    Ok(Rate { channel: get(row, "channel")?, minute: get(row, "minute")?, offers: number(row, "offers")? })
}

/// A cursor.
pub(super) fn cursor(row: &Row) -> Read<(String, i64)> {
    Ok((get(row, "name")?, seq(row)?))
}
