//! Which return codes mean what: how much has to be built anew before a call can succeed.

use cryptoki::error::{Error as Cryptoki, RvError};

/// What is broken, from little to much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// This session: a new one helps.
    Session,
    /// The login or the handles of keys: log in and find the keys again.
    Login,
    /// The library or the token: finalise, initialise, find the token.
    Library,
}

/// What a return code says about who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Rebuild this much.
    Broken(Level),
    /// It depends on whether the session still answers.
    Probe,
    /// The call itself is wrong; nothing gets better by trying again.
    Permanent,
}

/// Reads a return code.
pub(crate) const fn classify(error: &Cryptoki) -> Verdict {
    let Cryptoki::Pkcs11(code, _) = error else { return Verdict::Permanent };
    match code {
        RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::OperationActive
        | RvError::OperationNotInitialized => Verdict::Broken(Level::Session),
        RvError::UserNotLoggedIn
        | RvError::ObjectHandleInvalid
        | RvError::KeyHandleInvalid
        | RvError::WrappingKeyHandleInvalid
        | RvError::UnwrappingKeyHandleInvalid => Verdict::Broken(Level::Login),
        RvError::CryptokiNotInitialized
        | RvError::DeviceError
        | RvError::DeviceMemory
        | RvError::DeviceRemoved
        | RvError::FunctionFailed
        | RvError::HostMemory
        | RvError::SessionCount
        | RvError::SlotIdInvalid
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized => Verdict::Broken(Level::Library),
        // Some tokens say it for wrong input, some for a lost connection.
        RvError::GeneralError | RvError::VendorDefined(_) | RvError::UnknownErrorCode(_) => Verdict::Probe,
        _ => Verdict::Permanent,
    }
}

/// Whether the session's handle is dead, so that closing it could close somebody else's session that got the same
/// number since.
pub(crate) const fn session_is_gone(error: &Cryptoki) -> bool {
    matches!(error, Cryptoki::Pkcs11(RvError::SessionHandleInvalid | RvError::SessionClosed, _))
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[track_caller]
    fn means(code: RvError, verdict: Verdict) {
        assert_eq!(classify(&Cryptoki::Pkcs11(code, Function::Sign)), verdict, "{code:?}");
    }

    #[test]
    fn wrong_calls_and_pins_are_nobodys_loss() {
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
            means(code, Verdict::Permanent);
        }
        assert_eq!(classify(&Cryptoki::NotSupported), Verdict::Permanent);
    }

    #[test]
    fn unclear_codes_are_looked_into() {
        means(RvError::GeneralError, Verdict::Probe);
        means(RvError::VendorDefined(0x8000_0001), Verdict::Probe);
    }

    #[test]
    fn losses_are_as_deep_as_what_is_lost() {
        means(RvError::SessionHandleInvalid, Verdict::Broken(Level::Session));
        means(RvError::UserNotLoggedIn, Verdict::Broken(Level::Login));
        means(RvError::DeviceRemoved, Verdict::Broken(Level::Library));
        assert!(Level::Session < Level::Login && Level::Login < Level::Library);
    }
}
