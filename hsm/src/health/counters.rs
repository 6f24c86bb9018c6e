//! The counters behind [`Health`](crate::Health).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Histogram;

/// Counters that are updated without a lock.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) session_recoveries: AtomicU64,
    pub(crate) login_recoveries: AtomicU64,
    pub(crate) library_recoveries: AtomicU64,
    pub(crate) agreements: AtomicU64,
    pub(crate) faulty_answers: AtomicU64,
    signatures: AtomicU64,
    signing_micros: AtomicU64,
    buckets: [AtomicU64; Histogram::BOUNDS.len()],
}

impl Counters {
    /// Records the duration of a signature.
    pub(crate) fn record_signature(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        add(&self.signatures);
        self.signing_micros.fetch_add(micros, Ordering::Relaxed);
        for (bucket, bound) in self.buckets.iter().zip(Histogram::BOUNDS) {
            if micros <= bound {
                add(bucket);
            }
        }
    }

    pub(crate) fn signing(&self) -> Histogram {
        let mut buckets = [0; Histogram::BOUNDS.len()];
        for (to, from) in buckets.iter_mut().zip(&self.buckets) {
            *to = read(from);
        }
        let sum = Duration::from_micros(read(&self.signing_micros));
        Histogram { count: read(&self.signatures), sum, buckets }
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
