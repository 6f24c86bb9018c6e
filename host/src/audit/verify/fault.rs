//! What can be wrong in a log.

use std::fmt;
use std::path::PathBuf;

/// Something that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Not a line of a log, and not recorded as cut.
    Damaged,
    /// The line does not have the hash that the next line states.
    Changed,
    /// Lines are missing before this one.
    Missing {
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
    },
    /// The line before is there a second time.
    Duplicate,
    /// The line does not have a higher number than the one before.
    OutOfOrder,
    /// The log does not begin with its first line, nor with the first line of a rotated file.
    NoBeginning,
    /// The file belongs to another log, or the line begins a file in the middle of one.
    OtherLog,
    /// The line records a cut line that is not there, or another one.
    NoCut,
    /// A process has found that lines were removed that it had seen.
    Removed {
        /// Number of the last line that it had seen.
        last: u64,
    },
    /// More lines after the last valid checkpoint than a host leaves unsigned.
    NotSigned {
        /// Number of these lines.
        lines: u64,
    },
    /// A checkpoint whose signature does not hold.
    Signature {
        /// Why.
        reason: String,
    },
}

impl FaultKind {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Changed => "changed",
            Self::Missing { .. } => "missing",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out-of-order",
            Self::NoBeginning => "no-beginning",
            Self::OtherLog => "other-log",
            Self::NoCut => "no-cut",
            Self::Removed { .. } => "removed",
            Self::NotSigned { .. } => "not-signed",
            Self::Signature { .. } => "signature",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("not a line of an audit log"),
            Self::Changed => {
                f.write_str("this line or the next one was changed: the next line states another hash")
            }
            Self::Missing { first, last } if first == last => write!(f, "line {first} of the log is missing"),
            Self::Missing { first, last } => write!(f, "lines {first} to {last} of the log are missing"),
            Self::Duplicate => f.write_str("duplicate of the line before"),
            Self::OutOfOrder => {
                f.write_str("out of order: its number is not higher than that of the line before")
            }
            Self::NoBeginning => f.write_str("the lines before it are missing"),
            Self::OtherLog => f.write_str("belongs to another log, or begins a file in the middle of one"),
            Self::NoCut => f.write_str("records a cut line that is not there"),
            Self::Removed { last } => {
                write!(f, "a process has found that lines up to number {last} had been removed")
            }
            Self::NotSigned { lines } => {
                write!(f, "no valid checkpoint covers the last {lines} lines: they may have been replaced")
            }
            Self::Signature { reason } => write!(f, "checkpoint not valid: {reason}"),
        }
    }
}
