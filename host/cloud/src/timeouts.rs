//! Time limits of the calls to a service.

use std::time::{Duration, Instant};

/// Time limits of one call to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    call: Duration,
    attempt: Duration,
}

/// 10 s for a call with its retries, 3 s for one attempt.
impl Default for Timeouts {
    fn default() -> Self {
        Self { call: Duration::from_secs(10), attempt: Duration::from_secs(3) }
    }
}

impl Timeouts {
    /// Creates limits: `call` for a call with all its attempts and the delays between them, `attempt` for one attempt.
    #[must_use]
    pub const fn new(call: Duration, attempt: Duration) -> Self {
        Self { call, attempt }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline { at: Instant::now() + self.call, attempt: self.attempt }
    }
}

/// The time at which a call ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    attempt: Duration,
}

impl Deadline {
    /// Returns the time that remains of the call.
    pub(crate) fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns the time that the next attempt may take.
    pub(crate) fn next_attempt(&self) -> Duration {
        self.attempt.min(self.remaining())
    }
}
