//! P-256 keys in a token, for signatures or for key agreement.

use std::fmt;
use std::time::Instant;

use cryptoki::object::{ObjectClass, ObjectHandle};
use taskseal_core::keys::{AgreementPublicKey, POINT_LEN, VerifyingKey};
use taskseal_core::{Agree, KeyId, Secret, Signer};

use super::attributes::Attributes;
use super::generate::LabelRule;
use super::handle::PinnedKey;
use super::load::{LoadRequest, LoadedKey};
use super::secret::unboxed;
use super::selector::KeySelector;
use super::usage::Usage;
use super::{ecdh, ecdsa, generate, public_key};
use crate::error::{Error, Failure, KeyDefect};
use crate::health::add;
use crate::pool::operation::ObjectAccess;
use crate::pool::session::Session;
use crate::settings::SelfCheck;
use crate::token::Token;

/// A P-256 key in a token. Clones share it, and any number of threads can use it at once.
#[derive(Clone)]
pub struct EcKey(LoadedKey<PinnedEc>);

/// The public half of a key and its use.
#[derive(Clone, Copy)]
struct PinnedEc {
    usage: Usage,
    agreement: AgreementPublicKey,
    verifying: VerifyingKey,
}

impl PinnedEc {
    fn new(usage: Usage, point: &[u8; POINT_LEN]) -> Result<Self, KeyDefect> {
        Ok(Self {
            usage,
            agreement: AgreementPublicKey::from_point(point).map_err(|_| KeyDefect::PublicKey)?,
            verifying: VerifyingKey::from_point(point).map_err(|_| KeyDefect::PublicKey)?,
        })
    }

    fn self_test(&self, session: &Session, key: ObjectHandle) -> Result<(), Failure> {
        match self.usage {
            Usage::Sign => ecdsa::self_test(session, key, &self.verifying),
            Usage::Agree => ecdh::self_test(session, key, &self.agreement),
        }
    }
}

impl PinnedKey for PinnedEc {
    fn class(&self) -> ObjectClass {
        ObjectClass::PRIVATE_KEY
    }

    fn access(&self) -> ObjectAccess {
        access(self.usage)
    }

    fn check(&self, attributes: &Attributes, allow_extractable: bool) -> Result<(), KeyDefect> {
        attributes.check_ec(self.usage, allow_extractable)
    }

    fn prove(&self, session: &Session, handle: ObjectHandle, name: &KeySelector) -> Result<(), Failure> {
        public_key::check_pinned(session, handle, name, &self.verifying.to_point())?;
        self.self_test(session, handle)
    }
}

/// A key agreement creates an object of the session.
const fn access(usage: Usage) -> ObjectAccess {
    match usage {
        Usage::Sign => ObjectAccess::Read,
        Usage::Agree => ObjectAccess::Modify,
    }
}

impl EcKey {
    /// Generates a key in the token: sensitive, not extractable, restricted to this use, with its kid as `CKA_ID`. The
    /// key is then loaded as by [`EcKey::load`], and destroyed if that fails.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Config`] if the label is in use; otherwise [`Error`].
    pub fn generate(token: &Token, usage: Usage, label: &str) -> Result<Self, Error> {
        Self::generate_with(token, usage, label, LabelRule::Unused)
    }

    /// Generates a key as [`generate`](Self::generate) does, also if other keys have the label: a rotation leaves the former key in use.
    /// The caller names each of them by its id, because the label is ambiguous.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn generate_beside(token: &Token, usage: Usage, label: &str) -> Result<Self, Error> {
        Self::generate_with(token, usage, label, LabelRule::Any)
    }

    fn generate_with(token: &Token, usage: Usage, label: &str, rule: LabelRule) -> Result<Self, Error> {
        let selector = generate::ec_pair(token, usage, label, rule)?;
        Self::load(token, &selector, usage).inspect_err(|_| generate::discard(token, &selector))
    }

    /// Finds a key, checks its attributes, reads its public half and runs its self-test.
    ///
    /// `CKA_ID` may have any length: the kid is computed from the public half. An id of 8 bytes must be the kid, unless
    /// [`Settings::allow_other_ids`](crate::Settings::allow_other_ids) is set. A key without an id needs a label that no other
    /// key has.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`], [`Error::WrongKey`], [`Error::FaultyAnswer`]; otherwise [`Error`].
    pub fn load(token: &Token, selector: &KeySelector, usage: Usage) -> Result<Self, Error> {
        let request = LoadRequest { selector, class: ObjectClass::PRIVATE_KEY, access: access(usage) };
        LoadedKey::load(token, request, move |context, handle, attributes| {
            attributes.check_ec(usage, context.settings.allow_extractable)?;
            let point = public_key::read(context.session, handle, &attributes.name())?;
            let pinned = PinnedEc::new(usage, &point)?;
            if !context.settings.allow_other_ids {
                attributes.check_id(pinned.verifying.kid())?;
            }
            pinned.self_test(context.session, handle)?;
            Ok(pinned)
        })
        .map(Self)
    }

    /// Returns the kid: the first 8 bytes of the thumbprint of the public key (RFC 9679).
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.0.pinned.verifying.kid()
    }

    /// Returns the use of the key.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.0.pinned.usage
    }

    /// Returns the label (`CKA_LABEL`).
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Returns the token that the key is in.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.0.token
    }

    /// Returns the uncompressed public point, `04 || x || y`.
    #[must_use]
    pub fn public_point(&self) -> [u8; POINT_LEN] {
        self.0.pinned.verifying.to_point()
    }

    /// Returns the public key that verifies signatures of this key.
    ///
    /// # Errors
    /// [`KeyDefect::OtherUse`] if this is not a signing key.
    pub fn verifying_key(&self) -> Result<VerifyingKey, Error> {
        self.require(Usage::Sign).map(|()| self.0.pinned.verifying)
    }

    /// Returns the public key for key agreement with this key.
    ///
    /// # Errors
    /// [`KeyDefect::OtherUse`] if this is not an agreement key.
    pub fn agreement_key(&self) -> Result<AgreementPublicKey, Error> {
        self.require(Usage::Agree).map(|()| self.0.pinned.agreement)
    }

    /// Signs a SHA-256 digest. Returns `r || s` with the smaller of the two possible values of `s`.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is unavailable, [`Error::FaultyAnswer`] if the signature does not verify;
    /// otherwise [`Error`].
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], Error> {
        self.require(Usage::Sign)?;
        let digest = *digest;
        let verifying = self.0.pinned.verifying;
        self.0.run(ObjectAccess::Read, move |context, session, key| {
            let start = Instant::now();
            let signature = ecdsa::sign(session, key, &digest)?;
            context.counters.record_signature(start.elapsed());
            if context.settings.self_check == SelfCheck::Always {
                ecdsa::verify(&verifying, &digest, &signature)?;
            }
            Ok(signature)
        })
    }

    /// Returns the x-coordinate of the point shared with `peer`. Unlike a wrong signature, a wrong shared secret cannot
    /// be detected by the host: a task sealed for the key then fails to decrypt. [`EcKey::self_test`] tells whether
    /// the token is the cause.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is unavailable; otherwise [`Error`].
    pub fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, Error> {
        self.require(Usage::Agree)?;
        let peer = *peer;
        let secret = self.0.run(ObjectAccess::Modify, move |context, session, key| {
            let secret = ecdh::agree(session, key, &peer)?;
            add(&context.counters.agreements);
            Ok(secret)
        })?;
        Ok(unboxed(&secret))
    }

    /// Runs the self-test of the key, as after a login: it signs a fixed digest, or agrees with an ephemeral key of
    /// the host, which computes the expected result.
    ///
    /// # Errors
    /// [`Error::FaultyAnswer`] if the token returns a wrong result; it is then down until its keys pass their
    /// self-tests. [`Error::Transient`] while the token is unavailable; otherwise [`Error`].
    pub fn self_test(&self) -> Result<(), Error> {
        let pinned = self.0.pinned;
        self.0.run(pinned.access(), move |_, session, key| pinned.self_test(session, key))
    }

    fn require(&self, usage: Usage) -> Result<(), Error> {
        if self.usage() == usage { Ok(()) } else { Err(KeyDefect::OtherUse.into()) }
    }
}

impl Signer for EcKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        Self::kid(self)
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Error> {
        Self::sign_digest(self, digest)
    }
}

/// Allows any number of threads to sign with one key.
impl Signer for &EcKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        EcKey::kid(self)
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Error> {
        EcKey::sign_digest(self, digest)
    }
}

impl Agree for EcKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        Self::kid(self)
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Error> {
        Self::agree(self, peer)
    }
}

/// Allows any number of threads to agree with one key.
impl Agree for &EcKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        EcKey::kid(self)
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Error> {
        EcKey::agree(self, peer)
    }
}

impl fmt::Debug for EcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcKey")
            .field("kid", &self.kid())
            .field("usage", &self.usage())
            .field("label", &self.label())
            .finish_non_exhaustive()
    }
}
