//! Retries: exponential back-off with jitter, and the loop that waits between attempts.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// Exponential back-off with jitter.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub first: Duration,
    /// Maximum delay.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Starts with 5 seconds and grows up to an hour.
    fn default() -> Self {
        Self { first: Duration::from_secs(5), longest: Duration::from_secs(3600) }
    }
}

impl Backoff {
    /// Creates a back-off that starts with `first` and grows up to `longest`, or stays at `first` if that is longer.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest: if longest.as_nanos() < first.as_nanos() { first } else { longest } }
    }

    /// Delays between calls to a broker, ledger or quarantine that does not respond: 50 milliseconds up to 5 seconds.
    pub(crate) const RECONNECT: Self =
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(5) };

    /// Returns the delay after `failures` consecutive failures, 1 for the first.
    ///
    /// The delay is between half of the exponential step and all of it, so that tasks that failed together are not
    /// retried together.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        with_jitter(self.first.saturating_mul(1 << doublings).min(self.longest))
    }

    /// Returns the delay after a wait of this length, for delays that grow with the time waited so far: as long, but at
    /// least the first delay and at most the longest, with jitter.
    pub(crate) fn delay_after(&self, waited: Duration) -> Duration {
        with_jitter(waited.max(self.first).min(self.longest))
    }

    /// Returns the delays of consecutive failures, beginning with the first failure.
    pub(crate) const fn delays(self) -> Delays {
        Delays { backoff: self, failures: 0 }
    }
}

/// Returns a time between half of `step` and all of it.
pub(crate) fn with_jitter(step: Duration) -> Duration {
    // Without randomness the delay only lacks its jitter.
    let jitter = getrandom::u32().unwrap_or(u32::MAX);
    step / 2 + (step / 2).mul_f64(f64::from(jitter) / f64::from(u32::MAX))
}

/// Consecutive failures and the delays that follow them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    backoff: Backoff,
    failures: u32,
}

impl Delays {
    /// Counts a failure and returns the delay before the next attempt.
    pub(crate) fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.backoff.delay(self.failures)
    }

    /// Forgets the failures: the next delay is the shortest again.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Whether and when a failed call is worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The same call would fail again.
    Never,
    /// After the delay of the back-off.
    BackOff,
    /// After a delay that the failed service named, at least [`MIN_DELAY`].
    After(Duration),
}

/// Minimum delay before another attempt, so that a service that asks for an immediate retry does not cause a busy loop.
pub(crate) const MIN_DELAY: Duration = Duration::from_millis(10);

/// The end of a series of attempts.
pub(crate) trait Deadline {
    /// Returns whether another attempt may follow after `delay`, when `failures` attempts have failed.
    fn allows(&self, failures: u32, delay: Duration) -> bool;
}

impl Deadline for Instant {
    fn allows(&self, _failures: u32, delay: Duration) -> bool {
        delay < self.saturating_duration_since(Self::now())
    }
}

/// Repeats `attempt` until it succeeds, `retry` returns [`Retry::Never`], or `deadline` allows no further attempt. Returns
/// the last error in the latter two cases.
pub(crate) async fn retry_until<T, E, F>(
    deadline: impl Deadline,
    mut attempt: impl FnMut() -> F,
    retry: impl Fn(&E) -> Retry,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut delays = Backoff::RECONNECT.delays();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let back_off = delays.after_failure();
        let delay = match retry(&error) {
            Retry::Never => return Err(error),
            Retry::BackOff => back_off,
            Retry::After(delay) => delay.max(MIN_DELAY),
        };
        if !deadline.allows(delays.failures, delay) {
            return Err(error);
        }
        tokio::time::sleep(delay).await;
    }
}
