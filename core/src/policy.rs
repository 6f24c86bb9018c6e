//! Policies: the rules by which a verifier accepts envelopes, independent of the message.

use crate::claims::{Claims, ClockSource};
use crate::keyset::KeyRecord;
use crate::name::{Audience, NameSet};
use crate::refusal::Refusal;
use crate::suite::{Kind, SuiteSet};
use crate::time::TimeWindow;

/// The rules by which a verifier accepts envelopes from one queue.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Policy<'a> {
    /// Expected kind of envelope.
    pub kind: Kind,
    /// Deployment and queue from which the envelope was taken. Compared byte by byte.
    pub audience: Audience<'a>,
    /// Task types that have a handler.
    pub types: NameSet<'a>,
    /// Suites accepted.
    pub suites: SuiteSet,
    /// Whether envelopes of a batch are accepted, in which one signature covers several tasks.
    pub accept_batches: bool,
    /// Maximum size of a body, in bytes.
    pub max_body: usize,
    /// Tolerated clock skew, in seconds; limited to [`Policy::MAX_SKEW`].
    pub skew: u32,
    /// Maximum lifetime of an envelope, in seconds, from the time at which it may run to its expiry.
    pub max_lifetime: u64,
    /// Whether times counted from a signed beacon are accepted.
    pub accept_beacon: bool,
    /// Whether envelopes of issuers without a clock are accepted.
    ///
    /// # Security
    /// Such envelopes do not expire: only the replay guard prevents the broker from delivering them late.
    pub accept_clockless: bool,
    /// For results: SHA-256 of the request envelope.
    pub request: Option<[u8; 32]>,
}

impl<'a> Policy<'a> {
    /// Maximum tolerated clock skew, in seconds.
    pub const MAX_SKEW: u32 = 300;

    /// Creates a policy for tasks: every type for `audience`, signed and encrypted (SE, SP), one signature per task,
    /// bodies up to 1 MiB, lifetimes up to 24 hours, and synchronised clocks with a skew of up to 60 seconds.
    #[must_use]
    pub const fn for_tasks(audience: Audience<'a>) -> Self {
        Self {
            kind: Kind::Task,
            audience,
            types: NameSet::ANY,
            suites: SuiteSet::SIGNED_AND_ENCRYPTED,
            accept_batches: false,
            max_body: 1 << 20,
            skew: 60,
            max_lifetime: 86_400,
            accept_beacon: false,
            accept_clockless: false,
            request: None,
        }
    }

    /// Creates a policy for the result of the request whose envelope has this SHA-256. The limits are those of
    /// [`for_tasks`](Self::for_tasks), but with lifetimes of up to a year, because results are read late.
    #[must_use]
    pub const fn for_result(audience: Audience<'a>, request: [u8; 32]) -> Self {
        Self {
            kind: Kind::Result,
            request: Some(request),
            max_lifetime: 366 * 86_400,
            ..Self::for_tasks(audience)
        }
    }

    /// Runs the checks that follow a valid signature, in order.
    pub(crate) fn check(
        &self,
        record: &KeyRecord<'_>,
        claims: &Claims<'_>,
        now: TimeWindow,
    ) -> Result<(), Refusal> {
        let skew = self.skew.min(Self::MAX_SKEW);
        let require = |holds, refusal| if holds { Ok(()) } else { Err(refusal) };
        require(record.is_valid(now, skew), Refusal::KeyNotValid)?;
        require(record.issuers.contains(claims.issuer.as_str()), Refusal::IssuerNotAllowed)?;
        require(record.types.contains(claims.task_type.as_str()), Refusal::TypeNotAllowed)?;
        require(record.audiences.contains(claims.audience.as_str()), Refusal::AudienceNotAllowed)?;
        require(claims.audience == self.audience, Refusal::WrongAudience)?;
        require(self.types.contains(claims.task_type.as_str()), Refusal::TypeNotHandled)?;
        require(claims.request == self.request, Refusal::WrongRequest)?;
        self.check_time(claims, now, u64::from(skew))
    }

    /// Refuses if the check fails for any time in the window.
    fn check_time(&self, claims: &Claims<'_>, now: TimeWindow, skew: u64) -> Result<(), Refusal> {
        let accepted = match claims.clock {
            ClockSource::Synchronised => true,
            ClockSource::Beacon => self.accept_beacon,
            ClockSource::None => self.accept_clockless,
        };
        if !accepted {
            return Err(Refusal::ClockNotAllowed);
        }
        let (Some(expires_at), Some(issued_at)) = (claims.expires_at, claims.issued_at) else {
            // Only issuers without a clock omit times: the format requires them from all others.
            return Ok(());
        };
        let runs_from = claims.not_before.unwrap_or(issued_at).max(issued_at);
        if issued_at > now.earliest.saturating_add(skew) {
            Err(Refusal::IssuedInFuture)
        } else if expires_at.saturating_sub(runs_from) > self.max_lifetime {
            Err(Refusal::LifetimeTooLong)
        } else if now.latest >= expires_at.saturating_add(skew) {
            Err(Refusal::Expired)
        } else if claims.not_before.is_some_and(|from| now.earliest.saturating_add(skew) < from) {
            Err(Refusal::NotYetValid)
        } else {
            Ok(())
        }
    }

    /// Returns the Unix time in seconds after which every clock refuses the envelope as expired, so that a replay guard
    /// may forget it. Returns `None` if the envelope never expires.
    pub(crate) fn forget_after(&self, claims: &Claims<'_>) -> Option<u64> {
        claims.expires_at.map(|at| at.saturating_add(2 * u64::from(Self::MAX_SKEW)))
    }
}

#[cfg(test)]
mod tests;
