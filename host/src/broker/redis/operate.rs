//! What an operator does with stored tasks and queues.

use redis::Value;

use super::scripts::Args;
use super::{CHUNK, RedisBroker, reply, scripts, to_i64};
use crate::broker::{BrokerError, Operated, Operation, QueueDeletion, TaskState};
use crate::queue::QueueName;

impl RedisBroker {
    pub(super) async fn operate_all(
        &self,
        queue: &QueueName,
        ids: &[String],
        operation: Operation,
    ) -> Result<Vec<Operated>, BrokerError> {
        let keys = self.keys(queue);
        let word = match operation {
            Operation::Run => "run",
            Operation::Archive => "archive",
            Operation::Delete => "delete",
        };
        let mut outcomes = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut args =
                Args::default().text(&keys.base).text(&self.channel).text(queue.as_str()).text(word);
            chunk.iter().for_each(|id| args.push_text(id));
            let names = [keys.pending.as_str(), &keys.archived];
            let answer = reply::array(self.connection.run(&scripts::OPERATE, &names, &args).await?)?;
            for pair in answer.chunks(2) {
                outcomes.push(outcome(pair)?);
            }
        }
        if outcomes.len() == ids.len() { Ok(outcomes) } else { Err(reply::unexpected()) }
    }

    pub(super) async fn remove_queue(
        &self,
        queue: &QueueName,
        with_tasks: bool,
    ) -> Result<QueueDeletion, BrokerError> {
        let keys = self.keys(queue);
        loop {
            let args = Args::default().text(&keys.base).int(i64::from(with_tasks)).int(to_i64(CHUNK));
            let names = [keys.pending.as_str(), &keys.active];
            let answer = self.connection.run(&scripts::DELETE_QUEUE, &names, &args).await?;
            let [active, tasks, deleted, unseen] = reply::tuple(answer)?;
            let (active, tasks) = (reply::count(&active)? as u64, reply::count(&tasks)? as u64);
            let deleted = reply::count(&deleted)? as u64;
            if active > 0 {
                return Ok(QueueDeletion::Active(active));
            }
            if tasks > 0 && !with_tasks {
                return Ok(QueueDeletion::NotEmpty(tasks));
            }
            if deleted >= tasks && reply::count(&unseen)? == 0 {
                self.unregister_queue(queue).await?;
                return Ok(QueueDeletion::Deleted);
            }
        }
    }
}

/// Reads the state of a task and whether it was changed.
fn outcome(pair: &[Value]) -> Result<Operated, BrokerError> {
    let [state, changed] = pair else { return Err(reply::unexpected()) };
    let Some(word) = reply::optional(state.clone())? else { return Ok(Operated::NotFound) };
    let state = std::str::from_utf8(&word).ok().and_then(TaskState::parse);
    Ok(match (state, reply::int(changed)?) {
        // Not a state of asynq.
        (None, _) => Operated::NotFound,
        (Some(state), 1) => Operated::Done(state),
        (Some(state), _) => Operated::Unchanged(state),
    })
}
