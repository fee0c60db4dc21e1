//! Many records written at once: one statement for each table, whose parameters are the columns.

use tokio_postgres::types::ToSql;

use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_responder::record::{
    ChannelRecord, DeviceRecord, Event, OfferRecord, Refusal, ReleaseRecord, RolloutRecord, UnknownRecord,
    Verdict,
};
use otapress_responder::records::Changes;

/// A statement and its parameters.
pub(super) struct Bulk {
    pub sql: &'static str,
    columns: Vec<Box<dyn ToSql + Sync>>,
}

impl Bulk {
    /// A statement with one parameter, or none.
    pub(super) fn of(sql: &'static str, parameter: Option<i64>) -> Self {
        Bulk { sql, columns: parameter.into_iter().map(|parameter| Box::new(parameter) as _).collect() }
    }

    /// The parameters, as the client takes them.
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.columns.iter().map(|column| &**column as _).collect()
    }
}

/// Devices, without their offers.
const DEVICES: &str = "INSERT INTO devices (imei, client, first_seen, last_seen, reported, refusal, \
    sent_generation, \
     sent_whole, sent_at, confirmed_generation, confirmed_whole, latest, result_at, result_code, \
     result_text, result_rollout, sent_target, sent_checks, sent_checked, budget) SELECT * FROM \
     unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], \
     $8::boolean[], $9::bigint[], $10::text[], $11::boolean[], $12::text[], $13::bigint[], $14::bigint[], \
     $15::text[], $16::text[], $17::text[], $18::bigint[], $19::bigint[], $20::text[]) ON CONFLICT (imei) DO \
     UPDATE \
     SET client = excluded.client, first_seen = excluded.first_seen, last_seen = excluded.last_seen, \
     reported = excluded.reported, refusal = excluded.refusal, sent_generation = \
     excluded.sent_generation, sent_whole = excluded.sent_whole, sent_at = excluded.sent_at, \
     confirmed_generation = excluded.confirmed_generation, confirmed_whole = excluded.confirmed_whole, \
     latest = excluded.latest, result_at = excluded.result_at, result_code = excluded.result_code, \
     result_text = excluded.result_text, result_rollout = excluded.result_rollout, sent_target = \
     excluded.sent_target, sent_checks = excluded.sent_checks, sent_checked = excluded.sent_checked, \
     budget = excluded.budget";

/// Offers.
const OFFERS: &str = "INSERT INTO offers (imei, rollout, target, attempts, at, reported, deadline, until, \
    answered, code, \
     verdict, artifact_fault, epoch, place, proven, since, blamed, missing, wave, outside) SELECT * \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], \
     $8::bigint[], $9::boolean[], $10::bigint[], $11::text[], $12::boolean[], $13::bigint[], \
     $14::boolean[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], \
     $20::bigint[]) ON CONFLICT (imei, rollout) DO UPDATE SET target = excluded.target, \
     attempts = excluded.attempts, at = excluded.at, reported = excluded.reported, \
     deadline = excluded.deadline, until = excluded.until, answered = excluded.answered, \
     code = excluded.code, verdict = excluded.verdict, artifact_fault = excluded.artifact_fault, \
     epoch = excluded.epoch, place = excluded.place, proven = excluded.proven, since = excluded.since, \
     blamed = excluded.blamed, missing = excluded.missing, wave = excluded.wave, \
     outside = excluded.outside";

/// Rollouts.
const ROLLOUTS: &str = "INSERT INTO rollouts (id, brake_artifact_faults, brake_failures_bp, brake_after, \
    epoch, offered, \
     succeeded, failed, artifact_faults, halted_at, halted_reason, installed, places, proven, \
     proven_since, attempts_since, heard, lag, patience, judged, waves) SELECT * FROM unnest($1::text[], \
     $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], \
     $9::bigint[], $10::bigint[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], \
     $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::text[]) \
     ON \
     CONFLICT (id) DO UPDATE SET brake_artifact_faults = excluded.brake_artifact_faults, \
     brake_failures_bp = excluded.brake_failures_bp, brake_after = excluded.brake_after, epoch = \
     excluded.epoch, offered = excluded.offered, succeeded = excluded.succeeded, failed = \
     excluded.failed, artifact_faults = excluded.artifact_faults, halted_at = excluded.halted_at, \
     halted_reason = excluded.halted_reason, installed = excluded.installed, places = excluded.places, \
     proven = excluded.proven, proven_since = excluded.proven_since, attempts_since = \
     excluded.attempts_since, heard = excluded.heard, lag = excluded.lag, patience = excluded.patience, \
     judged = excluded.judged, waves = excluded.waves";

/// Releases.
const RELEASES: &str = "INSERT INTO releases (version, epoch, faults, halted_at, halted_reason, judged) \
    SELECT * FROM \
     unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[]) ON CONFLICT \
     (version) DO UPDATE SET epoch = excluded.epoch, faults = excluded.faults, halted_at = \
     excluded.halted_at, halted_reason = excluded.halted_reason, judged = excluded.judged";

/// Channels.
const CHANNELS: &str = "INSERT INTO channels (name, heard, lag, patience) SELECT * FROM unnest($1::text[], \
    $2::bigint[], \
     $3::bigint[], $4::bigint[]) ON CONFLICT (name) DO UPDATE SET heard = excluded.heard, lag = \
     excluded.lag, patience = excluded.patience";

/// Unknown devices.
const UNKNOWN: &str = "INSERT INTO unknown (name, first_seen, last_seen, said) SELECT * FROM \
    unnest($1::text[], \
     $2::bigint[], $3::bigint[], $4::text[]) ON CONFLICT (name) DO UPDATE SET first_seen = \
     excluded.first_seen, last_seen = excluded.last_seen, said = excluded.said";

/// Offers counted. What is older than the hour before is of no use to anybody.
const RATES: &str = "WITH counted AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS c \
    (channel, minute, \
     offers)), forgotten AS (DELETE FROM rates USING counted WHERE rates.channel = counted.channel AND \
     rates.minute < \
     counted.minute - 60) INSERT INTO rates SELECT * FROM counted ON CONFLICT (channel, minute) DO UPDATE \
     SET offers = \
     rates.offers + excluded.offers";

/// Events, numbered in their order.
const EVENTS: &str = "INSERT INTO events (at, kind, imei, rollout, code, detail) SELECT at, kind, imei, \
    rollout, code, \
     detail FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[]) WITH \
     ORDINALITY AS e \
     (at, kind, imei, rollout, code, detail, n) ORDER BY n";

/// Events with numbers of their own.
const NUMBERED: &str = "INSERT INTO events (seq, at, kind, imei, rollout, code, detail) SELECT * FROM \
     unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[])";

/// Makes a statement of rows and what is in each column.
macro_rules! bulk {
    ($sql:expr, $rows:expr, $($value:expr),+ $(,)?) => {{
        let rows = $rows;
        Bulk { sql: $sql, columns: vec![$(column(rows, $value)),+] }
    }};
}

/// One column of the rows.
fn column<R: Copy, T: ToSql + Sync + 'static>(rows: &[R], value: impl Fn(R) -> T) -> Box<dyn ToSql + Sync> {
    Box::new(rows.iter().map(|&row| value(row)).collect::<Vec<T>>())
}

fn code(code: Option<u16>) -> Option<i64> {
    code.map(i64::from)
}

/// The statements that write the changes.
pub(super) fn all(changes: &Changes<'_>) -> Vec<Bulk> {
    let mut bulks = Vec::new();
    let mut add = |is_empty: bool, bulk: &dyn Fn() -> Bulk| {
        if !is_empty {
            bulks.push(bulk());
        }
    };
    add(changes.devices.is_empty(), &|| devices(&changes.devices));
    add(changes.offers.is_empty(), &|| offers(&changes.offers));
    add(changes.rollouts.is_empty(), &|| rollouts(&changes.rollouts));
    add(changes.releases.is_empty(), &|| releases(&changes.releases));
    add(changes.channels.is_empty(), &|| channels(&changes.channels));
    add(changes.rates.is_empty(), &|| rates(&changes.rates));
    add(changes.events.is_empty(), &|| events(&changes.events));
    add(changes.unknown.is_empty(), &|| unknown(&changes.unknown));
    add(changes.numbered.is_empty(), &|| numbered(&changes.numbered));
    bulks
}

/// Writes devices, without their offers.
fn devices<'a>(rows: &[&'a DeviceRecord]) -> Bulk {
    bulk!(
        DEVICES,
        rows,
        |d: &'a DeviceRecord| d.imei.to_string(),
        |d: &'a DeviceRecord| d.client.as_ref().map(|client| client.as_str().to_owned()),
        |d: &'a DeviceRecord| d.first_seen,
        |d: &'a DeviceRecord| d.last_seen,
        |d: &'a DeviceRecord| d.reported.map(|version| version.to_string()),
        |d: &'a DeviceRecord| d.refusal.map(Refusal::as_str),
        |d: &'a DeviceRecord| d.settings.sent.as_ref().map(|sent| sent.portion.generation.to_string()),
        |d: &'a DeviceRecord| d.settings.sent.as_ref().map(|sent| sent.portion.is_complete),
        |d: &'a DeviceRecord| d.settings.sent.as_ref().map(|sent| sent.at),
        |d: &'a DeviceRecord| d.settings.confirmed.as_ref().map(|portion| portion.generation.to_string()),
        |d: &'a DeviceRecord| d.settings.confirmed.as_ref().map(|portion| portion.is_complete),
        |d: &'a DeviceRecord| d.latest.as_deref().map(str::to_owned),
        |d: &'a DeviceRecord| d.result.as_ref().map(|result| result.at),
        |d: &'a DeviceRecord| d.result.as_ref().and_then(|result| code(result.code)),
        |d: &'a DeviceRecord| d.result.as_ref().map(|result| result.text.to_string()),
        |d: &'a DeviceRecord| d
            .result
            .as_ref()
            .and_then(|result| result.rollout.as_deref().map(str::to_owned)),
        |d: &'a DeviceRecord| sent_target(d).map(|target| target.to_string()),
        |d: &'a DeviceRecord| d.settings.sent.as_ref().map(|sent| i64::from(sent.checks)),
        |d: &'a DeviceRecord| d.settings.sent.as_ref().map(|sent| sent.checked),
        |d: &'a DeviceRecord| d.budget.to_string(),
    )
}

/// Writes offers.
fn offers<'a>(rows: &[(Imei, &'a OfferRecord)]) -> Bulk {
    type Row<'a> = (Imei, &'a OfferRecord);
    bulk!(
        OFFERS,
        rows,
        |(imei, _): Row<'a>| imei.to_string(),
        |(_, o): Row<'a>| o.rollout.to_string(),
        |(_, o): Row<'a>| o.target.to_string(),
        |(_, o): Row<'a>| i64::from(o.attempts),
        |(_, o): Row<'a>| o.at,
        |(_, o): Row<'a>| o.from.to_string(),
        |(_, o): Row<'a>| o.deadline,
        |(_, o): Row<'a>| o.until,
        |(_, o): Row<'a>| o.answered,
        |(_, o): Row<'a>| code(o.code),
        |(_, o): Row<'a>| o.verdict.map(Verdict::as_str),
        |(_, o): Row<'a>| o.artifact_fault,
        |(_, o): Row<'a>| i64::from(o.epoch),
        |(_, o): Row<'a>| o.place,
        |(_, o): Row<'a>| o.proven.map(i64::from),
        |(_, o): Row<'a>| o.since,
        |(_, o): Row<'a>| o.blamed.map(i64::from),
        |(_, o): Row<'a>| o.missing,
        |(_, o): Row<'a>| o.wave.map(i64::from),
        |(_, o): Row<'a>| o.outside,
    )
}

/// Writes rollouts.
fn rollouts<'a>(rows: &[&'a RolloutRecord]) -> Bulk {
    bulk!(
        ROLLOUTS,
        rows,
        |r: &'a RolloutRecord| r.id.to_string(),
        |r: &'a RolloutRecord| r.brake.map(|brake| i64::from(brake.artifact_faults)),
        |r: &'a RolloutRecord| r.brake.map(|brake| i64::from(brake.failures_bp)),
        |r: &'a RolloutRecord| r.brake.map(|brake| i64::from(brake.after)),
        |r: &'a RolloutRecord| i64::from(r.epoch),
        |r: &'a RolloutRecord| i64::from(r.offered),
        |r: &'a RolloutRecord| i64::from(r.succeeded),
        |r: &'a RolloutRecord| i64::from(r.failed),
        |r: &'a RolloutRecord| i64::from(r.artifact_faults),
        |r: &'a RolloutRecord| r.halted.as_ref().map(|halt| halt.at),
        |r: &'a RolloutRecord| r.halted.as_ref().map(|halt| halt.reason.clone()),
        |r: &'a RolloutRecord| i64::from(r.installed),
        |r: &'a RolloutRecord| i64::from(r.places),
        |r: &'a RolloutRecord| i64::from(r.proven),
        |r: &'a RolloutRecord| i64::from(r.proven_since),
        |r: &'a RolloutRecord| i64::from(r.attempts_since),
        |r: &'a RolloutRecord| r.clock.heard,
        |r: &'a RolloutRecord| r.clock.lag,
        |r: &'a RolloutRecord| r.clock.patience,
        |r: &'a RolloutRecord| r.judged,
        |r: &'a RolloutRecord| r.waves.to_text(),
    )
}

fn sent_target(device: &DeviceRecord) -> Option<Version> {
    device.settings.sent.as_ref().and_then(|sent| sent.target)
}

/// Writes releases.
fn releases<'a>(rows: &[&'a ReleaseRecord]) -> Bulk {
    bulk!(
        RELEASES,
        rows,
        |r: &'a ReleaseRecord| r.version.to_string(),
        |r: &'a ReleaseRecord| i64::from(r.epoch),
        |r: &'a ReleaseRecord| i64::from(r.faults),
        |r: &'a ReleaseRecord| r.halted.as_ref().map(|halt| halt.at),
        |r: &'a ReleaseRecord| r.halted.as_ref().map(|halt| halt.reason.clone()),
        |r: &'a ReleaseRecord| r.judged,
    )
}

/// Writes channels.
fn channels<'a>(rows: &[&'a ChannelRecord]) -> Bulk {
    bulk!(
        CHANNELS,
        rows,
        |c: &'a ChannelRecord| c.name.to_string(),
        |c: &'a ChannelRecord| c.clock.heard,
        |c: &'a ChannelRecord| c.clock.lag,
        |c: &'a ChannelRecord| c.clock.patience,
    )
}

/// Writes unknown devices.
fn unknown<'a>(rows: &[&'a UnknownRecord]) -> Bulk {
    bulk!(
        UNKNOWN,
        rows,
        |u: &'a UnknownRecord| u.name.clone(),
        |u: &'a UnknownRecord| u.first_seen,
        |u: &'a UnknownRecord| u.last_seen,
        |u: &'a UnknownRecord| u.said.clone(),
    )
}

/// Counts offers: of a channel, in a minute, how many.
fn rates<'a>(rows: &[(&'a str, i64, u32)]) -> Bulk {
    type Row<'a> = (&'a str, i64, u32);
    bulk!(
        RATES,
        rows,
        |(channel, _, _): Row<'a>| channel.to_owned(),
        |(_, minute, _): Row<'a>| minute,
        |(_, _, offers): Row<'a>| i64::from(offers),
    )
}

/// Appends events.
fn events<'a>(rows: &[&'a Event]) -> Bulk {
    bulk!(
        EVENTS,
        rows,
        |e: &'a Event| e.at,
        |e: &'a Event| e.kind.as_str(),
        |e: &'a Event| e.imei.map(|imei| imei.to_string()),
        |e: &'a Event| e.rollout.as_deref().map(str::to_owned),
        |e: &'a Event| code(e.code),
        |e: &'a Event| e.detail.clone(),
    )
}

/// Writes events under their numbers.
fn numbered<'a>(rows: &[(i64, &'a Event)]) -> Bulk {
    type Row<'a> = (i64, &'a Event);
    bulk!(
        NUMBERED,
        rows,
        |(seq, _): Row<'a>| seq,
        |(_, e): Row<'a>| e.at,
        |(_, e): Row<'a>| e.kind.as_str(),
        |(_, e): Row<'a>| e.imei.map(|imei| imei.to_string()),
        |(_, e): Row<'a>| e.rollout.as_deref().map(str::to_owned),
        |(_, e): Row<'a>| code(e.code),
        |(_, e): Row<'a>| e.detail.clone(),
    )
}
