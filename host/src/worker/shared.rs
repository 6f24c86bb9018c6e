//! The state that all parts of a running worker share.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinError;

use super::WorkerParts;
use super::begin::Beginnings;
use super::counters::Counters;
use super::cpu_pool::CpuPool;
use super::event::Event;
use super::first_seen::FirstSeen;
use super::lease_guard::{Interruption, LeaseGuard};
use super::lease_table::LeaseTable;
use super::phase::Lifecycle;
use super::quotas::Quotas;
use super::result_key::ResultKey;
use super::settings::WorkerSettings;
use super::slots::SlotPool;
use super::snapshot::Snapshot;
use super::start_failures::StartFailures;
use crate::audit::Recorder;
use crate::broker::Broker;
use crate::handler::Handlers;
use crate::keys::{Live, Reloader};
use crate::lock::lock;
use crate::policy::PolicySet;
use crate::quarantine::Quarantine;
use crate::replay::{Ledger, StateError, TaskKey};
use crate::rollout::Rollout;
use crate::runtime::run_blocking;
use crate::telemetry;
use crate::time::UnixMillis;

/// Maximum number of results sealed at once with a key that may block. A token has fewer sessions than that.
const MAX_CONCURRENT_SEALS: usize = 32;

/// The services and handlers of a worker: those of its [`WorkerParts`] that stay the same while it runs.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) handlers: Handlers,
}

/// The state of one running worker.
pub(super) struct Shared {
    pub(super) settings: WorkerSettings,
    pub(super) parts: Services,
    pub(super) rollout: Arc<Rollout>,
    /// The current keys and policy.
    pub(super) keys: Live<Snapshot>,
    /// Loads the keys again; `None` for keys that the application opened.
    pub(super) reloader: Option<Reloader<Snapshot>>,
    /// Notified when an operator requires that the keys are loaded again.
    pub(super) reload_request: Arc<Notify>,
    /// Patterns of the handled task types, in the form of a [`NameSet`](taskseal_core::NameSet).
    pub(super) handled_types: String,
    /// The name of this worker in the ledger, unique for each run of the process.
    pub(super) owner: String,
    pub(super) counters: Counters,
    pub(super) leases: Arc<LeaseTable>,
    pub(super) result_key: ResultKey,
    /// Permits to seal a result with a key that may block. They keep blocking threads of the runtime free for the ledger.
    pub(super) seal_permits: Semaphore,
    pub(super) cpu_pool: CpuPool,
    pub(super) start_failures: StartFailures,
    /// What the quotas of issuers leave.
    pub(super) quotas: Quotas,
    /// Tasks without an expiry that are put off.
    pub(super) first_seen: FirstSeen,
    pub(super) slots: Arc<SlotPool>,
    pub(super) beginnings: Beginnings,
    /// The permit to run a task that may be the cause of lost workers.
    pub(super) suspects: Arc<Semaphore>,
    pub(super) lifecycle: Lifecycle,
    pub(super) observer: Box<dyn Fn(&Event) + Send + Sync>,
    pub(super) audit: Option<Recorder>,
    /// Held while locks are extended.
    extending: Mutex<()>,
}

impl Shared {
    /// Creates the state of a worker that is not running yet.
    pub(super) fn new(settings: WorkerSettings, parts: WorkerParts) -> Self {
        let slots = SlotPool::new(settings.concurrency, settings.fetch_ahead);
        let policy = PolicySet::new(settings.policy.clone(), settings.rules.clone());
        let WorkerParts { broker, ledger, quarantine, keyring, results, handlers } = parts;
        Self {
            handled_types: handlers.patterns(),
            owner: format!("{}/{}", settings.id, uuid::Uuid::now_v7()),
            rollout: Arc::default(),
            keys: Live::new(Snapshot::new(keyring, results, policy)),
            settings,
            parts: Services { broker, ledger, quarantine, handlers },
            reloader: None,
            reload_request: Arc::default(),
            result_key: ResultKey::new(),
            counters: Counters::default(),
            leases: Arc::default(),
            seal_permits: Semaphore::new(MAX_CONCURRENT_SEALS),
            cpu_pool: CpuPool::default(),
            start_failures: StartFailures::default(),
            quotas: Quotas::default(),
            first_seen: FirstSeen::default(),
            slots,
            beginnings: Beginnings::default(),
            suspects: Arc::new(Semaphore::new(1)),
            lifecycle: Lifecycle::default(),
            observer: Box::new(|_| ()),
            audit: None,
            extending: Mutex::default(),
        }
    }

    /// Counts an event, traces it, and passes it to the audit log and the observer.
    pub(super) fn observe(&self, event: &Event) {
        self.counters.count(event);
        telemetry::observe(event);
        if let Some(audit) = &self.audit {
            audit.observe(event);
        }
        (self.observer)(event);
    }

    /// Reports that the ledger or the quarantine failed.
    pub(super) fn state_failed(&self, error: &dyn fmt::Display) {
        self.observe(&Event::StateFailed { error: error.to_string() });
    }

    /// Runs `work` on a thread of the runtime that may block.
    ///
    /// # Errors
    /// [`JoinError`] if `work` panicked.
    pub(super) async fn run_blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let shared = Arc::clone(self);
        run_blocking(move || work(&shared)).await
    }

    /// Returns what must be left of a lock for a handler to start or to continue.
    pub(super) fn margin(&self) -> Duration {
        self.settings.lease / 6
    }

    /// Checks that the task of this guard may start now.
    pub(super) fn still_runnable(&self, guard: &LeaseGuard) -> ControlFlow<Interruption> {
        guard.still_runnable(self.lifecycle.phase(), self.parts.ledger.now().plus(self.margin()))
    }

    /// Extends the locks of `keys`. Returns which of them this worker still holds, and until when. Blocks.
    ///
    /// Calls are serialised: if a later call overtook an earlier one, the ledger's deadline would be before the one that
    /// this worker relies on.
    pub(super) fn extend_locks(&self, keys: &[TaskKey]) -> Result<(Vec<bool>, UnixMillis), StateError> {
        let _serialised = lock(&self.extending);
        let until = self.parts.ledger.now().plus(self.settings.lease);
        Ok((self.parts.ledger.extend(&self.owner, keys, until)?, until))
    }
}
