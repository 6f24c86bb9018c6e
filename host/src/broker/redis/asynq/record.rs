//! Records as messages and messages as records: all that taskseal reads and writes of asynq's fields.

use std::time::Duration;

use super::{Message, NewMessage, detached};
use crate::broker::{Attribute, NewTask, Settlement, TaskInfo, TaskRecord, TaskState};
use crate::time::UnixMillis;

/// asynq's default for [`Message::retry`].
const DEFAULT_RETRY: i32 = 25;

/// Largest [`Message::retry`] that is written.
const MAX_RETRY: i32 = 32_767;

/// asynq's default for [`Message::timeout`], in seconds. Go workers refuse a message without a timeout and a deadline.
const DEFAULT_TIMEOUT_S: i64 = 1800;

impl From<&TaskRecord> for Message {
    fn from(record: &TaskRecord) -> Self {
        let retry = |retries: u32| i32::try_from(retries).map_or(MAX_RETRY, |retries| retries.min(MAX_RETRY));
        Self {
            task_type: record.task_type.clone(),
            payload: record.envelope.clone(),
            id: record.id.clone(),
            queue: record.queue.clone(),
            retry: record.max_retries.map_or(DEFAULT_RETRY, retry),
            timeout: record.timeout.map_or(DEFAULT_TIMEOUT_S, whole_seconds),
            retention: whole_seconds(record.retention),
            headers: detached::encode(record.detached.as_ref()),
            ..Self::default()
        }
    }
}

impl From<&NewTask> for NewMessage {
    fn from(task: &NewTask) -> Self {
        Self { message: (&task.record).into(), process_at: task.not_before }
    }
}

impl Message {
    /// Returns the record that the message stores. Negative numbers count as zero.
    #[must_use]
    pub fn to_record(&self) -> TaskRecord {
        TaskRecord {
            id: self.id.clone(),
            queue: self.queue.clone(),
            task_type: self.task_type.clone(),
            envelope: self.payload.clone(),
            detached: detached::decode(&self.headers),
            max_retries: Some(u32::try_from(self.retry).unwrap_or(0)),
            timeout: Some(duration(self.timeout)).filter(|timeout| !timeout.is_zero()),
            retention: duration(self.retention),
        }
    }

    /// Returns what an operator sees of the message.
    pub(in crate::broker::redis) fn to_info(&self, id: String, state: TaskState) -> TaskInfo {
        TaskInfo {
            record: Some(self.to_record()),
            retries: u32::try_from(self.retried).unwrap_or(0),
            last_error: text(&self.error_msg),
            last_failed_at: time(self.last_failed_at),
            completed_at: time(self.completed_at),
            attributes: self.attributes(),
            ..TaskInfo::undecodable(id, state)
        }
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let attributes = [
            ("deadline", time(self.deadline).map(Attribute::Time)),
            ("unique_key", text(&self.unique_key).map(Attribute::Text)),
            ("group_key", text(&self.group_key).map(Attribute::Text)),
        ];
        attributes.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Writes down how a lease ended at `now`. Every other field stays as it was stored.
    pub(in crate::broker::redis) fn settle(&mut self, settlement: &Settlement, now: UnixMillis) {
        match settlement {
            Settlement::Complete { .. } => self.completed_at = now.as_secs(),
            Settlement::Retry { failure: Some(reason), .. } => {
                self.retried = self.retried.saturating_add(1);
                self.fail(reason, now);
            }
            Settlement::Archive { reason } => self.fail(reason, now),
            Settlement::Done | Settlement::Retry { failure: None, .. } | Settlement::Requeue => {}
        }
    }

    fn fail(&mut self, reason: &str, now: UnixMillis) {
        reason.clone_into(&mut self.error_msg);
        self.last_failed_at = now.as_secs();
    }
}

fn text(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn time(seconds: i64) -> Option<UnixMillis> {
    Some(seconds).filter(|seconds| *seconds > 0).map(UnixMillis::from_secs)
}

fn duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Returns a duration in seconds, rounded up.
fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
