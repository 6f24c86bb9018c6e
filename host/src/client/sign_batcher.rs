//! Group commit of signatures: tasks that arrive while one signature is made share the next one.
//!
//! The first caller that finds no leader running spawns one. It signs for all callers in the queue until the queue is empty,
//! and it runs as a separate task, so that a caller whose future is not polled cannot stall the others. No timer is
//! involved.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::ClientError;
use super::seal::{Producer, Sealed, cut_off};
use crate::lock::lock;
use crate::runtime::boxed;
use crate::task::Task;

/// Collects the tasks of concurrent callers.
#[derive(Debug, Default)]
pub(super) struct SignBatcher(Mutex<BatcherState>);

#[derive(Debug, Default)]
struct BatcherState {
    leader_running: bool,
    /// Tasks to sign, in order of arrival.
    queue: VecDeque<PendingTask>,
}

#[derive(Debug)]
struct PendingTask {
    task: Task,
    reply: oneshot::Sender<Result<Sealed, ClientError>>,
}

/// The right to sign, and the duty to reply to every caller in the queue. `None` after the queue was empty.
#[derive(Debug)]
struct Leader(Option<Arc<SignBatcher>>);

impl SignBatcher {
    /// Seals a task, alone or with those of other callers.
    pub(super) async fn seal(
        self: &Arc<Self>,
        task: Task,
        producer: &Arc<Producer>,
    ) -> Result<Sealed, ClientError> {
        let (reply, sealed) = oneshot::channel();
        if let Some(leader) = self.join(PendingTask { task, reply }) {
            let signing = leader.run(Arc::clone(producer));
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(boxed(signing))),
                Err(_) => signing.await,
            }
        }
        sealed.await.unwrap_or_else(|_| Err(cut_off().into()))
    }

    /// Adds a task to the queue. Returns the leader if the caller must start it.
    fn join(self: &Arc<Self>, pending: PendingTask) -> Option<Leader> {
        let mut state = self.state();
        state.queue.push_back(pending);
        let running = std::mem::replace(&mut state.leader_running, true);
        (!running).then(|| Leader(Some(Arc::clone(self))))
    }

    fn state(&self) -> MutexGuard<'_, BatcherState> {
        // The state is consistent between any two statements that hold the lock.
        lock(&self.0)
    }
}

impl Leader {
    async fn run(mut self, producer: Arc<Producer>) {
        loop {
            // Lets callers join that are ready to run, even on a runtime with one thread.
            tokio::task::yield_now().await;
            let (tasks, replies) = self.next(producer.sign_batch());
            if tasks.is_empty() {
                return;
            }
            let sealed = producer.seal(tasks).await;
            for (reply, sealed) in replies.into_iter().zip(sealed) {
                // A caller that was cancelled has dropped its receiver.
                let _ = reply.send(sealed);
            }
        }
    }

    /// Takes up to `limit` tasks from the queue. If there is none, the leader stops.
    fn next(&mut self, limit: usize) -> (Vec<Task>, Vec<oneshot::Sender<Result<Sealed, ClientError>>>) {
        let (mut tasks, mut replies) = (Vec::new(), Vec::new());
        let Some(batcher) = self.0.take() else { return (tasks, replies) };
        let mut state = batcher.state();
        while tasks.len() < limit {
            let Some(PendingTask { task, reply }) = state.queue.pop_front() else { break };
            if !reply.is_closed() {
                tasks.push(task);
                replies.push(reply);
            }
        }
        state.leader_running = !tasks.is_empty();
        drop(state);
        if !tasks.is_empty() {
            self.0 = Some(batcher);
        }
        (tasks, replies)
    }
}

/// After a panic of the signer, or when the runtime shuts down: fails the callers in the queue and lets the next one
/// start a new leader.
impl Drop for Leader {
    fn drop(&mut self) {
        let Some(batcher) = self.0.take() else { return };
        let mut state = batcher.state();
        state.leader_running = false;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        drop(queue);
    }
}
