//! Time as an interval: what a clock knows, including how little.

/// The time lies somewhere from `earliest` to `latest`, both in seconds since 1970 in UTC.
///
/// A server with a disciplined clock gives both the same value; a device that lost its clock gives a wide
/// window. Every check refuses when any time in the window would have to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a clock writes it as a literal; an interval has two ends")]
pub struct TimeWindow {
    /// The earliest time it can be.
    pub earliest: u64,
    /// The latest time it can be.
    pub latest: u64,
}

impl TimeWindow {
    /// A clock that is exact to the second.
    #[must_use]
    pub const fn exact(seconds: u64) -> Self {
        Self { earliest: seconds, latest: seconds }
    }

    /// The same window with its ends in order, so that exchanged ends make nothing acceptable.
    pub(crate) const fn ordered(self) -> Self {
        if self.earliest <= self.latest {
            self
        } else {
            Self { earliest: self.latest, latest: self.earliest }
        }
    }
}

/// Tells the time when it is needed.
pub trait Clock {
    /// The time now.
    fn now(&mut self) -> TimeWindow;
}

/// A time that was read once stands still: for a batch, a test or a replayed trace.
impl Clock for TimeWindow {
    fn now(&mut self) -> TimeWindow {
        *self
    }
}

impl<F: FnMut() -> TimeWindow> Clock for F {
    fn now(&mut self) -> TimeWindow {
        self()
    }
}
