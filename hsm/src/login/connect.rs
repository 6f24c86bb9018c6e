//! From nothing to a login: find the token by its name, open a session, log in once.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::slot::{Limit, Slot, TokenInfo};

use crate::error::{Error, Fault};
use crate::login::attempts::{Device, Identity};
use crate::login::{Door, log_in};
use crate::pool::session::Session;
use crate::recovery::state::Shared;
use crate::sync::lock;

/// A session that stays open and is never lent: the login lives as long as the process has one.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) slot: Slot,
    pub(crate) session: Session,
    /// See [`Device::logins`].
    pub(crate) logins: u64,
    /// See [`Shared::session_losses`].
    losses: u64,
}

impl Connection {
    /// Whether its session still is one with this token. Not if the library has said since that sessions are gone: its
    /// number may mean another one now.
    fn is_with(&self, shared: &Shared, slot: Slot) -> bool {
        let same = || self.session.get_session_info().is_ok_and(|info| info.slot_id() == slot);
        self.slot == slot && !self.session.is_stale() && self.losses == shared.session_losses() && same()
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It can be tried again, though not before so long.
    Later(Error, Duration),
    /// It must not be tried again: a human has to act.
    Never(Error),
}

impl Refusal {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Later(error, _) | Self::Never(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::AuthFailed { .. }
            | Error::LockedOut
            | Error::LoginFailed(_)
            | Error::PinLocked
            | Error::FinalTry
            | Error::Forked
            | Error::Config(_)
            | Error::Unsupported(_) => Self::Never(error),
            later => Self::Later(later, Duration::ZERO),
        }
    }
}

/// Finds the token and logs in to it, in the session of before where that still is one.
pub(crate) fn connect(shared: &Arc<Shared>, before: Option<Connection>) -> Result<Connection, Refusal> {
    shared.module.check_pid()?;
    let mut pass = shared.module.enter()?;
    let (slot, info) = shared.selector.find(&shared.module)?;
    let identity = Identity::of(&info);
    // A PIN is for one token, whatever others are called.
    if shared.identity.get().is_some_and(|first| *first != identity) {
        return Err(Error::TokenChanged.into());
    }
    let device = Device::of(&identity);
    let losses = shared.session_losses();
    let session = match before {
        Some(before) if before.is_with(shared, slot) => before.session,
        // That of before is closed when there is another one: without any, there is no login.
        _before => Session::open(&shared.module, slot, false).map_err(token)?,
    };
    if info.login_required() {
        match session.check_login() {
            Ok(()) => {}
            Err(Cryptoki::Pkcs11(RvError::UserNotLoggedIn, _)) => {
                drop(pass);
                log_in(
                    shared,
                    Door { slot, session: &session, identity: &identity, device: &device },
                    &info,
                )?;
                pass = shared.module.enter()?;
            }
            Err(error) => return Err(token(error).into()),
        }
    }
    let logins = device.logins();
    if session.is_stale() {
        return Err(Error::Transient { retry_after: Duration::ZERO }.into());
    }
    let mut status = lock(&shared.status);
    status.pin_count_low = info.user_pin_count_low();
    status.login_required = info.login_required();
    drop(status);
    shared.pool.set_limit(pool_size(shared.settings.max_sessions, &info));
    // Only this thread ever sets it.
    let _ = shared.identity.set(identity);
    let _ = shared.device.set(device);
    drop(pass);
    Ok(Connection { slot, session, logins, losses })
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
