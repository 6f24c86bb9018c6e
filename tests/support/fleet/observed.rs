//! A worker that runs in the background, and the events that it reports.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::sync::{Arc, Mutex};

use taskseal::worker::{Event, Tally};
use taskseal::{Worker, WorkerParts, WorkerSettings};
use taskseal_core::Refusal;
use taskseal_core::keyset::signed::KeysetRefusal;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::until;

/// An event, in a form that can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Noted {
    Started { id: String, attempt: u32 },
    Succeeded { id: String },
    SettledAgain { id: String },
    Retried { id: String, reason: String },
    Archived { id: String, reason: String },
    Refused { id: String, refusal: Refusal, quarantined: bool },
    GivenBack { id: String },
    LeaseLost { id: String },
    LockLost { id: String },
    Dropped(usize),
    Recovered(usize),
    BrokerFailed,
    FleetDiffers { about: &'static str },
    FleetAgrees,
    KeyBack,
    KeysetNotInForce { id: String, refusal: KeysetRefusal },
    StateFailed,
}

impl Noted {
    fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Started { id, attempt } => Self::Started { id: id.clone(), attempt: *attempt },
            Event::Succeeded { id } => Self::Succeeded { id: id.clone() },
            Event::SettledAgain { id } => Self::SettledAgain { id: id.clone() },
            Event::Retried { id, reason } => Self::Retried { id: id.clone(), reason: reason.clone() },
            Event::Archived { id, reason } => Self::Archived { id: id.clone(), reason: reason.clone() },
            Event::Refused { id, refusal, quarantined, .. } => {
                Self::Refused { id: id.clone(), refusal: *refusal, quarantined: *quarantined }
            }
            Event::GivenBack { id } => Self::GivenBack { id: id.clone() },
            Event::LeaseLost { id } => Self::LeaseLost { id: id.clone() },
            Event::LockLost { id } => Self::LockLost { id: id.clone() },
            Event::Dropped { count } => Self::Dropped(*count),
            Event::Recovered { count } => Self::Recovered(*count),
            Event::BrokerFailed { .. } => Self::BrokerFailed,
            Event::FleetDiffers { about, .. } => Self::FleetDiffers { about },
            Event::FleetAgrees => Self::FleetAgrees,
            Event::KeyBack { .. } => Self::KeyBack,
            Event::KeysetNotInForce { id, refusal, .. } => {
                Self::KeysetNotInForce { id: id.clone(), refusal: *refusal }
            }
            Event::StateFailed { .. } => Self::StateFailed,
            _ => return None,
        })
    }
}

/// The events of a worker, shared between the worker and the test.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Vec<Noted>>>);

impl Seen {
    /// Notes an event.
    pub fn note(&self, event: &Event) {
        if let Some(noted) = Noted::of(event) {
            self.0.lock().unwrap().push(noted);
        }
    }

    /// All events so far.
    #[must_use]
    pub fn all(&self) -> Vec<Noted> {
        self.0.lock().unwrap().clone()
    }

    /// Number of events that match.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(&Noted) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|noted| wanted(noted)).count()
    }

    /// Waits until something has happened.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Noted) -> bool) {
        until(what, async || (self.count(&wanted) > 0).then_some(())).await;
    }
}

/// A worker in the background.
#[derive(Debug)]
pub struct Running {
    /// Its events.
    pub seen: Seen,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Tally>,
}

impl Running {
    /// Starts it.
    #[must_use]
    pub fn start(settings: WorkerSettings, parts: WorkerParts) -> Self {
        let seen = Seen::default();
        let noting = seen.clone();
        let (stop, stopped) = oneshot::channel();
        let worker = Worker::new(settings, parts).observed_by(move |event| noting.note(event));
        let ended = tokio::spawn(worker.run_until(async {
            let _ = stopped.await;
        }));
        Self { seen, stop, ended }
    }

    /// Stops it and waits for its end.
    pub async fn stop(self) -> Tally {
        self.ask_to_stop().await.unwrap()
    }

    /// Stops it.
    #[must_use]
    pub fn ask_to_stop(self) -> JoinHandle<Tally> {
        let _ = self.stop.send(());
        self.ended
    }
}
