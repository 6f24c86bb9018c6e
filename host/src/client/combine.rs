//! Concurrent callers under one signature: while one is made, tasks collect; the next covers all that have come.
//!
//! Whoever finds nobody signing leads: it signs for itself and for those who have joined meanwhile, and hands the lead to
//! the first who came too late. Nobody waits for a timer. The lead is a value that is in one place at a time; wherever it
//! is dropped, by a caller that is cancelled or a signer that panics, it passes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    turn: oneshot::Sender<Turn>,
}

/// What comes of waiting.
#[derive(Debug)]
enum Turn {
    Sealed(Box<Result<Sealed, ClientError>>),
    /// The task was not sealed yet: its caller is the next to sign.
    Lead(Lead, Box<Task>),
}

enum Joined {
    Leads(Lead, Box<Task>),
    Waits(oneshot::Receiver<Turn>),
}

/// The right to sign; passes on when it is dropped.
#[derive(Debug)]
struct Lead(Option<Arc<Combiner>>);

impl Combiner {
    /// Seals a task, alone or with those of other callers.
    pub(super) async fn seal(
        self: &Arc<Self>,
        task: Task,
        origin: &Arc<Origin>,
    ) -> Result<Sealed, ClientError> {
        let (lead, task) = match self.join(task) {
            Joined::Leads(lead, task) => (lead, task),
            Joined::Waits(turn) => match turn.await {
                Ok(Turn::Lead(lead, task)) => (lead, task),
                Ok(Turn::Sealed(sealed)) => return *sealed,
                Err(_) => return Err(cut_off().into()),
            },
        };
        // Whoever is about to enqueue as well gets to join, on a runtime with one thread too.
        tokio::task::yield_now().await;
        origin.off_async_threads(move |origin| lead.sign(*task, origin)).await?
    }

    fn join(self: &Arc<Self>, task: Task) -> Joined {
        let mut meeting = self.meeting();
        if !meeting.led {
            meeting.led = true;
            return Joined::Leads(Lead(Some(Arc::clone(self))), Box::new(task));
        }
        let (turn, waits) = oneshot::channel();
        meeting.waiting.push_back(Waiting { task, turn });
        Joined::Waits(waits)
    }

    fn meeting(&self) -> MutexGuard<'_, Meeting> {
        // It is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Seals `own` task and those that wait, as many as one signature may cover.
    fn sign(self, own: Task, origin: &Origin) -> Result<Sealed, ClientError> {
        let (mut tasks, mut turns) = (vec![own], Vec::new());
        if let Some(combiner) = &self.0 {
            let mut meeting = combiner.meeting();
            while tasks.len() < origin.batch() {
                let Some(Waiting { task, turn }) = meeting.waiting.pop_front() else { break };
                if !turn.is_closed() {
                    tasks.push(task);
                    turns.push(turn);
                }
            }
        }
        let mut sealed = origin.seal_now(&tasks).into_iter();
        let own = sealed.next().unwrap_or_else(|| Err(cut_off().into()));
        for (turn, sealed) in turns.into_iter().zip(sealed) {
            // Who was cancelled meanwhile wants nothing any more.
            let _ = turn.send(Turn::Sealed(Box::new(sealed)));
        }
        own
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let Some(combiner) = self.0.take() else { return };
        loop {
            let next = {
                let mut meeting = combiner.meeting();
                let next = meeting.waiting.pop_front();
                meeting.led = next.is_some();
                next
            };
            let Some(Waiting { task, turn }) = next else { return };
            let lead = Self(Some(Arc::clone(&combiner)));
            match turn.send(Turn::Lead(lead, Box::new(task))) {
                // From here on it is the caller's, who passes it on if it is cancelled.
                Ok(()) | Err(Turn::Sealed(_)) => return,
                // Cancelled already: disarmed, or this would go as deep as there are callers.
                Err(Turn::Lead(mut lead, _)) => lead.0 = None,
            }
        }
    }
}
