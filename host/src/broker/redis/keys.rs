//! Every key in Redis that this broker uses: asynq's names under a configurable prefix.

use crate::broker::TaskState;
use crate::queue::QueueName;

/// The keys of one queue. The braces place them in one hash slot of Redis Cluster.
#[derive(Debug)]
pub(super) struct Keys {
    /// `<prefix>:{<queue>}:`, the start of every key of the queue.
    pub(super) base: String,
    pub(super) pending: String,
    pub(super) active: String,
    pub(super) lease: String,
    pub(super) scheduled: String,
    pub(super) retry: String,
    pub(super) archived: String,
    pub(super) completed: String,
    /// Names of the aggregation groups of asynq.
    pub(super) groups: String,
    pub(super) paused: String,
    pub(super) processed: String,
    pub(super) failed: String,
    /// Counter of archived tasks that the limits of the archive deleted. asynq has none.
    pub(super) trimmed: String,
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
            groups: key("groups"),
            paused: key("paused"),
            processed: key("processed"),
            failed: key("failed"),
            trimmed: key("taskseal:trimmed"),
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
            TaskState::Aggregating => &self.groups,
        }
    }

    /// Returns the start of every uniqueness lock of the queue.
    pub(super) fn unique(&self) -> String {
        format!("{}unique:", self.base)
    }
}

/// Returns the key of the set of queue names. It is in no queue's hash slot.
pub(super) fn queues(prefix: &str) -> String {
    format!("{prefix}:queues")
}

/// Returns the keys of the statuses of processes, and of the times at which they end. The braces place them in one hash slot.
pub(super) fn statuses(prefix: &str) -> [String; 2] {
    [format!("{prefix}:{{taskseal}}:processes"), format!("{prefix}:{{taskseal}}:processes:until")]
}

/// Returns the key that is written and deleted to find out whether that is possible.
pub(super) fn probe(prefix: &str) -> String {
    format!("{prefix}:taskseal:probe")
}

/// Returns the key of the signed keyset.
pub(super) fn keyset(prefix: &str) -> String {
    format!("{prefix}:taskseal:keyset")
}

/// Returns the channel on which an empty queue that got a task is announced.
pub(super) fn wake_channel(prefix: &str) -> String {
    format!("{prefix}:taskseal:wake")
}
