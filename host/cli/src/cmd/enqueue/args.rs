//! Arguments of `taskseal enqueue`.

use std::path::PathBuf;
use std::time::Duration;

use taskseal::time::UnixMillis;
use taskseal::{QueueName, Task};

use crate::time_arg;

/// Seal tasks and enqueue them
///
/// Prints the id of every enqueued task, one a line. With --jsonl each line of the input is one task: a JSON object with
/// "type" (or --type) and "body" (any JSON) or "body_base64". The members "queue", "content_type", "id", "ref", "at", "in",
/// "attempts", "timeout", "retention" and "lifetime" are optional and take precedence over the options of the same name.
///
/// A task that a worker with this configuration would refuse is not enqueued: the exit code is 3. With --jsonl the other
/// lines are enqueued. A task without a handler in this configuration is enqueued, with a warning.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal enqueue --queue default --type file:digest --payload sample.txt --in 10m"
)]
pub(crate) struct Args {
    /// The queue
    #[arg(long, required_unless_present = "jsonl")]
    pub(super) queue: Option<QueueName>,
    /// Task type
    #[arg(long = "type", value_name = "TYPE", required_unless_present_any = ["jsonl", "sealed"])]
    pub(super) task_type: Option<String>,
    /// The body; - is standard input [default: -]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jsonl", "sealed"])]
    pub(super) payload: Option<PathBuf>,
    /// Media type of the body [default: application/octet-stream, application/json for a "body" in JSON lines]
    #[arg(long, value_name = "TYPE", conflicts_with = "sealed")]
    pub(super) content_type: Option<String>,
    /// Many tasks, one JSON object a line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sealed", "id", "reference"])]
    pub(super) jsonl: Option<PathBuf>,
    /// An envelope that was sealed elsewhere, enqueued if a worker would accept it; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["task_type", "id", "reference", "at", "in", "attempts", "timeout", "retention", "lifetime"])]
    pub(super) sealed: Option<PathBuf>,
    /// Earliest time to run
    #[arg(long, value_name = "RFC3339", value_parser = time_arg::instant, conflicts_with = "in")]
    pub(super) at: Option<UnixMillis>,
    /// Delay before the task may run
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    pub(super) r#in: Option<Duration>,
    /// Task id, an unused lower-case UUID [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(super) id: Option<String>,
    /// Id of the task in the queue, instead of its task id
    #[arg(long = "ref", value_name = "REFERENCE")]
    pub(super) reference: Option<String>,
    /// Maximum number of attempts [default: from the configuration]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) attempts: Option<u16>,
    /// Time limit of one attempt [default: from the configuration]
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    pub(super) timeout: Option<Duration>,
    /// How long the finished task and its result are kept [default: from the configuration]
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    pub(super) retention: Option<Duration>,
    /// How long the task may be started, from its earliest time to run [default: from the configuration]
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    pub(super) lifetime: Option<Duration>,
    /// Sign the body and leave it in clear, where asynq workers read it; only in Redis
    #[arg(long, conflicts_with = "sealed")]
    pub(super) detached: bool,
    /// Enqueue also what a worker with this configuration would refuse
    #[arg(long)]
    pub(super) force: bool,
}

impl Args {
    /// Applies the options to a task that has its type and body.
    pub(super) fn apply(&self, mut task: Task) -> Task {
        let delayed = self.r#in.map(|delay| UnixMillis::now().plus(delay));
        if let Some(at) = self.at.or(delayed) {
            task = task.process_at(at);
        }
        if let Some(queue) = &self.queue {
            task = task.queue(queue.clone());
        }
        if let Some(reference) = &self.reference {
            task = task.reference(reference);
        }
        if let Some(attempts) = self.attempts {
            task = task.attempts(attempts);
        }
        if let Some(timeout) = self.timeout {
            task = task.timeout(timeout);
        }
        if let Some(retention) = self.retention {
            task = task.retention(retention);
        }
        if let Some(lifetime) = self.lifetime {
            task = task.within(lifetime);
        }
        if self.detached { task.detached() } else { task }
    }
}
