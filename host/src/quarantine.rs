//! Quarantine: tasks a worker refused, kept whole until a person has looked at them.
//!
//! A refused task is never run, never retried and never lost: it is taken out of the queue only after it is on
//! disk here. What the queue or the sender wrote (ids, types, issuers) is stored as it came and means nothing;
//! whoever prints it escapes it.

use bytes::Bytes;

use crate::queue::QueueName;
use crate::time::UnixMillis;

pub use self::error::QuarantineError;
pub use self::sqlite::Quarantine;

mod error;
mod sqlite;
#[cfg(test)]
mod tests;

/// How much a quarantine takes. Past it new entries are answered [`Held::Full`]; nothing is ever evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Size of all payloads, ids and texts together, in bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 1 << 30 }
    }
}

/// Maximum length of the payload of an entry, in bytes.
pub const MAX_PAYLOAD_LEN: usize = 36 * 1024 * 1024;

/// The longest task id an entry can have, in bytes.
pub const MAX_TASK_ID_LEN: usize = 1024;

/// The longest other text of an entry in bytes; a longer one is cut off at a character.
pub const MAX_TEXT_LEN: usize = 512;

/// A refused task to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The queue it was taken from.
    pub queue: QueueName,
    /// Task id as the broker gave it.
    pub task_id: String,
    /// The stable code of the refusal.
    pub code: String,
    /// One sentence about this case.
    pub detail: String,
    /// The key the envelope asks for, if one could be read.
    pub kid: Option<[u8; 8]>,
    /// Whether the worker has that key.
    pub kid_known: bool,
    /// The type that the queue states.
    pub unverified_type: Option<String>,
    /// The issuer the envelope claims to come from.
    pub unverified_issuer: Option<String>,
    /// SHA-256 of the payload.
    pub digest: [u8; 32],
    /// The envelope, or the stored bytes of a task that cannot be decoded.
    pub payload: Bytes,
    /// Where the task is now.
    pub disposition: Disposition,
    /// When it was refused.
    pub seen_at: UnixMillis,
}

/// Where a refused task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Disposition {
    /// Here only: it was taken out of the queue.
    Held,
    /// Here and in the archive of its queue.
    Archived,
    /// Here and in its queue again, for the time before which it must not run.
    Rescheduled,
}

impl Disposition {
    /// Every disposition.
    pub const ALL: [Self; 3] = [Self::Held, Self::Archived, Self::Rescheduled];

    /// The word stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Archived => "archived",
            Self::Rescheduled => "rescheduled",
        }
    }

    /// The disposition named by a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disposition| disposition.as_str() == word)
    }
}

/// What became of an entry handed to [`Quarantine::hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// Kept now.
    New {
        /// Its number.
        id: EntryId,
    },
    /// Was there already; counted once more.
    Again {
        /// Its number.
        id: EntryId,
        /// How often it was refused, this time included.
        count: u64,
    },
    /// Not kept, there is no room: leave the task in the archive of its queue.
    Full,
    /// Not kept, its payload or id is too long: leave the task in the archive of its queue.
    TooLong,
}

/// The number of an entry: short, shown to people, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub i64);

/// An entry without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// The queue it was taken from.
    pub queue: String,
    /// Task id as the broker gave it.
    pub task_id: String,
    /// The stable code of the refusal.
    pub code: String,
    /// One sentence about the last time.
    pub detail: String,
    /// The key the envelope asks for.
    pub kid: Option<[u8; 8]>,
    /// Whether the worker had that key the last time.
    pub kid_known: bool,
    /// The type that the queue states.
    pub unverified_type: Option<String>,
    /// The issuer the envelope claims to come from.
    pub unverified_issuer: Option<String>,
    /// SHA-256 of the payload.
    pub digest: [u8; 32],
    /// Where the task was put the last time.
    pub disposition: Disposition,
    /// How often it was refused.
    pub count: u64,
    /// When it was refused first.
    pub first_seen_at: UnixMillis,
    /// When it was refused last.
    pub last_seen_at: UnixMillis,
    /// Length of its payload, in bytes.
    pub payload_len: u64,
}

/// Which entries to list; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those refused for this reason.
    pub code: Option<String>,
    /// Only those from this queue.
    pub queue: Option<QueueName>,
}

/// How full a quarantine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub entries: u64,
    /// Size of all payloads, ids and texts together, in bytes.
    pub bytes: u64,
}
