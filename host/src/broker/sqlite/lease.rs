//! Leasing tasks, extending leases, and taking tasks back from workers that were lost.

use rusqlite::{Connection, params};

use crate::broker::{Corrupt, Dequeued, Lease, LeaseToken, Leased, MAX_CRASHES, Recovered, TaskState};

use super::line::{self, Delta};
use super::row::{self, Stored};

/// Rows that one call looks at, at most, whatever it is asked for.
pub(super) const MOST: usize = 10_000;

/// Bytes after which a call answers no more tasks: 10 000 of them may be 160 GiB.
pub(super) const ENOUGH: usize = 64 * 1024 * 1024;

/// Whether `queue` has a task to hand out.
pub(super) fn has_pending(connection: &Connection, queue: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM task WHERE queue = ?1 AND state = 'pending'
             AND NOT EXISTS (SELECT 1 FROM queue WHERE name = ?1 AND paused <> 0) LIMIT 1",
        )?
        .exists([queue])
}

/// Leases tasks; `random` is the fencing token of the first, the others count up from it.
pub(super) fn dequeue(
    connection: &Connection,
    queue: &str,
    limit: usize,
    until: i64,
    random: [u8; 16],
    now: i64,
) -> rusqlite::Result<Dequeued> {
    let mut answer = Dequeued::default();
    if !has_pending(connection, queue)? {
        return Ok(answer);
    }
    let mut delta = Delta::default();
    let take = "UPDATE task SET state = 'active', position = NULL, pending_since = NULL, lease_token = ?2,
                lease_until = ?3 WHERE seq = ?1";
    let (mut bytes, mut stuck, mut seen) = (0, 0, 0);
    let mut token = u128::from_be_bytes(random);

    // More than one round only where damaged tasks stand in the line.
    while answer.tasks.len() < limit && bytes < ENOUGH && seen < MOST {
        let round = (limit - answer.tasks.len()).min(MOST - seen);
        let candidates = next_in_line(connection, queue, round, stuck)?;
        seen += candidates.len();
        let last = candidates.len() < round;
        for (seq, id) in candidates {
            if bytes >= ENOUGH {
                break;
            }
            let Some(id) = id else {
                stuck += archive_corrupt(connection, seq, now, &mut delta)?;
                answer.corrupt.push(Corrupt { id: format!("seq {seq}"), bytes: Vec::new() });
                continue;
            };
            match row::read(connection, seq, queue, &id)? {
                Stored::Record(record) => {
                    bytes += row::size_of(&record);
                    let lease = Lease::new(id, LeaseToken::from_bytes(token.to_be_bytes()));
                    token = token.wrapping_add(1);
                    line::change(connection, seq, take, params![seq, lease.token.to_hex(), until])?;
                    delta.shift(TaskState::Pending, TaskState::Active);
                    answer.tasks.push(Leased { lease, record });
                }
                Stored::Corrupt(found) => {
                    bytes += found.len();
                    stuck += archive_corrupt(connection, seq, now, &mut delta)?;
                    answer.corrupt.push(Corrupt { id, bytes: found });
                }
                Stored::Gone => {
                    line::delete(connection, seq)?;
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
        line::trim_archive(connection, queue, now, &mut delta)?;
    }
    delta.apply(connection, queue)?;
    Ok(answer)
}

/// Archives a task that cannot be handed out; answers 1 if not even that is possible, 0 otherwise.
fn archive_corrupt(
    connection: &Connection,
    seq: i64,
    now: i64,
    delta: &mut Delta,
) -> rusqlite::Result<usize> {
    match line::archive(connection, seq, now) {
        Ok(()) => {
            delta.archive(TaskState::Pending);
            Ok(0)
        }
        // An id too long even to be replaced: its entry in the index cannot be read.
        Err(error) if row::is_too_big(&error) => Ok(1),
        Err(error) => Err(error),
    }
}

/// Pending tasks in order; no id where there is nothing that can be one.
fn next_in_line(
    connection: &Connection,
    queue: &str,
    limit: usize,
    skip: usize,
) -> rusqlite::Result<Vec<(i64, Option<String>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, CASE WHEN octet_length(id) BETWEEN 1 AND 1024 THEN id END FROM task
         WHERE queue = ?1 AND state = 'pending' ORDER BY position, seq LIMIT ?2 OFFSET ?3",
    )?;
    let rows = statement.query_map(params![queue, to_sql(limit), to_sql(skip)], |row| {
        Ok((row.get(0)?, row.get_ref(1)?.as_str().ok().map(str::to_owned)))
    })?;
    rows.collect()
}

pub(super) fn extend(
    connection: &Connection,
    queue: &str,
    leases: &[Lease],
    until: i64,
) -> rusqlite::Result<Vec<bool>> {
    let mut statement = connection.prepare_cached(
        "UPDATE task SET lease_until = ?4 WHERE queue = ?1 AND id = ?2 AND state = 'active' AND lease_token = ?3",
    )?;
    leases
        .iter()
        .map(|lease| Ok(statement.execute(params![queue, lease.id, lease.token.to_hex(), until])? == 1))
        .collect()
}

/// Whether the lease of an active task ran out.
pub(super) fn has_expired(connection: &Connection, queue: &str, now: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM task WHERE queue = ?1 AND state = 'active' AND lease_until <= ?2 LIMIT 1",
        )?
        .exists(params![queue, now])
}

pub(super) fn recover(
    connection: &Connection,
    queue: &str,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Recovered> {
    let mut lost = connection.prepare_cached(
        "SELECT seq, CASE WHEN octet_length(id) BETWEEN 1 AND 1024 THEN id END, crashes FROM task
         WHERE queue = ?1 AND state = 'active' AND lease_until <= ?2 ORDER BY lease_until, seq LIMIT ?3",
    )?;
    let rows: Vec<(i64, String, i64)> = lost
        .query_map(params![queue, now, to_sql(limit.min(MOST))], |row| {
            let seq = row.get(0)?;
            let id = row.get_ref(1)?.as_str().map_or_else(|_| format!("seq {seq}"), str::to_owned);
            Ok((seq, id, row::integer(row, 2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;

    let mut answer = Recovered::default();
    let mut delta = Delta::default();
    let mut front = Vec::new();
    let crash = "UPDATE task SET crashes = ?2 WHERE seq = ?1";
    for (seq, id, crashes) in rows {
        if !row::exists(connection, seq)? {
            line::delete(connection, seq)?;
            delta.leave(TaskState::Active);
            answer.dropped.push(id);
            continue;
        }
        let crashes = crashes.clamp(0, i64::from(u32::MAX) - 1) + 1;
        line::change(connection, seq, crash, params![seq, crashes])?;
        if crashes >= i64::from(MAX_CRASHES) {
            line::archive(connection, seq, now)?;
            delta.archive(TaskState::Active);
            answer.archived.push(id);
        } else {
            front.push(seq);
            delta.shift(TaskState::Active, TaskState::Pending);
            answer.requeued.push(id);
        }
    }
    line::to_front(connection, queue, &front, now)?;
    if !answer.archived.is_empty() {
        line::trim_archive(connection, queue, now, &mut delta)?;
    }
    delta.apply(connection, queue)?;
    Ok(answer)
}

/// A count as SQLite takes it.
pub(super) fn to_sql(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
