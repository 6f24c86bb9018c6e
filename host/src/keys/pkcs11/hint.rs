//! Hints for errors of tokens.

use taskseal_hsm::{Error, PinError};

/// Returns what to do about an error of a token.
#[must_use]
pub const fn hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NoSuchToken => "`taskseal token ls` lists the tokens of a library",
        Error::NoSuchKey => {
            "`taskseal token check URI` lists the keys of a token; `taskseal keygen` generates one with `--pkcs11`"
        }
        Error::Ambiguous { .. } => "name the token by `serial`, and the key by `id`",
        Error::Pin(PinError::Unreadable) => {
            "`pin-source` must name a source that exists and that this user can read"
        }
        Error::Pin(PinError::InsecurePermissions) => {
            "set its mode to 0600; a file of root may have 0440 and a group of the user that runs this"
        }
        Error::Pin(PinError::ByteOrderMark | PinError::Utf16 | PinError::LineBreak | PinError::Blank) => {
            "write the PIN alone into the file, as UTF-8 without a byte order mark; no attempt was made"
        }
        Error::Pin(PinError::NoSource) => {
            "add `pin-source=file:PATH`, `env:NAME`, `fd:N` or `cred:NAME` to the URI, or set TASKSEAL_PKCS11_PIN_SOURCE"
        }
        Error::AuthFailed { .. } | Error::LockedOut => {
            "correct the PIN: a refused PIN is not tried again; a process that runs tries another one when it loads its keys again"
        }
        Error::LoginFailed(_) => {
            "check the token and the PIN, then restart: more attempts could lock the token"
        }
        Error::PinCounted => {
            "correct the PIN, and log in once with `taskseal token check URI`: it makes one attempt"
        }
        Error::FinalTry | Error::PinLocked => "the security officer of the token can set a new PIN",
        Error::Module(_) => "`module-path` must be the absolute path of a PKCS#11 library for this machine",
        Error::WrongKey(_) => {
            "correct the attribute with the tools of the token, or generate a key with `taskseal keygen` and `--pkcs11`"
        }
        _ => return None,
    })
}
