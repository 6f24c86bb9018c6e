//! Making keys inside a token, from where they cannot leave.

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use getrandom::SysRng;
use rand_core::TryRng;
use taskseal_core::KeyId;
use taskseal_core::keys::AgreementPublicKey;

use crate::error::{Error, Failure, KeyDefect};
use crate::keys::attributes::{Attributes, P256};
use crate::keys::ec::Usage;
use crate::keys::public_key::point_of;
use crate::keys::selector::KeySelector;
use crate::pool::session::Session;
use crate::pool::worker::{Objects, Repeat};
use crate::token::Token;

/// Makes a P-256 pair and gives it its kid.
pub(crate) fn ec_pair(token: &Token, usage: Usage, label: &str) -> Result<KeySelector, Error> {
    let label = check_label(label)?;
    // The kid is known only when there is a public key.
    let temporary = random_id()?;
    token.run(Repeat::No, Objects::Made, move |bench| {
        let session = bench.write_session()?;
        refuse_taken(&session, ObjectClass::PRIVATE_KEY, &label)?;
        let (sign, agree) = (usage == Usage::Sign, usage == Usage::Agree);
        // What a template leaves out, tokens allow.
        let public = [
            Attribute::Token(true),
            Attribute::EcParams(P256.to_vec()),
            Attribute::Verify(sign),
            Attribute::Encrypt(false),
            Attribute::Wrap(false),
            Attribute::VerifyRecover(false),
            Attribute::Id(temporary.to_vec()),
            Attribute::Label(label.clone()),
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
            Attribute::Id(temporary.to_vec()),
            Attribute::Label(label.clone()),
        ];
        let (public, private) = session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(|error| unsupported(error, "P-256 keys"))?;
        let named = match name(&session, public, private) {
            Err(Failure::Ours(Error::Unsupported(_))) if bench.shared.settings.allow_other_ids => {
                Ok(Attributes::read(&session, private)?.id)
            }
            result => result.map(|kid| kid.as_bytes().to_vec()),
        };
        named.map(KeySelector::id).inspect_err(|_| {
            // A pair without its kid is of no use and would be in the way of the next attempt.
            let _ = session.destroy_object(private);
            let _ = session.destroy_object(public);
        })
    })
}

/// Sets `CKA_ID` of both halves to the kid.
fn name(session: &Session, public: ObjectHandle, private: ObjectHandle) -> Result<KeyId, Failure> {
    let point = point_of(session, public)?;
    let kid = AgreementPublicKey::from_point(&point).map_err(|_| KeyDefect::PublicKey)?.kid();
    let id = [Attribute::Id(kid.as_bytes().to_vec())];
    for half in [public, private] {
        session.update_attributes(half, &id).map_err(|error| match error {
            Cryptoki::Pkcs11(
                RvError::AttributeReadOnly | RvError::ActionProhibited | RvError::AttributeTypeInvalid,
                _,
            ) => Failure::Ours(Error::Unsupported("naming a key after it was made")),
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

/// Makes a symmetric key of 32 bytes with a random kid.
pub(crate) fn secret(
    token: &Token,
    kind: SecretKind,
    label: &str,
    template: &[Attribute],
) -> Result<KeyId, Error> {
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
    token.run(Repeat::No, Objects::Made, move |bench| {
        let session = bench.write_session()?;
        refuse_taken(&session, ObjectClass::SECRET_KEY, &label)?;
        let (mechanism, what) = match kind {
            SecretKind::Aes => (Mechanism::AesKeyGen, "AES keys"),
            SecretKind::Generic => (Mechanism::GenericSecretKeyGen, "generic secret keys"),
        };
        session.generate_key(&mechanism, &whole).map_err(|error| unsupported(error, what))?;
        Ok(kid)
    })
}

/// Destroys a key that was made a moment ago and cannot be used.
pub(crate) fn discard(token: &Token, key: &KeySelector) {
    // The caller learns why it cannot be used, which matters more.
    let _ = token.destroy_key(key);
}

/// The error of a token that does not have a mechanism.
pub(crate) fn without(error: Cryptoki, mechanism: &'static str) -> Failure {
    match error {
        Cryptoki::Pkcs11(RvError::MechanismInvalid | RvError::FunctionNotSupported, _)
        | Cryptoki::NullFunctionPointer => Error::Unsupported(mechanism).into(),
        other => other.into(),
    }
}

/// The error of a token that cannot make such a key, or not use it.
pub(crate) fn unsupported(error: Cryptoki, what: &'static str) -> Failure {
    match error {
        Cryptoki::Pkcs11(
            RvError::CurveNotSupported
            | RvError::DomainParamsInvalid
            | RvError::KeyTypeInconsistent
            | RvError::WrappingKeyTypeInconsistent
            | RvError::UnwrappingKeyTypeInconsistent,
            _,
        ) => Error::Unsupported(what).into(),
        other => without(other, what),
    }
}

/// A label names one key. Two of them would make every later look-up fail.
fn refuse_taken(session: &Session, class: ObjectClass, label: &[u8]) -> Result<(), Failure> {
    let taken = session.find_objects(&[
        Attribute::Class(class),
        Attribute::Token(true),
        Attribute::Label(label.to_vec()),
    ])?;
    if taken.is_empty() {
        Ok(())
    } else {
        Err(Error::Config("there is a key with this label already").into())
    }
}

fn check_label(label: &str) -> Result<Vec<u8>, Error> {
    if label.is_empty() || label.len() > 128 || label.chars().any(char::is_control) {
        return Err(Error::Config("a key label has 1 to 128 bytes and no control characters"));
    }
    Ok(label.as_bytes().to_vec())
}

fn random_id() -> Result<[u8; KeyId::LEN], Error> {
    let mut id = [0; KeyId::LEN];
    SysRng.try_fill_bytes(&mut id).map_err(|_| Error::Config("the operating system has no randomness"))?;
    Ok(id)
}
