//! What an operator does with stored tasks and queues.

use rusqlite::{Connection, OptionalExtension, params};

use super::counters::Delta;
use super::{pending, tasks};
use crate::broker::{Operated, Operation, QueueDeletion, TaskState};

pub(super) fn operate(
    connection: &Connection,
    queue: &str,
    ids: &[String],
    operation: Operation,
    now: i64,
) -> rusqlite::Result<Vec<Operated>> {
    let mut delta = Delta::default();
    let outcomes = ids.iter().map(|id| one(connection, queue, id, operation, now, &mut delta)).collect();
    delta.apply(connection, queue)?;
    outcomes
}

fn one(
    connection: &Connection,
    queue: &str,
    id: &str,
    operation: Operation,
    now: i64,
    delta: &mut Delta,
) -> rusqlite::Result<Operated> {
    let found = connection
        .prepare_cached("SELECT seq, CASE WHEN octet_length(state) <= 16 THEN state END FROM task WHERE queue = ?1 AND id = ?2")?
        .query_row(params![queue, id], |row| {
            let state = row.get_ref(1)?.as_str().ok().and_then(TaskState::parse);
            Ok((row.get::<_, i64>(0)?, state))
        })
        .optional()?;
    let Some((seq, Some(state))) = found else { return Ok(Operated::NotFound) };
    if !operation.applies_to(state) {
        return Ok(Operated::Unchanged(state));
    }
    match operation {
        Operation::Run => {
            let sql =
                "UPDATE task SET state = 'pending', position = ?2, pending_since = ?3, process_at = NULL,
                       archived_at = NULL WHERE seq = ?1";
            tasks::change(connection, seq, sql, params![seq, pending::back(connection, queue)?, now])?;
            delta.shift(state, TaskState::Pending);
        }
        Operation::Archive => {
            tasks::archive(connection, seq, now)?;
            delta.shift(state, TaskState::Archived);
        }
        Operation::Delete => {
            tasks::delete(connection, seq)?;
            delta.leave(state);
        }
    }
    Ok(Operated::Done(state))
}

pub(super) fn delete_queue(
    connection: &Connection,
    queue: &str,
    with_tasks: bool,
) -> rusqlite::Result<QueueDeletion> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        let count: i64 = connection.prepare_cached(sql)?.query_row([queue], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    };
    let active = count("SELECT count(*) FROM task WHERE queue = ?1 AND state = 'active'")?;
    if active > 0 {
        return Ok(QueueDeletion::Active(active));
    }
    let tasks = count("SELECT count(*) FROM task WHERE queue = ?1")?;
    if tasks > 0 && !with_tasks {
        return Ok(QueueDeletion::NotEmpty(tasks));
    }
    for table in ["record", "result"] {
        let sql = format!("DELETE FROM {table} WHERE seq IN (SELECT seq FROM task WHERE queue = ?1)");
        connection.execute(&sql, [queue])?;
    }
    connection.execute("DELETE FROM task WHERE queue = ?1", [queue])?;
    connection.execute("DELETE FROM queue WHERE name = ?1", [queue])?;
    Ok(QueueDeletion::Deleted)
}
