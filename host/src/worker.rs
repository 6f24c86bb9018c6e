//! The worker, and the life of a task as it sees it.
//!
//! 1. **Leased.** The processor takes up to a batch of pending tasks; each comes with a lease and a fencing token.
//! 2. **Verified.** Intake decodes the envelope, checks the signature, the rights of the key, the queue it was really
//!    taken from, the time, and that the queue's own words about the task (id, type, queue) are the sealed ones.
//! 3. **Claimed.** The ledger, which the queue cannot reach, tells a first run and a legal redelivery from a replay
//!    and a conflict, and writes the claim down before anything runs. Of a task that comes after its expiry it is asked only
//!    whether it has ended: then it is settled, else refused.
//! 4. **Decrypted and run.** However long a token takes to decrypt, the claim is kept meanwhile, and the ledger confirms it
//!    before the handler begins. The handler of the sealed type gets the body; only this task suffers when the handler
//!    fails, panics, hangs or is killed.
//! 5. **Sealed and settled.** The result is sealed and bound to the request; while the key for that cannot be used, whatever
//!    the reason, the task waits for it and no others are taken. The result is written to the ledger, then stored in the
//!    queue as done; only then the ledger forgets it. A failed task is retried with back-off or archived.
//! 6. **Refused.** What does not pass is kept in quarantine with its refusal code, archived in the queue, and never run.
//!
//! The heartbeat extends leases while tasks run; the recoverer brings back the tasks of lost workers; the forwarder
//! moves due tasks; the janitor deletes what has expired.

mod confirm;
mod counters;
mod cpu_pool;
mod event;
mod expired;
mod heartbeat;
mod in_flight;
mod intake;
mod lines;
mod maintenance;
mod processor;
mod refuse;
mod result_key;
mod roots;
mod run;
mod settings;
mod settle;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

pub use self::counters::{Counters, Tally};
pub use self::event::Event;
pub use self::settings::{WorkerQueue, WorkerSettings};
pub use crate::retry::Backoff;

use self::cpu_pool::CpuPool;
use self::in_flight::InFlight;
use self::result_key::ResultKey;
use self::roots::Roots;
use crate::broker::Broker;
use crate::handler::Handlers;
use crate::keys::Keyring;
use crate::quarantine::Quarantine;
use crate::replay::Ledger;
use crate::result::ResultSealer;

/// Results sealed at once with a key that may block. A token has fewer sessions than that.
const SEALS_AT_ONCE: usize = 32;

/// What a worker works with.
#[derive(Debug)]
pub struct WorkerParts {
    /// Where tasks come from. Not trusted.
    pub broker: Arc<dyn Broker>,
    /// What has run. Must be out of the reach of whoever writes to the broker.
    pub ledger: Arc<dyn Ledger>,
    /// Where refused tasks are kept. Must be out of that reach too.
    pub quarantine: Arc<Quarantine>,
    /// Who may seal what, and the keys that bodies are decrypted with.
    pub keyring: Keyring,
    /// Seals results.
    pub results: ResultSealer,
    /// What runs the tasks.
    pub handlers: Handlers,
}

/// Takes tasks from queues and runs those that are authentic, allowed and new.
pub struct Worker {
    shared: Arc<Shared>,
}

/// What all parts of a running worker share.
struct Shared {
    settings: WorkerSettings,
    parts: WorkerParts,
    /// Patterns of the handled types, as a name set.
    handled: String,
    /// Names this run of this process in the ledger.
    owner: String,
    counters: Arc<Counters>,
    in_flight: Arc<InFlight>,
    roots: Roots,
    cpu_pool: CpuPool,
    result_key: ResultKey,
    /// Room for results whose key may block: the runtime's threads for that are needed for the ledger too.
    seals: Semaphore,
    /// Held while claims are extended.
    extending: Mutex<()>,
    observer: Box<dyn Fn(&Event) + Send + Sync>,
    phase: watch::Sender<Phase>,
}

/// How far a worker is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Takes tasks.
    Running,
    /// Takes no more; what runs may end.
    Draining,
    /// What still runs is cancelled and given back.
    Stopping,
    /// Everything is settled.
    Stopped,
}

impl Worker {
    /// A worker that is not running yet.
    #[must_use]
    pub fn new(settings: WorkerSettings, parts: WorkerParts) -> Self {
        let handled = parts.handlers.patterns();
        let owner = format!("{}/{}", settings.id, uuid::Uuid::now_v7());
        let counters = Arc::<Counters>::default();
        let shared = Shared {
            settings,
            parts,
            handled,
            owner,
            counters: Arc::clone(&counters),
            in_flight: Arc::default(),
            roots: Roots::default(),
            cpu_pool: CpuPool::default(),
            result_key: ResultKey::new(counters),
            seals: Semaphore::new(SEALS_AT_ONCE),
            extending: Mutex::default(),
            observer: Box::new(|_| ()),
            phase: watch::Sender::new(Phase::Running),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Is told of everything that happens, from any thread. Must not block.
    ///
    /// # Panics
    /// If the worker runs already.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("nothing shares a worker that does not run yet");
        shared.observer = Box::new(observer);
        self
    }

    /// What it counts, to be looked at while it runs.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Runs until `shutdown` is ready, then drains: takes no more tasks, lets running ones end within the drain time and
    /// gives the rest back. Returns what was done.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Tally {
        self.run(shutdown, false).await
    }

    /// Runs until the queues have nothing more to hand out and everything taken is settled.
    pub async fn run_once(self) -> Tally {
        self.run(std::future::pending(), true).await
    }

    /// As [`run_once`](Self::run_once), but drains as [`run_until`](Self::run_until) does once `shutdown` is ready.
    pub async fn run_once_or_until(self, shutdown: impl Future<Output = ()>) -> Tally {
        self.run(shutdown, true).await
    }

    async fn run(self, shutdown: impl Future<Output = ()>, once: bool) -> Tally {
        let shared = self.shared;
        let (endings, settling) = mpsc::channel(shared.settings.concurrency.max(1) * 2);
        let mut upkeep = JoinSet::new();
        upkeep.spawn(heartbeat::run(Arc::clone(&shared)));
        upkeep.spawn(maintenance::recover(Arc::clone(&shared)));
        upkeep.spawn(maintenance::forward(Arc::clone(&shared)));
        upkeep.spawn(maintenance::tidy(Arc::clone(&shared)));
        let settler = tokio::spawn(settle::run(Arc::clone(&shared), settling));
        let mut processor = tokio::spawn(processor::run(Arc::clone(&shared), endings, once));

        let processed = tokio::select! {
            processed = &mut processor => processed,
            () = shutdown => {
                shared.enter(Phase::Draining);
                match tokio::time::timeout(shared.settings.drain, &mut processor).await {
                    Ok(processed) => processed,
                    Err(_) => {
                        shared.enter(Phase::Stopping);
                        shared.in_flight.cancel_all();
                        // Every handler is cancelled now, so this ends as soon as they let go.
                        processor.await
                    }
                }
            }
        };
        // The last sender went with the processor: the settler ends when it has settled all.
        shared.enter(Phase::Stopping);
        let settled = settler.await;
        shared.enter(Phase::Stopped);
        upkeep.join_all().await;
        for ended in [processed, settled] {
            if let Err(error) = ended
                && error.is_panic()
            {
                // An observer's panic, or a fault of ours: a worker that is maimed must not pass for one that is done.
                std::panic::resume_unwind(error.into_panic());
            }
        }
        shared.counters.tally()
    }
}

impl Shared {
    fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = *current < phase;
            *current = phase.max(*current);
            later
        });
    }

    fn observe(&self, event: &Event) {
        self.counters.count(event);
        (self.observer)(event);
    }

    /// Waits until the worker enters `phase` or a later one.
    async fn entered(&self, phase: Phase) {
        let mut phases = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phases.wait_for(|current| *current >= phase).await;
    }

    /// Sleeps unless the worker enters `phase` first; tells whether it did.
    async fn sleep_unless(&self, phase: Phase, duration: std::time::Duration) -> bool {
        tokio::time::timeout(duration, self.entered(phase)).await.is_ok()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
