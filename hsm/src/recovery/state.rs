//! What the threads of one token share: its state, its keys, and the way to ask for recovery.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use cryptoki::slot::Slot;

use crate::error::Error;
use crate::health::{Counters, Event, Health, State, read};
use crate::keys::handle::Located;
use crate::keys::selector::TokenSelector;
use crate::login::attempts::{Device, Identity};
use crate::login::pin::PinKeeper;
use crate::module::Module;
use crate::pool::Pool;
use crate::pool::call::Ticket;
use crate::recovery::classify::Level;
use crate::settings::Settings;
use crate::sync::{lock, wait_until};

/// A token, as all its threads see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) module: Arc<Module>,
    pub(crate) selector: TokenSelector,
    pub(crate) settings: Settings,
    pub(crate) pin: PinKeeper,
    pub(crate) pool: Pool,
    pub(crate) counters: Counters,
    pub(crate) status: Mutex<Status>,
    pub(crate) changed: Condvar,
    /// The token that was logged in to first: its PIN is for no other.
    pub(crate) identity: OnceLock<Identity>,
    /// What is known of logins to it.
    pub(crate) device: OnceLock<Arc<Device>>,
    /// Counts logins: handles of an older one may mean nothing, or something else.
    generation: AtomicU64,
    /// Counts the times the library said that a session is gone: then none of the older ones can be trusted.
    sessions: AtomicU64,
    keys: Mutex<Vec<Weak<Located>>>,
}

/// Whether the token works, and what it needs.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    pub(crate) since: SystemTime,
    pub(crate) slot: Option<Slot>,
    /// The initialisation of the library that the handles belong to.
    pub(crate) epoch: u64,
    /// The login that they belong to, see [`Device::logins`].
    pub(crate) logins: u64,
    /// What a thread of the pool found broken, and why it thinks so.
    pub(crate) request: Option<(Level, Error)>,
    pub(crate) pin_count_low: bool,
    pub(crate) login_required: bool,
    pub(crate) closed: bool,
    /// The recovery thread lives.
    pub(crate) supervised: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Up,
    Recovering,
    Down { retry_at: Instant, reason: Error },
    Failed(Error),
}

/// What a thread works with: valid as long as neither number changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footing {
    pub(crate) slot: Slot,
    pub(crate) generation: u64,
    pub(crate) sessions: u64,
    pub(crate) login_required: bool,
    pub(crate) epoch: u64,
    pub(crate) logins: u64,
}

impl Shared {
    pub(crate) fn new(
        module: Arc<Module>,
        selector: TokenSelector,
        settings: Settings,
        pin: PinKeeper,
    ) -> Self {
        let pool = Pool::new(settings.max_abandoned);
        module.opened();
        Self {
            module,
            selector,
            settings,
            pin,
            pool,
            counters: Counters::default(),
            status: Mutex::new(Status {
                phase: Phase::Recovering,
                since: SystemTime::now(),
                slot: None,
                epoch: 0,
                logins: 0,
                request: None,
                pin_count_low: false,
                login_required: true,
                closed: false,
                supervised: false,
            }),
            changed: Condvar::new(),
            identity: OnceLock::new(),
            device: OnceLock::new(),
            generation: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            keys: Mutex::default(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A login has been made: all handles are to be found again.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The library said that a session of `seen` is gone.
    pub(crate) fn sessions_gone(&self, seen: u64) {
        // The first one to notice is enough.
        let _ = self.sessions.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Acquire);
    }

    /// How often the library has said that a session is gone.
    pub(crate) fn session_losses(&self) -> u64 {
        self.sessions.load(Ordering::Acquire)
    }

    /// Fails at once if the token cannot be used now. For callers, before they queue.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.module.check_pid()?;
        let mut status = lock(&self.status);
        if status.closed {
            return Err(Error::Closed);
        }
        if matches!(status.phase, Phase::Recovering)
            && status.since.elapsed().is_ok_and(|waiting| waiting > self.settings.timeout)
        {
            // The recovery thread itself is stuck: nobody has to wait for it.
            status.phase = Phase::Down { retry_at: Instant::now() + STUCK, reason: Error::Timeout };
        }
        match &status.phase {
            Phase::Up | Phase::Recovering => Ok(()),
            phase => Err(phase.refusal()),
        }
    }

    /// Waits while the token is being logged in to, if the caller is `patient`.
    pub(crate) fn footing(&self, ticket: &Ticket, patient: bool) -> Result<Footing, Error> {
        let mut status = lock(&self.status);
        loop {
            if status.closed {
                return Err(Error::Closed);
            }
            match (&status.phase, status.slot) {
                (Phase::Up, Some(slot)) => {
                    return Ok(Footing {
                        slot,
                        generation: self.generation(),
                        sessions: self.session_losses(),
                        login_required: status.login_required,
                        epoch: status.epoch,
                        logins: status.logins,
                    });
                }
                (Phase::Up | Phase::Recovering, _) if patient => {}
                (phase, _) => return Err(phase.refusal()),
            }
            if Instant::now() >= ticket.deadline() {
                return Err(Error::Timeout);
            }
            status = wait_until(&self.changed, status, ticket.deadline());
        }
    }

    /// Asks for recovery, unless there was one since `generation`. Callers that come now wait for it, or are sent away.
    pub(crate) fn request(&self, level: Level, generation: u64, reason: Error) {
        let mut status = lock(&self.status);
        if self.generation() != generation || !matches!(status.phase, Phase::Up) || status.closed {
            return;
        }
        status.since = SystemTime::now();
        if level >= Level::Library {
            status.phase = Phase::Down { retry_at: Instant::now() + SOON, reason: reason.clone() };
        } else {
            status.phase = Phase::Recovering;
        }
        let refusal = status.phase.refusal();
        let down = matches!(status.phase, Phase::Down { .. });
        status.request = Some((level, reason));
        drop(status);
        self.changed.notify_all();
        if down {
            self.pool.refuse_queued(&refusal);
        }
    }

    /// A thread did not come back from the library in time.
    pub(crate) fn hung(&self) {
        let mut status = lock(&self.status);
        if matches!(status.phase, Phase::Up | Phase::Recovering) && !status.closed {
            let retry_at = Instant::now() + SOON;
            status.phase = Phase::Down { retry_at, reason: Error::Timeout };
            status.since = SystemTime::now();
            // A new session may do: the library cannot be restarted around a stuck thread.
            status.request = Some((Level::Login, Error::Timeout));
            let refusal = status.phase.refusal();
            drop(status);
            self.changed.notify_all();
            self.pool.refuse_queued(&refusal);
        }
    }

    /// Keys that are in use, to be found again after a login.
    pub(crate) fn keys(&self) -> Vec<Arc<Located>> {
        let mut keys = lock(&self.keys);
        keys.retain(|key| key.strong_count() > 0);
        keys.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn register(&self, key: &Arc<Located>) {
        let mut keys = lock(&self.keys);
        keys.retain(|key| key.strong_count() > 0);
        keys.push(Arc::downgrade(key));
    }

    pub(crate) fn tell(&self, event: &Event) {
        if let Some(observer) = &self.settings.observer {
            // Whoever listens must not end the thread that recovers the token.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| observer(event)));
        }
    }

    /// Ends the threads and waits for them, though not for ever. Sessions are closed by those that hold them, which
    /// ends the login.
    ///
    /// A process that ends takes its libraries down: a thread that is inside one then crashes it.
    pub(crate) fn close(&self) {
        lock(&self.status).closed = true;
        self.changed.notify_all();
        self.pool.close();
        if self.module.check_pid().is_err() {
            // In a fork there are no threads.
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        self.pool.wait_ended(deadline);
        let mut status = lock(&self.status);
        while status.supervised && Instant::now() < deadline {
            status = wait_until(&self.changed, status, deadline);
        }
    }

    /// Whether what a thread stands on is still there. Only to be believed inside the library, where nobody logs in and
    /// nobody restarts it.
    pub(crate) fn holds(&self, footing: &Footing) -> bool {
        self.module.epoch() == footing.epoch
            && self.generation() == footing.generation
            && self.device.get().is_some_and(|device| device.logins() == footing.logins)
    }

    /// The recovery thread begins. It has ended when what this returns is dropped.
    pub(crate) fn supervised(self: &Arc<Self>) -> Supervised {
        lock(&self.status).supervised = true;
        Supervised(Arc::clone(self))
    }

    pub(crate) fn health(&self) -> Health {
        let load = self.pool.load();
        let status = lock(&self.status);
        let (state, reason) = match &status.phase {
            _ if status.closed => (State::Closed, None),
            Phase::Up => (State::Up, None),
            Phase::Recovering => (State::Recovering, None),
            Phase::Down { reason, .. } => (State::Down, Some(reason.clone())),
            Phase::Failed(reason) => (State::Failed, Some(reason.clone())),
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
            pin_count_low: status.pin_count_low,
            pool_size: load.live,
            pool_limit: load.limit,
            pool_in_use: load.in_use,
            queued: load.queued,
            abandoned: load.abandoned,
        }
    }
}

/// A recovery thread that lives.
#[derive(Debug)]
pub(crate) struct Supervised(Arc<Shared>);

impl Drop for Supervised {
    fn drop(&mut self) {
        lock(&self.0.status).supervised = false;
        self.0.changed.notify_all();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.module.closed();
    }
}

impl Phase {
    /// What a caller is told.
    pub(crate) fn refusal(&self) -> Error {
        match self {
            Self::Up | Self::Recovering => Error::Transient { retry_after: SOON },
            Self::Down { retry_at, .. } => {
                let now = Instant::now();
                let left = match retry_at.checked_duration_since(now) {
                    Some(left) => left,
                    // An attempt is being made. The longer that takes, the longer it may still take.
                    None => now.saturating_duration_since(*retry_at).min(STUCK),
                };
                Error::Transient { retry_after: left.max(SHORTEST) }
            }
            // The reason says what refused; later callers must know that nothing was tried for them.
            Self::Failed(Error::AuthFailed { .. }) => Error::LockedOut,
            Self::Failed(reason) => reason.clone(),
        }
    }
}

/// How long a token that is closed waits for its threads.
const FAREWELL: Duration = Duration::from_secs(1);

/// The least time callers are told to stay away.
const SHORTEST: Duration = Duration::from_millis(10);

/// How long callers are told to stay away while recovery is stuck.
const STUCK: Duration = Duration::from_secs(1);

/// The first attempt at recovery is made at once.
const SOON: Duration = Duration::from_millis(100);
