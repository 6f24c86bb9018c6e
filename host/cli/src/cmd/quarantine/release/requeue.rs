//! Stores the task of one entry in its queue again, or runs the copy that the queue still has.

use std::time::Duration;

use taskseal::QueueName;
use taskseal::broker::{BrokerError, Operated, Operation, TaskInfo, TaskState};
use taskseal::client::{self, ClientError, Receipt};
use taskseal::quarantine::Entry;

use crate::failure::Failure;
use crate::session::Session;

/// How long a broker that does not answer is called again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a task is looked up again that other processes change meanwhile.
const LOOKS: usize = 3;

/// A task that is in its queue again.
pub(super) struct Released {
    pub(super) queue: QueueName,
    pub(super) task_id: String,
    /// Its state, if it was waiting for a worker or running already.
    pub(super) state: Option<TaskState>,
}

/// Why a task was not stored, and whether it may be stored nevertheless.
pub(super) struct Stopped {
    pub(super) failure: Failure,
    pub(super) may_be_stored: bool,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self { failure, may_be_stored: false }
    }
}

/// What a look at a stored task has led to.
enum Look {
    /// It is pending now.
    Run,
    /// It is waiting for a worker, or running.
    Waits(TaskState),
    /// The queue does not have it: it is to be stored.
    Gone,
}

/// The task of an entry.
pub(super) struct Requeue<'r> {
    pub(super) session: &'r Session,
    pub(super) entry: &'r Entry,
    pub(super) queue: &'r QueueName,
    pub(super) payload: &'r [u8],
}

impl Requeue<'_> {
    pub(super) async fn run(&self) -> Result<Released, Stopped> {
        for _ in 0..LOOKS {
            let envelope = self.payload.to_vec();
            let stored =
                client::enqueue_sealed(&*self.session.broker, RETRY_TIMEOUT, self.queue, envelope).await;
            let stored = stored.map_err(|error| self.not_stored(&error))?;
            let state = if stored.is_new {
                None
            } else {
                match self.run_stored(&stored.receipt).await? {
                    Look::Run => None,
                    Look::Waits(state) => Some(state),
                    Look::Gone => continue,
                }
            };
            let deleted = self.delete_misnamed(&stored.receipt).await;
            deleted.map_err(|stopped| Stopped { may_be_stored: true, ..stopped })?;
            return Ok(Released { queue: self.queue.clone(), task_id: stored.receipt.queue_id, state });
        }
        let number = self.entry.id.0;
        Err(Failure::new(format!("the task of entry {number} is being changed by another process"))
            .hint("run the command again")
            .into())
    }

    /// Makes a stored task pending. One that was changed around its envelope is deleted, to be stored as it was sealed.
    async fn run_stored(&self, receipt: &Receipt) -> Result<Look, Stopped> {
        let Some(info) = self.find(&receipt.queue_id).await? else { return Ok(Look::Gone) };
        if info.state == TaskState::Completed {
            return Err(self.completed(receipt).into());
        }
        let operation = if is_as_sealed(&info, receipt) { Operation::Run } else { Operation::Delete };
        match self.operate(&receipt.queue_id, operation).await? {
            Operated::Done(_) if operation == Operation::Run => Ok(Look::Run),
            Operated::Unchanged(TaskState::Completed) => Err(self.completed(receipt).into()),
            Operated::Unchanged(state) => Ok(Look::Waits(state)),
            _ => Ok(Look::Gone),
        }
    }

    /// Deletes the archived copy of a task whose id in the queue was not that of its envelope.
    async fn delete_misnamed(&self, receipt: &Receipt) -> Result<(), Stopped> {
        if self.entry.task_id == receipt.queue_id {
            return Ok(());
        }
        let is_copy = |info: TaskInfo| {
            info.state == TaskState::Archived
                && info.record.is_some_and(|record| record.envelope == self.payload)
        };
        if self.find(&self.entry.task_id).await?.is_some_and(is_copy) {
            self.operate(&self.entry.task_id, Operation::Delete).await?;
        }
        Ok(())
    }

    async fn find(&self, id: &str) -> Result<Option<TaskInfo>, Stopped> {
        self.session.broker.find(self.queue, id).await.map_err(|error| self.broker_failed(&error))
    }

    async fn operate(&self, id: &str, operation: Operation) -> Result<Operated, Stopped> {
        let outcomes = self.session.broker.operate(self.queue, &[id.to_owned()], operation).await;
        let outcomes = outcomes.map_err(|error| self.broker_failed(&error))?;
        Ok(outcomes.first().copied().unwrap_or(Operated::NotFound))
    }

    fn broker_failed(&self, error: &BrokerError) -> Stopped {
        Stopped { failure: self.session.broker_failure(error), may_be_stored: may_be_stored(error) }
    }

    fn not_stored(&self, error: &ClientError) -> Stopped {
        match error {
            ClientError::Conflict(id) => {
                let (number, queue) = (self.entry.id.0, self.queue);
                Failure::new(format!("entry {number}: queue {queue} has another task with id {id}"))
                    .hint(format!(
                        "`taskseal task inspect {id}` shows it, `taskseal task delete {id}` deletes it"
                    ))
                    .into()
            }
            ClientError::Broker(error) => self.broker_failed(error),
            error => self.session.client_failure(error).into(),
        }
    }

    fn completed(&self, receipt: &Receipt) -> Failure {
        let (number, queue, id) = (self.entry.id.0, self.queue, &receipt.queue_id);
        Failure::new(format!("entry {number}: according to queue {queue}, task {id} is completed")).hint(format!(
            "`taskseal result {id}` verifies its result, `taskseal quarantine prune {number}` removes the entry"
        ))
    }
}

/// Returns whether a call that failed may have stored the task: an earlier attempt of it may have been executed.
const fn may_be_stored(error: &BrokerError) -> bool {
    matches!(error, BrokerError::Unavailable(_) | BrokerError::Ambiguous(_))
}

/// Returns whether the queue's copies of the claims are those of the envelope.
fn is_as_sealed(info: &TaskInfo, receipt: &Receipt) -> bool {
    info.record.as_ref().is_some_and(|record| {
        record.id == receipt.queue_id
            && record.queue == receipt.queue.as_str()
            && record.task_type == receipt.task_type
    })
}
