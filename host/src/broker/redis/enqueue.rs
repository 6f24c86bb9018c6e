//! Storing tasks.

use redis::Value;

use super::asynq::{DETACHED_HEADER, Message, NewMessage};
use super::keys::Keys;
use super::{CHUNK, CHUNK_BYTES, RedisBroker, reply, scripts, to_i64};
use crate::broker::{BrokerError, Enqueued};
use crate::queue::QueueName;

impl RedisBroker {
    /// Stores messages with every field as given, as [`Broker::enqueue`](crate::broker::Broker::enqueue) stores tasks.
    /// A `unique_key` is stored and locks nothing: see [`enqueue_unique`](Self::enqueue_unique).
    ///
    /// # Errors
    /// As [`Broker::enqueue`](crate::broker::Broker::enqueue).
    pub async fn enqueue_messages(
        &self,
        queue: &QueueName,
        tasks: &[NewMessage],
    ) -> Result<Vec<Enqueued>, BrokerError> {
        let mut out = Vec::with_capacity(tasks.len());
        if tasks.is_empty() {
            return Ok(out);
        }
        tasks.iter().try_for_each(check_id)?;
        self.register_queue(queue).await?;
        let keys = self.keys(queue);
        let mut rest = tasks;
        while let Some((chunk, messages)) = first_chunk(rest) {
            out.extend(self.enqueue_chunk(queue, &keys, chunk, messages).await?);
            rest = rest.get(chunk.len()..).unwrap_or_default();
        }
        Ok(out)
    }

    async fn enqueue_chunk(
        &self,
        queue: &QueueName,
        keys: &Keys,
        tasks: &[NewMessage],
        messages: Vec<Vec<u8>>,
    ) -> Result<Vec<Enqueued>, BrokerError> {
        let mut args = self.announcing(keys, queue);
        let all_plain =
            tasks.iter().all(|task| task.process_at.is_none() && task.message.unique_key.is_empty());
        args.push_int(to_i64(tasks.len()));
        tasks.iter().for_each(|task| args.push_text(&task.message.id));
        messages.into_iter().for_each(|message| args.push_owned(message));
        if !all_plain {
            tasks.iter().for_each(|task| args.push_int(task.process_at.map_or(0, |at| at.0)));
            tasks.iter().for_each(|task| args.push_text(&task.message.unique_key));
        }
        let names = [keys.pending.as_str(), &keys.scheduled, &keys.active, &keys.lease];
        let answer = self.connection.run(&scripts::ENQUEUE, &names, &args).await?;
        if answer == Value::Int(to_i64(tasks.len())) {
            return Ok(vec![Enqueued::New; tasks.len()]);
        }
        let answers = reply::array(answer)?;
        if answers.len() != tasks.len() {
            return Err(reply::unexpected());
        }
        tasks.iter().zip(answers).map(|(task, answer)| outcome(task, answer)).collect()
    }
}

/// Refuses an id with which the task could not be leased.
pub(super) fn check_id(task: &NewMessage) -> Result<(), BrokerError> {
    if (1..=MAX_ID).contains(&task.message.id.len()) {
        return Ok(());
    }
    Err(BrokerError::Refused("a task id is 1 to 1024 bytes".into()))
}

/// Returns the first tasks, as many as fit in one call, and their encoded messages. A repeated id starts a new call, in
/// which its first task is already stored.
fn first_chunk(tasks: &[NewMessage]) -> Option<(&[NewMessage], Vec<Vec<u8>>)> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut size = 0;
    for task in tasks.iter().take(CHUNK) {
        let message = task.message.encode();
        size += message.len();
        let mut before = tasks.iter().take(messages.len());
        if !messages.is_empty()
            && (size > CHUNK_BYTES || before.any(|other| other.message.id == task.message.id))
        {
            break;
        }
        messages.push(message);
    }
    let chunk = tasks.get(..messages.len()).filter(|chunk| !chunk.is_empty())?;
    Some((chunk, messages))
}

/// Returns the outcome for one task that the script answered with `answer`.
pub(super) fn outcome(task: &NewMessage, answer: Value) -> Result<Enqueued, BrokerError> {
    match answer {
        Value::Int(1) => Ok(Enqueued::New),
        Value::Int(_) => Ok(Enqueued::Conflict),
        // Settling changes other fields, never the payload or a header.
        Value::BulkString(stored) => Ok(match Message::decode(&stored) {
            Ok(stored) if is_same(&stored, &task.message) => Enqueued::AlreadyThere,
            _ => Enqueued::Conflict,
        }),
        _ => Err(reply::unexpected()),
    }
}

/// Returns whether two messages are the same task.
fn is_same(stored: &Message, task: &Message) -> bool {
    let envelope = |message: &Message| message.headers.get(DETACHED_HEADER).cloned();
    stored.payload == task.payload && envelope(stored) == envelope(task)
}

/// Maximum length of a task id in bytes, as in `bounds.lua`: a longer one would be dropped.
const MAX_ID: usize = 1024;
