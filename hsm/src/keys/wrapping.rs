//! AES key wrap (RFC 3394) with a key in a token, for key files that are useless without the token.

use std::fmt;

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use taskseal_core::{KeyId, Secret, tags_match};
use zeroize::Zeroize;

use super::attributes::Attributes;
use super::ecdsa::SELF_TEST;
use super::generate::{self, SecretKind};
use super::handle::PinnedKey;
use super::load::{LoadRequest, LoadedKey};
use super::secret::{BoxedSecret, boxed, read_value, unboxed};
use super::selector::KeySelector;
use crate::error::{Error, Failure, KeyDefect, if_unsupported};
use crate::pool::operation::ObjectAccess;
use crate::pool::session::Session;
use crate::token::Token;

/// An AES-256 key in a token that wraps keys of 32 bytes. Clones share it, and any number of threads can use it at once.
#[derive(Clone)]
pub struct WrappingKey(LoadedKey<PinnedWrapping>);

/// Length of a wrapped key, in bytes: 32 for the key and 8 for the integrity check.
pub const WRAPPED_LEN: usize = 40;

#[derive(Clone)]
struct PinnedWrapping {
    kid: KeyId,
    /// [`SELF_TEST`], wrapped, which differs for every other key.
    proof: Vec<u8>,
}

impl PinnedKey for PinnedWrapping {
    fn class(&self) -> ObjectClass {
        ObjectClass::SECRET_KEY
    }

    fn access(&self) -> ObjectAccess {
        ObjectAccess::Modify
    }

    fn check(&self, attributes: &Attributes, allow_extractable: bool) -> Result<(), KeyDefect> {
        attributes.check_wrapping(allow_extractable)
    }

    fn prove(&self, session: &Session, handle: ObjectHandle, _: &KeySelector) -> Result<(), Failure> {
        if proof(session, handle)? == self.proof { Ok(()) } else { Err(Error::KeyChanged.into()) }
    }
}

impl WrappingKey {
    /// Generates a key in the token, with a random kid. It can wrap and unwrap keys, and cannot decrypt. The key is
    /// destroyed if it cannot be loaded.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the token lacks `CKM_AES_KEY_GEN` or `CKM_AES_KEY_WRAP`, [`Error::Config`] if the
    /// label is in use; otherwise [`Error`].
    pub fn generate(token: &Token, label: &str) -> Result<Self, Error> {
        let template = [
            Attribute::KeyType(KeyType::AES),
            Attribute::Wrap(true),
            Attribute::Unwrap(true),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
            Attribute::Sign(false),
            Attribute::Verify(false),
            Attribute::Derive(false),
        ];
        let selector = generate::secret(token, SecretKind::Aes, label, &template)?;
        Self::load(token, &selector).inspect_err(|_| generate::discard(token, &selector))
    }

    /// Finds a key, checks its attributes and wraps a fixed value with it.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`], [`Error::WrongKey`], [`Error::Unsupported`] if the token lacks
    /// `CKM_AES_KEY_WRAP`; otherwise [`Error`].
    pub fn load(token: &Token, selector: &KeySelector) -> Result<Self, Error> {
        let request = LoadRequest { selector, class: ObjectClass::SECRET_KEY, access: ObjectAccess::Modify };
        LoadedKey::load(token, request, |context, handle, attributes| {
            attributes.check_wrapping(context.settings.allow_extractable)?;
            let kid = attributes.kid()?;
            Ok(PinnedWrapping { kid, proof: proof(context.session, handle)? })
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

    /// Wraps a key. The result is deterministic. It is unwrapped and compared before it is returned, so that a fault is
    /// detected now and not when the key is needed.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is unavailable, [`Error::FaultyAnswer`] if the result unwraps to another
    /// key; otherwise [`Error`].
    pub fn wrap(&self, key: &Secret<32>) -> Result<[u8; WRAPPED_LEN], Error> {
        let key = boxed(key.as_bytes());
        self.0.run(ObjectAccess::Modify, move |_, session, kek| {
            let wrapped = wrap(session, kek, key.as_bytes())?;
            match unwrap(session, kek, &wrapped) {
                Ok(unwrapped) if tags_match(unwrapped.as_bytes(), key.as_bytes()) => {}
                Ok(_) | Err(Failure::Final(Error::NotWrapped)) => return Err(Error::FaultyAnswer.into()),
                Err(failure) => return Err(failure),
            }
            Ok(wrapped.try_into().map_err(|_| Error::FaultyAnswer)?)
        })
    }

    /// Unwraps a key.
    ///
    /// # Errors
    /// [`Error::NotWrapped`] if the bytes were modified or wrapped with a different key, [`Error::Transient`] while the
    /// token is unavailable; otherwise [`Error`].
    pub fn unwrap(&self, wrapped: &[u8; WRAPPED_LEN]) -> Result<Secret<32>, Error> {
        let wrapped = *wrapped;
        let secret =
            self.0.run(ObjectAccess::Modify, move |_, session, kek| unwrap(session, kek, &wrapped))?;
        Ok(unboxed(&secret))
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappingKey")
            .field("kid", &self.kid())
            .field("label", &self.label())
            .finish_non_exhaustive()
    }
}

/// Wraps a key. `C_WrapKey` accepts objects only, so the key is a session object during the call.
fn wrap(session: &Session, kek: ObjectHandle, key: &[u8; 32]) -> Result<Vec<u8>, Failure> {
    let mut template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::Value(key.to_vec()),
    ];
    let object = session.create_object(&template);
    if let Some(Attribute::Value(bytes)) = template.last_mut() {
        bytes.zeroize();
    }
    let object = object?;
    let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, kek, object);
    session.destroy_object(object)?;
    wrapped.map_err(|error| if_unsupported(error, "CKM_AES_KEY_WRAP"))
}

fn unwrap(session: &Session, kek: ObjectHandle, wrapped: &[u8]) -> Result<BoxedSecret, Failure> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    let object = match session.unwrap_key(&Mechanism::AesKeyWrap, kek, wrapped, &template) {
        Ok(object) => object,
        Err(error) => return Err(unwrap_failed(session, kek, error)),
    };
    let value = read_value(session, object);
    session.destroy_object(object)?;
    value
}

/// Maps a failed integrity check to [`Error::NotWrapped`]. Tokens report it in several ways, some of which also mean a
/// lost device; whether the device is lost shows when the key wraps [`SELF_TEST`].
fn unwrap_failed(session: &Session, kek: ObjectHandle, error: Cryptoki) -> Failure {
    match error {
        Cryptoki::Pkcs11(
            RvError::WrappedKeyInvalid
            | RvError::WrappedKeyLenRange
            | RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange,
            _,
        ) => Error::NotWrapped.into(),
        Cryptoki::Pkcs11(RvError::GeneralError | RvError::DeviceError | RvError::FunctionFailed, _)
            if proof(session, kek).is_ok() =>
        {
            Error::NotWrapped.into()
        }
        other => if_unsupported(other, "CKM_AES_KEY_WRAP"),
    }
}

/// Returns [`SELF_TEST`], wrapped.
fn proof(session: &Session, kek: ObjectHandle) -> Result<Vec<u8>, Failure> {
    wrap(session, kek, &SELF_TEST)
}
