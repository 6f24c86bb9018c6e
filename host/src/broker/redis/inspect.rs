//! What operators see: queues, counts, pages of tasks, one task.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use redis::{Value, cmd};

use super::asynq::Message;
use super::scripts::Args;
use super::{RedisBroker, keys, reply, scripts, to_i64};
use crate::broker::{BrokerError, QueueStats, TaskInfo, TaskState};
use crate::queue::QueueName;

impl RedisBroker {
    pub(super) async fn read_queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        let mut smembers = cmd("SMEMBERS");
        smembers.arg(keys::queues(&self.prefix));
        let names = reply::ids(self.connection.call(&smembers).await?)?;
        let names: BTreeSet<QueueName> =
            names.iter().filter_map(|name| QueueName::parse(name).ok()).collect();
        Ok(names.into_iter().collect())
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
        ];
        let answer = self.connection.run(&scripts::STATS, &names, &Args::default().text(&keys.base)).await?;
        let [pending, active, scheduled, retry, archived, completed, processed, failed, paused, oldest] =
            reply::tuple(answer)?;
        let count = |value: &Value| reply::count(value).map(|count| count as u64);
        Ok(QueueStats {
            pending: count(&pending)?,
            active: count(&active)?,
            scheduled: count(&scheduled)?,
            retry: count(&retry)?,
            archived: count(&archived)?,
            completed: count(&completed)?,
            processed: reply::counter(processed)?,
            failed: reply::counter(failed)?,
            paused: reply::int(&paused)? == 1,
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
            let mut rows = reply::array(rows)?.into_iter();
            while let (Some(id), Some(task), Some(at)) = (rows.next(), rows.next(), rows.next()) {
                page.push(info(reply::id(id)?, state, task, at)?);
            }
            if reply::count(&seen)? < chunk {
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
        // A state of asynq that is not one of ours (aggregating).
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
