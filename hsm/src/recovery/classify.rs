//! Classifies return codes: what must be recovered before a call can succeed.

use cryptoki::error::{Error as Cryptoki, RvError};

/// What must be recovered, in ascending order. Each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecoveryLevel {
    /// The session: open a new one.
    Session,
    /// The login or the handles of keys: log in and find the keys again.
    Login,
    /// The library or the token: finalise, initialise, find the token.
    Library,
}

/// The consequence of a return code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Recover at this level.
    Recover(RecoveryLevel),
    /// The code is ambiguous: check whether the session still works.
    Probe,
    /// The call itself is wrong. A retry cannot succeed.
    Permanent,
}

/// Returns the consequence of a return code.
pub(crate) const fn classify(error: &Cryptoki) -> Verdict {
    let Cryptoki::Pkcs11(code, _) = error else { return Verdict::Permanent };
    match code {
        RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::OperationActive
        | RvError::OperationNotInitialized => Verdict::Recover(RecoveryLevel::Session),
        RvError::UserNotLoggedIn
        | RvError::ObjectHandleInvalid
        | RvError::KeyHandleInvalid
        | RvError::WrappingKeyHandleInvalid
        | RvError::UnwrappingKeyHandleInvalid => Verdict::Recover(RecoveryLevel::Login),
        RvError::CryptokiNotInitialized
        | RvError::DeviceError
        | RvError::DeviceMemory
        | RvError::DeviceRemoved
        | RvError::FunctionFailed
        | RvError::HostMemory
        | RvError::SessionCount
        | RvError::SlotIdInvalid
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized => Verdict::Recover(RecoveryLevel::Library),
        // Some tokens return these for invalid input, some for a lost connection.
        RvError::GeneralError | RvError::VendorDefined(_) | RvError::UnknownErrorCode(_) => Verdict::Probe,
        _ => Verdict::Permanent,
    }
}

/// Returns whether the library no longer has the session. Its handle may belong to another session by now, which must
/// not be closed in its place.
pub(crate) const fn session_is_gone(error: &Cryptoki) -> bool {
    matches!(error, Cryptoki::Pkcs11(RvError::SessionHandleInvalid | RvError::SessionClosed, _))
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[track_caller]
    fn assert_verdict(code: RvError, verdict: Verdict) {
        assert_eq!(classify(&Cryptoki::Pkcs11(code, Function::Sign)), verdict, "{code:?}");
    }

    #[test]
    fn invalid_calls_and_pin_errors_need_no_recovery() {
        for code in [
            RvError::ArgumentsBad,
            RvError::DataLenRange,
            RvError::KeyFunctionNotPermitted,
            RvError::KeyTypeInconsistent,
            RvError::MechanismInvalid,
            RvError::PinExpired,
            RvError::PinIncorrect,
            RvError::PinLocked,
            RvError::TemplateInconsistent,
            RvError::UserPinNotInitialized,
        ] {
            assert_verdict(code, Verdict::Permanent);
        }
        assert_eq!(classify(&Cryptoki::NotSupported), Verdict::Permanent);
    }

    #[test]
    fn ambiguous_codes_are_probed() {
        assert_verdict(RvError::GeneralError, Verdict::Probe);
        assert_verdict(RvError::VendorDefined(0x8000_0001), Verdict::Probe);
    }

    #[test]
    fn the_level_follows_from_what_was_lost() {
        assert_verdict(RvError::SessionHandleInvalid, Verdict::Recover(RecoveryLevel::Session));
        assert_verdict(RvError::UserNotLoggedIn, Verdict::Recover(RecoveryLevel::Login));
        assert_verdict(RvError::DeviceRemoved, Verdict::Recover(RecoveryLevel::Library));
        assert!(
            RecoveryLevel::Session < RecoveryLevel::Login && RecoveryLevel::Login < RecoveryLevel::Library
        );
    }
}
