//! Logins: the only place where a PIN is sent to a token.

pub(crate) mod attempts;
pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod outcome;
pub(crate) mod pin;
pub(crate) mod pin_keeper;
pub(crate) mod pin_source;
pub(crate) mod token_selector;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};

use self::attempts::{LoginAttempt, LoginAttempts};
use self::error::ConnectError;
use self::identity::Identity;
use self::outcome::PinOutcome;
use self::pin::Pin;
use self::pin_keeper::PinKeeper;
use crate::error::{Error, Fault};
use crate::module::{LoginGuard, Module};
use crate::pool::session::Session;
use crate::recovery::classify::{Verdict, classify};
use crate::settings::LoginRule;

/// The token and the session in which a login is made.
#[derive(Clone, Copy)]
pub(crate) struct LoginTarget<'t> {
    pub(crate) module: &'t Module,
    pub(crate) slot: Slot,
    pub(crate) session: &'t Session,
    pub(crate) rule: LoginRule,
    pub(crate) identity: &'t Identity,
    pub(crate) attempts: &'t LoginAttempts,
    /// Whether the token has counted wrong PINs; updated after a failed login.
    pub(crate) pin_count_low: &'t AtomicBool,
}

/// Logs in with one attempt. `CKR_USER_ALREADY_LOGGED_IN` means that another component of this process is logged in,
/// not that the PIN is correct.
pub(crate) fn log_in(pin: &PinKeeper, target: LoginTarget<'_>, info: &TokenInfo) -> Result<(), ConnectError> {
    // Before a PIN is read or a user is asked for one.
    target.attempts.check()?;
    check_flags(info, target.rule)?;
    let is_entered_at_token = pin.is_none() && info.protected_authentication_path();
    if target.rule == LoginRule::Never {
        if !is_entered_at_token {
            pin.with_pin(|_| ()).map_err(Error::Pin)?;
        }
        return Err(ConnectError::Permanent(Error::LoginOmitted));
    }
    if is_entered_at_token {
        return attempt(target, None);
    }
    // Reading the PIN may block, so no lock is held yet.
    pin.with_pin(|pin| attempt(target, Some(pin))).map_err(|error| ConnectError::from(Error::Pin(error)))?
}

/// Makes one attempt, unless the login is no longer needed or permitted once no other attempt is in progress.
fn attempt(target: LoginTarget<'_>, pin: Option<&Pin>) -> Result<(), ConnectError> {
    let attempt = target.attempts.begin(Instant::now() + ATTEMPT_WAIT, pin.map(Pin::mark))?;
    // Without a PIN, a user enters it at the device, which must not exclude other threads.
    let _guard = match pin {
        Some(_) => target.module.lock_for_login()?,
        None => LoginGuard::Shared(target.module.lock_shared()?),
    };
    let before = current_info(target)?;
    if target.session.check_login().is_ok() {
        // Another component has logged in since.
        return Ok(());
    }
    check_flags(&before, target.rule)?;
    if before.user_pin_count_low()
        && let Some(error) = attempt.previous_unclear()
    {
        // The token may have counted the previous attempt.
        return Err(ConnectError::Permanent(error));
    }
    attempt.pin_sent();
    match target.session.login(UserType::User, pin.map(Pin::secret)) {
        Ok(()) => {
            attempt.accepted();
            Ok(())
        }
        Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
            attempt.not_compared();
            Ok(())
        }
        Err(error) => Err(login_failed(target, &attempt, &before, &error)),
    }
}

/// Returns the present description of the token, provided that the session and the slot still belong to it. Their
/// numbers may belong to another token by now, which would count the PIN as a wrong one.
fn current_info(target: LoginTarget<'_>) -> Result<TokenInfo, ConnectError> {
    let session_slot = || target.session.get_session_info().map(|info| info.slot_id()).map_err(Error::from);
    if target.session.is_stale() || session_slot()? != target.slot {
        return Err(Error::Transient { retry_after: Duration::ZERO }.into());
    }
    let info = target.module.token_info(target.slot).map_err(Error::from)?;
    if Identity::of(&info) == *target.identity { Ok(info) } else { Err(Error::TokenChanged.into()) }
}

fn check_flags(info: &TokenInfo, rule: LoginRule) -> Result<(), ConnectError> {
    if info.user_pin_locked() {
        Err(ConnectError::Permanent(Error::PinLocked))
    } else if info.user_pin_final_try() {
        Err(ConnectError::Permanent(Error::FinalTry))
    } else if rule != LoginRule::Always && info.user_pin_count_low() {
        Err(ConnectError::Permanent(Error::PinCounted))
    } else if !info.user_pin_initialized() {
        // Retryable, because the file of a software token may be half-written at this moment.
        Err(ConnectError::Retryable(Error::Config("the token has no user PIN yet"), Duration::ZERO))
    } else {
        Ok(())
    }
}

/// Records the outcome of a failed login, and returns whether another attempt may be made.
fn login_failed(
    target: LoginTarget<'_>,
    attempt: &LoginAttempt<'_>,
    before: &TokenInfo,
    error: &Cryptoki,
) -> ConnectError {
    let fault = Fault::new(error);
    let after = current_info(target).ok();
    if let Some(after) = &after {
        target.pin_count_low.store(after.user_pin_count_low(), Ordering::Relaxed);
    }
    match PinOutcome::of(error, before, after.as_ref()) {
        PinOutcome::Locked => {
            attempt.locked(Error::LockedOut);
            ConnectError::Permanent(Error::PinLocked)
        }
        PinOutcome::Rejected => {
            attempt.rejected(Error::LockedOut);
            let count_low = after.is_some_and(|info| info.user_pin_count_low());
            ConnectError::Permanent(Error::AuthFailed { count_low })
        }
        PinOutcome::Expired => {
            attempt.locked(Error::LoginFailed(fault.clone()));
            ConnectError::Permanent(Error::LoginFailed(fault))
        }
        PinOutcome::NotCompared => {
            attempt.not_compared();
            Error::Token(fault).into()
        }
        PinOutcome::Unclear => match attempt.unclear(Error::LoginFailed(fault.clone())) {
            None => ConnectError::Permanent(Error::LoginFailed(fault)),
            Some(_) if classify(error) == Verdict::Permanent => ConnectError::Permanent(Error::Token(fault)),
            Some(pause) => ConnectError::Retryable(Error::Token(fault), pause),
        },
    }
}

/// Maximum time a login waits for another one at the same device.
const ATTEMPT_WAIT: Duration = Duration::from_secs(5);
