//! How much a quarantine stores, and how much it may.

use rusqlite::Connection;

use super::statements::USAGE;
use super::{MAX_TASK_ID_LEN, MAX_TEXT_LEN};

/// Maximum size of an entry beside the body of its task, in bytes: the rest of the envelope, the id and the texts.
const MAX_AROUND_BODY: u64 = 4096 + MAX_TASK_ID_LEN as u64 + 5 * MAX_TEXT_LEN as u64;

/// How much a quarantine may store. Beyond that older entries are evicted for new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Limits {
    /// Maximum number of entries.
    pub entries: u64,
    /// Maximum size of all payloads, ids and texts together, in bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 256 << 20 }
    }
}

impl Limits {
    /// Returns the least number of bytes with which a task that has a body of `max_body` bytes fits into the half for tasks
    /// whose sender is not proven.
    pub(crate) fn least_bytes(max_body: usize) -> u64 {
        u64::try_from(max_body).unwrap_or(u64::MAX).saturating_add(MAX_AROUND_BODY).saturating_mul(2)
    }
}

/// How much a quarantine stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Number of entries.
    pub entries: u64,
    /// Size of all payloads, ids and texts together, in bytes.
    pub bytes: u64,
}

impl Usage {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(USAGE)?
            .query_row([], |row| Ok(Self { entries: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?) }))
    }

    /// Returns the usage with one more entry of `bytes`; `None` if that exceeds `limits`.
    pub(super) fn with(self, bytes: u64, limits: &Limits) -> Option<Self> {
        let bytes = self.bytes.saturating_add(bytes);
        let fits = self.entries < limits.entries && bytes <= limits.bytes;
        fits.then(|| Self { entries: self.entries.saturating_add(1), bytes })
    }

    /// Returns the usage with one entry of `bytes` less.
    pub(super) fn without(self, bytes: u64) -> Self {
        Self { entries: self.entries.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }
}

/// Converts a count or size, which is never negative in the file.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Converts a count or size to how the file stores it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
