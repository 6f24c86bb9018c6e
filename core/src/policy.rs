//! Policy: what a verifier accepts, decided by itself and never by the message.

use crate::claims::{Claims, ClockSource};
use crate::keyset::KeyRecord;
use crate::name::{Audience, NameSet};
use crate::refusal::Refusal;
use crate::suite::{Kind, SuiteSet};
use crate::time::TimeWindow;

/// What a verifier accepts from one queue.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Policy<'a> {
    /// The kind of envelope that is due.
    pub kind: Kind,
    /// The deployment and queue that the envelope was really taken from. Compared byte by byte.
    pub audience: Audience<'a>,
    /// Task types that somebody here handles.
    pub types: NameSet<'a>,
    /// Suites accepted.
    pub suites: SuiteSet,
    /// Whether these suites are accepted in batches too, in which one signature covers many tasks.
    pub accept_batches: bool,
    /// Most bytes of a body.
    pub max_body: usize,
    /// Seconds by which clocks may differ; at most [`Policy::MAX_SKEW`] count.
    pub skew: u32,
    /// Most seconds between the time from which an envelope may be run and its expiry.
    pub max_lifetime: u64,
    /// Whether times counted from a signed beacon are accepted.
    pub accept_beacon: bool,
    /// Whether envelopes of issuers without a clock are accepted.
    ///
    /// # Security
    /// Such envelopes do not expire: only the replay guard stands between the broker and a late run.
    pub accept_clockless: bool,
    /// For results: SHA-256 of the request envelope that is to be answered.
    pub request: Option<[u8; 32]>,
}

impl<'a> Policy<'a> {
    /// Most seconds of clock skew that are tolerated.
    pub const MAX_SKEW: u32 = 300;

    /// Accepts tasks for `audience` of every type, signed and encrypted (SE, SP), one signature each, with bodies up
    /// to 1 MiB, valid for at most 24 hours, by synchronised clocks that differ by 60 seconds at most.
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

    /// Accepts the result of the request whose envelope has this SHA-256, with the same limits as
    /// [`for_tasks`](Self::for_tasks) but a lifetime of up to a year: results are read late.
    #[must_use]
    pub const fn for_result(audience: Audience<'a>, request: [u8; 32]) -> Self {
        Self {
            kind: Kind::Result,
            request: Some(request),
            max_lifetime: 366 * 86_400,
            ..Self::for_tasks(audience)
        }
    }

    /// The checks that come after a good signature, in order.
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

    /// Refuses if any time in the window would have to be refused.
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
            // Only an issuer without a clock has no times: the format requires them of every other.
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

    /// Unix time in seconds after which the envelope is refused as expired by every clock, so that a replay
    /// guard may forget it; `None` if it never expires.
    pub(crate) fn forget_after(&self, claims: &Claims<'_>) -> Option<u64> {
        claims.expires_at.map(|at| at.saturating_add(2 * u64::from(Self::MAX_SKEW)))
    }
}

#[cfg(test)]
mod tests;
