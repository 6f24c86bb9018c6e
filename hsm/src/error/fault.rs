//! Errors of the PKCS#11 library: their text, and how they become errors of this crate.

use std::fmt;

use cryptoki::error::{Error as Cryptoki, RvError};

use super::{Error, KeyDefect};

/// The PKCS#11 function that failed and its return code.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// Reports a panic on a thread of the token.
    pub(crate) fn panic() -> Self {
        Self("a thread of the token panicked".to_owned())
    }

    pub(crate) fn new(error: &Cryptoki) -> Self {
        match error {
            Cryptoki::Pkcs11(code, function) => Self(format!("C_{function:?}: {}", ckr(*code))),
            other => Self(format!("PKCS#11: {other}")),
        }
    }
}

/// Returns the standard's name of a return code: `DeviceError` is `CKR_DEVICE_ERROR`.
fn ckr(code: RvError) -> String {
    match code {
        RvError::VendorDefined(number) | RvError::UnknownErrorCode(number) => format!("CKR {number:#010x}"),
        named => {
            let mut name = String::from("CKR");
            for letter in format!("{named:?}").chars() {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            name
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({})", self.0)
    }
}

/// The error of an operation inside a session.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error of the library, which recovery classifies.
    Library(Cryptoki),
    /// An error of this crate, which recovery does not change.
    Final(Error),
}

impl From<Cryptoki> for Failure {
    fn from(error: Cryptoki) -> Self {
        Self::Library(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<KeyDefect> for Failure {
    fn from(defect: KeyDefect) -> Self {
        Self::Final(Error::WrongKey(defect))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Library(error) => error.into(),
            Failure::Final(error) => error,
        }
    }
}

impl From<Cryptoki> for Error {
    fn from(error: Cryptoki) -> Self {
        Self::Token(Fault::new(&error))
    }
}

/// Maps the return codes of a token that lacks `mechanism` to [`Error::Unsupported`].
pub(crate) fn if_mechanism_missing(error: Cryptoki, mechanism: &'static str) -> Failure {
    match error {
        Cryptoki::Pkcs11(RvError::MechanismInvalid | RvError::FunctionNotSupported, _)
        | Cryptoki::NullFunctionPointer => Error::Unsupported(mechanism).into(),
        other => other.into(),
    }
}

/// Maps the return codes of a token that cannot generate or use such a key to [`Error::Unsupported`].
pub(crate) fn if_unsupported(error: Cryptoki, what: &'static str) -> Failure {
    match error {
        Cryptoki::Pkcs11(
            RvError::CurveNotSupported
            | RvError::DomainParamsInvalid
            | RvError::KeyTypeInconsistent
            | RvError::WrappingKeyTypeInconsistent
            | RvError::UnwrappingKeyTypeInconsistent,
            _,
        ) => Error::Unsupported(what).into(),
        other => if_mechanism_missing(other, what),
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn faults_use_the_names_of_the_standard() {
        let fault = |code| Fault::new(&Cryptoki::Pkcs11(code, Function::SignInit)).to_string();

        assert_eq!(fault(RvError::DeviceError), "C_SignInit: CKR_DEVICE_ERROR");
        assert_eq!(fault(RvError::UserPinNotInitialized), "C_SignInit: CKR_USER_PIN_NOT_INITIALIZED");
        assert_eq!(fault(RvError::VendorDefined(0x8000_0001)), "C_SignInit: CKR 0x80000001");
    }
}
