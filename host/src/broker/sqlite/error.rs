//! Errors of SQLite as errors of a broker.

use std::error::Error;

use rusqlite::ErrorCode;

use crate::broker::{self, BrokerError};
use crate::sqlite::OpenError;

/// Converts an error before the commit: nothing was stored.
pub(super) fn before_commit(error: rusqlite::Error) -> BrokerError {
    let kind = kind_of(&error);
    kind(Box::new(error))
}

/// Converts an error of the commit. `rolled_back`: the transaction is known to be rolled back.
pub(super) fn at_commit(error: &rusqlite::Error, rolled_back: bool) -> BrokerError {
    // Several callers share one commit, and the error cannot be cloned.
    let text = error.to_string().into();
    match error.sqlite_error_code() {
        _ if rolled_back => kind_of(error)(text),
        Some(ErrorCode::DiskFull) => BrokerError::Full(text),
        // The log may or may not have reached the disk, and a later reader may or may not find it.
        _ => BrokerError::Ambiguous(text),
    }
}

/// Converts an error of opening the file.
pub(super) fn at_open(error: OpenError) -> BrokerError {
    match error {
        OpenError::Sqlite { source, .. } => before_commit(source),
        OpenError::Changed { .. } => BrokerError::Corrupt(error.to_string()),
        OpenError::Missing { .. } => {
            BrokerError::Refused(Box::new(error)).with_cause(Some(broker::Cause::MissingFile))
        }
        other => BrokerError::Refused(Box::new(other)),
    }
}

type Cause = Box<dyn Error + Send + Sync>;

fn kind_of(error: &rusqlite::Error) -> fn(Cause) -> BrokerError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::SystemIoFailure
            | ErrorCode::OperationInterrupted
            | ErrorCode::SchemaChanged,
        ) => BrokerError::Unavailable,
        Some(ErrorCode::DiskFull) => BrokerError::Full,
        Some(
            ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::AuthorizationForStatementDenied
            | ErrorCode::NoLargeFileSupport,
        ) => BrokerError::Refused,
        // A malformed page, a missing table, a column of another type: the file was changed.
        _ => |cause| BrokerError::Corrupt(cause.to_string()),
    }
}
