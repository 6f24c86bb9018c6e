//! From nothing to a login: find the token by its name, open a session, log in once.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Limit, Slot, TokenInfo};

use crate::classify::{Verdict, classify};
use crate::error::{Error, Fault};
use crate::module::{Alone, Session};
use crate::shared::Shared;
use crate::sync::lock;

/// A session that stays open and is never lent: the login lives as long as the process has one.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) slot: Slot,
    pub(crate) session: Session,
    /// See [`Shared::session_losses`].
    losses: u64,
}

impl Connection {
    /// Its session, unless the library has said since that sessions are gone: its number may mean another one now.
    fn reuse(self, shared: &Shared, slot: Slot) -> Option<Session> {
        if self.session.is_stale() || self.losses != shared.session_losses() {
            self.session.forget();
            return None;
        }
        (self.slot == slot && self.session.get_session_info().is_ok()).then_some(self.session)
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It can be tried again.
    Later(Error),
    /// It must not be tried again: a human has to act.
    Never(Error),
}

impl Refusal {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Later(error) | Self::Never(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::AuthFailed { .. }
            | Error::LockedOut
            | Error::PinLocked
            | Error::FinalTry
            | Error::Forked
            | Error::Config(_)
            | Error::Unsupported(_) => Self::Never(error),
            later => Self::Later(later),
        }
    }
}

/// Finds the token and logs in to it, in the session of before where that still is one.
pub(crate) fn connect(shared: &Arc<Shared>, before: Option<Connection>) -> Result<Connection, Refusal> {
    shared.module.check_pid()?;
    let mut pass = shared.module.enter()?;
    let (slot, info) = shared.selector.find(&shared.module)?;
    let losses = shared.session_losses();
    let session = match before.and_then(|before| before.reuse(shared, slot)) {
        Some(session) => session,
        None => shared.module.open_session(slot, false).map_err(token)?,
    };
    if info.login_required() {
        match session.check_login() {
            Ok(()) => {}
            Err(Cryptoki::Pkcs11(RvError::UserNotLoggedIn, _)) => {
                drop(pass);
                login(shared, &session, &info)?;
                pass = shared.module.enter()?;
            }
            Err(error) => return Err(token(error).into()),
        }
    }
    let mut status = lock(&shared.status);
    status.pin_count_low = info.user_pin_count_low();
    status.login_required = info.login_required();
    drop(status);
    shared.pool.set_limit(pool_size(shared.settings.max_sessions, &info));
    drop(pass);
    Ok(Connection { slot, session, losses })
}

/// Logs in with one attempt. "Already logged in" says that somebody in this process is, not that the PIN is right.
fn login(shared: &Shared, session: &Session, info: &TokenInfo) -> Result<(), Refusal> {
    let identity = format!("{}/{}/{}", info.manufacturer_id(), info.serial_number(), info.label());
    if shared.module.is_locked_out(&identity) {
        return Err(Refusal::Never(Error::LockedOut));
    }
    if info.user_pin_locked() {
        return Err(Refusal::Never(Error::PinLocked));
    }
    if info.user_pin_final_try() {
        return Err(Refusal::Never(Error::FinalTry));
    }
    if !info.user_pin_initialized() {
        // A file of a token in software may also be half-written at the moment.
        return Err(Refusal::Later(Error::Config("the token has no user pin yet")));
    }
    let at_the_device = shared.pin.is_nothing() && info.protected_authentication_path();
    // Nobody else is kept waiting for a human.
    let _inside =
        if at_the_device { Alone::Beside(shared.module.enter()?) } else { shared.module.enter_alone()? };
    if session.is_stale() {
        // Another token had the library restarted: the number may mean a session with another token now, which would
        // count our PIN as a wrong one.
        return Err(Refusal::Later(Error::Transient { retry_after: Duration::ZERO }));
    }
    let answer = if at_the_device {
        session.login(UserType::User, None)
    } else {
        let attempt = shared.pin.with(|pin| session.login(UserType::User, Some(pin.secret())));
        attempt.map_err(|error| Refusal::Later(Error::Pin(error)))?
    };
    match answer {
        Ok(()) | Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Cryptoki::Pkcs11(RvError::PinIncorrect, _)) => {
            shared.module.lock_out(&identity);
            let info = shared.selector.find(&shared.module);
            let count_low = info.is_ok_and(|(_, info)| info.user_pin_count_low());
            lock(&shared.status).pin_count_low = count_low;
            Err(Refusal::Never(Error::AuthFailed { count_low }))
        }
        Err(Cryptoki::Pkcs11(RvError::PinLocked, _)) => {
            shared.module.lock_out(&identity);
            Err(Refusal::Never(Error::PinLocked))
        }
        Err(error) => {
            let fault = Error::Token(Fault::new(&error));
            let lost = matches!(classify(&error), Verdict::Broken(_))
                || matches!(
                    error,
                    Cryptoki::Pkcs11(RvError::GeneralError | RvError::UserPinNotInitialized, _)
                );
            // What is neither a lost token nor one without a PIN may be about the PIN, and that is tried once.
            Err(if lost { Refusal::Later(fault) } else { Refusal::Never(fault) })
        }
    }
}

fn token(error: Cryptoki) -> Error {
    Error::Token(Fault::new(&error))
}

/// As many as the token has, less the one that stays open, and no more than keep the processors busy.
fn pool_size(max_sessions: Option<u32>, info: &TokenInfo) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut size = processors * 2;
    if let Limit::Max(sessions) = info.max_session_count() {
        size = size.min(usize::try_from(sessions.saturating_sub(1)).unwrap_or(size));
    }
    if let Some(sessions) = max_sessions {
        size = size.min(usize::try_from(sessions).unwrap_or(size));
    }
    size.max(1)
}
