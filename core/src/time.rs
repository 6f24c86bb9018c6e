//! Time as an interval, which expresses the uncertainty of a clock.

/// An interval that contains the current time, from `earliest` to `latest`, in Unix time.
///
/// A server with a synchronised clock reports one value for both. A device that has lost its time reports a wide
/// window. Every check refuses if it fails for any time in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a clock writes it as a literal; an interval has two ends")]
pub struct TimeWindow {
    /// Earliest possible Unix time, in seconds.
    pub earliest: u64,
    /// Latest possible Unix time, in seconds.
    pub latest: u64,
}

impl TimeWindow {
    /// Creates the window of a clock that is exact to the second.
    #[must_use]
    pub const fn exact(seconds: u64) -> Self {
        Self { earliest: seconds, latest: seconds }
    }

    /// Returns the window with its ends in order, so that exchanged ends do not make envelopes acceptable.
    pub(crate) const fn ordered(self) -> Self {
        if self.earliest <= self.latest {
            self
        } else {
            Self { earliest: self.latest, latest: self.earliest }
        }
    }
}

/// A source of the current time.
pub trait Clock {
    /// Returns the current time.
    fn now(&mut self) -> TimeWindow;
}

/// A fixed time, for a batch, a test or a replayed trace.
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
