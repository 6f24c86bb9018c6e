//! HMAC-SHA256 with a key in a token, for suite M.

use std::fmt;

use cryptoki::error::Error as Cryptoki;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use taskseal_core::provider::MacStructure;
use taskseal_core::{Authenticator, KeyId, Secret, tags_match};
use zeroize::Zeroizing;

use super::attributes::Attributes;
use super::ecdsa::SELF_TEST;
use super::generate::{self, SecretKind};
use super::handle::PinnedKey;
use super::load::{LoadRequest, LoadedKey};
use super::selector::KeySelector;
use crate::error::{Error, Failure, KeyDefect, if_unsupported};
use crate::pool::operation::ObjectAccess;
use crate::pool::session::Session;
use crate::settings::SelfCheck;
use crate::token::Token;

/// An HMAC-SHA256 key in a token. Clones share it, and any number of threads can use it at once.
#[derive(Clone)]
pub struct MacKey(LoadedKey<PinnedMac>);

#[derive(Clone, Copy)]
struct PinnedMac {
    kid: KeyId,
    /// The tag of [`SELF_TEST`], which differs for every other key.
    proof: [u8; 32],
}

impl PinnedKey for PinnedMac {
    fn class(&self) -> ObjectClass {
        ObjectClass::SECRET_KEY
    }

    fn access(&self) -> ObjectAccess {
        ObjectAccess::Read
    }

    fn check(&self, attributes: &Attributes, allow_extractable: bool) -> Result<(), KeyDefect> {
        attributes.check_mac(allow_extractable)
    }

    fn prove(&self, session: &Session, handle: ObjectHandle, _: &KeySelector) -> Result<(), Failure> {
        if tags_match(&proof(session, handle)?, &self.proof) { Ok(()) } else { Err(Error::KeyChanged.into()) }
    }
}

impl MacKey {
    /// Generates a key of 32 bytes in the token, with a random kid. The key is destroyed if it cannot be loaded.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the token lacks `CKM_GENERIC_SECRET_KEY_GEN` or `CKM_SHA256_HMAC`, [`Error::Config`]
    /// if the label is in use; otherwise [`Error`].
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
        let selector = generate::secret(token, SecretKind::Generic, label, &template)?;
        Self::load(token, &selector).inspect_err(|_| generate::discard(token, &selector))
    }

    /// Finds a key, checks its attributes and computes a tag with it.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`], [`Error::WrongKey`], [`Error::Unsupported`] if the token lacks
    /// `CKM_SHA256_HMAC`; otherwise [`Error`].
    pub fn load(token: &Token, selector: &KeySelector) -> Result<Self, Error> {
        let request = LoadRequest { selector, class: ObjectClass::SECRET_KEY, access: ObjectAccess::Read };
        LoadedKey::load(token, request, |context, handle, attributes| {
            attributes.check_mac(context.settings.allow_extractable)?;
            let kid = attributes.kid()?;
            Ok(PinnedMac { kid, proof: proof(context.session, handle)? })
        })
        .map(Self)
    }

    /// Returns the kid: 8 random bytes.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.0.pinned.kid
    }

    /// Returns the label (`CKA_LABEL`).
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Returns the tag of a message. With [`SelfCheck::Always`] the token computes it twice.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is unavailable, [`Error::FaultyAnswer`] if the two tags differ,
    /// [`Error::TooLong`] if the token does not accept a message of this length; otherwise [`Error`].
    pub fn mac(&self, message: &[u8]) -> Result<[u8; 32], Error> {
        self.tag_of(Zeroizing::new(message.to_vec()))
    }

    fn tag_of(&self, message: Zeroizing<Vec<u8>>) -> Result<[u8; 32], Error> {
        self.0.run(ObjectAccess::Read, move |context, session, key| {
            let first = match tag(session, key, &message) {
                Err(Failure::Library(error)) => again(session, key, &message, error)?,
                result => result?,
            };
            // The host has no key to verify the tag with.
            if context.settings.self_check == SelfCheck::Always
                && !tags_match(&first, &tag(session, key, &message)?)
            {
                return Err(Error::FaultyAnswer.into());
            }
            Ok(first)
        })
    }
}

impl Authenticator for MacKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        Self::kid(self)
    }

    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Error> {
        (&*self).authenticate(message)
    }
}

/// Allows any number of threads to authenticate with one key. The message is copied into one buffer, because the token
/// receives it in one call.
impl Authenticator for &MacKey {
    type Error = Error;

    fn kid(&self) -> KeyId {
        MacKey::kid(self)
    }

    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Error> {
        let mut whole = Zeroizing::new(Vec::with_capacity(message.len()));
        message.pieces(|piece| whole.extend_from_slice(piece));
        self.tag_of(whole).map(|tag| Secret::copy_from(&tag))
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacKey")
            .field("kid", &self.kid())
            .field("label", &self.label())
            .finish_non_exhaustive()
    }
}

fn tag(session: &Session, key: ObjectHandle, message: &[u8]) -> Result<[u8; 32], Failure> {
    let tag = session.sign(&Mechanism::Sha256Hmac, key, message);
    let tag = tag.map_err(|error| if_unsupported(error, "CKM_SHA256_HMAC"))?;
    Ok(tag.try_into().map_err(|_| Error::FaultyAnswer)?)
}

/// Computes the tag again after an error. Returns [`Error::TooLong`] if the key works for a short message before and after this
/// one has failed for the second time: then the message is the cause, whichever code the token returns. Otherwise callers would
/// retry the same message without end.
fn again(session: &Session, key: ObjectHandle, message: &[u8], error: Cryptoki) -> Result<[u8; 32], Failure> {
    if message.len() <= SELF_TEST.len() || proof(session, key).is_err() {
        return Err(error.into());
    }
    match tag(session, key, message) {
        Err(Failure::Library(_)) if proof(session, key).is_ok() => {
            Err(Error::TooLong { len: message.len() }.into())
        }
        result => result,
    }
}

/// Returns the tag of [`SELF_TEST`].
fn proof(session: &Session, key: ObjectHandle) -> Result<[u8; 32], Failure> {
    tag(session, key, &SELF_TEST)
}
