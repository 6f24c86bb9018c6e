//! The steps of opening for an envelope that never moves, for the C interface.
//!
//! An envelope is large, and the compiler reserves stack space for every move of it. The types of the Rust interface
//! enforce the order of the steps; here it is checked at run time.

use super::decrypt::Body;
use super::{Facts, admission_request, ask, body, check};
use crate::batch::RootCache;
use crate::claims::Claims;
use crate::envelope::Envelope;
use crate::error::OpenError;
use crate::keyset::{DecryptionKeys, KeyLookup};
use crate::kid::KeyId;
use crate::name::ContentType;
use crate::policy::Policy;
use crate::provider::Provider;
use crate::refusal::Refusal;
use crate::replay::{Admission, ReplayGuard};
use crate::suite::{Kind, Suite};
use crate::time::Clock;

/// An envelope and the steps that it has passed.
#[allow(missing_debug_implementations)] // Not part of the interface.
pub struct InPlace<'a> {
    envelope: Envelope<'a>,
    facts: Facts,
    /// Whether `facts` are valid.
    is_verified: bool,
    is_admitted: bool,
}

/// The location of a body.
#[allow(missing_debug_implementations)] // Not part of the interface.
#[expect(clippy::exhaustive_enums, reason = "the C interface matches both places")]
pub enum BodyLocation<'a> {
    /// In the envelope.
    Envelope(&'a [u8]),
    /// At the start of the buffer that was handed in.
    Buffer,
}

impl Default for InPlace<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> InPlace<'a> {
    /// Creates an empty value.
    #[must_use]
    pub const fn new() -> Self {
        let facts = Facts { digest: [0; 32], forget_after: None, seen_at: 0 };
        Self { envelope: Envelope::UNSET, facts, is_verified: false, is_admitted: false }
    }

    /// Like [`Unverified::parse`](super::Unverified::parse) followed by
    /// [`verify_with`](super::Unverified::verify_with). Discards the previous envelope, also on failure.
    ///
    /// # Errors
    /// As these.
    pub fn verify(
        &mut self,
        bytes: &'a [u8],
        provider: &impl Provider,
        roots: &mut impl RootCache,
        keys: &impl KeyLookup,
        policy: &Policy<'_>,
        clock: &mut impl Clock,
    ) -> Result<(), OpenError> {
        *self = Self::new();
        self.envelope.decode(bytes, None)?;
        self.facts = check(&self.envelope, provider, roots, keys, policy, clock)?;
        self.is_verified = true;
        Ok(())
    }

    /// Like [`Verified::admit`](super::Verified::admit).
    ///
    /// # Errors
    /// As that; [`Refusal::Rejected`] before [`verify`](Self::verify).
    pub fn admit(&mut self, guard: &mut impl ReplayGuard) -> Result<Admission, OpenError> {
        if !self.is_verified {
            return Err(Refusal::Rejected.into());
        }
        let admission = ask(&admission_request(&self.envelope, &self.facts), guard)?;
        self.is_admitted = true;
        Ok(admission)
    }

    /// Like [`Admitted::open_with`](super::Admitted::open_with), or
    /// [`Verified::open_result`](super::Verified::open_result) for a result. A decrypted body is not wiped.
    ///
    /// # Errors
    /// As these; [`Refusal::Rejected`] before [`admit`](Self::admit), for a result before [`verify`](Self::verify).
    pub fn open(
        &self,
        provider: &impl Provider,
        keys: &mut impl DecryptionKeys,
        buffer: &mut [u8],
    ) -> Result<BodyLocation<'a>, OpenError> {
        let may_open = self.is_admitted || self.kind() == Kind::Result;
        if !self.is_verified || !may_open {
            return Err(Refusal::Rejected.into());
        }
        Ok(match body(&self.envelope, provider, keys, buffer)? {
            Body::Clear(body) => BodyLocation::Envelope(body),
            Body::Decrypted(_) => BodyLocation::Buffer,
        })
    }

    /// Returns the body of a verified envelope if it is not encrypted.
    #[must_use]
    pub fn clear_body(&self) -> Option<&'a [u8]> {
        (self.is_verified && !self.suite().encrypts()).then_some(self.envelope.payload)
    }

    /// Returns the claims. They and all further values are verified once [`verify`](Self::verify) has succeeded.
    #[must_use]
    pub const fn claims(&self) -> &Claims<'a> {
        &self.envelope.header.claims
    }

    /// Returns the kid of the key that sealed the envelope.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.envelope.header.kid
    }

    /// Returns whether the envelope is a task or a result.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.envelope.header.kind
    }

    /// Returns the suite of the envelope.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.envelope.suite()
    }

    /// Returns whether the envelope is part of a batch.
    #[must_use]
    pub const fn is_batched(&self) -> bool {
        self.envelope.is_batched()
    }

    /// Returns the media type of the body.
    #[must_use]
    pub const fn content_type(&self) -> ContentType<'a> {
        self.envelope.content_type()
    }

    /// Returns the size of the body, in bytes.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.envelope.body_len()
    }

    /// Returns the SHA-256 of the whole envelope.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.facts.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyset::RecordKey;
    use crate::provider::Software;
    use crate::replay::ReplayWindow;
    use crate::seal::Sealer;
    use crate::suite::SuiteSet;
    use crate::testing::{NOW, claims, keyset, record, seal, signing_key};
    use crate::time::TimeWindow;

    #[test]
    fn an_envelope_in_place_that_is_refused_leaves_nothing_of_the_one_before() {
        let key = signing_key(1).verifying_key();
        let policy = Policy { suites: SuiteSet::NONE.with(Suite::S), ..Policy::for_tasks(claims().audience) };
        let keys = keyset([record(RecordKey::Es256(&key))]);
        let good = seal(&mut Sealer::sign(signing_key(1)), &claims(), b"good");
        let forged = seal(&mut Sealer::sign(signing_key(2)), &claims(), b"forged");
        let mut place = InPlace::new();
        let mut clock = TimeWindow::exact(NOW);
        place.verify(&good, &Software, &mut (), &keys, &policy, &mut clock).unwrap();
        place.admit(&mut ReplayWindow::<1>::new()).unwrap();
        assert_eq!(place.clear_body(), Some(&b"good"[..]));
        for bytes in [&forged[..], b"junk", &good[..good.len() - 1]] {
            let again = place.verify(bytes, &Software, &mut (), &keys, &policy, &mut clock);
            assert!(matches!(again, Err(OpenError::Refused(_))));
            assert_eq!(place.clear_body(), None);
            assert!(place.open(&Software, &mut (), &mut []).is_err());
            assert!(place.admit(&mut ReplayWindow::<1>::new()).is_err());
        }
    }
}
