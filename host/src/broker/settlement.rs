//! How leases end.

use std::time::Duration;

/// How a lease ends. The broker computes what its format stores about it: counts, times and texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// The task succeeded and is deleted.
    Done,
    /// The task succeeded; the broker keeps it and its result for `retention`.
    Complete {
        /// The sealed result.
        result: Vec<u8>,
        /// How long both are kept.
        retention: Duration,
    },
    /// The task becomes pending again after `delay`, by the broker's clock.
    Retry {
        /// How long it waits.
        delay: Duration,
        /// Why the attempt failed. `Some` counts a retry of the task and a failure of the queue. `None`: the task was
        /// postponed and nothing is counted.
        failure: Option<String>,
    },
    /// The last attempt failed, or the task was refused: the broker keeps the task. Counts as a failure of the queue.
    Archive {
        /// Why.
        reason: String,
    },
    /// The task goes back to the front of the queue; nothing is counted.
    Requeue,
}

/// The outcome for one lease of [`Broker::settle`](super::Broker::settle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The lease ended as requested.
    Done,
    /// The lease is held by another worker or no longer exists; nothing was changed.
    LeaseLost,
}
