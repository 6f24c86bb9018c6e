//! Waits for the end of a task and returns what became of it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::open_result::Found;
use super::{Client, ClientError, Receipt};
use crate::broker::{TaskInfo, TaskState};
use crate::result::TaskResult;

/// Delay before the second look at the queue. It doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What became of a task, as [`Client::wait`] returns it.
///
/// Only [`Done`](Self::Done) is verified. The others are statements of the queue, which is not trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum WaitOutcome {
    /// The task succeeded; this is its verified result.
    Done(TaskResult),
    /// The task is archived: it failed its last attempt, or an operator archived it.
    Failed {
        /// Why the last attempt failed, if the queue states it.
        reason: Option<String>,
    },
    /// A worker refused the task, which is archived.
    Refused {
        /// The refusal code.
        code: String,
    },
    /// The queue has no result and no task that may still run: it succeeded without a retention, its retention has
    /// ended, it was deleted or never enqueued.
    NotFound,
    /// The task has not ended: it is in this state.
    Pending(TaskState),
}

impl Client {
    /// Waits until the task has ended or `timeout` has passed, and returns what became of it. With a `timeout` of zero it
    /// looks once.
    ///
    /// The queue is read again after 20 ms, then after delays that double up to 1 s.
    ///
    /// # Errors
    /// As [`result`](Self::result). After [`ClientError::Broker`] the call may be repeated.
    pub async fn wait(&self, receipt: &Receipt, timeout: Duration) -> Result<WaitOutcome, ClientError> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let found = self.broker.find(&receipt.queue, &receipt.queue_id).await?;
            let outcome = self.outcome(receipt, found).await?;
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() || !matches!(outcome, WaitOutcome::Pending(_)) {
                return Ok(outcome);
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn outcome(&self, receipt: &Receipt, found: Option<TaskInfo>) -> Result<WaitOutcome, ClientError> {
        let Some(info) = found else { return Ok(WaitOutcome::NotFound) };
        if info.state == TaskState::Archived {
            return Ok(ended(info));
        }
        match (info.state, info.result) {
            (TaskState::Completed, Some(envelope)) => {
                self.open_result(receipt, envelope).await.map(WaitOutcome::Done)
            }
            (TaskState::Completed, None) => Ok(WaitOutcome::NotFound),
            (state, _) => Ok(WaitOutcome::Pending(state)),
        }
    }

    pub(super) async fn open_result(
        &self,
        receipt: &Receipt,
        envelope: Vec<u8>,
    ) -> Result<TaskResult, ClientError> {
        let audience = self.settings().audience(&receipt.queue);
        let policy = self.settings().policy.clone();
        let found = Found { envelope, receipt: receipt.clone(), audience, policy };
        self.producer.watch_keys();
        found.open(self.producer.keys.snapshot().keyring.clone(), self.settings().retry_for).await
    }
}

/// Returns what became of an archived task, by the reason that the queue states.
fn ended(info: TaskInfo) -> WaitOutcome {
    match info.refusal_code() {
        Some(code) => WaitOutcome::Refused { code: code.to_owned() },
        None => WaitOutcome::Failed { reason: info.last_error },
    }
}
