//! Leasing tasks.

use rusqlite::{Connection, params};

use super::counters::Delta;
use super::record::Stored;
use super::{MAX_REPLY_BYTES, MAX_ROWS, archive, pending, record, tasks};
use crate::broker::{Corrupt, Dequeued, Lease, LeaseToken, Leased, TaskState};

/// Leases tasks; `random` is the fencing token of the first task, the others count up from it.
pub(super) fn dequeue(
    connection: &Connection,
    queue: &str,
    limit: usize,
    until: i64,
    random: [u8; 16],
    now: i64,
) -> rusqlite::Result<Dequeued> {
    let mut answer = Dequeued::default();
    if !pending::has_any(connection, queue)? {
        return Ok(answer);
    }
    let mut delta = Delta::default();
    let take = "UPDATE task SET state = 'active', position = NULL, pending_since = NULL, lease_token = ?2,
                lease_until = ?3 WHERE seq = ?1";
    let (mut bytes, mut stuck, mut seen) = (0, 0, 0);
    let mut token = u128::from_be_bytes(random);

    // More than one round only if damaged tasks are pending.
    while answer.tasks.len() < limit && bytes < MAX_REPLY_BYTES && seen < MAX_ROWS {
        let round = (limit - answer.tasks.len()).min(MAX_ROWS - seen);
        let candidates = pending::first(connection, queue, round, stuck)?;
        seen += candidates.len();
        let last = candidates.len() < round;
        for (seq, id) in candidates {
            if bytes >= MAX_REPLY_BYTES {
                break;
            }
            let Some(id) = id else {
                stuck += archive_corrupt(connection, seq, now, &mut delta)?;
                answer.corrupt.push(Corrupt { id: format!("seq {seq}"), bytes: Vec::new() });
                continue;
            };
            match record::read(connection, seq, queue, &id)? {
                Stored::Record(record) => {
                    bytes += record::size_of(&record);
                    let lease = Lease::new(id, LeaseToken::from_bytes(token.to_be_bytes()));
                    token = token.wrapping_add(1);
                    tasks::change(connection, seq, take, params![seq, lease.token.to_hex(), until])?;
                    delta.shift(TaskState::Pending, TaskState::Active);
                    answer.tasks.push(Leased { lease, record });
                }
                Stored::Corrupt(found) => {
                    bytes += found.len();
                    stuck += archive_corrupt(connection, seq, now, &mut delta)?;
                    answer.corrupt.push(Corrupt { id, bytes: found });
                }
                Stored::Gone => {
                    tasks::delete(connection, seq)?;
                    delta.leave(TaskState::Pending);
                    answer.dropped.push(id);
                }
            }
        }
        if last {
            break;
        }
    }
    if !answer.corrupt.is_empty() {
        archive::trim(connection, queue, now, &mut delta)?;
    }
    delta.apply(connection, queue)?;
    Ok(answer)
}

/// Archives a task that cannot be leased. Returns 1 if that is impossible too, 0 otherwise.
fn archive_corrupt(
    connection: &Connection,
    seq: i64,
    now: i64,
    delta: &mut Delta,
) -> rusqlite::Result<usize> {
    match tasks::archive(connection, seq, now) {
        Ok(()) => {
            delta.archive(TaskState::Pending);
            Ok(0)
        }
        // The id is too long to be replaced: its entry in the index cannot be read.
        Err(error) if record::is_too_big(&error) => Ok(1),
        Err(error) => Err(error),
    }
}
