//! Records as rows of the PostgreSQL database.

use std::str::FromStr;
use std::sync::Arc;

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

/// A text that records share.
fn shared(row: &Row, column: &str) -> Read<Option<Arc<str>>> {
    Ok(get::<Option<&str>>(row, column)?.map(Arc::from))
}

/// The same where there must be one.
fn shared_there(row: &Row, column: &str) -> Read<Arc<str>> {
    Ok(get::<&str>(row, column)?.into())
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

/// How many columns a device has.
const DEVICE_COLUMNS: usize = 20;

/// The columns of a row, one after the other: to look each of them up by its name takes longer than to read
/// it.
pub(super) struct Columns<'r> {
    row: &'r Row,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r Row) -> Self {
        Columns { row, next: 0 }
    }

    /// Those that come after a device.
    pub(super) fn after_device(row: &'r Row) -> Self {
        Columns { row, next: DEVICE_COLUMNS }
    }

    fn wrong(&self, what: &dyn std::fmt::Display) -> String {
        let column = self.row.columns().get(self.next - 1).map_or("", |column| column.name());
        format!("an unexpected value: {column} {what}")
    }

    fn get<T: FromSql<'r>>(&mut self) -> Read<T> {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|error| self.wrong(&error))
    }

    /// Leaves out as many columns.
    fn skip<T>(&mut self, columns: usize) -> Option<T> {
        self.next += columns;
        None
    }

    /// A BIGINT that must fit a narrower type.
    fn number<T: TryFrom<i64>>(&mut self) -> Read<T> {
        let number: i64 = self.get()?;
        T::try_from(number).map_err(|_| self.wrong(&number))
    }

    fn number_if_any<T: TryFrom<i64>>(&mut self) -> Read<Option<T>> {
        let Some(number) = self.get::<Option<i64>>()? else { return Ok(None) };
        T::try_from(number).map(Some).map_err(|_| self.wrong(&number))
    }

    /// A value that is stored as text.
    fn text<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Read<Option<T>> {
        let Some(text) = self.get::<Option<&str>>()? else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| self.wrong(&format!("`{text}`")))
    }

    /// The same where there must be one.
    fn text_there<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Read<T> {
        self.text(parse)?.ok_or_else(|| self.wrong(&"NULL"))
    }

    /// A text that records share.
    fn shared(&mut self) -> Read<Option<Arc<str>>> {
        Ok(self.get::<Option<&str>>()?.map(Arc::from))
    }

    fn shared_there(&mut self) -> Read<Arc<str>> {
        Ok(self.get::<&str>()?.into())
    }
}

/// A place that a device takes.
pub(super) fn place(row: &Row) -> Read<Place> {
    Ok(Place { rollout: get(row, "rollout")?, imei: imei(row)?, missing: get(row, "missing")? })
}

/// A device that is counted in a wave.
pub(super) fn member(row: &Row) -> Read<Member> {
    Ok(Member { imei: imei(row)?, wave: number(row, "wave")?, outside: get(row, "outside")? })
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
    let row = &mut Columns::of(row);
    Ok(DeviceRecord {
        imei: row.text_there(parse)?,
        client: row.text(parse)?,
        first_seen: row.get()?,
        last_seen: row.get()?,
        reported: row.text(parse)?,
        refusal: row.text(Refusal::from_name)?,
        settings: SettingsRecord {
            sent: match row.shared()? {
                Some(generation) => Some(Sent {
                    portion: Portion { generation, is_complete: row.get()? },
                    at: row.get()?,
                    target: row.text(parse)?,
                    checks: row.number()?,
                    checked: row.get()?,
                }),
                None => row.skip(5),
            },
            confirmed: match row.shared()? {
                Some(generation) => Some(Portion { generation, is_complete: row.get()? }),
                None => row.skip(1),
            },
        },
        latest: row.shared()?,
        offers: Vec::new(),
        result: match row.get()? {
            Some(at) => Some(ResultRecord {
                at,
                code: row.number_if_any()?,
                text: row.shared_there()?,
                rollout: row.shared()?,
            }),
            None => row.skip(3),
        },
        budget: row.text(parse)?.unwrap_or_default(),
    })
}

/// An offer and whose it is.
pub(super) fn offer(row: &Row) -> Read<(Imei, OfferRecord)> {
    let row = &mut Columns::of(row);
    Ok((row.text_there(parse)?, offer_in(row)?))
}

/// An offer, if there is one, without the IMEI.
pub(super) fn offer_if_any(row: &mut Columns<'_>) -> Read<Option<OfferRecord>> {
    match row.get::<Option<&str>>()? {
        Some(_) => offer_in(row).map(Some),
        None => Ok(None),
    }
}

fn offer_in(row: &mut Columns<'_>) -> Read<OfferRecord> {
    Ok(OfferRecord {
        rollout: row.shared_there()?,
        target: row.text_there(parse)?,
        attempts: row.number()?,
        at: row.get()?,
        from: row.text_there(parse)?,
        deadline: row.get()?,
        until: row.get()?,
        answered: row.get()?,
        code: row.number_if_any()?,
        verdict: row.text(Verdict::from_name)?,
        artifact_fault: row.get()?,
        epoch: row.number()?,
        place: row.get()?,
        proven: row.number_if_any()?,
        since: row.get()?,
        blamed: row.number_if_any()?,
        missing: row.get()?,
        wave: row.number_if_any()?,
        outside: row.get()?,
    })
}

/// A rollout, if it is recorded.
pub(super) fn rollout_if_any(row: &Row) -> Read<Option<RolloutRecord>> {
    if get::<Option<&str>>(row, "id")?.is_none() { Ok(None) } else { rollout(row).map(Some) }
}

/// A device that is overdue in the rollout that was asked for, if one is.
pub(super) fn overdue(row: &Row) -> Read<Option<(String, Imei)>> {
    let Some(imei) = text(row, "imei", parse)? else { return Ok(None) };
    Ok(Some((get(row, "rollout")?, imei)))
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
        id: shared_there(row, "id")?,
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
        version: shared_there(row, "version")?,
        epoch: number(row, "epoch")?,
        faults: number(row, "faults")?,
        halted: halted(row)?,
        judged: get(row, "judged")?,
    })
}

/// A channel.
pub(super) fn channel(row: &Row) -> Read<ChannelRecord> {
    Ok(ChannelRecord { name: shared_there(row, "name")?, clock: clock(row)? })
}

/// A channel that was asked for, its record and how many offers it made, if there are any.
pub(super) fn channel_and_offers(row: &Row) -> Read<(String, Option<ChannelRecord>, Option<u32>)> {
    let is_recorded = get::<Option<&str>>(row, "name")?.is_some();
    let record = if is_recorded { Some(channel(row)?) } else { None };
    let offers = get::<Option<i64>>(row, "seq")?.map(|offers| u32::try_from(offers).unwrap_or(u32::MAX));
    Ok((get(row, "channel")?, record, offers))
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
        rollout: shared(row, "rollout")?,
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
