//! The entries of a quarantine.

use bytes::Bytes;

use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Maximum length of the payload of an entry, in bytes.
pub const MAX_PAYLOAD_LEN: usize = 36 * 1024 * 1024;

/// Maximum length of the task id of an entry, in bytes.
pub const MAX_TASK_ID_LEN: usize = 1024;

/// Maximum length of any other text of an entry, in bytes. A longer text is truncated at a character boundary.
pub const MAX_TEXT_LEN: usize = 512;

/// A refused task to store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewEntry {
    /// Queue it was leased from.
    pub queue: QueueName,
    /// Task id as the broker stated it.
    pub task_id: String,
    /// Stable code of the refusal.
    pub code: String,
    /// One sentence about this case.
    pub detail: String,
    /// Key id that the envelope names, if it can be read.
    pub kid: Option<[u8; 8]>,
    /// Whether the worker has that key.
    pub kid_known: bool,
    /// Task type that the queue states.
    pub unverified_type: Option<String>,
    /// Issuer that the envelope states.
    pub unverified_issuer: Option<String>,
    /// SHA-256 of the payload.
    pub digest: [u8; 32],
    /// The envelope, or the stored bytes of a task that cannot be decoded.
    pub payload: Bytes,
    /// Where else the task is stored.
    pub disposition: Disposition,
    /// When it was refused.
    pub seen_at: UnixMillis,
}

/// Where a refused task is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Disposition {
    /// In the quarantine only.
    Held,
    /// In the quarantine and in the archive of its queue.
    Archived,
    /// In the quarantine and in its queue, scheduled for the time before which it must not run.
    Rescheduled,
    /// In the quarantine, and pending in its queue again: an operator has released it. The entry is removed when a worker has
    /// accepted the task, and replaced when a worker has refused it again.
    Released,
}

impl Disposition {
    /// Every disposition.
    pub const ALL: [Self; 4] = [Self::Held, Self::Archived, Self::Rescheduled, Self::Released];

    /// Returns the word that is stored and displayed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Archived => "archived",
            Self::Rescheduled => "rescheduled",
            Self::Released => "released",
        }
    }

    /// Returns the disposition that `word` names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disposition| disposition.as_str() == word)
    }
}

/// The outcome of [`Quarantine::hold`](super::Quarantine::hold).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldOutcome {
    /// The outcome for each entry, in order.
    pub held: Vec<Held>,
    /// Number of older entries that were evicted for them.
    pub evicted: u64,
}

/// The outcome for one entry of [`Quarantine::hold`](super::Quarantine::hold).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// The entry was stored by this call.
    New {
        /// Number of the entry.
        id: EntryId,
    },
    /// The entry was already stored and was counted again.
    Again {
        /// Number of the entry.
        id: EntryId,
        /// How often the task was refused, this time included.
        count: u64,
    },
    /// Not stored: there is no room and nothing that this task may evict. Leave it in the archive of its queue.
    Full,
    /// Not stored: the payload or id is too long. Leave the task in the archive of its queue.
    TooLong,
}

/// The number of an entry. Numbers are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number with a meaning")]
pub struct EntryId(pub i64);

/// An entry without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Entry {
    /// Number of the entry.
    pub id: EntryId,
    /// Queue it was leased from.
    pub queue: String,
    /// Task id as the broker stated it.
    pub task_id: String,
    /// Stable code of the refusal.
    pub code: String,
    /// One sentence about the last refusal.
    pub detail: String,
    /// Key id that the envelope names, if it can be read.
    pub kid: Option<[u8; 8]>,
    /// Whether the worker had that key at the last refusal.
    pub kid_known: bool,
    /// Task type that the queue states.
    pub unverified_type: Option<String>,
    /// Issuer that the envelope states.
    pub unverified_issuer: Option<String>,
    /// SHA-256 of the payload.
    pub digest: [u8; 32],
    /// Where else the task was stored at the last refusal.
    pub disposition: Disposition,
    /// How often the task was refused.
    pub count: u64,
    /// When it was first refused.
    pub first_seen_at: UnixMillis,
    /// When it was last refused.
    pub last_seen_at: UnixMillis,
    /// Length of its payload, in bytes.
    pub payload_len: u64,
}

/// Which entries to select: those that match all fields; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Filter {
    /// Only those with this code.
    pub code: Option<String>,
    /// Only those from this queue.
    pub queue: Option<QueueName>,
    /// Only those whose envelope names this key.
    pub kid: Option<[u8; 8]>,
    /// Only those of this type, or of types with this prefix followed by `*`, as the queue states.
    pub task_type: Option<String>,
    /// Only those of this issuer, as the envelope states.
    pub issuer: Option<String>,
    /// Only those with this disposition.
    pub disposition: Option<Disposition>,
    /// Only those last refused at this time or before.
    pub seen_until: Option<UnixMillis>,
    /// Only those last refused at this time or after.
    pub seen_from: Option<UnixMillis>,
}
