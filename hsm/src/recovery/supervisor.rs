//! The recovery thread of a token: repeats logins and restarts with growing pauses, and finds all keys again.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use super::classify::RecoveryLevel;
use super::state::SharedState;
use super::status::Phase;
use crate::error::{Error, Failure, Fault};
use crate::health::{TokenEvent, add};
use crate::login::connect::Connection;
use crate::login::error::ConnectError;
use crate::pool::operation::ObjectAccess;
use crate::sync::{lock, wait_until};

/// Runs the recovery thread until the token is closed. Sends the result of the first login to `opened`.
pub(crate) fn supervise(state: &Arc<SharedState>, opened: &mpsc::SyncSender<Result<(), Error>>) {
    let mut connection = match catch_panic(|| connect_first(state)) {
        Ok(connection) => {
            state.next_generation();
            set_up(state, &connection);
            Some(connection)
        }
        Err(error) => {
            let error = error.into_error();
            lock(&state.status).phase = Phase::Failed(error.clone());
            // The caller may have timed out.
            let _ = opened.send(Err(error));
            return;
        }
    };
    let _ = opened.send(Ok(()));
    while let Some((level, reason)) = next_request(state) {
        connection = Recovery::new(state, connection, level, &reason).run();
    }
}

/// Makes the first login. A library that reads its tokens while another process writes them may miss one, so it is
/// restarted and asked again, unless other tokens would be affected.
fn connect_first(state: &Arc<SharedState>) -> Result<Connection, ConnectError> {
    for _ in 0..FIRST_ATTEMPTS {
        match state.login.connect(None, &state.session_losses) {
            Err(ConnectError::Retryable(Error::NoSuchToken | Error::Token(_) | Error::Config(_), pause))
                if state.module.has_single_token() =>
            {
                if !sleep(state, with_jitter(FIRST_PAUSE).max(pause)) {
                    break;
                }
                state.module.restart(state.module.epoch())?;
            }
            result => return result,
        }
    }
    state.login.connect(None, &state.session_losses)
}

/// Waits for a request, and keeps the token active meanwhile. Returns `None` when the token is closed.
fn next_request(state: &Arc<SharedState>) -> Option<(RecoveryLevel, Error)> {
    let interval = state.settings.keep_alive;
    let mut due = Instant::now() + interval.unwrap_or(FOREVER);
    let mut status = lock(&state.status);
    loop {
        if status.closed {
            return None;
        }
        if let Some(request) = status.request.take() {
            return Some(request);
        }
        let up = matches!(status.phase, Phase::Up);
        if interval.is_some() && Instant::now() >= due && up {
            drop(status);
            keep_alive(state);
            due = Instant::now() + interval.unwrap_or(FOREVER);
            status = lock(&state.status);
            continue;
        }
        let until = if up { due } else { Instant::now() + FOREVER };
        status = wait_until(&state.changed, status, until);
    }
}

/// Asks an idle token for one random byte. The call must not queue: all threads may be waiting for a recovery, which
/// this thread makes.
fn keep_alive(state: &Arc<SharedState>) {
    // A failure requests recovery, so the result is not needed.
    let _ = state.run_if_idle(|context| {
        context.session.generate_random_slice(&mut [0])?;
        Ok(())
    });
}

/// A recovery in progress.
struct Recovery<'s> {
    state: &'s Arc<SharedState>,
    /// The lost connection, until the first attempt to connect again.
    previous: Option<Connection>,
    level: RecoveryLevel,
    /// Epoch at the loss. A later one means that another token has restarted the library since.
    seen: u64,
    /// Pause after the next failed attempt.
    pause: Duration,
    /// Whether the observer knows that the token is down.
    reported: bool,
    started: Instant,
}

impl<'s> Recovery<'s> {
    fn new(
        state: &'s Arc<SharedState>,
        previous: Option<Connection>,
        level: RecoveryLevel,
        reason: &Error,
    ) -> Self {
        let started = Instant::now();
        let reported = matches!(lock(&state.status).phase, Phase::Down { .. });
        if reported {
            state.settings.notify(&TokenEvent::Down { reason: reason.clone() });
        }
        let seen = lock(&state.status).epoch;
        Self { state, previous, level, seen, pause: FIRST_PAUSE, reported, started }
    }

    /// Recovers the token, however long that takes. Returns `None` if recovery has failed or the token is closed.
    fn run(mut self) -> Option<Connection> {
        let state = self.state;
        loop {
            let library = self.level == RecoveryLevel::Library;
            let epoch = state.module.epoch();
            let counters = &state.counters;
            add(if library { &counters.library_recoveries } else { &counters.login_recoveries });
            match catch_panic(|| reconnect(state, &mut self.previous, library.then_some(self.seen))) {
                Ok(connection) => {
                    set_up(state, &connection);
                    state.settings.notify(&TokenEvent::Recovered { library, after: self.started.elapsed() });
                    return Some(connection);
                }
                Err(ConnectError::Permanent(error)) => {
                    set_failed(state, &error);
                    state.settings.notify(&TokenEvent::Failed { reason: error });
                    return None;
                }
                Err(ConnectError::Retryable(error, at_least)) => {
                    let wait = self.after_failure(error, at_least, library);
                    if library {
                        self.seen = epoch;
                    }
                    if !sleep(state, wait) {
                        return None;
                    }
                }
            }
        }
    }

    /// Sets the level of the next attempt and returns the pause before it.
    fn after_failure(&mut self, error: Error, at_least: Duration, library: bool) -> Duration {
        // A restart does not make an unreadable PIN readable, and would disturb other tokens.
        let without_pin = matches!(error, Error::Pin(_));
        // After any other failed login, the library is restarted without a pause.
        let with_pause = library || without_pin;
        let pause = if with_pause { with_jitter(self.pause) } else { Duration::ZERO };
        let wait = pause.max(at_least);
        let now = Instant::now();
        set_down(self.state, now + wait, now + at_least, &error);
        if with_pause {
            if !self.reported {
                self.reported = true;
                self.state.settings.notify(&TokenEvent::Down { reason: error });
            }
            self.pause = (self.pause * 2).min(MAX_PAUSE);
        }
        self.level = if without_pin { RecoveryLevel::Login } else { RecoveryLevel::Library };
        wait
    }
}

/// Connects again and finds all keys, after a restart of the library if `restart` is set to the epoch of the loss.
fn reconnect(
    state: &SharedState,
    previous: &mut Option<Connection>,
    restart: Option<u64>,
) -> Result<Connection, ConnectError> {
    if let Some(seen) = restart {
        state.module.restart(seen)?;
    }
    let connection = state.login.connect(previous.take(), &state.session_losses)?;
    let generation = state.next_generation();
    for key in state.keys() {
        let timeout = state.settings.timeout;
        let _objects = match key.access() {
            ObjectAccess::Modify => Some(state.module.lock_objects(Instant::now() + timeout, timeout)?),
            ObjectAccess::Read => None,
        };
        let _library = state.module.lock_shared()?;
        if connection.session.is_stale() {
            // Another token has restarted the library.
            return Err(Error::Transient { retry_after: Duration::ZERO }.into());
        }
        match key.find_again(&state.settings, &connection.session, generation) {
            Err(Failure::Library(error)) => return Err(Error::from(error).into()),
            // A token that returns wrong results is not used, whichever key is affected.
            Err(Failure::Final(Error::FaultyAnswer)) => {
                add(&state.counters.faulty_answers);
                return Err(Error::FaultyAnswer.into());
            }
            // A missing or rejected key affects only its own callers.
            Ok(_) | Err(Failure::Final(_)) => {}
        }
    }
    Ok(connection)
}

/// Converts a panic to an error, because callers wait for the thread.
fn catch_panic<R>(work: impl FnOnce() -> Result<R, ConnectError>) -> Result<R, ConnectError> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::Token(Fault::panic()).into()))
}

fn set_up(state: &SharedState, connection: &Connection) {
    state.pool.set_limit(connection.pool_limit);
    let mut status = lock(&state.status);
    status.phase = Phase::Up;
    status.since = SystemTime::now();
    status.slot = Some(connection.slot);
    status.epoch = connection.session.epoch();
    status.logins = connection.logins;
    status.login_required = connection.login_required;
    status.request = None;
    drop(status);
    state.changed.notify_all();
}

fn set_down(state: &SharedState, retry_at: Instant, not_before: Instant, reason: &Error) {
    let mut status = lock(&state.status);
    if !matches!(status.phase, Phase::Down { .. }) {
        status.since = SystemTime::now();
    }
    status.phase = Phase::Down { retry_at, not_before, reason: reason.clone() };
    let refusal = status.phase.refusal();
    drop(status);
    state.changed.notify_all();
    state.pool.refuse_queued(&refusal);
}

fn set_failed(state: &SharedState, reason: &Error) {
    let mut status = lock(&state.status);
    status.phase = Phase::Failed(reason.clone());
    status.since = SystemTime::now();
    let refusal = status.phase.refusal();
    drop(status);
    state.changed.notify_all();
    state.pool.refuse_queued(&refusal);
}

/// Waits for the pause, or until the time to which a caller has moved the next attempt. Returns false if the token was closed
/// meanwhile.
fn sleep(state: &SharedState, pause: Duration) -> bool {
    let end = Instant::now() + pause;
    let mut status = lock(&state.status);
    loop {
        let until = match &status.phase {
            Phase::Down { retry_at, .. } => end.min(*retry_at),
            _ => end,
        };
        if status.closed || Instant::now() >= until {
            break;
        }
        status = wait_until(&state.changed, status, until);
    }
    !status.closed
}

/// Shortens a pause by up to a quarter, so that several processes do not retry at the same time.
fn with_jitter(pause: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    pause - pause / 4 * (nanos % 1024) / 1024
}

/// Number of attempts to open a token with a restart after each, before the final one.
const FIRST_ATTEMPTS: usize = 2;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Longer than any wait, and short enough to be added to an `Instant`.
const FOREVER: Duration = Duration::from_secs(3600);
