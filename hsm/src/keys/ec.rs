//! P-256 keys in a token: one type for those that sign and those that agree.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use cryptoki::object::ObjectClass;
use taskseal_core::keys::{AgreementPublicKey, POINT_LEN, VerifyingKey};
use taskseal_core::{Agree, KeyId, Secret, Signer};

use crate::error::{Error, KeyDefect};
use crate::health::add;
use crate::keys::attributes::Attributes;
use crate::keys::handle::{Identity, Located};
use crate::keys::secret::unboxed;
use crate::keys::selector::KeySelector;
use crate::keys::{ecdh, ecdsa, generate, public_key};
use crate::pool::worker::{Objects, Repeat};
use crate::settings::SelfCheck;
use crate::token::Token;

/// What a key is for. A key does one thing only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Usage {
    /// ES256 signatures (`CKA_SIGN`).
    Sign,
    /// ECDH key agreement (`CKA_DERIVE`).
    Agree,
}

/// A P-256 key in a token. Cheap to clone; can be used by many threads at once.
#[derive(Clone)]
pub struct EcKey {
    token: Token,
    located: Arc<Located>,
    usage: Usage,
    public: AgreementPublicKey,
    verifying: VerifyingKey,
    label: Arc<str>,
}

impl EcKey {
    /// Makes a key in the token: sensitive, not extractable, for this use only, its `CKA_ID` its kid. It is read back
    /// and tested as [`EcKey::load`] does, and destroyed if it does not pass.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Config`] if the label is taken; otherwise [`Error`].
    pub fn generate(token: &Token, usage: Usage, label: &str) -> Result<Self, Error> {
        let selector = generate::ec_pair(token, usage, label)?;
        // A token that makes such keys but cannot use them must not keep them.
        Self::load(token, &selector, usage).inspect_err(|_| generate::discard(token, &selector))
    }

    /// Finds a key, checks its attributes, reads its public half once and has it prove that it works.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`], [`Error::WrongKey`], [`Error::FaultyAnswer`]; otherwise [`Error`].
    pub fn load(token: &Token, selector: &KeySelector, usage: Usage) -> Result<Self, Error> {
        let selector = selector.clone();
        let allow_extractable = token.shared().settings.allow_extractable;
        let allow_other_ids = token.shared().settings.allow_other_ids;
        let objects = match usage {
            Usage::Sign => Objects::Untouched,
            Usage::Agree => Objects::Made,
        };
        let (located, point, label) = token.run(Repeat::Yes, objects, move |bench| {
            let handle = selector.find(bench.session, ObjectClass::PRIVATE_KEY)?;
            let attributes = Attributes::read(bench.session, handle)?;
            attributes.check_ec(usage, allow_extractable)?;
            let point = public_key::read(bench.session, handle, &attributes.id)?;
            let verifying = VerifyingKey::from_point(&point).map_err(|_| KeyDefect::PublicKey)?;
            // By its id it is found again.
            if attributes.id.is_empty() || (!allow_other_ids && attributes.kid()? != verifying.kid()) {
                return Err(KeyDefect::Id.into());
            }
            let identity = match usage {
                Usage::Sign => {
                    ecdsa::self_test(bench.session, handle, &verifying)?;
                    Identity::Signing(verifying)
                }
                Usage::Agree => {
                    let public = AgreementPublicKey::from_point(&point).map_err(|_| KeyDefect::PublicKey)?;
                    ecdh::self_test(bench.session, handle, &public)?;
                    Identity::Agreement(public)
                }
            };
            let generation = bench.footing.generation;
            let located = Located::new(attributes.id, identity, allow_extractable, generation, handle);
            Ok((located, point, attributes.label))
        })?;
        let located = Arc::new(located);
        token.shared().register(&located);
        Ok(Self {
            token: token.clone(),
            located,
            usage,
            public: AgreementPublicKey::from_point(&point).map_err(|_| KeyDefect::PublicKey)?,
            verifying: VerifyingKey::from_point(&point).map_err(|_| KeyDefect::PublicKey)?,
            label: label.into(),
        })
    }

    /// The kid: the first 8 bytes of the public key's thumbprint (RFC 9679).
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.verifying.kid()
    }

    /// What it is for.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// `CKA_LABEL`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The token it is in.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The uncompressed public point, `04 || x || y`.
    #[must_use]
    pub fn public_point(&self) -> [u8; POINT_LEN] {
        self.verifying.to_point()
    }

    /// What verifies its signatures.
    ///
    /// # Errors
    /// [`KeyDefect::Usage`] for a key that does not sign.
    pub fn verifying_key(&self) -> Result<VerifyingKey, Error> {
        self.require(Usage::Sign).map(|()| self.verifying)
    }

    /// What others agree with.
    ///
    /// # Errors
    /// [`KeyDefect::Usage`] for a key that does not agree.
    pub fn agreement_key(&self) -> Result<AgreementPublicKey, Error> {
        self.require(Usage::Agree).map(|()| self.public)
    }

    /// Signs a SHA-256 digest; returns `r || s` with the smaller `s`.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is away; [`Error::FaultyAnswer`] if the token signed wrongly; otherwise
    /// [`Error`].
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], Error> {
        self.require(Usage::Sign)?;
        let located = Arc::clone(&self.located);
        let digest = *digest;
        let verifying = self.verifying;
        self.token.run(Repeat::Yes, Objects::Untouched, move |bench| {
            let signature = located.using(bench, |session, handle| {
                let began = Instant::now();
                let signature = ecdsa::sign(session, handle, &digest)?;
                bench.shared.counters.signed(began.elapsed());
                Ok(signature)
            })?;
            if bench.shared.settings.self_check == SelfCheck::Always {
                ecdsa::check(&verifying, &digest, &signature)?;
            }
            Ok(signature)
        })
    }

    /// The x-coordinate of the point shared with `peer`. The host cannot tell a wrong one, as it can a wrong signature:
    /// what was encrypted for the key does not decrypt with it. Whoever meets that asks [`EcKey::self_test`] whether
    /// the token is to blame.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is away; otherwise [`Error`].
    pub fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, Error> {
        self.require(Usage::Agree)?;
        let located = Arc::clone(&self.located);
        let peer = *peer;
        let secret = self.token.run(Repeat::Yes, Objects::Made, move |bench| {
            let secret = located.using(bench, |session, handle| ecdh::agree(session, handle, &peer))?;
            add(&bench.shared.counters.agreements);
            Ok(secret)
        })?;
        Ok(unboxed(&secret))
    }

    /// Has the key prove itself again, as after a login: sign a fixed digest, or agree with an ephemeral key of the
    /// host, which knows what has to come of it. One more use of the key, and an agreement in software.
    ///
    /// # Errors
    /// [`Error::FaultyAnswer`] if the token calculated wrongly; it is down then until its keys pass the test.
    /// [`Error::Transient`] while the token is away; otherwise [`Error`].
    pub fn self_test(&self) -> Result<(), Error> {
        let located = Arc::clone(&self.located);
        let (usage, verifying, public) = (self.usage, self.verifying, self.public);
        self.token.run(Repeat::Yes, located.objects(), move |bench| {
            located.using(bench, |session, handle| match usage {
                Usage::Sign => ecdsa::self_test(session, handle, &verifying),
                Usage::Agree => ecdh::self_test(session, handle, &public),
            })
        })
    }

    fn require(&self, usage: Usage) -> Result<(), Error> {
        if self.usage == usage { Ok(()) } else { Err(KeyDefect::Usage.into()) }
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

/// Many threads sign with one key.
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

/// Many threads agree with one key.
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
            .field("usage", &self.usage)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}
