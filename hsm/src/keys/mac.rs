//! HMAC-SHA256 with a key in a token, for suite M.

use std::fmt;
use std::sync::Arc;

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use taskseal_core::provider::MacStructure;
use taskseal_core::{Authenticator, KeyId, Secret};
use zeroize::Zeroizing;

use crate::error::{Error, Failure};
use crate::keys::attributes::Attributes;
use crate::keys::ecdsa::SELF_TEST;
use crate::keys::generate::{self, SecretKind};
use crate::keys::handle::{Identity, Located};
use crate::keys::selector::KeySelector;
use crate::pool::session::Session;
use crate::pool::worker::{Objects, Repeat};
use crate::settings::SelfCheck;
use crate::token::Token;

/// An HMAC-SHA256 key in a token.
#[derive(Clone)]
pub struct MacKey {
    token: Token,
    located: Arc<Located>,
    kid: KeyId,
    label: Arc<str>,
}

impl MacKey {
    /// Makes a key of 32 bytes in the token, with a random kid.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the token has no `CKM_GENERIC_SECRET_KEY_GEN` or no `CKM_SHA256_HMAC`; otherwise
    /// [`Error`].
    pub fn generate(token: &Token, label: &str) -> Result<Self, Error> {
        let template = [
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Sign(true),
            Attribute::Verify(false),
            Attribute::Derive(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
        ];
        let kid = generate::secret(token, SecretKind::Generic, label, &template)?;
        // A token that makes such keys but cannot use them must not keep them.
        Self::load(token, &KeySelector::kid(kid))
            .inspect_err(|_| generate::discard(token, &KeySelector::kid(kid)))
    }

    /// Finds a key, checks its attributes and has it calculate.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`], [`Error::WrongKey`], [`Error::Unsupported`] if the token has no
    /// `CKM_SHA256_HMAC`; otherwise [`Error`].
    pub fn load(token: &Token, selector: &KeySelector) -> Result<Self, Error> {
        let selector = selector.clone();
        let allow_extractable = token.shared().settings.allow_extractable;
        let (located, kid, label) = token.run(Repeat::Yes, Objects::Untouched, move |bench| {
            let handle = selector.find(bench.session, ObjectClass::SECRET_KEY)?;
            let attributes = Attributes::read(bench.session, handle)?;
            attributes.check_mac(allow_extractable)?;
            let kid = attributes.kid()?;
            let identity = Identity::Mac(proof(bench.session, handle)?);
            let generation = bench.footing.generation;
            let located = Located::new(attributes.id, identity, allow_extractable, generation, handle);
            Ok((located, kid, attributes.label))
        })?;
        let located = Arc::new(located);
        token.shared().register(&located);
        Ok(Self { token: token.clone(), located, kid, label: label.into() })
    }

    /// The kid: 8 random bytes.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// `CKA_LABEL`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The tag of a message. With [`SelfCheck::Always`] the token calculates it twice.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is away; [`Error::FaultyAnswer`] if the two differ; [`Error::TooLong`] for a
    /// message that the token refuses for its length; otherwise [`Error`].
    pub fn mac(&self, message: &[u8]) -> Result<[u8; 32], Error> {
        self.tag_of(Zeroizing::new(message.to_vec()))
    }

    fn tag_of(&self, message: Zeroizing<Vec<u8>>) -> Result<[u8; 32], Error> {
        let located = Arc::clone(&self.located);
        self.token.run(Repeat::Yes, Objects::Untouched, move |bench| {
            located.using(bench, |session, handle| {
                let first = tag(session, handle, &message)
                    .map_err(|failure| blamed(failure, session, handle, message.len()))?;
                // The host has no key to check it with.
                if bench.shared.settings.self_check == SelfCheck::Always
                    && !taskseal_core::tags_match(&first, &tag(session, handle, &message)?)
                {
                    return Err(Error::FaultyAnswer.into());
                }
                Ok(first)
            })
        })
    }
}

impl Authenticator for MacKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        self.kid
    }

    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Error> {
        (&*self).authenticate(message)
    }
}

/// Many threads authenticate with one key. The message is copied together: a token gets it in one call.
impl Authenticator for &MacKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        self.kid
    }

    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Error> {
        let mut whole = Zeroizing::new(Vec::with_capacity(message.len()));
        message.pieces(|piece| whole.extend_from_slice(piece));
        self.tag_of(whole).map(|tag| Secret::copy_from(&tag))
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacKey").field("kid", &self.kid).field("label", &self.label).finish_non_exhaustive()
    }
}

fn tag(session: &Session, key: ObjectHandle, message: &[u8]) -> Result<[u8; 32], Failure> {
    let tag = session.sign(&Mechanism::Sha256Hmac, key, message);
    let tag = tag.map_err(|error| generate::unsupported(error, "CKM_SHA256_HMAC"))?;
    Ok(tag.try_into().map_err(|_| Error::FaultyAnswer)?)
}

/// What a failure comes to that the token puts down to the length of a message. Where it says that of a short text too,
/// the key is to blame: whoever took that for the message's fault would give up one message after the other.
fn blamed(failure: Failure, session: &Session, key: ObjectHandle, len: usize) -> Failure {
    let by_length =
        |failure: &Failure| matches!(failure, Failure::Library(Cryptoki::Pkcs11(RvError::DataLenRange, _)));
    if !by_length(&failure) || proof(session, key).is_err_and(|of_short| by_length(&of_short)) {
        return failure;
    }
    Error::TooLong { len }.into()
}

/// What the key makes of a text that is no message: tells it from every other key.
pub(crate) fn proof(session: &Session, key: ObjectHandle) -> Result<[u8; 32], Failure> {
    tag(session, key, &SELF_TEST)
}
