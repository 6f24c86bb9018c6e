//! AES key wrap (RFC 3394) with a key in a token: for files of shared secrets that are useless without it.

use std::fmt;
use std::sync::Arc;

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use taskseal_core::{KeyId, Secret, tags_match};
use zeroize::Zeroize;

use crate::error::{Error, Failure};
use crate::keys::attributes::Attributes;
use crate::keys::ecdh::read_value;
use crate::keys::ecdsa::SELF_TEST;
use crate::keys::generate::{self, SecretKind};
use crate::keys::handle::{Identity, Located};
use crate::keys::secret::{Boxed, boxed, unboxed};
use crate::keys::selector::KeySelector;
use crate::pool::session::Session;
use crate::pool::worker::{Objects, Repeat};
use crate::token::Token;

/// An AES-256 key in a token that wraps keys of 32 bytes.
#[derive(Clone)]
pub struct WrappingKey {
    token: Token,
    located: Arc<Located>,
    kid: KeyId,
    label: Arc<str>,
}

/// Bytes of a wrapped key: 32, and 8 that show tampering.
pub const WRAPPED_LEN: usize = 40;

impl WrappingKey {
    /// Makes a key in the token, with a random kid. It can wrap and unwrap, and cannot decrypt.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the token has no `CKM_AES_KEY_GEN` or no `CKM_AES_KEY_WRAP`; otherwise [`Error`].
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
        let kid = generate::secret(token, SecretKind::Aes, label, &template)?;
        // A token that makes such keys but cannot use them must not keep them.
        Self::load(token, &KeySelector::kid(kid))
            .inspect_err(|_| generate::discard(token, &KeySelector::kid(kid)))
    }

    /// Finds a key, checks its attributes and has it wrap something.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`], [`Error::WrongKey`], [`Error::Unsupported`] if the token has no
    /// `CKM_AES_KEY_WRAP`; otherwise [`Error`].
    pub fn load(token: &Token, selector: &KeySelector) -> Result<Self, Error> {
        let selector = selector.clone();
        let allow_extractable = token.shared().settings.allow_extractable;
        let (located, kid, label) = token.run(Repeat::Yes, Objects::Made, move |bench| {
            let handle = selector.find(bench.session, ObjectClass::SECRET_KEY)?;
            let attributes = Attributes::read(bench.session, handle)?;
            attributes.check_wrapping(allow_extractable)?;
            let kid = attributes.kid()?;
            let identity = Identity::Wrapping(proof(bench.session, handle)?);
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

    /// Wraps a key. The same key always gives the same bytes. They are unwrapped before they are handed out: what
    /// cannot be unwrapped is noticed now, and not when the key is needed.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is away; [`Error::FaultyAnswer`] if another key comes back; otherwise
    /// [`Error`].
    pub fn wrap(&self, key: &Secret<32>) -> Result<[u8; WRAPPED_LEN], Error> {
        let located = Arc::clone(&self.located);
        let key = boxed(key.as_bytes());
        self.token.run(Repeat::Yes, Objects::Made, move |bench| {
            located.using(bench, |session, handle| {
                let wrapped = wrap(session, handle, key.as_bytes())?;
                match unwrap(session, handle, &wrapped) {
                    Ok(back) if tags_match(back.as_bytes(), key.as_bytes()) => {}
                    Ok(_) | Err(Failure::Ours(Error::NotWrapped)) => return Err(Error::FaultyAnswer.into()),
                    Err(failure) => return Err(failure),
                }
                Ok(wrapped.try_into().map_err(|_| Error::FaultyAnswer)?)
            })
        })
    }

    /// Unwraps a key.
    ///
    /// # Errors
    /// [`Error::NotWrapped`] if the bytes were changed or are another key's work; [`Error::Transient`] while the
    /// token is away; otherwise [`Error`].
    pub fn unwrap(&self, wrapped: &[u8; WRAPPED_LEN]) -> Result<Secret<32>, Error> {
        let located = Arc::clone(&self.located);
        let wrapped = *wrapped;
        let secret = self.token.run(Repeat::Yes, Objects::Made, move |bench| {
            located.using(bench, |session, handle| unwrap(session, handle, &wrapped))
        })?;
        Ok(unboxed(&secret))
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappingKey")
            .field("kid", &self.kid)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// `C_WrapKey` wraps objects only: the key is one of the session for as long as that takes.
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
    wrapped.map_err(|error| generate::unsupported(error, "CKM_AES_KEY_WRAP"))
}

fn unwrap(session: &Session, kek: ObjectHandle, wrapped: &[u8]) -> Result<Boxed, Failure> {
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
        Err(error) => return Err(refusal(session, kek, error)),
    };
    let value = read_value(session, object);
    session.destroy_object(object)?;
    value
}

/// Tokens have several ways to say that the integrity check failed; some say the same of a lost device. Whether it is
/// lost shows when the key is asked to wrap.
fn refusal(session: &Session, kek: ObjectHandle, error: Cryptoki) -> Failure {
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
        other => generate::unsupported(other, "CKM_AES_KEY_WRAP"),
    }
}

/// What the key makes of 32 bytes that are no key: tells it from every other key.
pub(crate) fn proof(session: &Session, kek: ObjectHandle) -> Result<Vec<u8>, Failure> {
    wrap(session, kek, &SELF_TEST)
}
