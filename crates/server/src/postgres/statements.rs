//! The statements that find what a batch of questions needs. Each finds few rows by their keys.

/// The columns of `devices d`, in the order in which they are read.
macro_rules! device_columns {
    () => {
        "d.imei, d.client, d.first_seen, d.last_seen, d.reported, d.refusal, d.sent_generation, \
         d.sent_whole, d.sent_at, d.sent_target, d.sent_checks, d.sent_checked, d.confirmed_generation, \
         d.confirmed_whole, d.latest, d.result_at, d.result_code, d.result_text, d.result_rollout, d.budget"
    };
}

/// The columns of `offers o`.
macro_rules! offer_columns {
    () => {
        "o.imei, o.rollout, o.target, o.attempts, o.at, o.reported, o.deadline, o.until, o.answered, o.code, \
         o.verdict, o.artifact_fault, o.epoch, o.place, o.proven, o.since, o.blamed, o.missing, o.wave, \
         o.outside"
    };
}

/// `SELECT` of all columns of one of these tables, and the rest of the statement.
macro_rules! select {
    (devices, $rest:literal) => {
        concat!("SELECT ", device_columns!(), " FROM devices d ", $rest)
    };
    (offers, $rest:literal) => {
        concat!("SELECT ", offer_columns!(), " FROM offers o ", $rest)
    };
}
pub(super) use {device_columns, offer_columns, select};

/// Devices by IMEI, each with its latest offer, those of the rollouts in `$2`, and those that other records
/// count: a row for each offer, and one for a device without any.
pub(super) const DEVICES: &str = concat!(
    "SELECT ",
    device_columns!(),
    ", ",
    offer_columns!(),
    " FROM devices d LEFT JOIN offers o ON o.imei = d.imei AND (o.rollout = d.latest OR \
     o.rollout = ANY($2) OR o.place OR o.blamed IS NOT NULL OR o.wave IS NOT NULL) WHERE d.imei = ANY($1)"
);

/// Rollouts by id, and the devices that are overdue in those for which `$2` is true: a row for each of these,
/// and one for a rollout without any. `$3` is the time, `$4` how many of a rollout at most.
pub(super) const ROLLOUTS: &str = "SELECT r.*, asked.id AS rollout, o.imei \
     FROM unnest($1::text[], $2::boolean[]) AS asked (id, overdue) LEFT JOIN rollouts r ON r.id = asked.id \
     LEFT JOIN LATERAL (SELECT imei FROM offers WHERE asked.overdue AND rollout = asked.id \
     AND deadline <= $3::bigint - coalesce(r.lag, 0) \
     AND (r.heard IS NULL OR abs($3 - r.heard) <= r.patience) \
     ORDER BY deadline, imei LIMIT $4::bigint) o ON true";

/// The devices whose results named these clientIDs.
pub(super) const CLIENTS: &str = "SELECT imei FROM devices WHERE client = ANY($1)";

/// Channels by name, with the offers of the minutes `$2` to `$3`. The minute in which the hour began counts
/// whole: rather too few offers than too many.
pub(super) const CHANNELS: &str = "SELECT asked.name AS channel, c.*, \
     (SELECT sum(offers)::bigint FROM rates WHERE rates.channel = asked.name \
     AND minute BETWEEN $2 AND $3) AS seq \
     FROM unnest($1::text[]) AS asked (name) LEFT JOIN channels c ON c.name = asked.name";

/// Every release with faults, or that had some.
pub(super) const RELEASES: &str = "SELECT * FROM releases ORDER BY version";

/// Unknown devices by their names.
pub(super) const UNKNOWN: &str = "SELECT * FROM unknown WHERE name = ANY($1)";

/// The offers of a channel in these minutes.
pub(super) const RECENT: &str = "SELECT channel, sum(offers)::bigint AS seq FROM rates \
     WHERE channel = ANY($1) AND minute BETWEEN $2 AND $3 GROUP BY channel";

/// The number of the oldest transaction that writes, and the number that the next one gets. (These names are
/// known to old servers as well.)
pub(super) const SNAPSHOT: &str = "SELECT txid_snapshot_xmin(seen) AS oldest, \
     txid_snapshot_xmax(seen) AS next FROM txid_current_snapshot() AS seen";
