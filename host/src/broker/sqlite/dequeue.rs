//! Leasing tasks.

use rusqlite::{Connection, params};

use super::counters::Delta;
use super::record::Stored;
use super::{MAX_ROWS, pending, record, tasks};
use crate::broker::{Corrupt, DequeueLimits, Dequeued, Lease, LeaseToken, Leased, TaskState};

/// Leases tasks until `until`. `random` is the fencing token of the first task, the others count up from it.
pub(super) fn dequeue(
    connection: &Connection,
    queue: &str,
    limits: DequeueLimits,
    until: i64,
    random: [u8; 16],
    now: i64,
) -> rusqlite::Result<Dequeued> {
    if !pending::has_any(connection, queue)? {
        return Ok(Dequeued::default());
    }
    let mut batch = Batch {
        connection,
        queue,
        until,
        now,
        token: u128::from_be_bytes(random),
        answer: Dequeued::default(),
        delta: Delta::default(),
        limits,
        bytes: 0,
        is_full: false,
    };
    let mut seen = 0;
    // More than one round only if damaged tasks are pending.
    while batch.answer.tasks.len() < limits.tasks && !batch.is_full && seen < MAX_ROWS {
        let round = (limits.tasks - batch.answer.tasks.len()).min(MAX_ROWS - seen);
        let candidates = pending::first(connection, queue, round)?;
        seen += candidates.len();
        let last = candidates.len() < round;
        for (seq, id) in candidates {
            batch.take(seq, id)?;
            if batch.is_full {
                break;
            }
        }
        if last {
            break;
        }
    }
    batch.finish()
}

/// The tasks of one call.
struct Batch<'a> {
    connection: &'a Connection,
    queue: &'a str,
    until: i64,
    now: i64,
    token: u128,
    answer: Dequeued,
    delta: Delta,
    limits: DequeueLimits,
    /// Size of the answer, in bytes.
    bytes: usize,
    /// Set if the next task would make the answer too large.
    is_full: bool,
}

impl Batch<'_> {
    /// Takes the pending task `seq`: leases it, or archives or drops what cannot be leased.
    fn take(&mut self, seq: i64, id: Option<String>) -> rusqlite::Result<()> {
        let Some(id) = id else {
            tasks::repair(self.connection, seq)?;
            let id = format!("seq {seq}");
            return self.archive(seq, Corrupt { id, bytes: Vec::new(), is_too_large: false });
        };
        match record::read(self.connection, seq, self.queue, &id, self.limits.task_bytes)? {
            Stored::Record(record) => {
                let size = record::size_of(&record);
                if !self.has_room(size) {
                    return Ok(());
                }
                self.bytes += size;
                let lease = self.lease(seq, id)?;
                self.answer.tasks.push(Leased { lease, record });
            }
            Stored::Corrupt(found) => {
                if !self.has_room(found.len()) {
                    return Ok(());
                }
                self.bytes += found.len();
                self.archive(seq, Corrupt { id, bytes: found, is_too_large: false })?;
            }
            Stored::TooLarge => self.archive(seq, Corrupt { id, bytes: Vec::new(), is_too_large: true })?,
            Stored::Gone => {
                tasks::delete(self.connection, seq)?;
                self.delta.leave(TaskState::Pending);
                self.answer.dropped.push(id);
            }
        }
        Ok(())
    }

    /// Returns whether a task of `size` bytes can be part of the answer. The first one always can.
    fn has_room(&mut self, size: usize) -> bool {
        let is_first = self.answer.tasks.is_empty() && self.answer.corrupt.is_empty();
        self.is_full = !is_first && self.bytes.saturating_add(size) > self.limits.total_bytes;
        !self.is_full
    }

    fn lease(&mut self, seq: i64, id: String) -> rusqlite::Result<Lease> {
        let lease = Lease::new(id, LeaseToken::from_bytes(self.token.to_be_bytes()));
        self.token = self.token.wrapping_add(1);
        let sql = "UPDATE task SET state = 'active', position = NULL, pending_since = NULL, lease_token = ?2,
                   lease_until = ?3 WHERE seq = ?1";
        tasks::change(self.connection, seq, sql, params![seq, lease.token.to_hex(), self.until])?;
        self.delta.shift(TaskState::Pending, TaskState::Active);
        Ok(lease)
    }

    /// Archives a task that cannot be decoded.
    fn archive(&mut self, seq: i64, corrupt: Corrupt) -> rusqlite::Result<()> {
        tasks::archive(self.connection, seq, self.now)?;
        self.delta.archive(TaskState::Pending);
        self.answer.corrupt.push(corrupt);
        Ok(())
    }

    fn finish(self) -> rusqlite::Result<Dequeued> {
        self.delta.apply(self.connection, self.queue)?;
        Ok(self.answer)
    }
}
