//! Lists the keys of a token, whether or not they can be used.

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use taskseal_core::KeyId;
use taskseal_core::keys::AgreementPublicKey;

use super::attributes::Attributes;
use super::public_key;
use super::usage::Usage;
use crate::error::{Error, Failure, KeyDefect};
use crate::pool::operation::{ObjectAccess, Retry, SessionContext};
use crate::settings::Settings;
use crate::token::Token;

/// A key of a token, whether or not it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDescription {
    /// `CKA_ID`.
    pub id: Vec<u8>,
    /// `CKA_LABEL`.
    pub label: String,
    /// The use of the key.
    pub kind: KeyKind,
    /// The reason why its attributes would make it rejected.
    pub defect: Option<KeyDefect>,
    /// Whether the token reports that the key was generated inside and could never leave it (`CKA_ALWAYS_SENSITIVE`,
    /// `CKA_NEVER_EXTRACTABLE`). False for imported keys, of which there may be copies.
    pub never_left: bool,
}

/// The use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// ES256 signatures.
    Signing,
    /// ECDH key agreement.
    Agreement,
    /// HMAC.
    Mac,
    /// AES key wrap.
    Wrapping,
    /// A private key without a use or with several.
    Other,
}

impl KeyDescription {
    /// Returns the kid; `None` if `CKA_ID` is not one.
    #[must_use]
    pub fn kid(&self) -> Option<KeyId> {
        <[u8; KeyId::LEN]>::try_from(self.id.as_slice()).ok().map(KeyId::from_bytes)
    }
}

impl Token {
    /// Returns the private and secret keys of the token, whether or not they can be used.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is unavailable; otherwise [`Error`].
    pub fn keys(&self) -> Result<Vec<KeyDescription>, Error> {
        self.run(Retry::Allowed, ObjectAccess::Read, |context| {
            context.check_login()?;
            let mut keys = Vec::new();
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
                let template = [Attribute::Class(class), Attribute::Token(true)];
                for handle in context.session.find_objects(&template)? {
                    keys.push(describe(context, class, handle)?);
                }
            }
            Ok(keys)
        })
    }
}

fn describe(
    context: &SessionContext<'_>,
    class: ObjectClass,
    handle: ObjectHandle,
) -> Result<KeyDescription, Failure> {
    let settings = context.settings;
    let attributes = Attributes::read(context.session, handle)?;
    let (kind, checked) = check(&attributes, class, settings);
    let mut defect = checked.and(attributes.kid().map(|_| ())).err();
    if class == ObjectClass::PRIVATE_KEY {
        if settings.allow_other_ids && defect == Some(KeyDefect::Id) {
            defect = None;
        } else if defect.is_none() {
            defect = check_public_key(context, handle, &attributes.id)?.err();
        }
    }
    let never_left = attributes.never_left();
    Ok(KeyDescription { id: attributes.id, label: attributes.label, kind, defect, never_left })
}

fn check(
    attributes: &Attributes,
    class: ObjectClass,
    settings: &Settings,
) -> (KeyKind, Result<(), KeyDefect>) {
    let allow_extractable = settings.allow_extractable;
    if class == ObjectClass::SECRET_KEY {
        return if attributes.is_aes() {
            (KeyKind::Wrapping, attributes.check_wrapping(allow_extractable))
        } else {
            (KeyKind::Mac, attributes.check_mac(allow_extractable))
        };
    }
    match attributes.usage() {
        Some(Usage::Sign) => (KeyKind::Signing, attributes.check_ec(Usage::Sign, allow_extractable)),
        Some(Usage::Agree) => (KeyKind::Agreement, attributes.check_ec(Usage::Agree, allow_extractable)),
        None => (KeyKind::Other, Err(KeyDefect::Usage)),
    }
}

/// Checks that the id of a private key is the kid of its public half.
fn check_public_key(
    context: &SessionContext<'_>,
    handle: ObjectHandle,
    id: &[u8],
) -> Result<Result<(), KeyDefect>, Failure> {
    match public_key::read(context.session, handle, id) {
        Ok(point) => Ok(match AgreementPublicKey::from_point(&point) {
            Ok(key) if key.kid().as_bytes() == id => Ok(()),
            Ok(_) if context.settings.allow_other_ids => Ok(()),
            Ok(_) => Err(KeyDefect::Id),
            Err(_) => Err(KeyDefect::PublicKey),
        }),
        Err(Failure::Final(_)) => Ok(Err(KeyDefect::PublicKey)),
        Err(failure) => Err(failure),
    }
}
