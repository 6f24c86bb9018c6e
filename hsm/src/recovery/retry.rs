//! Executes operations in a session, and repeats them after a recovery.

use std::sync::Arc;
use std::time::Duration;

use cryptoki::context::Function;
use cryptoki::error::{Error as Cryptoki, RvError};

use super::classify::{RecoveryLevel, Verdict, classify, session_is_gone};
use super::state::SharedState;
use crate::error::{Error, Failure, Fault};
use crate::health::add;
use crate::pool::call::PendingCall;
use crate::pool::operation::{ObjectAccess, Retry, SessionContext, TokenSnapshot};
use crate::pool::worker::PoolWorker;
use crate::pool::{CallError, Dispatch};

/// The result of one attempt.
enum Attempt<R> {
    Done(R),
    /// This level must be recovered.
    Lost(Fault, RecoveryLevel),
    /// Nothing was tried, because the snapshot has become invalid.
    Outdated,
}

impl SharedState {
    /// Executes `work` on a thread of the pool and waits for its result, at most for the timeout of the settings.
    pub(crate) fn run<R: Send + 'static>(
        self: &Arc<Self>,
        retry: Retry,
        access: ObjectAccess,
        work: impl Fn(&SessionContext<'_>) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Error> {
        self.check()?;
        self.dispatch(Dispatch::Queue, retry, access, work)
    }

    /// Executes `work` if all threads are idle, and does not wait for a recovery.
    pub(crate) fn run_if_idle(
        self: &Arc<Self>,
        work: impl Fn(&SessionContext<'_>) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Error> {
        self.dispatch(Dispatch::IfIdle, Retry::NoWait, ObjectAccess::Read, work)
    }

    fn dispatch<R: Send + 'static>(
        self: &Arc<Self>,
        dispatch: Dispatch,
        retry: Retry,
        access: ObjectAccess,
        work: impl Fn(&SessionContext<'_>) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Error> {
        let state = Arc::clone(self);
        let result = self.pool.call(self.settings.timeout, dispatch, move |worker, call| {
            repeat(&state, worker, call, retry, access, work)
        });
        result.map_err(|error| match error {
            CallError::Abandoned => {
                self.thread_abandoned();
                Error::Timeout
            }
            CallError::Failed(error) => error,
        })
    }
}

/// Repeats `work` after a lost session and after a lost login, once each. After a lost token, the caller is asked to
/// retry later.
fn repeat<R>(
    state: &SharedState,
    worker: &mut PoolWorker,
    call: &PendingCall,
    retry: Retry,
    access: ObjectAccess,
    work: impl Fn(&SessionContext<'_>) -> Result<R, Failure>,
) -> Result<R, Error> {
    let mut recovered = None;
    loop {
        call.leave_library()?;
        let snapshot = state.snapshot(call, retry != Retry::NoWait)?;
        let (fault, lost) = match attempt(state, worker, call, snapshot, access, &work)? {
            Attempt::Done(result) => return Ok(result),
            Attempt::Lost(fault, level) => (fault, level),
            Attempt::Outdated => {
                // Has no effect if this token's own recovery was the cause, because the generation has changed then.
                let reason = Cryptoki::Pkcs11(RvError::UserNotLoggedIn, Function::Login).into();
                state.request(RecoveryLevel::Login, snapshot.generation, reason);
                continue;
            }
        };
        let level = escalate(recovered, lost);
        if level > RecoveryLevel::Session {
            state.request(level, snapshot.generation, Error::Token(fault));
        } else {
            add(&state.counters.session_recoveries);
        }
        if level == RecoveryLevel::Library || retry != Retry::Allowed {
            state.check()?;
            return Err(Error::Transient { retry_after: RETRY_AFTER });
        }
        recovered = Some(level);
    }
}

/// Returns the level to recover after `lost`. A recovery that did not help is not repeated at the same level.
fn escalate(recovered: Option<RecoveryLevel>, lost: RecoveryLevel) -> RecoveryLevel {
    match (recovered, lost) {
        (Some(RecoveryLevel::Session), RecoveryLevel::Session) => RecoveryLevel::Login,
        (Some(RecoveryLevel::Login), RecoveryLevel::Session | RecoveryLevel::Login) => RecoveryLevel::Library,
        (_, level) => level,
    }
}

/// Makes one attempt. Fails with an error that no recovery changes.
fn attempt<R>(
    state: &SharedState,
    worker: &mut PoolWorker,
    call: &PendingCall,
    snapshot: TokenSnapshot,
    access: ObjectAccess,
    work: impl Fn(&SessionContext<'_>) -> Result<R, Failure>,
) -> Result<Attempt<R>, Error> {
    // The deadline of the caller applies, but the thread does not count as stuck while it waits.
    let _objects = match access {
        ObjectAccess::Modify => Some(state.module.lock_objects(call.deadline(), state.settings.timeout)?),
        ObjectAccess::Read => None,
    };
    let _library = state.module.lock_shared_until(call.deadline())?;
    if !state.is_current(&snapshot) {
        // An older handle may belong to another key by now.
        return Ok(Attempt::Outdated);
    }
    call.enter_library()?;
    let result = worker.session(&state.module, snapshot).map_err(Failure::Library).and_then(|session| {
        work(&SessionContext { session, snapshot, settings: &state.settings, counters: &state.counters })
    });
    match result {
        Ok(result) => Ok(Attempt::Done(result)),
        Err(Failure::Final(error)) => {
            if matches!(error, Error::FaultyAnswer) {
                add(&state.counters.faulty_answers);
                state.request(RecoveryLevel::Login, snapshot.generation, Error::FaultyAnswer);
            }
            Err(error)
        }
        Err(Failure::Library(error)) => lost(state, worker, snapshot, &error),
    }
}

/// Returns what must be recovered after an error of the library, or the error if nothing must be.
fn lost<R>(
    state: &SharedState,
    worker: &mut PoolWorker,
    snapshot: TokenSnapshot,
    error: &Cryptoki,
) -> Result<Attempt<R>, Error> {
    let fault = Fault::new(error);
    let level = match classify(error) {
        Verdict::Permanent => return Err(Error::Token(fault)),
        Verdict::Probe => match worker.probe(snapshot) {
            None => return Err(Error::Token(fault)),
            Some(level) => level,
        },
        Verdict::Recover(level) => level,
    };
    if session_is_gone(error) {
        worker.forget();
        state.session_losses.record(snapshot.session_losses);
    } else if level == RecoveryLevel::Session {
        worker.close();
    }
    Ok(Attempt::Lost(fault, level))
}

/// Time after which a caller is asked to retry if the token is up again.
const RETRY_AFTER: Duration = Duration::from_millis(10);
