//! Concurrent callers under one signature: while one is made, tasks collect; the next covers all that have come.
//!
//! Whoever finds nobody signing starts an async task that signs for all that have come, until nobody waits any more. It is
//! no caller's own future: one that is not polled, since its owner waits for something else first, must hold up nobody.
//! Nobody waits for a timer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::ClientError;
use super::sealing::{Origin, Sealed, cut_off};
use crate::task::Task;

/// Where callers meet.
#[derive(Debug, Default)]
pub(super) struct Combiner(Mutex<Meeting>);

#[derive(Debug, Default)]
struct Meeting {
    /// Whether somebody leads.
    led: bool,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    task: Task,
    answer: oneshot::Sender<Result<Sealed, ClientError>>,
}

/// The right to sign, and the duty to answer all who wait. `None` once there was nobody left.
#[derive(Debug)]
struct Lead(Option<Arc<Combiner>>);

impl Combiner {
    /// Seals a task, alone or with those of other callers.
    pub(super) async fn seal(
        self: &Arc<Self>,
        task: Task,
        origin: &Arc<Origin>,
    ) -> Result<Sealed, ClientError> {
        let (answer, sealed) = oneshot::channel();
        if let Some(lead) = self.join(Waiting { task, answer }) {
            let signing = lead.sign_for_all(Arc::clone(origin));
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(signing)),
                Err(_) => signing.await,
            }
        }
        sealed.await.unwrap_or_else(|_| Err(cut_off().into()))
    }

    fn join(self: &Arc<Self>, waiting: Waiting) -> Option<Lead> {
        let mut meeting = self.meeting();
        meeting.waiting.push_back(waiting);
        let led = std::mem::replace(&mut meeting.led, true);
        (!led).then(|| Lead(Some(Arc::clone(self))))
    }

    fn meeting(&self) -> MutexGuard<'_, Meeting> {
        // It is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    async fn sign_for_all(mut self, origin: Arc<Origin>) {
        loop {
            // Whoever is about to enqueue as well gets to join, on a runtime with one thread too.
            tokio::task::yield_now().await;
            let (tasks, answers) = self.next(origin.batch());
            if tasks.is_empty() {
                return;
            }
            let sealed = origin.seal(tasks).await;
            for (answer, sealed) in answers.into_iter().zip(sealed) {
                // Who was cancelled meanwhile wants nothing any more.
                let _ = answer.send(sealed);
            }
        }
    }

    /// Those who wait, at most `most` of them. Nobody: the lead is given up.
    fn next(&mut self, most: usize) -> (Vec<Task>, Vec<oneshot::Sender<Result<Sealed, ClientError>>>) {
        let (mut tasks, mut answers) = (Vec::new(), Vec::new());
        let Some(combiner) = self.0.take() else { return (tasks, answers) };
        let mut meeting = combiner.meeting();
        while tasks.len() < most {
            let Some(Waiting { task, answer }) = meeting.waiting.pop_front() else { break };
            if !answer.is_closed() {
                tasks.push(task);
                answers.push(answer);
            }
        }
        meeting.led = !tasks.is_empty();
        drop(meeting);
        if !tasks.is_empty() {
            self.0 = Some(combiner);
        }
        (tasks, answers)
    }
}

/// A signer in memory that panicked, or a runtime that is shut down: who waits is told, who comes next leads.
impl Drop for Lead {
    fn drop(&mut self) {
        let Some(combiner) = self.0.take() else { return };
        let mut meeting = combiner.meeting();
        meeting.led = false;
        let waiting = std::mem::take(&mut meeting.waiting);
        drop(meeting);
        drop(waiting);
    }
}
