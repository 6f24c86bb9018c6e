//! Time for devices without a clock: a signed time beacon plus the device's tick counter.
//!
//! A beacon is a task of suite S and type [`BEACON`] that a gateway or worker with a clock signs. The transport can
//! delay a beacon, which makes the device's time too old and never too new: tasks stamped with it can only expire
//! early.

use crate::claims::{Claims, ClockSource};
use crate::error::OpenError;
use crate::keyset::KeyLookup;
use crate::name::{Audience, NameSet, TaskType};
use crate::open::Unverified;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::suite::{Suite, SuiteSet};
use crate::time::TimeWindow;

/// The task type of a beacon: `taskseal.beacon`.
pub const BEACON: TaskType<'static> = match TaskType::new("taskseal.beacon") {
    Ok(name) => name,
    Err(_) => panic!("printable ASCII"),
};

/// A clock that counts from the newest beacon received.
///
/// ```text
/// now = beacon + ticks since it was heard, less what the oscillator may run fast
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconClock {
    /// Unix time in seconds at which the beacon was sealed.
    issued_at: u64,
    /// First eight bytes of the beacon's SHA-256.
    id: [u8; 8],
    /// Milliseconds from boot to the reception of the beacon.
    heard_at: u64,
    drift_ppm: u32,
}

impl BeaconClock {
    /// Verifies a beacon that was received `uptime` milliseconds after boot. `drift_ppm` is the maximum by which the
    /// device's oscillator runs fast, in parts per million: 100 is safe for a crystal, 20,000 for an RC oscillator.
    ///
    /// The key must have the right to seal [`BEACON`] for this audience. Its validity is checked at the time in the
    /// beacon, because the device has no other time.
    ///
    /// # Errors
    /// As [`Unverified::verify`]; [`Refusal::TypeNotHandled`] for another task, [`Refusal::ClockNotAllowed`] for a
    /// beacon that was itself counted from one.
    pub fn hear(
        beacon: Unverified<'_>,
        keys: &impl KeyLookup,
        audience: Audience<'_>,
        uptime: u64,
        drift_ppm: u32,
    ) -> Result<Self, OpenError> {
        // Not verified yet, but covered by the signature that is checked next.
        let issued_at = beacon.danger_claims_unverified().issued_at.ok_or(Refusal::ClockNotAllowed)?;
        let policy = Policy {
            suites: SuiteSet::NONE.with(Suite::S),
            types: NameSet::new(BEACON.as_str()),
            max_lifetime: u64::MAX,
            ..Policy::for_tasks(audience)
        };
        let verified = beacon.verify(keys, &policy, &mut TimeWindow::exact(issued_at))?;
        let [a, b, c, d, e, f, g, h, ..] = *verified.digest();
        Ok(Self { issued_at, id: [a, b, c, d, e, f, g, h], heard_at: uptime, drift_ppm })
    }

    /// Receives another beacon and returns whether it was used. A beacon that would set the time back is verified and
    /// ignored, because it was delayed or replayed.
    ///
    /// # Errors
    /// As [`hear`](Self::hear).
    pub fn hear_again(
        &mut self,
        beacon: Unverified<'_>,
        keys: &impl KeyLookup,
        audience: Audience<'_>,
        uptime: u64,
    ) -> Result<bool, OpenError> {
        let heard = Self::hear(beacon, keys, audience, uptime, self.drift_ppm)?;
        let is_newer = heard.issued_at > self.at(uptime);
        if is_newer {
            *self = heard;
        }
        Ok(is_newer)
    }

    /// Returns the Unix time in seconds, `uptime` milliseconds after boot. It is never later than the true time.
    #[must_use]
    pub const fn at(&self, uptime: u64) -> u64 {
        let elapsed = uptime.saturating_sub(self.heard_at);
        let fast = (elapsed / 1_000_000 + 1).saturating_mul(self.drift_ppm as u64);
        self.issued_at.saturating_add(elapsed.saturating_sub(fast) / 1000)
    }

    /// Returns what the device knows about the time: not before [`at`](Self::at), with no upper bound.
    #[must_use]
    pub const fn window(&self, uptime: u64) -> TimeWindow {
        TimeWindow { earliest: self.at(uptime), latest: u64::MAX }
    }

    /// Sets the times and the beacon of claims: issued now and expiring `lifetime` seconds later.
    #[must_use]
    pub const fn stamp<'a>(&self, claims: Claims<'a>, uptime: u64, lifetime: u64) -> Claims<'a> {
        let now = self.at(uptime);
        claims
            .clock(ClockSource::Beacon)
            .beacon(self.id)
            .issued_at(now)
            .expires_at(now.saturating_add(lifetime))
    }
}

#[cfg(test)]
mod tests;
