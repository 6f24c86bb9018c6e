//! Connects to a token: finds it by name, opens a session, and logs in once.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::slot::{Limit, Slot, TokenInfo};

use super::attempts::LoginAttempts;
use super::error::ConnectError;
use super::identity::Identity;
use super::pin_keeper::PinKeeper;
use super::token_selector::TokenSelector;
use super::{LoginTarget, log_in};
use crate::error::Error;
use crate::module::Module;
use crate::pool::session::{Access, Session};
use crate::pool::session_table::SessionLosses;
use crate::settings::{LoginRule, Settings};

/// What is needed to find a token and to log in to it.
pub(crate) struct TokenLogin {
    module: Arc<Module>,
    selector: TokenSelector,
    pin: PinKeeper,
    rule: LoginRule,
    max_sessions: Option<u32>,
    /// Identity of the token at the first login. The PIN is sent to no other token.
    identity: OnceLock<Identity>,
    attempts: OnceLock<Arc<LoginAttempts>>,
    pin_count_low: AtomicBool,
}

/// A connection to a token. Its session stays open and executes no calls, because a login lasts only as long as the
/// process has a session.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) slot: Slot,
    pub(crate) session: Session,
    pub(crate) login_required: bool,
    /// Maximum number of threads with a session.
    pub(crate) pool_limit: usize,
    /// See [`LoginAttempts::logins`].
    pub(crate) logins: u64,
    /// See [`SessionLosses::count`].
    session_losses: u64,
}

impl Connection {
    /// Returns whether the session still belongs to the token in `slot`. After a reported loss of a session it is not
    /// trusted, because its handle may belong to another session.
    fn is_valid(&self, slot: Slot, losses: &SessionLosses) -> bool {
        let same_slot = || self.session.get_session_info().is_ok_and(|info| info.slot_id() == slot);
        self.slot == slot && !self.session.is_stale() && self.session_losses == losses.count() && same_slot()
    }
}

impl TokenLogin {
    pub(crate) const fn new(
        module: Arc<Module>,
        selector: TokenSelector,
        pin: PinKeeper,
        settings: &Settings,
    ) -> Self {
        Self {
            module,
            selector,
            pin,
            rule: settings.login_rule,
            max_sessions: settings.max_sessions,
            identity: OnceLock::new(),
            attempts: OnceLock::new(),
            pin_count_low: AtomicBool::new(false),
        }
    }

    /// Returns the number of logins to the device; `None` before the first connection.
    pub(crate) fn logins(&self) -> Option<u64> {
        self.attempts.get().map(|attempts| attempts.logins())
    }

    /// Returns whether the token has rejected another PIN than the present one of the source.
    pub(crate) fn pin_has_changed(&self) -> bool {
        let Some(attempts) = self.attempts.get() else { return false };
        self.pin.with_pin(|pin| attempts.permits_instead(pin.mark())).unwrap_or(false)
    }

    /// Returns whether the token reported at the latest login that it has counted wrong PINs.
    pub(crate) fn pin_count_low(&self) -> bool {
        self.pin_count_low.load(Ordering::Relaxed)
    }

    /// Finds the token and logs in to it. The session of `previous` is used again if it is valid.
    pub(crate) fn connect(
        &self,
        previous: Option<Connection>,
        losses: &SessionLosses,
    ) -> Result<Connection, ConnectError> {
        self.module.check_pid()?;
        let mut guard = self.module.lock_shared()?;
        let (slot, info) = self.selector.find(&self.module)?;
        let identity = Identity::of(&info);
        // Another token may have the same name, and must not receive the PIN.
        if self.identity.get().is_some_and(|first| *first != identity) {
            return Err(Error::TokenChanged.into());
        }
        let attempts = LoginAttempts::at(&identity);
        let session_losses = losses.count();
        let session = match previous {
            Some(previous) if previous.is_valid(slot, losses) => previous.session,
            // The old session is closed after the new one is open, because the login ends with the last session.
            _previous => Session::open(&self.module, slot, Access::ReadOnly).map_err(Error::from)?,
        };
        if info.login_required() && !is_logged_in(&session)? {
            drop(guard);
            let target = LoginTarget {
                module: &self.module,
                slot,
                session: &session,
                rule: self.rule,
                identity: &identity,
                attempts: &attempts,
                pin_count_low: &self.pin_count_low,
            };
            log_in(&self.pin, target, &info)?;
            guard = self.module.lock_shared()?;
        }
        let logins = attempts.logins();
        if session.is_stale() {
            return Err(Error::Transient { retry_after: Duration::ZERO }.into());
        }
        self.record(&info, identity, attempts);
        drop(guard);
        Ok(Connection {
            slot,
            session,
            login_required: info.login_required(),
            pool_limit: pool_limit(self.max_sessions, &info),
            logins,
            session_losses,
        })
    }

    /// Records the token of the first connection. Only the recovery thread connects, so a later token is the same.
    fn record(&self, info: &TokenInfo, identity: Identity, attempts: Arc<LoginAttempts>) {
        self.pin_count_low.store(info.user_pin_count_low(), Ordering::Relaxed);
        let _ = self.identity.set(identity);
        let _ = self.attempts.set(attempts);
    }
}

fn is_logged_in(session: &Session) -> Result<bool, Error> {
    match session.check_login() {
        Ok(()) => Ok(true),
        Err(Cryptoki::Pkcs11(RvError::UserNotLoggedIn, _)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Returns the number of sessions for calls: twice the number of processors, but no more than the token has besides
/// that of the connection, and no more than `max_sessions`.
fn pool_limit(max_sessions: Option<u32>, info: &TokenInfo) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut limit = processors * 2;
    if let Limit::Max(sessions) = info.max_session_count() {
        limit = limit.min(usize::try_from(sessions.saturating_sub(1)).unwrap_or(limit));
    }
    if let Some(sessions) = max_sessions {
        limit = limit.min(usize::try_from(sessions).unwrap_or(limit));
    }
    limit.max(1)
}
