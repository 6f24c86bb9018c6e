//! Time for devices without a clock: a signed beacon, counted on from by the device's own ticks.
//!
//! A beacon is a task of suite S and type [`BEACON`] that a gateway or worker with a clock signs. Whoever carries it
//! can hold it back, which makes the device's time too old, never too new: a stamp taken from it can only expire
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

/// Time that is counted from the newest beacon heard.
///
/// ```text
/// now = beacon + ticks since it was heard, less what the oscillator may run fast
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconClock {
    /// When the beacon was sealed, Unix time in seconds.
    issued_at: u64,
    /// First eight bytes of its SHA-256.
    id: [u8; 8],
    /// Milliseconds since boot at which it was heard.
    heard_at: u64,
    drift_ppm: u32,
}

impl BeaconClock {
    /// Verifies a beacon, heard `uptime` milliseconds after boot. `drift_ppm` is by how many millionths the
    /// device's oscillator may run fast: 100 is safe for a crystal, 20,000 for an RC oscillator.
    ///
    /// The key must be allowed to seal [`BEACON`] for this audience, and its validity is judged at the beacon's own
    /// time: a device without a clock has no other.
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
        // Not verified yet; the signature that is checked next covers it.
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

    /// Hears another beacon. One that would set the time back is verified and then left alone: somebody has held it
    /// back or brings it again. Returns whether it was taken.
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

    /// Unix time in seconds, `uptime` milliseconds after boot. Never later than the true time.
    #[must_use]
    pub const fn at(&self, uptime: u64) -> u64 {
        let elapsed = uptime.saturating_sub(self.heard_at);
        let fast = (elapsed / 1_000_000 + 1).saturating_mul(self.drift_ppm as u64);
        self.issued_at.saturating_add(elapsed.saturating_sub(fast) / 1000)
    }

    /// What the device knows about the time: not before [`at`](Self::at), and nothing about how much later.
    #[must_use]
    pub const fn window(&self, uptime: u64) -> TimeWindow {
        TimeWindow { earliest: self.at(uptime), latest: u64::MAX }
    }

    /// Stamps claims: issued now, expiring `lifetime` seconds later, and which beacon the time was counted from.
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
