//! The settings of a queue file.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::executor::Clock;
use crate::broker::ArchiveLimits;
use crate::time::UnixMillis;

/// The settings of a queue file.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqliteConfig {
    pub(super) clock: Clock,
    pub(super) busy_timeout: Duration,
    pub(super) max_bytes: Option<u64>,
    pub(super) existing: bool,
    pub(super) archive: ArchiveLimits,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            clock: Arc::new(UnixMillis::now),
            busy_timeout: Duration::from_secs(5),
            max_bytes: None,
            existing: false,
            archive: ArchiveLimits::default(),
        }
    }
}

impl SqliteConfig {
    /// Replaces the clock of this host by `clock`.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Sets how long a call waits while another process writes; default 5 s. After that it fails with
    /// [`BrokerError::Unavailable`](crate::broker::BrokerError::Unavailable).
    #[must_use]
    pub fn with_busy_timeout(self, timeout: Duration) -> Self {
        Self { busy_timeout: timeout, ..self }
    }

    /// Sets the size of the file above which new tasks fail with
    /// [`BrokerError::Full`](crate::broker::BrokerError::Full), in bytes; unlimited by default.
    ///
    /// Stored tasks can always be leased and settled, although that may need some space too.
    #[must_use]
    pub fn with_max_bytes(self, bytes: u64) -> Self {
        Self { max_bytes: Some(bytes), ..self }
    }

    /// Sets the limits of the archive; by default those of asynq.
    #[must_use]
    pub fn with_archive_limits(self, archive: ArchiveLimits) -> Self {
        Self { archive, ..self }
    }

    /// Never creates the file: opening a missing one fails with
    /// [`BrokerError::Refused`](crate::broker::BrokerError::Refused).
    #[must_use]
    pub fn existing(self) -> Self {
        Self { existing: true, ..self }
    }
}

impl fmt::Debug for SqliteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConfig")
            .field("busy_timeout", &self.busy_timeout)
            .field("max_bytes", &self.max_bytes)
            .field("existing", &self.existing)
            .field("archive", &self.archive)
            .finish_non_exhaustive()
    }
}
