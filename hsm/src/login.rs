//! The one place where a PIN is shown to a token.

pub(crate) mod attempts;
pub(crate) mod connect;
pub(crate) mod pin;
pub(crate) mod pin_source;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};

use crate::error::{Error, Fault};
use crate::login::attempts::{Attempt, Device, Identity};
use crate::login::connect::Refusal;
use crate::login::pin::Pin;
use crate::module::Alone;
use crate::pool::session::Session;
use crate::recovery::classify::{Verdict, classify};
use crate::recovery::state::Shared;
use crate::sync::lock;

/// Where a login is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'d> {
    pub(crate) slot: Slot,
    pub(crate) session: &'d Session,
    pub(crate) identity: &'d Identity,
    pub(crate) device: &'d Device,
}

/// Logs in with one attempt. "Already logged in" says that somebody in this process is, not that the PIN is right.
pub(crate) fn log_in(shared: &Arc<Shared>, door: Door<'_>, info: &TokenInfo) -> Result<(), Refusal> {
    // Before a PIN is read or somebody asked for one.
    door.device.check()?;
    check_flags(info)?;
    if shared.pin.is_nothing() && info.protected_authentication_path() {
        return attempt(shared, door, None);
    }
    // Reading it may take as long as it likes, or for ever: nobody else is kept waiting yet.
    shared
        .pin
        .with(|pin| attempt(shared, door, Some(pin)))
        .map_err(|error| Refusal::from(Error::Pin(error)))?
}

/// One attempt, if there still is something to try when nobody else is at it.
fn attempt(shared: &Arc<Shared>, door: Door<'_>, pin: Option<&Pin>) -> Result<(), Refusal> {
    let attempt = door.device.begin(Instant::now() + PATIENCE)?;
    // Nobody is kept waiting for a human who types it at the device.
    let _inside = match pin {
        Some(_) => shared.module.enter_alone()?,
        None => Alone::Beside(shared.module.enter()?),
    };
    let before = look(shared, door)?;
    if door.session.check_login().is_ok() {
        // Somebody else did it meanwhile.
        return Ok(());
    }
    check_flags(&before)?;
    if before.user_pin_count_low()
        && let Some(told) = attempt.unclear()
    {
        // That one was counted, for all we know.
        return Err(Refusal::Never(told));
    }
    attempt.ask();
    let error = match door.session.login(UserType::User, pin.map(Pin::secret)) {
        Ok(()) => {
            attempt.accepted();
            return Ok(());
        }
        Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
            attempt.not_looked_at();
            return Ok(());
        }
        Err(error) => error,
    };
    Err(refusal(shared, door, &attempt, &before, &error))
}

/// Whether the session still is one with the token that was found, and what that says of itself now. The number of a
/// session or a slot may mean another token since, which would count our PIN as a wrong one.
fn look(shared: &Shared, door: Door<'_>) -> Result<TokenInfo, Refusal> {
    let fault = |error: Cryptoki| Refusal::from(Error::Token(Fault::new(&error)));
    if door.session.is_stale() || door.session.get_session_info().map_err(fault)?.slot_id() != door.slot {
        return Err(Error::Transient { retry_after: Duration::ZERO }.into());
    }
    let info = shared.module.pkcs11().get_token_info(door.slot).map_err(fault)?;
    if Identity::of(&info) == *door.identity { Ok(info) } else { Err(Error::TokenChanged.into()) }
}

fn check_flags(info: &TokenInfo) -> Result<(), Refusal> {
    if info.user_pin_locked() {
        Err(Refusal::Never(Error::PinLocked))
    } else if info.user_pin_final_try() {
        Err(Refusal::Never(Error::FinalTry))
    } else if !info.user_pin_initialized() {
        // A file of a token in software may also be half-written at the moment.
        Err(Refusal::Later(Error::Config("the token has no user pin yet"), Duration::ZERO))
    } else {
        Ok(())
    }
}

/// What a login that failed says about the PIN, and whether there is to be another one.
fn refusal(
    shared: &Shared,
    door: Door<'_>,
    attempt: &Attempt<'_>,
    before: &TokenInfo,
    error: &Cryptoki,
) -> Refusal {
    let fault = Fault::new(error);
    let after = look(shared, door).ok();
    if let Some(after) = &after {
        lock(&shared.status).pin_count_low = after.user_pin_count_low();
    }
    let meaning = match (meaning(error), &after) {
        // Whatever the code says: the token has counted.
        (Meaning::Unclear | Meaning::NotLookedAt, Some(after)) if has_counted(before, after) => {
            if after.user_pin_locked() { Meaning::Locked } else { Meaning::Refused }
        }
        (meaning, _) => meaning,
    };
    match meaning {
        Meaning::Locked => {
            attempt.refused(Error::LockedOut);
            Refusal::Never(Error::PinLocked)
        }
        Meaning::Refused => {
            attempt.refused(Error::LockedOut);
            Refusal::Never(Error::AuthFailed {
                count_low: after.is_some_and(|info| info.user_pin_count_low()),
            })
        }
        Meaning::Expired => {
            attempt.refused(Error::LoginFailed(fault.clone()));
            Refusal::Never(Error::LoginFailed(fault))
        }
        Meaning::NotLookedAt => {
            attempt.not_looked_at();
            Error::Token(fault).into()
        }
        Meaning::Unclear => match attempt.not_told(Error::LoginFailed(fault.clone())) {
            None => Refusal::Never(Error::LoginFailed(fault)),
            Some(_) if classify(error) == Verdict::Permanent => Refusal::Never(Error::Token(fault)),
            Some(pause) => Refusal::Later(Error::Token(fault), pause),
        },
    }
}

/// What the code of a failed login says about the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It is wrong.
    Refused,
    /// It is locked.
    Locked,
    /// It is right, perhaps, and has to be changed.
    Expired,
    /// Nothing: it did not come to that.
    NotLookedAt,
    /// Anything.
    Unclear,
}

const fn meaning(error: &Cryptoki) -> Meaning {
    let Cryptoki::Pkcs11(code, _) = error else { return Meaning::Unclear };
    match code {
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Meaning::Refused,
        RvError::PinLocked => Meaning::Locked,
        RvError::PinExpired => Meaning::Expired,
        // There is no session, no token or no PIN to compare with.
        RvError::CryptokiNotInitialized
        | RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::SlotIdInvalid
        | RvError::TokenNotPresent
        | RvError::UserPinNotInitialized => Meaning::NotLookedAt,
        _ => Meaning::Unclear,
    }
}

/// Whether the token shows fewer attempts than before.
fn has_counted(before: &TokenInfo, after: &TokenInfo) -> bool {
    (after.user_pin_count_low() && !before.user_pin_count_low())
        || after.user_pin_final_try()
        || after.user_pin_locked()
}

/// How long somebody waits for another one's login to the same device.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[track_caller]
    fn means(code: RvError, expected: Meaning) {
        assert_eq!(meaning(&Cryptoki::Pkcs11(code, Function::Login)), expected, "{code:?}");
    }

    #[test]
    fn what_is_not_known_to_be_harmless_may_be_about_the_pin() {
        for code in [
            RvError::GeneralError,
            RvError::FunctionFailed,
            RvError::DeviceError,
            RvError::DeviceRemoved,
            RvError::ArgumentsBad,
            RvError::VendorDefined(0x8000_0001),
            RvError::UnknownErrorCode(0x4711),
        ] {
            means(code, Meaning::Unclear);
        }
        assert_eq!(meaning(&Cryptoki::NotSupported), Meaning::Unclear);
    }

    #[test]
    fn codes_of_pins_are_about_the_pin() {
        for code in [RvError::PinIncorrect, RvError::PinInvalid, RvError::PinLenRange] {
            means(code, Meaning::Refused);
        }
        means(RvError::PinLocked, Meaning::Locked);
        means(RvError::PinExpired, Meaning::Expired);
        means(RvError::SessionHandleInvalid, Meaning::NotLookedAt);
    }
}
