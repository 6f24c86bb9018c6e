//! What an operator wants to know of a token: whether it is up, how often it was not, how fast it is.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::Error;

/// The state of a token at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether it is up.
    pub state: State,
    /// Since when it is in this state.
    pub since: SystemTime,
    /// What took it down, while it is not up.
    pub reason: Option<Error>,
    /// Sessions that were replaced one at a time.
    pub session_recoveries: u64,
    /// Logins that were repeated, with all keys found again.
    pub login_recoveries: u64,
    /// Times the library was finalised and initialised, or tried to be.
    pub library_recoveries: u64,
    /// How long signatures took inside the token.
    pub signing: Histogram,
    /// Key agreements made.
    pub agreements: u64,
    /// Results that were found wrong and were not used, see [`Error::FaultyAnswer`]. Shared secrets are not checked when
    /// they are agreed on, but by the test of a key.
    pub faulty_answers: u64,
    /// The token has counted wrong PINs (at the latest login).
    pub pin_count_low: bool,
    /// Threads with a session.
    pub pool_size: usize,
    /// The most of them.
    pub pool_limit: usize,
    /// Those at work.
    pub pool_in_use: usize,
    /// Calls that wait for one.
    pub queued: usize,
    /// Threads stuck in the library.
    pub abandoned: usize,
}

impl Health {
    /// Whether the token can be used now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }
}

/// Whether a token can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It works.
    Up,
    /// It is logged in to again; calls wait for that.
    Recovering,
    /// It is away; calls fail at once and it is tried again on its own.
    Down,
    /// It is not tried again: somebody has to act.
    Failed,
    /// It was closed.
    Closed,
}

/// A transition. `Display` is a line for a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The token is away.
    Down {
        /// Why.
        reason: Error,
    },
    /// It works again.
    Recovered {
        /// Whether the library had to be initialised anew.
        library: bool,
        /// How long it was away.
        after: Duration,
    },
    /// It is given up: trying again would do harm or is useless.
    Failed {
        /// Why.
        reason: Error,
    },
    /// A key is no longer there, or is another one.
    KeyLost {
        /// Its `CKA_ID`.
        id: Vec<u8>,
        /// Why.
        reason: Error,
    },
    /// A key that was lost is there again.
    KeyFound {
        /// Its `CKA_ID`.
        id: Vec<u8>,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { reason } => write!(f, "token down: {reason}"),
            Self::Recovered { library, after } => {
                let how = if *library { "library restarted" } else { "logged in again" };
                write!(f, "token up after {} ms: {how}", after.as_millis())
            }
            Self::Failed { reason } => write!(f, "token given up: {reason}"),
            Self::KeyLost { id, reason } => write!(f, "key {} lost: {reason}", Hex(id)),
            Self::KeyFound { id } => write!(f, "key {} found again", Hex(id)),
        }
    }
}

/// Bytes in lower-case hex.
pub(crate) struct Hex<'b>(pub(crate) &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// How often.
    pub count: u64,
    /// Together.
    pub sum: Duration,
    /// Counts of [`Histogram::BOUNDS`], each including the ones before it; longer ones are only in `count`.
    pub buckets: [u64; Self::BOUNDS.len()],
}

impl Histogram {
    /// Upper bounds of the buckets, microseconds.
    pub const BOUNDS: [u64; 11] =
        [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000];
}

/// The numbers behind [`Health`], counted without a lock.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) session_recoveries: AtomicU64,
    pub(crate) login_recoveries: AtomicU64,
    pub(crate) library_recoveries: AtomicU64,
    pub(crate) agreements: AtomicU64,
    pub(crate) faulty_answers: AtomicU64,
    signed: AtomicU64,
    sign_micros: AtomicU64,
    buckets: [AtomicU64; Histogram::BOUNDS.len()],
}

impl Counters {
    pub(crate) fn signed(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.signed);
        self.sign_micros.fetch_add(micros, Ordering::Relaxed);
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
        Histogram { count: read(&self.signed), sum: Duration::from_micros(read(&self.sign_micros)), buckets }
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
