//! The tables of the quarantine, and every statement that reads or changes them.

use crate::sqlite::Schema;

pub(super) const SCHEMA: Schema = Schema {
    kind: "quarantine",
    application_id: 0x7453_7174, // "tSqt"
    version: 4,
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
            disposition TEXT NOT NULL CHECK (disposition IN ('held', 'archived', 'rescheduled', 'released')),
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
        CREATE INDEX entry_released ON entry (queue, digest) WHERE disposition = 'released';
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
/// A `SELECT` of these columns from the entries that a filter selects.
macro_rules! select {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM entry
            WHERE (:code IS NULL OR code = :code) AND (:queue IS NULL OR queue = :queue)
                AND (:kid IS NULL OR kid = :kid) AND (:issuer IS NULL OR unverified_issuer = :issuer)
                AND (:type IS NULL OR unverified_type = :type)
                AND (:prefix IS NULL OR substr(unverified_type, 1, length(:prefix)) = :prefix)
                AND (:disposition IS NULL OR disposition = :disposition)
                AND (:until IS NULL OR last_seen_at <= :until) AND (:from IS NULL OR last_seen_at >= :from)
            ORDER BY id LIMIT :limit OFFSET :offset"
        )
    };
}

pub(super) const LIST: &str = select!(
    "id, queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer, digest,
        disposition, count, first_seen_at, last_seen_at, payload_len"
);
pub(super) const LIST_IDS: &str = select!("id");
pub(super) const FIND: &str = "
    SELECT id, queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer, digest,
        disposition, count, first_seen_at, last_seen_at, payload_len, payload
    FROM entry WHERE id = ?1";
pub(super) const COUNTS: &str = "SELECT code, count(*) FROM entry GROUP BY code ORDER BY code";
pub(super) const REMOVE: &str = "DELETE FROM entry WHERE id = ?1 RETURNING size, code, sender";

pub(super) const SET_DISPOSITION: &str =
    "UPDATE entry SET disposition = ?3 WHERE id = ?1 AND (?2 IS NULL OR disposition = ?2)";
pub(super) const ANY_RELEASED: &str = "SELECT EXISTS (SELECT 1 FROM entry WHERE disposition = 'released')";
/// Deletes one released entry of a task, other than a given one.
pub(super) const REMOVE_RELEASED: &str = "
    DELETE FROM entry WHERE id = (
        SELECT id FROM entry WHERE disposition = 'released' AND queue = ?1 AND digest = ?2 AND id <> ?3 LIMIT 1)
    RETURNING size, code, sender";
