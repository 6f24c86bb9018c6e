//! Lists the keys of a token, whether or not they can be used.

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use taskseal_core::KeyId;
use taskseal_core::keys::AgreementPublicKey;

use super::attributes::Attributes;
use super::public_key;
use super::selector::KeySelector;
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
    /// The kid: of a private key, computed from its public half; of a symmetric key, its id. `None` if it has none.
    pub kid: Option<KeyId>,
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
    /// Returns the selector of the key: its id, or its label if it has no id.
    #[must_use]
    pub fn selector(&self) -> KeySelector {
        if self.id.is_empty() { KeySelector::label(&self.label) } else { KeySelector::id(self.id.clone()) }
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
    let (mut kid, mut defect) = (attributes.kid().ok(), checked.err());
    if class == ObjectClass::PRIVATE_KEY {
        kid = None;
        if defect.is_none() {
            match check_public_key(context, handle, &attributes)? {
                Ok(of_point) => kid = Some(of_point),
                Err(wrong) => defect = Some(wrong),
            }
        }
    } else if defect.is_none() && kid.is_none() {
        defect = Some(KeyDefect::Id);
    }
    let never_left = attributes.never_left();
    Ok(KeyDescription { id: attributes.id, kid, label: attributes.label, kind, defect, never_left })
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
        Ok(Usage::Sign) => (KeyKind::Signing, attributes.check_ec(Usage::Sign, allow_extractable)),
        Ok(Usage::Agree) => (KeyKind::Agreement, attributes.check_ec(Usage::Agree, allow_extractable)),
        Err(defect) => (KeyKind::Other, Err(defect)),
    }
}

/// Returns the kid of a private key's public half.
fn check_public_key(
    context: &SessionContext<'_>,
    handle: ObjectHandle,
    attributes: &Attributes,
) -> Result<Result<KeyId, KeyDefect>, Failure> {
    let point = match public_key::read(context.session, handle, &attributes.name()) {
        Ok(point) => point,
        Err(Failure::Final(_)) => return Ok(Err(KeyDefect::PublicKey)),
        Err(failure) => return Err(failure),
    };
    let Ok(key) = AgreementPublicKey::from_point(&point) else { return Ok(Err(KeyDefect::PublicKey)) };
    let kid = key.kid();
    let has_other_id = !context.settings.allow_other_ids && attributes.check_id(kid).is_err();
    Ok(if has_other_id { Err(KeyDefect::Id) } else { Ok(kid) })
}
