//! Ending leases.

use rusqlite::{Connection, params};

use crate::broker::{BrokerError, Lease, Settled, Settlement, TaskState};

use super::enqueue::check_size;
use super::line::{self, Delta};
use super::row;

/// Refuses what could not be read back.
pub(super) fn check(ends: &[(Lease, Settlement)]) -> Result<(), BrokerError> {
    for (_, settlement) in ends {
        match settlement {
            Settlement::Done | Settlement::Requeue => {}
            Settlement::Retry { message, .. } | Settlement::Archive { message } => check_size(message)?,
            Settlement::Complete { message, result, .. } => {
                check_size(message)?;
                if result.len() > row::MAX_BYTES {
                    return Err(BrokerError::Refused("the result is larger than 17 MiB".into()));
                }
            }
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
            Settlement::Complete { message, result, retention } => {
                row::store(connection, seq, message, Some(result))?;
                let keep = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
                let sql = "UPDATE task SET state = 'completed', expires_at = ?2, lease_token = NULL,
                           lease_until = NULL WHERE seq = ?1";
                line::change(connection, seq, sql, params![seq, now.saturating_add(keep)])?;
                delta.shift(TaskState::Active, TaskState::Completed);
                delta.processed += 1;
            }
            Settlement::Retry { message, at, failed } => {
                row::store(connection, seq, message, None)?;
                let sql = "UPDATE task SET state = 'retry', process_at = ?2, lease_token = NULL,
                           lease_until = NULL WHERE seq = ?1";
                line::change(connection, seq, sql, params![seq, at.0])?;
                delta.shift(TaskState::Active, TaskState::Retry);
                delta.processed += i64::from(*failed);
                delta.failed += i64::from(*failed);
            }
            Settlement::Archive { message } => {
                row::store(connection, seq, message, None)?;
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
