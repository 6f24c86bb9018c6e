//! Ending leases.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::counters::Delta;
use super::inspect::MAX_ERROR;
use super::lease::held;
use super::{pending, record, tasks};
use crate::broker::{BrokerError, Lease, Settled, Settlement, TaskState};

/// Refuses ends that could not be read back.
pub(super) fn check(ends: &[(Lease, Settlement)]) -> Result<(), BrokerError> {
    for (_, settlement) in ends {
        let (text, result): (&str, &[u8]) = match settlement {
            Settlement::Done | Settlement::Requeue => continue,
            Settlement::Retry { failure, .. } => (failure.as_deref().unwrap_or(""), &[]),
            Settlement::Archive { reason } => (reason, &[]),
            Settlement::Complete { result, .. } => ("", result),
        };
        if text.len() > MAX_ERROR {
            return Err(BrokerError::Refused("the reason is longer than 64 KiB".into()));
        }
        if result.len() > record::MAX_BYTES {
            return Err(BrokerError::Refused("the result is larger than 17 MiB".into()));
        }
    }
    Ok(())
}

pub(super) fn settle(
    connection: &Connection,
    queue: &str,
    ends: &[(Lease, Settlement)],
    now: i64,
) -> rusqlite::Result<Vec<Settled>> {
    let mut batch = Batch { connection, now, delta: Delta::default(), front: Vec::new() };
    let mut answers = Vec::with_capacity(ends.len());
    for (lease, settlement) in ends {
        answers.push(match held(connection, queue, lease)? {
            Some(seq) => batch.end(seq, settlement).map(|()| Settled::Done)?,
            None => Settled::LeaseLost,
        });
    }
    batch.finish(queue)?;
    Ok(answers)
}

/// The ends of one call.
struct Batch<'a> {
    connection: &'a Connection,
    now: i64,
    delta: Delta,
    /// Tasks that go to the front of the queue, in order.
    front: Vec<i64>,
}

impl Batch<'_> {
    fn end(&mut self, seq: i64, settlement: &Settlement) -> rusqlite::Result<()> {
        match settlement {
            Settlement::Done => self.done(seq),
            Settlement::Complete { result, retention } => self.complete(seq, result, *retention),
            Settlement::Retry { delay, failure: Some(reason) } => self.fail(seq, self.after(*delay), reason),
            Settlement::Retry { delay, failure: None } => self.postpone(seq, self.after(*delay)),
            Settlement::Archive { reason } => self.archive(seq, reason),
            Settlement::Requeue => self.requeue(seq),
        }
    }

    /// Returns the time later by `delay`.
    fn after(&self, delay: Duration) -> i64 {
        self.now.saturating_add(record::millis(delay))
    }

    fn done(&mut self, seq: i64) -> rusqlite::Result<()> {
        tasks::delete(self.connection, seq)?;
        self.delta.leave(TaskState::Active);
        self.delta.processed += 1;
        Ok(())
    }

    fn complete(&mut self, seq: i64, result: &[u8], retention: Duration) -> rusqlite::Result<()> {
        record::store_result(self.connection, seq, result)?;
        let sql =
            "UPDATE task SET state = 'completed', expires_at = ?2, completed_at = ?3, lease_token = NULL,
                   lease_until = NULL WHERE seq = ?1";
        let until = self.after(retention);
        tasks::change(self.connection, seq, sql, params![seq, until, self.now])?;
        self.delta.shift(TaskState::Active, TaskState::Completed);
        self.delta.processed += 1;
        Ok(())
    }

    fn fail(&mut self, seq: i64, at: i64, reason: &str) -> rusqlite::Result<()> {
        let sql = "UPDATE task SET state = 'retry', process_at = ?2, lease_token = NULL, lease_until = NULL,
                   retries = min(max(retries, 0), 1 << 31) + 1, last_error = ?3, last_failed_at = ?4
                   WHERE seq = ?1";
        tasks::change(self.connection, seq, sql, params![seq, at, reason, self.now])?;
        self.delta.shift(TaskState::Active, TaskState::Retry);
        self.delta.processed += 1;
        self.delta.failed += 1;
        Ok(())
    }

    fn postpone(&mut self, seq: i64, at: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE task SET state = 'retry', process_at = ?2, lease_token = NULL, lease_until = NULL
                   WHERE seq = ?1";
        tasks::change(self.connection, seq, sql, params![seq, at])?;
        self.delta.shift(TaskState::Active, TaskState::Retry);
        Ok(())
    }

    fn archive(&mut self, seq: i64, reason: &str) -> rusqlite::Result<()> {
        let sql = "UPDATE task SET last_error = ?2, last_failed_at = ?3 WHERE seq = ?1";
        tasks::change(self.connection, seq, sql, params![seq, reason, self.now])?;
        tasks::archive(self.connection, seq, self.now)?;
        self.delta.archive(TaskState::Active);
        Ok(())
    }

    /// Ends the lease, so that a second end of it finds none; [`finish`](Self::finish) makes the task pending.
    fn requeue(&mut self, seq: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE task SET lease_token = NULL WHERE seq = ?1";
        tasks::change(self.connection, seq, sql, params![seq])?;
        self.front.push(seq);
        self.delta.shift(TaskState::Active, TaskState::Pending);
        Ok(())
    }

    fn finish(self, queue: &str) -> rusqlite::Result<()> {
        pending::to_front(self.connection, queue, &self.front, self.now)?;
        self.delta.apply(self.connection, queue)
    }
}
