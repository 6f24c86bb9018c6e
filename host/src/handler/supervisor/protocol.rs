//! What a worker and a supervisor send each other.
//!
//! To the supervisor: the length of the body as 8 bytes, little-endian, and the body. To the worker: a report of 5 bytes.

use std::{fmt, io};

use rustix::process::WaitStatus;

/// Exit status of a supervisor that could not end every process of its program.
pub(in crate::handler) const LEFT_BEHIND: u8 = 3;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It could not be started; the number is the error of the operating system.
    NotStarted(i32),
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

/// Returns what precedes a body of `length` bytes.
pub(crate) const fn header(length: usize) -> [u8; 8] {
    (length as u64).to_le_bytes()
}

impl Report {
    pub(crate) const LEN: usize = 5;

    /// Describes the failure of a start.
    pub(super) fn not_started(error: &io::Error) -> Self {
        Self::NotStarted(error.raw_os_error().unwrap_or_default())
    }

    /// Describes the end of a process.
    pub(super) fn of(status: WaitStatus) -> Self {
        match status.exit_status() {
            Some(status) => Self::Exited(status),
            None => Self::Signaled(status.terminating_signal().unwrap_or_default()),
        }
    }

    /// Returns the encoded form.
    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let (kind, number) = match self {
            Self::NotStarted(error) => (0, error),
            Self::Exited(status) => (1, status),
            Self::Signaled(signal) => (2, signal),
        };
        let [a, b, c, d] = number.to_le_bytes();
        [kind, a, b, c, d]
    }

    /// Decodes a report.
    pub(crate) const fn from_bytes([kind, a, b, c, d]: [u8; Self::LEN]) -> Option<Self> {
        let number = i32::from_le_bytes([a, b, c, d]);
        match kind {
            0 => Some(Self::NotStarted(number)),
            1 => Some(Self::Exited(number)),
            2 => Some(Self::Signaled(number)),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "not started: error {error}"),
            Self::Exited(status) => write!(f, "exit status: {status}"),
            Self::Signaled(signal) => write!(f, "signal: {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_report_is_the_encoded_one() {
        for report in [Report::NotStarted(2), Report::Exited(255), Report::Signaled(9)] {
            assert_eq!(Report::from_bytes(report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes([3, 0, 0, 0, 0]), None);
    }
}
