//! The state that the threads of one token share, and requests for recovery.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime};

use super::classify::RecoveryLevel;
use super::status::{FIRST_ATTEMPT, Phase, RECOVERY_STUCK, Status};
use crate::error::Error;
use crate::health::{Counters, Health, TokenState, read};
use crate::keys::handle::KeyHandle;
use crate::login::connect::TokenLogin;
use crate::module::Module;
use crate::pool::Pool;
use crate::pool::call::PendingCall;
use crate::pool::operation::TokenSnapshot;
use crate::pool::session_table::SessionLosses;
use crate::pool::worker::PoolWorker;
use crate::settings::Settings;
use crate::sync::{lock, wait_until};

/// The state of a token.
pub(crate) struct SharedState {
    pub(crate) module: Arc<Module>,
    pub(crate) login: TokenLogin,
    pub(crate) settings: Settings,
    pub(crate) pool: Arc<Pool<PoolWorker>>,
    pub(crate) counters: Counters,
    pub(crate) status: Mutex<Status>,
    pub(crate) changed: Condvar,
    pub(crate) session_losses: SessionLosses,
    /// Number of recoveries that found the handles of the keys. Older handles may be invalid, or belong to other
    /// objects.
    generation: AtomicU64,
    keys: Mutex<Vec<Weak<KeyHandle>>>,
}

impl SharedState {
    pub(crate) fn new(module: Arc<Module>, login: TokenLogin, settings: Settings) -> Self {
        let pool = Arc::new(Pool::new(settings.max_abandoned));
        module.register_token();
        Self {
            module,
            login,
            settings,
            pool,
            counters: Counters::default(),
            status: Mutex::new(Status::new()),
            changed: Condvar::new(),
            session_losses: SessionLosses::default(),
            generation: AtomicU64::new(0),
            keys: Mutex::default(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Invalidates all handles after a login.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Fails at once if the token cannot be used now. Called before a call enters the queue.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.module.check_pid()?;
        let mut status = lock(&self.status);
        if status.closed {
            return Err(Error::Closed);
        }
        if matches!(status.phase, Phase::Recovering)
            && status.since.elapsed().is_ok_and(|waiting| waiting > self.settings.timeout)
        {
            // The recovery thread itself is stuck, so callers must not wait for it.
            let retry_at = Instant::now() + RECOVERY_STUCK;
            status.phase = Phase::Down { retry_at, not_before: retry_at, reason: Error::Timeout };
        }
        if status.phase.hasten(Instant::now()) {
            self.changed.notify_all();
        }
        match &status.phase {
            Phase::Up | Phase::Recovering => Ok(()),
            phase => Err(phase.refusal()),
        }
    }

    /// Returns the present snapshot. With `wait`, waits for a recovery in progress until the deadline of the call.
    pub(crate) fn snapshot(&self, call: &PendingCall, wait: bool) -> Result<TokenSnapshot, Error> {
        let mut status = lock(&self.status);
        loop {
            if status.closed {
                return Err(Error::Closed);
            }
            match (&status.phase, status.slot) {
                (Phase::Up, Some(slot)) => {
                    return Ok(TokenSnapshot {
                        slot,
                        generation: self.generation(),
                        session_losses: self.session_losses.count(),
                        login_required: status.login_required,
                        epoch: status.epoch,
                        logins: status.logins,
                    });
                }
                (Phase::Up | Phase::Recovering, _) if wait => {}
                (phase, _) => return Err(phase.refusal()),
            }
            if Instant::now() >= call.deadline() {
                return Err(Error::Timeout);
            }
            status = wait_until(&self.changed, status, call.deadline());
        }
    }

    /// Returns whether the snapshot is still valid. The answer holds as long as the library lock is held, which keeps
    /// logins and restarts out.
    pub(crate) fn is_current(&self, snapshot: &TokenSnapshot) -> bool {
        self.module.epoch() == snapshot.epoch
            && self.generation() == snapshot.generation
            && self.login.logins() == Some(snapshot.logins)
    }

    /// Requests recovery, unless there was one since `generation`. Depending on the level, calls then wait or fail.
    pub(crate) fn request(&self, level: RecoveryLevel, generation: u64, reason: Error) {
        let mut status = lock(&self.status);
        if self.generation() != generation || !matches!(status.phase, Phase::Up) || status.closed {
            return;
        }
        status.since = SystemTime::now();
        if level < RecoveryLevel::Library {
            status.phase = Phase::Recovering;
            status.request = Some((level, reason));
            drop(status);
            self.changed.notify_all();
            return;
        }
        let retry_at = Instant::now() + FIRST_ATTEMPT;
        status.phase = Phase::Down { retry_at, not_before: retry_at, reason: reason.clone() };
        status.request = Some((level, reason));
        let refusal = status.phase.refusal();
        drop(status);
        self.changed.notify_all();
        self.pool.refuse_queued(&refusal);
    }

    /// Requests a login if the token rejected the former PIN and its source has another one now.
    pub(crate) fn request_login_with_changed_pin(&self) {
        let is_refused =
            |phase: &Phase| matches!(phase, Phase::Failed(Error::AuthFailed { .. } | Error::LockedOut));
        // Reading the PIN may block, so the lock is not held.
        if !is_refused(&lock(&self.status).phase) || !self.login.pin_has_changed() {
            return;
        }
        let mut status = lock(&self.status);
        let Phase::Failed(reason) = &status.phase else { return };
        status.request = Some((RecoveryLevel::Login, reason.clone()));
        status.phase = Phase::Recovering;
        status.since = SystemTime::now();
        drop(status);
        self.changed.notify_all();
    }

    /// Requests recovery after a thread did not return from the library in time.
    pub(crate) fn thread_abandoned(&self) {
        let mut status = lock(&self.status);
        if matches!(status.phase, Phase::Up | Phase::Recovering) && !status.closed {
            let retry_at = Instant::now() + FIRST_ATTEMPT;
            status.phase = Phase::Down { retry_at, not_before: retry_at, reason: Error::Timeout };
            status.since = SystemTime::now();
            // A new session may suffice: the library cannot be restarted while a thread is inside.
            status.request = Some((RecoveryLevel::Login, Error::Timeout));
            let refusal = status.phase.refusal();
            drop(status);
            self.changed.notify_all();
            self.pool.refuse_queued(&refusal);
        }
    }

    /// Returns the keys in use, whose handles are found again after a login.
    pub(crate) fn keys(&self) -> Vec<Arc<KeyHandle>> {
        let mut keys = lock(&self.keys);
        keys.retain(|key| key.strong_count() > 0);
        keys.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn register_key(&self, key: &Arc<KeyHandle>) {
        let mut keys = lock(&self.keys);
        keys.retain(|key| key.strong_count() > 0);
        keys.push(Arc::downgrade(key));
    }

    /// Ends the threads and waits for them, at most [`CLOSE_TIMEOUT`]. Each thread closes its session, which ends the
    /// login.
    ///
    /// Returns whether the recovery thread has made its last call.
    ///
    /// A process unloads its libraries when it exits, and crashes if a thread is inside one then.
    pub(crate) fn close(&self) -> bool {
        lock(&self.status).closed = true;
        self.changed.notify_all();
        self.pool.close();
        if self.module.check_pid().is_err() {
            // A fork has no threads to wait for.
            return false;
        }
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        self.pool.wait_ended(deadline);
        let mut status = lock(&self.status);
        while status.supervised && Instant::now() < deadline {
            status = wait_until(&self.changed, status, deadline);
        }
        !status.supervised
    }

    /// Records that the recovery thread runs until the guard is dropped.
    pub(crate) fn supervise_guard(self: &Arc<Self>) -> SupervisorGuard {
        lock(&self.status).supervised = true;
        SupervisorGuard(Arc::clone(self))
    }

    pub(crate) fn health(&self) -> Health {
        let load = self.pool.load();
        let status = lock(&self.status);
        let (state, reason) = match &status.phase {
            _ if status.closed => (TokenState::Closed, None),
            Phase::Up => (TokenState::Up, None),
            Phase::Recovering => (TokenState::Recovering, None),
            Phase::Down { reason, .. } => (TokenState::Down, Some(reason.clone())),
            Phase::Failed(reason) => (TokenState::Failed, Some(reason.clone())),
        };
        Health {
            state,
            since: status.since,
            reason,
            session_recoveries: read(&self.counters.session_recoveries),
            login_recoveries: read(&self.counters.login_recoveries),
            library_recoveries: read(&self.counters.library_recoveries),
            signing: self.counters.signing(),
            agreements: read(&self.counters.agreements),
            faulty_answers: read(&self.counters.faulty_answers),
            pin_count_low: self.login.pin_count_low(),
            pool_size: load.live,
            pool_limit: load.limit,
            pool_in_use: load.in_use,
            queued: load.queued,
            abandoned: load.abandoned,
        }
    }
}

impl Drop for SharedState {
    fn drop(&mut self) {
        self.module.unregister_token();
    }
}

/// Records on drop that the recovery thread has ended.
pub(crate) struct SupervisorGuard(Arc<SharedState>);

impl Drop for SupervisorGuard {
    fn drop(&mut self) {
        lock(&self.0.status).supervised = false;
        self.0.changed.notify_all();
    }
}

/// Maximum time that closing a token waits for its threads.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
