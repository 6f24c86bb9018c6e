//! The tables of the quarantine, and every statement that reads or changes them.

use crate::sqlite::Schema;

pub(super) const SCHEMA: Schema = Schema {
    kind: "quarantine",
    application_id: 0x7453_7174, // "tSqt"
    version: 3,
    sql: "
        CREATE TABLE entry_group (
            code TEXT NOT NULL,
            sender BLOB NOT NULL,
            entries INTEGER NOT NULL CHECK (entries >= 0),
            bytes INTEGER NOT NULL CHECK (bytes >= 0),
            evicted INTEGER NOT NULL CHECK (evicted >= 0),
            PRIMARY KEY (code, sender)
        ) STRICT;
        CREATE TABLE entry (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            queue TEXT NOT NULL,
            task_id TEXT NOT NULL,
            code TEXT NOT NULL,
            detail TEXT NOT NULL,
            kid BLOB CHECK (length(kid) = 8),
            kid_known INTEGER NOT NULL,
            unverified_type TEXT,
            unverified_issuer TEXT,
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            disposition TEXT NOT NULL CHECK (disposition IN ('held', 'archived', 'rescheduled')),
            count INTEGER NOT NULL,
            first_seen_at INTEGER NOT NULL,
            last_seen_at INTEGER NOT NULL,
            payload_len INTEGER NOT NULL,
            size INTEGER NOT NULL,
            sender BLOB NOT NULL,
            payload BLOB NOT NULL,
            UNIQUE (queue, task_id, code, digest)
        ) STRICT;
        CREATE INDEX entry_by_group ON entry (code, sender);
    ",
};

pub(super) const USAGE: &str = "SELECT coalesce(sum(entries), 0), coalesce(sum(bytes), 0) FROM entry_group";
pub(super) const GROUPS: &str = "SELECT code, sender, entries, bytes, evicted FROM entry_group";
pub(super) const SET_GROUP: &str = "
    INSERT INTO entry_group (code, sender, entries, bytes, evicted) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT DO UPDATE SET entries = ?3, bytes = ?4, evicted = ?5";
pub(super) const EVICT: &str = "
    DELETE FROM entry WHERE id = (SELECT id FROM entry WHERE code = ?1 AND sender = ?2 ORDER BY id LIMIT 1)
    RETURNING size";
pub(super) const EVICTED: &str =
    "SELECT code, sum(evicted) FROM entry_group GROUP BY code HAVING sum(evicted) > 0 ORDER BY code";

pub(super) const COUNT_AGAIN: &str = "
    UPDATE entry SET count = count + 1, detail = ?5, kid_known = ?6, disposition = ?7,
        last_seen_at = max(last_seen_at, ?8)
    WHERE queue = ?1 AND task_id = ?2 AND code = ?3 AND digest = ?4
    RETURNING id, count";
pub(super) const INSERT: &str = "
    INSERT INTO entry (queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer,
        digest, disposition, count, first_seen_at, last_seen_at, payload_len, size, payload, sender)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?11, ?12, ?13, ?14, ?15)";
pub(super) const LIST: &str = "
    SELECT id, queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer, digest,
        disposition, count, first_seen_at, last_seen_at, payload_len
    FROM entry WHERE (?1 IS NULL OR code = ?1) AND (?2 IS NULL OR queue = ?2)
    ORDER BY id LIMIT ?3 OFFSET ?4";
pub(super) const FIND: &str = "
    SELECT id, queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer, digest,
        disposition, count, first_seen_at, last_seen_at, payload_len, payload
    FROM entry WHERE id = ?1";
pub(super) const COUNTS: &str = "SELECT code, count(*) FROM entry GROUP BY code ORDER BY code";
pub(super) const REMOVE: &str = "DELETE FROM entry WHERE id = ?1 RETURNING size, code, sender";
