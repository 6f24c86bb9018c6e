//! Why a command failed: message, hint and exit code.

use std::io;

use taskseal::file_error::FileError;
use taskseal::keys::{KeyErrorKind, KeyringError, KeysetError, KeysetErrorKind};

/// Why a command failed. The texts need not be escaped.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What is wrong; empty if nothing is to be printed.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The reader of standard output has closed it.
    Silent = 0,
    Failure = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Unavailable = 5,
    /// The task has not ended.
    NotYet = 6,
    /// A token refused a PIN. The same command would make another attempt, which may lock the token.
    PinRefused = 7,
    /// The replay ledger does not exist, or the checkpoint of the keyset is missing or damaged, or the record of modes is. A restart does not help: only an
    /// operator may decide to create another one.
    LedgerMissing = 8,
}

impl Failure {
    fn with(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// Prints nothing: the reader of standard output has closed it.
    pub(crate) fn silent() -> Self {
        Self::with(Exit::Silent, "")
    }

    /// Prints nothing and exits with the code of a child that has printed its error.
    pub(crate) fn of_child(code: Option<i32>) -> Self {
        let exits = [
            Exit::Usage,
            Exit::Refused,
            Exit::NotFound,
            Exit::Unavailable,
            Exit::NotYet,
            Exit::PinRefused,
            Exit::LedgerMissing,
        ];
        let exit = exits.into_iter().find(|exit| code == Some(*exit as i32)).unwrap_or(Exit::Failure);
        Self::with(exit, "")
    }

    /// Returns the message alone.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// Exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with(Exit::Failure, message)
    }

    /// Exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::with(Exit::Usage, message)
    }

    /// Exit code 3.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::with(Exit::Refused, message)
    }

    /// Exit code 4.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::with(Exit::NotFound, message)
    }

    /// Exit code 5.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::with(Exit::Unavailable, message)
    }

    /// Exit code 6.
    pub(crate) fn not_yet(message: impl Into<String>) -> Self {
        Self::with(Exit::NotYet, message)
    }

    /// Exit code 7.
    pub(crate) fn pin_refused(message: impl Into<String>) -> Self {
        Self::with(Exit::PinRefused, message)
    }

    /// Exit code 8.
    pub(crate) fn ledger_missing(message: impl Into<String>) -> Self {
        Self::with(Exit::LedgerMissing, message)
    }

    /// Exit code 2: a configuration or keyset file is missing or invalid.
    pub(crate) fn config(error: FileError) -> Self {
        Self { hint: error.hint.clone(), ..Self::with(Exit::Usage, error.to_string()) }
    }

    /// The keyset or a key: exit code 2 if the configuration or the keyset is invalid, else that of [`key`](Self::key).
    pub(crate) fn keyring(error: KeyringError) -> Self {
        match error {
            KeyringError::File(error) => Self::config(error),
            KeyringError::Keyset(error) => Self::signed_keyset(&error),
            error => Self::key(error),
        }
    }

    /// A signed keyset: exit code 3 if it is refused, 5 if no source has it or its checkpoint cannot be stored, 8 if the checkpoint is
    /// missing or damaged.
    fn signed_keyset(error: &KeysetError) -> Self {
        let exit = match error.kind {
            KeysetErrorKind::Refused(_) => Exit::Refused,
            KeysetErrorKind::CheckpointMissing | KeysetErrorKind::CheckpointDamaged => Exit::LedgerMissing,
            _ => Exit::Unavailable,
        };
        Self { hint: Some(error.hint.clone()), ..Self::with(exit, error.to_string()) }
    }

    /// A key: exit code 5 if it is unavailable, 4 if its source does not have it, 7 if its token refused the PIN, 1 if it cannot
    /// be used for another reason.
    pub(crate) fn key(error: impl Into<KeyringError>) -> Self {
        let error = error.into();
        if let KeyringError::Keyset(error) = &error {
            return Self::signed_keyset(error);
        }
        let exit = match &error {
            KeyringError::Key(error) => match error.kind {
                KeyErrorKind::Unavailable | KeyErrorKind::LoginOmitted => Exit::Unavailable,
                KeyErrorKind::PinRefused => Exit::PinRefused,
                KeyErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Failure,
            },
            _ => Exit::Failure,
        };
        Self { hint: error.hint().map(str::to_owned), ..Self::with(exit, error.to_string()) }
    }

    /// The key that seals tasks: exit code 3 if the keyset does not allow it, because workers would refuse what it seals, else as
    /// for [`keyring`](Self::keyring).
    pub(crate) fn sealing_key(error: KeyringError) -> Self {
        match error {
            KeyringError::Key(error) if error.kind == KeyErrorKind::NotAllowed => {
                Self { hint: error.hint.clone(), ..Self::refused(error.to_string()) }
            }
            error => Self::keyring(error),
        }
    }

    /// A file or folder: exit code 5 if it cannot be accessed, 1 if it is invalid.
    pub(crate) fn file(error: FileError) -> Self {
        let exit = match error.io {
            None | Some(io::ErrorKind::AlreadyExists) => Exit::Failure,
            Some(_) => Exit::Unavailable,
        };
        Self { hint: error.hint.clone(), ..Self::with(exit, error.to_string()) }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
