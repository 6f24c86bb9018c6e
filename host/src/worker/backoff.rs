//! How long to wait before trying again: twice as long each time, spread at random, with an upper bound.

use std::time::Duration;

/// Exponential back-off with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub first: Duration,
    /// Longest delay.
    pub longest: Duration,
}

impl Default for Backoff {
    /// 5 seconds, up to an hour.
    fn default() -> Self {
        Self { first: Duration::from_secs(5), longest: Duration::from_secs(3600) }
    }
}

impl Backoff {
    /// For calls to a broker that is away: 50 milliseconds, up to 5 seconds.
    pub(crate) const RECONNECT: Self =
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(5) };

    /// Delay after `failures` failures in a row (1 for the first): between half of and the whole exponential step, so
    /// that tasks that failed together do not come back together.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let step = self.first.saturating_mul(1 << doublings).min(self.longest);
        // Without randomness the delay is merely less spread.
        let spread = getrandom::u32().unwrap_or(u32::MAX);
        step / 2 + (step / 2).mul_f64(f64::from(spread) / f64::from(u32::MAX))
    }
}
