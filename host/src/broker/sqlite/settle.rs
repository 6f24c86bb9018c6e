//! Ending leases.

use rusqlite::{Connection, params};

use crate::broker::{BrokerError, Lease, Settled, Settlement, TaskState};

use super::line::{self, Delta};
use super::row;
use super::view::MAX_ERROR;

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
        if result.len() > row::MAX_BYTES {
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
    let mut delta = Delta::default();
    let mut front = Vec::new();
    let mut archived = false;
    let mut answers = Vec::with_capacity(ends.len());
    let mut held = connection.prepare_cached(
        "SELECT seq FROM task WHERE queue = ?1 AND id = ?2 AND state = 'active' AND lease_token = ?3",
    )?;
    for (lease, settlement) in ends {
        let mut rows = held.query(params![queue, lease.id, lease.token.to_hex()])?;
        let Some(seq) = rows.next()?.map(|row| row.get::<_, i64>(0)).transpose()? else {
            answers.push(Settled::LeaseLost);
            continue;
        };
        drop(rows);
        match settlement {
            Settlement::Done => {
                line::delete(connection, seq)?;
                delta.leave(TaskState::Active);
                delta.processed += 1;
            }
            Settlement::Complete { result, retention } => {
                row::store_result(connection, seq, result)?;
                let sql = "UPDATE task SET state = 'completed', expires_at = ?2, completed_at = ?3,
                           lease_token = NULL, lease_until = NULL WHERE seq = ?1";
                let until = now.saturating_add(row::millis(*retention));
                line::change(connection, seq, sql, params![seq, until, now])?;
                delta.shift(TaskState::Active, TaskState::Completed);
                delta.processed += 1;
            }
            Settlement::Retry { at, failure } => {
                let sql = "UPDATE task SET state = 'retry', process_at = ?2, lease_token = NULL,
                           lease_until = NULL WHERE seq = ?1";
                line::change(connection, seq, sql, params![seq, at.0])?;
                if let Some(reason) = failure {
                    let sql = "UPDATE task SET retries = min(max(retries, 0), 1 << 31) + 1 WHERE seq = ?1";
                    line::change(connection, seq, sql, params![seq])?;
                    fail(connection, seq, reason, now)?;
                    delta.processed += 1;
                    delta.failed += 1;
                }
                delta.shift(TaskState::Active, TaskState::Retry);
            }
            Settlement::Archive { reason } => {
                fail(connection, seq, reason, now)?;
                line::archive(connection, seq, now)?;
                delta.archive(TaskState::Active);
                archived = true;
            }
            Settlement::Requeue => {
                // The place in the line is given at the end; the lease ends here, so that a second end finds none.
                let sql = "UPDATE task SET lease_token = NULL WHERE seq = ?1";
                line::change(connection, seq, sql, params![seq])?;
                front.push(seq);
                delta.shift(TaskState::Active, TaskState::Pending);
            }
        }
        answers.push(Settled::Done);
    }
    line::to_front(connection, queue, &front, now)?;
    if archived {
        line::trim_archive(connection, queue, now, &mut delta)?;
    }
    delta.apply(connection, queue)?;
    Ok(answers)
}

/// Records why and when the last attempt of a task failed.
fn fail(connection: &Connection, seq: i64, reason: &str, now: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE task SET last_error = ?2, last_failed_at = ?3 WHERE seq = ?1";
    line::change(connection, seq, sql, params![seq, reason, now])
}
