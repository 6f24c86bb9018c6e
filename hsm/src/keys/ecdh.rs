//! ECDH on P-256 in a token: `CKM_ECDH1_DERIVE` without a derivation function, the shared x-coordinate read at once.

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};

use getrandom::SysRng;
use rand_core::TryRng;
use taskseal_core::keys::{AgreementPublicKey, POINT_LEN};
use taskseal_core::{Provider, Secret, Software, tags_match};
use zeroize::Zeroize;

use crate::error::{Error, Failure};
use crate::keys::generate::without;
use crate::keys::secret::{Boxed, boxed};
use crate::pool::session::Session;

/// Agrees. The shared secret is an object of the session for as long as it takes to read it.
pub(crate) fn agree(
    session: &Session,
    key: ObjectHandle,
    peer: &AgreementPublicKey,
) -> Result<Boxed, Failure> {
    let point = peer.to_point();
    match derive(session, key, &point) {
        // Every token is to accept the plain point, and most do; some want it as in CKA_EC_POINT.
        Err(Failure::Library(error)) if is_about_the_point(&error) => {
            let mut der = [0; POINT_LEN + 2];
            let (head, tail) = der.split_at_mut(2);
            head.copy_from_slice(&[0x04, 0x41]);
            tail.copy_from_slice(&point);
            derive(session, key, &der)
        }
        result => result,
    }
}

fn derive(session: &Session, key: ObjectHandle, point: &[u8]) -> Result<Boxed, Failure> {
    let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), point));
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
        Attribute::ValueLen(32.into()),
    ];
    let object =
        session.derive_key(&mechanism, key, &template).map_err(|error| without(error, "CKM_ECDH1_DERIVE"))?;
    let value = read_value(session, object);
    session.destroy_object(object)?;
    value
}

/// The 32 bytes of an object of this session.
pub(crate) fn read_value(session: &Session, object: ObjectHandle) -> Result<Boxed, Failure> {
    for attribute in session.get_attributes(object, &[AttributeType::Value])? {
        if let Attribute::Value(mut bytes) = attribute {
            let secret = <&[u8; 32]>::try_from(bytes.as_slice()).map(boxed);
            bytes.zeroize();
            return Ok(secret.map_err(|_| Error::FaultyAnswer)?);
        }
    }
    Err(Error::FaultyAnswer.into())
}

const fn is_about_the_point(error: &Cryptoki) -> bool {
    matches!(
        error,
        Cryptoki::Pkcs11(
            RvError::MechanismParamInvalid
                | RvError::ArgumentsBad
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::PublicKeyInvalid,
            _
        )
    )
}

/// Agrees with a key of the host and compares.
pub(crate) fn self_test(
    session: &Session,
    key: ObjectHandle,
    public: &AgreementPublicKey,
) -> Result<(), Failure> {
    let mut scalar = Secret::zeroed();
    let no_randomness = Error::Config("the operating system has no randomness");
    let (peer, expected) = loop {
        SysRng.try_fill_bytes(scalar.as_mut_bytes()).map_err(|_| no_randomness.clone())?;
        // Fails for two scalars in 2^32.
        if let Some(pair) = Software.agree_ephemeral(&scalar, public) {
            break pair;
        }
    };
    let shared = agree(session, key, &peer)?;
    if tags_match(shared.as_bytes(), expected.as_bytes()) { Ok(()) } else { Err(Error::FaultyAnswer.into()) }
}
