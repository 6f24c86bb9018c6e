//! What operators see: queues, counts, pages of tasks, one task.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::asynq::Message;
use super::scripts::Args;
use super::{RedisBroker, keys, reply, scripts, to_i64};
use crate::broker::{BrokerError, QueueStats, TaskInfo, TaskState};
use crate::queue::QueueName;

impl RedisBroker {
    pub(super) async fn read_queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        let key = keys::queues(&self.prefix);
        let mut names = BTreeSet::new();
        let mut cursor = "0".to_owned();
        for _ in 0..MAX_PAGES {
            let args = Args::default().text(&cursor).int(NAMES);
            let [next, page] = reply::tuple(self.connection.run(&scripts::QUEUES, &[&key], &args).await?)?;
            let next = reply::id(next)?;
            names.extend(reply::ids(page)?.iter().filter_map(|name| QueueName::parse(name).ok()));
            if next == "0" || names.len() >= MAX_QUEUES {
                break;
            }
            cursor = next;
        }
        Ok(names.into_iter().take(MAX_QUEUES).collect())
    }

    pub(super) async fn read_stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError> {
        let keys = self.keys(queue);
        let names = [
            keys.pending.as_str(),
            &keys.active,
            &keys.scheduled,
            &keys.retry,
            &keys.archived,
            &keys.completed,
            &keys.processed,
            &keys.failed,
            &keys.paused,
            &keys.trimmed,
        ];
        let answer = self.connection.run(&scripts::STATS, &names, &Args::default().text(&keys.base)).await?;
        let [
            pending,
            active,
            scheduled,
            retry,
            archived,
            completed,
            processed,
            failed,
            paused,
            trimmed,
            aggregating,
            oldest,
        ] = reply::tuple(answer)?;
        let count = |value: &Value| reply::count(value).map(|count| count as u64);
        Ok(QueueStats {
            pending: count(&pending)?,
            active: count(&active)?,
            scheduled: count(&scheduled)?,
            retry: count(&retry)?,
            archived: count(&archived)?,
            completed: count(&completed)?,
            aggregating: count(&aggregating)?,
            processed: reply::counter(processed)?,
            failed: reply::counter(failed)?,
            paused: reply::int(&paused)? == 1,
            trimmed: reply::counter(trimmed)?,
            oldest_pending: u64::try_from(reply::int(&oldest)?).ok().map(Duration::from_millis),
        })
    }

    pub(super) async fn read_page(
        &self,
        queue: &QueueName,
        state: TaskState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        let keys = self.keys(queue);
        let mut page = Vec::new();
        let mut passed: usize = 0;
        while passed < limit {
            let chunk = (limit - passed).min(PAGE);
            let args = Args::default()
                .text(&keys.base)
                .text(state.as_str())
                .int(to_i64(offset.saturating_add(passed)))
                .int(to_i64(chunk));
            let answer =
                self.connection.run(&scripts::LIST, &[keys.state(state), &keys.lease], &args).await?;
            let [seen, rows] = reply::tuple(answer)?;
            let (seen, rows) = (reply::count(&seen)?, reply::array(rows)?);
            if seen > chunk || rows.len() > 3 * seen {
                return Err(reply::unexpected());
            }
            let mut rows = rows.into_iter();
            while let (Some(id), Some(task), Some(at)) = (rows.next(), rows.next(), rows.next()) {
                page.push(info(reply::id(id)?, state, task, at)?);
            }
            if seen < chunk {
                break;
            }
            passed += chunk;
        }
        Ok(page)
    }

    pub(super) async fn read_task(
        &self,
        queue: &QueueName,
        id: &str,
    ) -> Result<Option<TaskInfo>, BrokerError> {
        let keys = self.keys(queue);
        let args = Args::default().text(&keys.base).text(id);
        let answer = self.connection.run(&scripts::FIND, &[&keys.task(id)], &args).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let [state, task, at] = reply::tuple(answer)?;
        let state = String::from_utf8(reply::bytes(state)?).unwrap_or_default();
        // Not a state of asynq.
        let Some(state) = TaskState::parse(&state) else { return Ok(None) };
        info(id.to_owned(), state, task, at).map(Some)
    }
}

fn info(id: String, state: TaskState, task: Value, at: Value) -> Result<TaskInfo, BrokerError> {
    let [message, result] = reply::tuple(task)?;
    let message = reply::optional(message)?.map(Bytes::from);
    let info = match message.map(|stored| Message::decode_shared(&stored)) {
        Some(Ok(message)) => message.to_info(id, state),
        Some(Err(_)) | None => TaskInfo::undecodable(id, state),
    };
    let (result, at) = (reply::optional(result)?, reply::millis(at)?);
    Ok(TaskInfo { result, at, ..info })
}

/// Maximum number of tasks a script call returns: each row carries its message.
const PAGE: usize = 64;

/// About how many names of queues a script call looks at.
const NAMES: i64 = 1024;

/// Maximum number of these calls: a process that can write to Redis can add any number of names.
const MAX_PAGES: usize = 256;

/// Maximum number of queues.
const MAX_QUEUES: usize = 10_000;
