//! The tables of the ledger, and every statement that reads or changes them.

use crate::sqlite::Schema;

/// The state `claimed` is a lock of the ledger. The word is part of the format of the file.
pub(in crate::replay) const SCHEMA: Schema = Schema {
    kind: "replay ledger",
    application_id: 0x7453_6c67, // "tSlg"
    version: 5,
    sql: "
        CREATE TABLE identity (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            id BLOB NOT NULL CHECK (length(id) = 16),
            created_at INTEGER NOT NULL,
            floor INTEGER NOT NULL,
            accept_from INTEGER NOT NULL,
            latest INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE clock (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            boot TEXT NOT NULL,
            offset INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE task (
            rowid INTEGER PRIMARY KEY,
            issuer TEXT NOT NULL,
            task_id BLOB NOT NULL CHECK (length(task_id) = 16),
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            state TEXT NOT NULL CHECK (state IN ('claimed', 'waiting', 'finished', 'done')),
            owner TEXT,
            until INTEGER,
            begun INTEGER NOT NULL DEFAULT 1 CHECK (begun IN (0, 1)),
            attempts INTEGER NOT NULL,
            crashes INTEGER NOT NULL,
            first_seen_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            outcome BLOB,
            UNIQUE (issuer, task_id),
            CHECK ((state = 'claimed') = (owner IS NOT NULL AND until IS NOT NULL)),
            CHECK ((state = 'finished') = (outcome IS NOT NULL))
        ) STRICT;
        CREATE INDEX task_by_expiry ON task (expires_at);
    ",
};

pub(in crate::replay) const INSERT_IDENTITY: &str = "
    INSERT INTO identity (only, id, created_at, floor, accept_from, latest)
    VALUES (1, randomblob(16), ?1, -9223372036854775808, ?2, ?1)
    ON CONFLICT DO NOTHING";
pub(in crate::replay) const IDENTITY: &str = "SELECT id, created_at, floor FROM identity";
pub(in crate::replay) const BOUNDS: &str = "SELECT floor, accept_from FROM identity";
pub(in crate::replay) const RAISE_FLOOR: &str = "UPDATE identity SET floor = max(floor, ?1)";

pub(in crate::replay) const LATEST: &str = "SELECT latest FROM identity";
/// To the second: most calls then write no page for it.
pub(in crate::replay) const RAISE_LATEST: &str = "UPDATE identity SET latest = ?1 WHERE latest <= ?1 - 1000";
pub(in crate::replay) const SET_LATEST: &str = "UPDATE identity SET latest = ?1";

pub(in crate::replay) const CLOCK: &str = "SELECT boot, offset FROM clock";
pub(in crate::replay) const SET_CLOCK: &str =
    "INSERT OR REPLACE INTO clock (only, boot, offset) VALUES (1, ?1, ?2)";
pub(in crate::replay) const LIMIT_LOCKS: &str =
    "UPDATE task SET until = min(until, ?1) WHERE state = 'claimed'";

pub(in crate::replay) const FIND: &str = "
    SELECT rowid, digest, state, until, attempts, crashes, expires_at, first_seen_at, begun
    FROM task WHERE issuer = ?1 AND task_id = ?2";
pub(in crate::replay) const OUTCOME: &str = "SELECT outcome FROM task WHERE rowid = ?1";
pub(in crate::replay) const FIRST_RUN: &str = "
    INSERT INTO task
        (issuer, task_id, digest, state, owner, until, begun, first_seen_at, expires_at, attempts, crashes)
    VALUES (?1, ?2, ?3, 'claimed', ?4, ?5, ?6, ?7, ?8, 1, 0)";
pub(in crate::replay) const RUN_AGAIN: &str = "
    UPDATE task
    SET state = 'claimed', owner = ?2, until = ?3, begun = ?4, first_seen_at = ?5, expires_at = ?6, attempts = ?7, crashes = ?8
    WHERE rowid = ?1";
pub(in crate::replay) const LOSE: &str = "UPDATE task SET state = 'waiting', owner = NULL, until = NULL, attempts = ?2, crashes = ?3 WHERE rowid = ?1";

pub(in crate::replay) const EXTEND: &str = "
    UPDATE task SET until = ?4 WHERE issuer = ?1 AND task_id = ?2 AND state = 'claimed' AND owner = ?3";
pub(in crate::replay) const BEGIN: &str = "
    UPDATE task SET begun = 1 WHERE issuer = ?1 AND task_id = ?2 AND state = 'claimed' AND owner = ?3";
pub(in crate::replay) const FINISH: &str = "
    UPDATE task SET state = 'finished', owner = NULL, until = NULL, outcome = ?4
    WHERE issuer = ?1 AND task_id = ?2 AND state = 'claimed' AND owner = ?3";
pub(in crate::replay) const SETTLED: &str = "
    UPDATE task SET state = 'done', outcome = NULL
    WHERE issuer = ?1 AND task_id = ?2 AND state IN ('finished', 'done')";
pub(in crate::replay) const RELEASE: &str = "
    UPDATE task SET state = 'waiting', owner = NULL, until = NULL
    WHERE issuer = ?1 AND task_id = ?2 AND state = 'claimed' AND owner = ?3";
pub(in crate::replay) const GIVE_BACK: &str = "
    UPDATE task SET state = 'waiting', owner = NULL, until = NULL, attempts = attempts - 1
    WHERE issuer = ?1 AND task_id = ?2 AND state = 'claimed' AND owner = ?3";

pub(in crate::replay) const FORGET_LOCKED: &str = "
    DELETE FROM task WHERE issuer = ?1 AND task_id = ?2 AND state = 'claimed' AND owner = ?3";

pub(in crate::replay) const FORGET: &str = "
    DELETE FROM task WHERE rowid IN (
        SELECT rowid FROM task
        WHERE expires_at < ?1
            AND NOT (state = 'claimed' AND until > ?2)
            AND NOT (state = 'finished' AND expires_at >= ?3)
        ORDER BY expires_at LIMIT ?4
    ) RETURNING expires_at";
pub(in crate::replay) const COUNTS: &str = "SELECT state, count(*) FROM task GROUP BY state";
