//! Every key we touch in Redis, in one place: asynq's names under a configurable prefix.

use crate::broker::TaskState;
use crate::queue::QueueName;

/// The keys of one queue. The braces make them share a slot of Redis Cluster.
#[derive(Debug)]
pub(super) struct Keys {
    /// `<prefix>:{<queue>}:`, what every key of the queue starts with.
    pub(super) base: String,
    pub(super) pending: String,
    pub(super) active: String,
    pub(super) lease: String,
    pub(super) scheduled: String,
    pub(super) retry: String,
    pub(super) archived: String,
    pub(super) completed: String,
    pub(super) paused: String,
    pub(super) processed: String,
    pub(super) failed: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, queue: &QueueName) -> Self {
        let base = format!("{prefix}:{{{queue}}}:");
        let key = |name: &str| format!("{base}{name}");
        Self {
            pending: key("pending"),
            active: key("active"),
            lease: key("lease"),
            scheduled: key("scheduled"),
            retry: key("retry"),
            archived: key("archived"),
            completed: key("completed"),
            paused: key("paused"),
            processed: key("processed"),
            failed: key("failed"),
            base,
        }
    }

    pub(super) fn task(&self, id: &str) -> String {
        format!("{}t:{id}", self.base)
    }

    pub(super) fn state(&self, state: TaskState) -> &str {
        match state {
            TaskState::Pending => &self.pending,
            TaskState::Active => &self.active,
            TaskState::Scheduled => &self.scheduled,
            TaskState::Retry => &self.retry,
            TaskState::Archived => &self.archived,
            TaskState::Completed => &self.completed,
        }
    }

    /// What a uniqueness lock of the queue starts with.
    pub(super) fn unique(&self) -> String {
        format!("{}unique:", self.base)
    }
}

/// The set of queue names. It lies outside every queue's slot.
pub(super) fn queues(prefix: &str) -> String {
    format!("{prefix}:queues")
}

/// The channel on which a queue that was empty announces a task.
pub(super) fn wake_channel(prefix: &str) -> String {
    format!("{prefix}:taskseal:wake")
}
