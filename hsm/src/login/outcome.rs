//! What a failed login reveals about the PIN.

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::slot::TokenInfo;

/// What the token did with the PIN of a failed login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinOutcome {
    /// It rejected the PIN.
    Rejected,
    /// It has locked the PIN.
    Locked,
    /// The PIN may be correct and must be changed.
    Expired,
    /// It did not compare the PIN.
    NotCompared,
    /// Unknown.
    Unclear,
}

impl PinOutcome {
    /// Evaluates the return code of the login and the flags of the token before and after it.
    pub(crate) fn of(error: &Cryptoki, before: &TokenInfo, after: Option<&TokenInfo>) -> Self {
        match (Self::of_code(error), after) {
            // The token has counted a wrong PIN, which outweighs the return code.
            (Self::Unclear | Self::NotCompared, Some(after)) if has_counted(before, after) => {
                if after.user_pin_locked() { Self::Locked } else { Self::Rejected }
            }
            (outcome, _) => outcome,
        }
    }

    const fn of_code(error: &Cryptoki) -> Self {
        let Cryptoki::Pkcs11(code, _) = error else { return Self::Unclear };
        match code {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Self::Rejected,
            RvError::PinLocked => Self::Locked,
            RvError::PinExpired => Self::Expired,
            // There is no session, no token or no PIN to compare with.
            RvError::CryptokiNotInitialized
            | RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::SlotIdInvalid
            | RvError::TokenNotPresent
            | RvError::UserPinNotInitialized => Self::NotCompared,
            _ => Self::Unclear,
        }
    }
}

/// Returns whether the token reports fewer remaining attempts than before.
fn has_counted(before: &TokenInfo, after: &TokenInfo) -> bool {
    (after.user_pin_count_low() && !before.user_pin_count_low())
        || after.user_pin_final_try()
        || after.user_pin_locked()
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[track_caller]
    fn assert_outcome(code: RvError, expected: PinOutcome) {
        assert_eq!(PinOutcome::of_code(&Cryptoki::Pkcs11(code, Function::Login)), expected, "{code:?}");
    }

    #[test]
    fn a_code_that_is_not_known_to_be_harmless_may_concern_the_pin() {
        for code in [
            RvError::GeneralError,
            RvError::FunctionFailed,
            RvError::DeviceError,
            RvError::DeviceRemoved,
            RvError::ArgumentsBad,
            RvError::VendorDefined(0x8000_0001),
            RvError::UnknownErrorCode(0x4711),
        ] {
            assert_outcome(code, PinOutcome::Unclear);
        }
        assert_eq!(PinOutcome::of_code(&Cryptoki::NotSupported), PinOutcome::Unclear);
    }

    #[test]
    fn pin_codes_concern_the_pin() {
        for code in [RvError::PinIncorrect, RvError::PinInvalid, RvError::PinLenRange] {
            assert_outcome(code, PinOutcome::Rejected);
        }
        assert_outcome(RvError::PinLocked, PinOutcome::Locked);
        assert_outcome(RvError::PinExpired, PinOutcome::Expired);
        assert_outcome(RvError::SessionHandleInvalid, PinOutcome::NotCompared);
    }
}
