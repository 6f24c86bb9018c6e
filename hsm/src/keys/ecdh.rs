//! ECDH on P-256 in a token: `CKM_ECDH1_DERIVE` without a key derivation function.

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use getrandom::SysRng;
use rand_core::TryRng;
use taskseal_core::keys::{AgreementPublicKey, POINT_LEN};
use taskseal_core::{Provider, Secret, Software, tags_match};

use super::secret::{BoxedSecret, read_coordinate};
use crate::error::{Error, Failure, if_mechanism_missing};
use crate::pool::session::Session;

/// Returns the x-coordinate of the shared point. It is an object of the session until it has been read.
pub(crate) fn agree(
    session: &Session,
    key: ObjectHandle,
    peer: &AgreementPublicKey,
) -> Result<BoxedSecret, Failure> {
    let point = peer.to_point();
    match derive(session, key, &point) {
        // Every token must accept the plain point, and most do; some require the form of CKA_EC_POINT.
        Err(Failure::Library(error)) if may_reject_point(&error) => {
            let mut der = [0; POINT_LEN + 2];
            let (head, tail) = der.split_at_mut(2);
            head.copy_from_slice(&[0x04, 0x41]);
            tail.copy_from_slice(&point);
            derive(session, key, &der)
        }
        result => result,
    }
}

fn derive(session: &Session, key: ObjectHandle, point: &[u8]) -> Result<BoxedSecret, Failure> {
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
    let object = session
        .derive_key(&mechanism, key, &template)
        .map_err(|error| if_mechanism_missing(error, "CKM_ECDH1_DERIVE"))?;
    // The peer can choose a point whose coordinate begins with zeros, so a shorter value is not a fault of the token.
    let value = read_coordinate(session, object);
    session.destroy_object(object)?;
    value
}

/// Returns whether the error may concern the encoding of the point.
const fn may_reject_point(error: &Cryptoki) -> bool {
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

/// Agrees with an ephemeral key of the host and compares the results.
pub(crate) fn self_test(
    session: &Session,
    key: ObjectHandle,
    public: &AgreementPublicKey,
) -> Result<(), Failure> {
    let mut scalar = Secret::zeroed();
    let (peer, expected) = loop {
        SysRng
            .try_fill_bytes(scalar.as_mut_bytes())
            .map_err(|_| Error::Config("the random number generator of the operating system failed"))?;
        // Fails for about one scalar in 2^32.
        if let Some(pair) = Software.agree_ephemeral(&scalar, public) {
            break pair;
        }
    };
    let shared = agree(session, key, &peer)?;
    if tags_match(shared.as_bytes(), expected.as_bytes()) { Ok(()) } else { Err(Error::FaultyAnswer.into()) }
}
