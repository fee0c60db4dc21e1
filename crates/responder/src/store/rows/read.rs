//! Records as they are read from the columns of a row.

use rusqlite::types::{FromSql, Type};
use rusqlite::{Error, Row};

use crate::record::{
    ChannelRecord, Clock, DeviceRecord, Event, EventKind, Halt, OfferRecord, Portion, Refusal, ReleaseRecord,
    ResultRecord, RolloutRecord, Sent, SettingsRecord, UnknownRecord, Verdict,
};
use crate::wave_record::Waves;
use otapress_core::id::Imei;
use otapress_core::wire::Brake;

/// The columns of a row, one after the other: to look each of them up by its name takes longer than to read
/// it.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r Row<'_>) -> Self {
        Columns { row, next: 0 }
    }

    pub(super) fn get<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    /// Leaves out as many columns.
    fn skip<T>(&mut self, columns: usize) -> Option<T> {
        self.next += columns;
        None
    }

    /// A value that is stored as text.
    fn text<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
        let index = self.next;
        self.next += 1;
        let Some(text) = self.row.get_ref(index)?.as_str_or_null()? else { return Ok(None) };
        let name = || self.row.as_ref().column_name(index).unwrap_or_default();
        let wrong =
            || Error::FromSqlConversionFailure(index, Type::Text, format!("{} `{text}`", name()).into());
        parse(text).map(Some).ok_or_else(wrong)
    }

    /// The same where there must be one.
    pub(super) fn text_there<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
        let index = self.next;
        let name = || self.row.as_ref().column_name(index).unwrap_or_default().to_owned();
        let null = || Error::InvalidColumnType(index, name(), Type::Null);
        self.text(parse)?.ok_or_else(null)
    }
}

pub(super) fn parse<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

pub(super) fn imei(row: &Row<'_>) -> rusqlite::Result<Imei> {
    Columns::of(row).text_there(parse)
}

pub(super) fn device(row: &Row<'_>) -> rusqlite::Result<DeviceRecord> {
    let row = &mut Columns::of(row);
    Ok(DeviceRecord {
        imei: row.text_there(parse)?,
        client: row.text(parse)?,
        first_seen: row.get()?,
        last_seen: row.get()?,
        reported: row.text(parse)?,
        refusal: row.text(Refusal::from_name)?,
        settings: SettingsRecord {
            sent: match row.get()? {
                Some(generation) => Some(Sent {
                    portion: Portion { generation, is_complete: row.get()? },
                    at: row.get()?,
                    target: row.text(parse)?,
                    checks: row.get()?,
                    checked: row.get()?,
                }),
                None => row.skip(5),
            },
            confirmed: match row.get()? {
                Some(generation) => Some(Portion { generation, is_complete: row.get()? }),
                None => row.skip(1),
            },
        },
        latest: row.get()?,
        offers: Vec::new(),
        result: match row.get()? {
            Some(at) => Some(ResultRecord { at, code: row.get()?, text: row.get()?, rollout: row.get()? }),
            None => row.skip(3),
        },
        budget: row.text(parse)?.unwrap_or_default(),
    })
}

pub(super) fn offer(row: &Row<'_>) -> rusqlite::Result<OfferRecord> {
    offer_in(&mut Columns::of(row))
}

/// An offer after as many other columns.
pub(super) fn offer_after(row: &Row<'_>, columns: usize) -> rusqlite::Result<OfferRecord> {
    offer_in(&mut Columns { row, next: columns })
}

fn offer_in(row: &mut Columns<'_>) -> rusqlite::Result<OfferRecord> {
    Ok(OfferRecord {
        rollout: row.get()?,
        target: row.text_there(parse)?,
        attempts: row.get()?,
        at: row.get()?,
        from: row.text_there(parse)?,
        deadline: row.get()?,
        until: row.get()?,
        answered: row.get()?,
        code: row.get()?,
        verdict: row.text(Verdict::from_name)?,
        artifact_fault: row.get()?,
        epoch: row.get()?,
        place: row.get()?,
        proven: row.get()?,
        since: row.get()?,
        blamed: row.get()?,
        missing: row.get()?,
        wave: row.get()?,
        outside: row.get()?,
    })
}

pub(super) fn rollout(row: &Row<'_>) -> rusqlite::Result<RolloutRecord> {
    let row = &mut Columns::of(row);
    Ok(RolloutRecord {
        id: row.get()?,
        brake: match row.get()? {
            Some(artifact_faults) => {
                Some(Brake { artifact_faults, failures_bp: row.get()?, after: row.get()? })
            }
            None => row.skip(2),
        },
        epoch: row.get()?,
        offered: row.get()?,
        succeeded: row.get()?,
        failed: row.get()?,
        artifact_faults: row.get()?,
        halted: halted(row)?,
        installed: row.get()?,
        places: row.get()?,
        proven: row.get()?,
        proven_since: row.get()?,
        attempts_since: row.get()?,
        clock: clock(row)?,
        judged: row.get()?,
        waves: row.text(Waves::from_text)?.unwrap_or_default(),
    })
}

fn halted(row: &mut Columns<'_>) -> rusqlite::Result<Option<Halt>> {
    Ok(match row.get()? {
        Some(at) => Some(Halt { at, reason: row.get()? }),
        None => row.skip(1),
    })
}

fn clock(row: &mut Columns<'_>) -> rusqlite::Result<Clock> {
    Ok(Clock { heard: row.get()?, lag: row.get()?, patience: row.get()? })
}

pub(super) fn release(row: &Row<'_>) -> rusqlite::Result<ReleaseRecord> {
    let row = &mut Columns::of(row);
    Ok(ReleaseRecord {
        version: row.get()?,
        epoch: row.get()?,
        faults: row.get()?,
        halted: halted(row)?,
        judged: row.get()?,
    })
}

pub(super) fn channel(row: &Row<'_>) -> rusqlite::Result<ChannelRecord> {
    let row = &mut Columns::of(row);
    Ok(ChannelRecord { name: row.get()?, clock: clock(row)? })
}

pub(super) fn unknown(row: &Row<'_>) -> rusqlite::Result<UnknownRecord> {
    let row = &mut Columns::of(row);
    Ok(UnknownRecord { name: row.get()?, first_seen: row.get()?, last_seen: row.get()?, said: row.get()? })
}

pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<(i64, Event)> {
    let row = &mut Columns::of(row);
    let seq = row.get()?;
    let event = Event {
        at: row.get()?,
        kind: row.text_there(EventKind::from_name)?,
        imei: row.text(parse)?,
        rollout: row.get()?,
        code: row.get()?,
        detail: row.get()?,
    };
    Ok((seq, event))
}
