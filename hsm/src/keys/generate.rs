//! Generates keys inside a token, which they cannot leave.

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use getrandom::SysRng;
use rand_core::TryRng;
use taskseal_core::KeyId;
use taskseal_core::keys::AgreementPublicKey;

use super::attributes::{Attributes, P256};
use super::public_key::point_of;
use super::selector::KeySelector;
use super::usage::Usage;
use crate::error::{Error, Failure, KeyDefect, if_unsupported};
use crate::pool::operation::{ObjectAccess, Retry};
use crate::pool::session::Session;
use crate::token::Token;

/// Whether another key may have the label of a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelRule {
    Unused,
    Any,
}

/// Generates a P-256 key pair and sets its `CKA_ID` to its kid.
pub(crate) fn ec_pair(
    token: &Token,
    usage: Usage,
    label: &str,
    rule: LabelRule,
) -> Result<KeySelector, Error> {
    let label = check_label(label)?;
    // The kid depends on the public key, so the pair starts with a random id.
    let temporary_id = random_id()?;
    token.run(Retry::Forbidden, ObjectAccess::Modify, move |context| {
        let session = context.write_session()?;
        if rule == LabelRule::Unused {
            check_label_unused(&session, ObjectClass::PRIVATE_KEY, &label)?;
        }
        let (public, private) = ec_templates(usage, &temporary_id, &label);
        let (public, private) = session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(|error| if_unsupported(error, "P-256 keys"))?;
        let id = match set_id_to_kid(&session, public, private) {
            Err(Failure::Final(Error::Unsupported(_))) if context.settings.allow_other_ids => {
                Ok(Attributes::read(&session, private)?.id)
            }
            result => result.map(|kid| kid.as_bytes().to_vec()),
        };
        id.map(KeySelector::id).inspect_err(|_| {
            // A pair without its kid is unusable, and its label would block the next attempt.
            let _ = session.destroy_object(private);
            let _ = session.destroy_object(public);
        })
    })
}

/// Returns the templates of the public and the private half. Every other use is set to false, because tokens allow
/// what a template omits.
fn ec_templates(usage: Usage, id: &[u8], label: &[u8]) -> ([Attribute; 8], [Attribute; 11]) {
    let (sign, agree) = (usage == Usage::Sign, usage == Usage::Agree);
    let public = [
        Attribute::Token(true),
        Attribute::EcParams(P256.to_vec()),
        Attribute::Verify(sign),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::VerifyRecover(false),
        Attribute::Id(id.to_vec()),
        Attribute::Label(label.to_vec()),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(sign),
        Attribute::Derive(agree),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::SignRecover(false),
        Attribute::Id(id.to_vec()),
        Attribute::Label(label.to_vec()),
    ];
    (public, private)
}

/// Sets `CKA_ID` of both halves to the kid.
fn set_id_to_kid(session: &Session, public: ObjectHandle, private: ObjectHandle) -> Result<KeyId, Failure> {
    let point = point_of(session, public)?;
    let kid = AgreementPublicKey::from_point(&point).map_err(|_| KeyDefect::PublicKey)?.kid();
    let id = [Attribute::Id(kid.as_bytes().to_vec())];
    for half in [public, private] {
        session.update_attributes(half, &id).map_err(|error| match error {
            Cryptoki::Pkcs11(
                RvError::AttributeReadOnly | RvError::ActionProhibited | RvError::AttributeTypeInvalid,
                _,
            ) => Failure::Final(Error::Unsupported("changing the id of a key")),
            other => other.into(),
        })?;
    }
    Ok(kid)
}

/// A kind of symmetric key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecretKind {
    Aes,
    Generic,
}

/// Generates a symmetric key of 32 bytes with a random kid.
pub(crate) fn secret(
    token: &Token,
    kind: SecretKind,
    label: &str,
    template: &[Attribute],
) -> Result<KeySelector, Error> {
    let label = check_label(label)?;
    let kid = KeyId::from_bytes(random_id()?);
    let mut whole = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::ValueLen(32.into()),
        Attribute::Id(kid.as_bytes().to_vec()),
        Attribute::Label(label.clone()),
    ];
    whole.extend_from_slice(template);
    token.run(Retry::Forbidden, ObjectAccess::Modify, move |context| {
        let session = context.write_session()?;
        check_label_unused(&session, ObjectClass::SECRET_KEY, &label)?;
        let (mechanism, what) = match kind {
            SecretKind::Aes => (Mechanism::AesKeyGen, "AES keys"),
            SecretKind::Generic => (Mechanism::GenericSecretKeyGen, "generic secret keys"),
        };
        session.generate_key(&mechanism, &whole).map_err(|error| if_unsupported(error, what))?;
        Ok(KeySelector::kid(kid))
    })
}

/// Destroys a new key that cannot be loaded. A token that generates such keys but cannot use them must not keep them.
pub(crate) fn discard(token: &Token, key: &KeySelector) {
    // The caller receives the error of loading, which is more informative.
    let _ = token.destroy_key(key);
}

/// Fails if a key of this class has the label. Every later search by a duplicate label would be ambiguous.
fn check_label_unused(session: &Session, class: ObjectClass, label: &[u8]) -> Result<(), Failure> {
    let found = session.find_objects(&[
        Attribute::Class(class),
        Attribute::Token(true),
        Attribute::Label(label.to_vec()),
    ])?;
    if found.is_empty() { Ok(()) } else { Err(Error::Config("a key with this label already exists").into()) }
}

fn check_label(label: &str) -> Result<Vec<u8>, Error> {
    if label.is_empty() || label.len() > 128 || label.chars().any(char::is_control) {
        return Err(Error::Config("a key label must have 1 to 128 bytes and no control characters"));
    }
    Ok(label.as_bytes().to_vec())
}

fn random_id() -> Result<[u8; KeyId::LEN], Error> {
    let mut id = [0; KeyId::LEN];
    SysRng
        .try_fill_bytes(&mut id)
        .map_err(|_| Error::Config("the random number generator of the operating system failed"))?;
    Ok(id)
}
