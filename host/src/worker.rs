//! The worker: takes each task of its queues through named stages.
//!
//! 1. **Fetch** (`fetch.rs`). Leases a batch of pending tasks. Each has a lease and a fencing token.
//! 2. **Verify** (`verify.rs`). Decodes the envelope and checks the signature, the rights of the key, the audience, the
//!    time, the policy, and that the queue's metadata (id, type, queue) equals the signed claims. Nothing is decrypted
//!    before this. A task without an envelope runs only if the mode of its type allows that (`unsealed.rs`).
//! 3. **Admit** (`admit.rs`). Acquires the entry of the task in the replay ledger, which the queue cannot reach. The ledger
//!    tells a first run and a legal redelivery from a replay and a conflict, and records the run before it starts. For an
//!    expired task the ledger is only asked whether the task has succeeded: then it is settled, otherwise refused.
//! 4. **Decrypt** (`decrypt.rs`). Decrypts the body. A token may take long: the ledger entry is extended meanwhile, and
//!    confirmed before the handler starts.
//! 5. **Execute** (`execute.rs`). Runs the handler of the signed type. A handler that fails, panics, hangs or is killed
//!    affects only its own task. Before an attempt whose loss would end the task, the ledger records that it begins (`begin.rs`).
//! 6. **Seal the result** (`seal_result.rs`). Seals the output, bound to the request. While the key cannot be used, the task
//!    waits for it and no others are fetched.
//! 7. **Settle** (`settle.rs`). The ledger records the result, then the queue stores it, then the ledger deletes it. A failed
//!    task is retried with back-off, or archived. A refused task is stored in quarantine (`quarantine.rs`) with its refusal
//!    code and archived in the queue. It never runs.
//!
//! `prepare.rs` takes a batch through stages 2 to 4, and `task_state.rs` has the states of a task between the stages.
//! `heartbeat.rs` extends leases while tasks run; `maintenance.rs` recovers the tasks of lost workers, moves due tasks, and
//! deletes expired ones. `clock_steps.rs` reports that the clock of the host was set back. `reload.rs` loads keys and policy again.
//! `announce.rs` publishes what the worker runs with.

mod admit;
mod adopt_policy;
mod announce;
mod audit;
mod begin;
mod builder;
mod clock_steps;
mod counters;
mod cpu_pool;
mod decided_by;
mod decrypt;
mod detached;
pub(crate) mod event;
mod execute;
mod fetch;
mod first_seen;
mod heartbeat;
mod lease_guard;
mod lease_table;
mod maintenance;
mod phase;
pub(crate) mod postpone;
mod prepare;
mod quarantine;
mod queue_scheduler;
mod quotas;
mod reload;
mod result_key;
mod root_cache;
mod seal_result;
pub(crate) mod settings;
mod settle;
mod shared;
mod slots;
mod snapshot;
mod start;
mod start_failures;
mod task_state;
mod unsealed;
mod verify;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};

pub use self::builder::WorkerBuilder;
pub use self::counters::Tally;
pub use self::event::Event;
pub use self::settings::{WorkerQueue, WorkerSettings};
#[doc(hidden)]
pub use self::unsealed::is_unsealed;
pub use crate::retry::Backoff;

use self::phase::Phase;
use self::shared::Shared;
use self::snapshot::Snapshot;
use crate::audit::Recorder;
use crate::broker::Broker;
use crate::handler::Handlers;
use crate::keys::{Keyring, Reloader};
use crate::quarantine::Quarantine;
use crate::replay::Ledger;
use crate::result::ResultSealer;
use crate::rollout::Rollout;
use crate::runtime::{BoxFuture, boxed};

/// The services, keys and handlers of a worker.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct WorkerParts {
    /// Source of tasks. Not trusted.
    pub broker: Arc<dyn Broker>,
    /// Record of the tasks that have run. Must be out of reach of everything that can write to the broker.
    pub ledger: Arc<dyn Ledger>,
    /// Store of refused tasks. Must be out of the same reach.
    pub quarantine: Arc<Quarantine>,
    /// The keys that may seal tasks, each with its rights, and the keys that decrypt bodies.
    pub keyring: Keyring,
    /// Seals results.
    pub results: ResultSealer,
    /// Run the tasks.
    pub handlers: Handlers,
}

/// Fetches tasks from queues and runs those that are authentic, allowed and new.
pub struct Worker {
    shared: Arc<Shared>,
}

impl Worker {
    /// Creates a worker. It does not run yet.
    #[must_use]
    pub fn new(settings: WorkerSettings, parts: WorkerParts) -> Self {
        Self { shared: Arc::new(Shared::new(settings, parts)) }
    }

    /// Sets the observer, which is called with every event, from any thread. It must not block.
    ///
    /// # Panics
    /// If the worker is running.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("a worker that does not run is not shared");
        shared.observer = Box::new(observer);
        self
    }

    /// Has the worker count in this record, instead of in memory.
    ///
    /// # Panics
    /// If the worker is running.
    #[must_use]
    #[doc(hidden)]
    pub fn counting_in(mut self, rollout: Arc<Rollout>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("a worker that does not run is not shared");
        shared.rollout = rollout;
        self
    }

    /// Records in an audit log what the worker refuses, and that it has drained.
    pub(crate) fn audited_by(mut self, recorder: Recorder) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("a worker that does not run is not shared");
        shared.audit = Some(recorder);
        self
    }

    /// Loads the keys again through `reloader`.
    fn reloaded_by(mut self, reloader: Reloader<Snapshot>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("a worker that does not run is not shared");
        shared.reloader = Some(reloader);
        self
    }

    /// Returns a function that has the worker load its keyset and keys again now, also while it runs. The keys of a worker that
    /// was not built from a configuration stay the same.
    pub fn key_reload(&self) -> impl Fn() + Send + Sync + 'static {
        let request = Arc::clone(&self.shared.reload_request);
        move || request.notify_one()
    }

    /// Runs until `shutdown` is ready, then drains: fetches no more tasks, lets running ones finish within the drain time
    /// and gives the others back. Returns what was done.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Tally {
        self.run_with(shutdown, false).await
    }

    /// Runs until the queues have no more pending tasks and every fetched task is settled.
    pub async fn run_once(self) -> Tally {
        self.run(true).await
    }

    /// Runs as [`run_once`](Self::run_once), but drains as [`run_until`](Self::run_until) does once `shutdown` is ready.
    pub async fn run_once_or_until(self, shutdown: impl Future<Output = ()>) -> Tally {
        self.run_with(shutdown, true).await
    }

    async fn run_with(self, shutdown: impl Future<Output = ()>, once: bool) -> Tally {
        let shared = Arc::clone(&self.shared);
        let mut running = self.run(once);
        tokio::select! {
            biased;
            tally = &mut running => return tally,
            () = shutdown => shared.lifecycle.enter(Phase::Draining),
        }
        running.await
    }

    /// Runs until fetching has ended and every fetched task is settled. In a box, so that the worker is compiled in this crate
    /// and not in every program.
    fn run(self, once: bool) -> BoxFuture<'static, Tally> {
        boxed(run(self.shared, once))
    }
}

async fn run(shared: Arc<Shared>, once: bool) -> Tally {
    let (sender, completions) = mpsc::channel(shared.settings.concurrency.max(1) * 2);
    let background = start_background(&shared);
    let settling = tokio::spawn(boxed(settle::run(Arc::clone(&shared), completions)));
    let fetching = tokio::spawn(boxed(fetch::run(Arc::clone(&shared), sender, once)));

    let fetched = fetch_until_drained(&shared, fetching).await;
    // The last sender was dropped with the fetching task: settlement ends when it has settled every task.
    shared.lifecycle.enter(Phase::Stopping);
    let settled = settling.await;
    shared.lifecycle.enter(Phase::Stopped);
    background.join_all().await;
    maintenance::store_counts(&shared).await;
    [fetched, settled].into_iter().for_each(propagate_panic);
    let tally = shared.counters.tally();
    audit::finish(&shared, &tally).await;
    tally
}

/// Starts the heartbeat and the maintenance of the queues.
fn start_background(shared: &Arc<Shared>) -> JoinSet<()> {
    let mut background = JoinSet::new();
    background.spawn(boxed(heartbeat::run(Arc::clone(shared))));
    background.spawn(boxed(maintenance::recover(Arc::clone(shared))));
    background.spawn(boxed(maintenance::forward(Arc::clone(shared))));
    background.spawn(boxed(maintenance::tidy(Arc::clone(shared))));
    background.spawn(boxed(maintenance::count(Arc::clone(shared))));
    background.spawn(boxed(clock_steps::watch(Arc::clone(shared))));
    background.spawn(boxed(reload::run(Arc::clone(shared))));
    background.spawn(boxed(announce::run(Arc::clone(shared))));
    background
}

/// Waits until fetching ends by itself, or for the end of the drain.
async fn fetch_until_drained(shared: &Shared, mut fetching: JoinHandle<()>) -> Result<(), JoinError> {
    tokio::select! {
        fetched = &mut fetching => return fetched,
        () = shared.lifecycle.entered(Phase::Draining) => {}
    }
    if let Ok(fetched) = tokio::time::timeout(shared.settings.drain, &mut fetching).await {
        return fetched;
    }
    shared.lifecycle.enter(Phase::Stopping);
    shared.leases.cancel_all();
    // Every handler is cancelled: this ends as soon as they have reacted.
    fetching.await
}

/// Propagates the panic of an observer, or of a defect: a partial run must not look like success.
fn propagate_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
