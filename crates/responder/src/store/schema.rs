//! The tables of the SQLite database, and how older ones become these.

use rusqlite::Connection;

/// One script per schema number, from 1: each takes a database from the number before to its own. A script
/// that was released is never edited.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE devices (
        imei TEXT NOT NULL PRIMARY KEY,
        client TEXT,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        reported TEXT,
        refusal TEXT,
        sent_generation TEXT,
        sent_whole INTEGER,
        sent_at INTEGER,
        confirmed_generation TEXT,
        confirmed_whole INTEGER,
        latest TEXT,
        result_at INTEGER,
        result_code INTEGER,
        result_text TEXT,
        result_rollout TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX devices_client ON devices (client) WHERE client IS NOT NULL;

    CREATE TABLE offers (
        imei TEXT NOT NULL,
        rollout TEXT NOT NULL,
        target TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        at INTEGER NOT NULL,
        reported TEXT NOT NULL,
        deadline INTEGER,
        until INTEGER NOT NULL,
        answered INTEGER NOT NULL,
        code INTEGER,
        verdict TEXT,
        artifact_fault INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        PRIMARY KEY (imei, rollout)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX offers_deadline ON offers (rollout, deadline) WHERE deadline IS NOT NULL;

    CREATE TABLE rollouts (
        id TEXT NOT NULL PRIMARY KEY,
        brake_artifact_faults INTEGER,
        brake_failures_bp INTEGER,
        brake_after INTEGER,
        epoch INTEGER NOT NULL,
        offered INTEGER NOT NULL,
        succeeded INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        artifact_faults INTEGER NOT NULL,
        halted_at INTEGER,
        halted_reason TEXT
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE rates (
        channel TEXT NOT NULL,
        minute INTEGER NOT NULL,
        offers INTEGER NOT NULL,
        PRIMARY KEY (channel, minute)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        imei TEXT,
        rollout TEXT,
        code INTEGER,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_imei ON events (imei, seq) WHERE imei IS NOT NULL;

    CREATE TABLE unknown (
        name TEXT NOT NULL PRIMARY KEY,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        said TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX unknown_last_seen ON unknown (last_seen, name);
",
    "
    CREATE TABLE cursors (
        name TEXT NOT NULL PRIMARY KEY,
        seq INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    // A device that was offered a release and was not heard of since takes a place; who succeeded has proven
    // it.
    "
    ALTER TABLE devices ADD COLUMN sent_target TEXT;
    ALTER TABLE devices ADD COLUMN sent_checks INTEGER;
    ALTER TABLE devices ADD COLUMN sent_checked INTEGER;
    ALTER TABLE devices ADD COLUMN budget TEXT;
    ALTER TABLE offers ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE offers ADD COLUMN proven INTEGER;
    ALTER TABLE offers ADD COLUMN since INTEGER;
    ALTER TABLE offers ADD COLUMN blamed INTEGER;
    ALTER TABLE offers ADD COLUMN missing INTEGER;
    ALTER TABLE rollouts ADD COLUMN installed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollouts ADD COLUMN places INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollouts ADD COLUMN proven INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollouts ADD COLUMN proven_since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollouts ADD COLUMN attempts_since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollouts ADD COLUMN heard INTEGER;
    ALTER TABLE rollouts ADD COLUMN lag INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollouts ADD COLUMN patience INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollouts ADD COLUMN judged INTEGER;
    CREATE INDEX offers_place ON offers (rollout, imei) WHERE place;
    CREATE TABLE releases (
        version TEXT NOT NULL PRIMARY KEY,
        epoch INTEGER NOT NULL,
        faults INTEGER NOT NULL,
        halted_at INTEGER,
        halted_reason TEXT,
        judged INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE channels (
        name TEXT NOT NULL PRIMARY KEY,
        heard INTEGER,
        lag INTEGER NOT NULL,
        patience INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    UPDATE devices SET sent_checks = 0, sent_checked = sent_at WHERE sent_at IS NOT NULL;
    UPDATE offers SET verdict = 'installed' WHERE verdict IS NULL AND code = 900;
    UPDATE offers SET proven = epoch WHERE verdict = 'succeeded';
    UPDATE offers SET blamed = 0 WHERE artifact_fault;
    UPDATE offers SET place = 1 WHERE attempts > 0 AND verdict IS NOT 'succeeded'
        AND (code IS NULL OR code NOT BETWEEN 901 AND 913 OR code = 912)
        AND EXISTS (SELECT 1 FROM devices d WHERE d.imei = offers.imei AND d.latest = offers.rollout
            AND (d.last_seen < offers.at + 60 OR d.last_seen = d.result_at));
    UPDATE rollouts SET
        places = (SELECT count(*) FROM offers o WHERE o.rollout = id AND o.epoch = rollouts.epoch AND \
        o.place),
        installed = (SELECT count(*) FROM offers o WHERE o.rollout = id AND o.epoch = rollouts.epoch
            AND o.verdict = 'installed'),
        proven = (SELECT count(*) FROM offers o WHERE o.rollout = id AND o.proven IS NOT NULL);
    INSERT INTO releases SELECT o.target, 0, count(DISTINCT o.imei), NULL, NULL, max(o.at) FROM offers o
        JOIN rollouts r ON r.id = o.rollout AND r.epoch = o.epoch WHERE o.artifact_fault GROUP BY o.target;
",
    "
    ALTER TABLE offers ADD COLUMN wave INTEGER;
    ALTER TABLE offers ADD COLUMN outside INTEGER;
    CREATE INDEX offers_wave ON offers (rollout, imei) WHERE wave IS NOT NULL;
    ALTER TABLE rollouts ADD COLUMN waves TEXT;
",
];

/// The schema number that this program reads and writes.
pub(super) const CURRENT: u32 = MIGRATIONS.len() as u32;

/// The schema number of a database; 0 for a new one.
pub(super) fn number(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the tables up to date; to be called in a transaction that has the write lock.
pub(super) fn migrate(db: &Connection) -> rusqlite::Result<()> {
    let from = number(db)?;
    for (script, number) in MIGRATIONS.iter().zip(1..).skip(from as usize) {
        db.execute_batch(script)?;
        db.pragma_update(None, "user_version", number)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Takes an empty database to an older schema, as the program of that time left it.
    pub(in crate::store) fn create_older(db: &Connection, number: u32) {
        for script in &MIGRATIONS[..number as usize] {
            db.execute_batch(script).unwrap();
        }
        db.pragma_update(None, "user_version", number).unwrap();
    }
}
