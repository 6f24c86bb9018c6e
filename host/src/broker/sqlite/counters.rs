//! The counters of a queue.

use rusqlite::{Connection, params};

use super::schema::STATES;
use crate::broker::TaskState;

/// What a transaction adds to the counters of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    states: [i64; STATES.len()],
    pub(super) enqueued: i64,
    pub(super) processed: i64,
    pub(super) failed: i64,
    pub(super) trimmed: i64,
}

impl Delta {
    /// Counts one more task in `state`.
    pub(super) fn enter(&mut self, state: TaskState) {
        self.add(state, 1);
    }

    /// Counts one less task in `state`.
    pub(super) fn leave(&mut self, state: TaskState) {
        self.add(state, -1);
    }

    /// Counts one task that changed its state.
    pub(super) fn shift(&mut self, from: TaskState, to: TaskState) {
        self.leave(from);
        self.enter(to);
    }

    /// Counts `count` more tasks in `state`.
    pub(super) fn add(&mut self, state: TaskState, count: i64) {
        for (known, entry) in STATES.into_iter().zip(&mut self.states) {
            if known == state {
                *entry += count;
            }
        }
    }

    /// Counts one archived task, which is also processed and failed.
    pub(super) fn archive(&mut self, from: TaskState) {
        self.shift(from, TaskState::Archived);
        self.processed += 1;
        self.failed += 1;
    }

    /// Adds everything to the counters of `queue`.
    pub(super) fn apply(&self, connection: &Connection, queue: &str) -> rusqlite::Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        let [pending, active, scheduled, retry, archived, completed] = self.states;
        connection.prepare_cached(ADD)?.execute(params![
            queue,
            pending,
            active,
            scheduled,
            retry,
            archived,
            completed,
            self.enqueued,
            self.processed,
            self.failed,
            self.trimmed
        ])?;
        Ok(())
    }
}

/// Clamps before it adds: a counter that was tampered with may be the largest integer, and beyond that SQLite would compute
/// a float, which the table refuses.
const ADD: &str = "
    INSERT INTO queue (name, pending, active, scheduled, retry, archived, completed, enqueued, processed, failed,
        trimmed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (name) DO UPDATE SET
        pending = min(max(pending, -1 << 62), 1 << 62) + ?2,
        active = min(max(active, -1 << 62), 1 << 62) + ?3,
        scheduled = min(max(scheduled, -1 << 62), 1 << 62) + ?4,
        retry = min(max(retry, -1 << 62), 1 << 62) + ?5,
        archived = min(max(archived, -1 << 62), 1 << 62) + ?6,
        completed = min(max(completed, -1 << 62), 1 << 62) + ?7,
        enqueued = min(max(enqueued, -1 << 62), 1 << 62) + ?8,
        processed = min(max(processed, -1 << 62), 1 << 62) + ?9,
        failed = min(max(failed, -1 << 62), 1 << 62) + ?10,
        trimmed = min(max(trimmed, -1 << 62), 1 << 62) + ?11";
