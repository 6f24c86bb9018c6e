//! One key in AWS KMS.

use aws_sdk_kms::Client;
use aws_sdk_kms::operation::get_public_key::GetPublicKeyOutput;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{
    KeyAgreementAlgorithmSpec, KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec,
};
use p256::ecdsa::Signature;
use taskseal_core::Secret;
use taskseal_core::keys::AgreementPublicKey;
use zeroize::Zeroizing;

use super::fault::fault;
use super::session::{Session, block_on};
use super::uri::AwsUri;
use crate::agreement::AgreementService;
use crate::fault::Fault;
use crate::public_key::{Point, point_of_spki, spki_of_point};
use crate::signer::SigningService;
use crate::timeouts::{Deadline, Timeouts};

/// A key in AWS KMS, under the name of the configuration: an alias may lead to another key later.
#[derive(Debug)]
pub(super) struct KmsKey {
    client: Client,
    name: String,
}

impl KmsKey {
    pub(super) fn new(session: &Session, uri: &AwsUri, timeouts: &Timeouts) -> Result<Self, Fault> {
        let config = session.config(uri, timeouts.deadline().remaining())?;
        Ok(Self { client: Client::new(&config), name: uri.name.clone() })
    }

    /// Reads the public key and compares what the key is for.
    fn point(&self, usage: &KeyUsageType, deadline: &Deadline) -> Result<Point, Fault> {
        let call = self.client.get_public_key().key_id(&self.name).send();
        let answer = block_on(deadline.next_attempt(), async move { call.await.map_err(fault) })?;
        if answer.key_spec() != Some(&KeySpec::EccNistP256) || answer.key_usage() != Some(usage) {
            return Err(wrong_key(&answer, usage));
        }
        let der = answer.public_key().map(Blob::as_ref).unwrap_or_default();
        point_of_spki(der).ok_or_else(|| Fault::faulty_answer("the answer has no public key on P-256"))
    }
}

fn wrong_key(answer: &GetPublicKeyOutput, usage: &KeyUsageType) -> Fault {
    let spec = answer.key_spec().map_or("none", KeySpec::as_str);
    let found = answer.key_usage().map_or("none", KeyUsageType::as_str);
    let usage = usage.as_str();
    Fault::wrong_key(format!(
        "expected a key with KeySpec ECC_NIST_P256 and KeyUsage {usage}, found {spec} and {found}"
    ))
}

impl SigningService for KmsKey {
    fn verifying_point(&self, deadline: &Deadline) -> Result<Point, Fault> {
        self.point(&KeyUsageType::SignVerify, deadline)
    }

    fn sign(&self, digest: &[u8; 32], deadline: &Deadline) -> Result<Signature, Fault> {
        let call = self
            .client
            .sign()
            .key_id(&self.name)
            .message(Blob::new(*digest))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send();
        let answer = block_on(deadline.next_attempt(), async move { call.await.map_err(fault) })?;
        let der = answer.signature().map(Blob::as_ref).unwrap_or_default();
        Signature::from_der(der)
            .map_err(|_| Fault::faulty_answer("the answer is not an ECDSA signature in DER"))
    }
}

impl AgreementService for KmsKey {
    fn agreement_point(&self, deadline: &Deadline) -> Result<Point, Fault> {
        self.point(&KeyUsageType::KeyAgreement, deadline)
    }

    fn agree(&self, peer: &AgreementPublicKey, deadline: &Deadline) -> Result<Box<Secret<32>>, Fault> {
        let call = self
            .client
            .derive_shared_secret()
            .key_id(&self.name)
            .key_agreement_algorithm(KeyAgreementAlgorithmSpec::Ecdh)
            .public_key(Blob::new(spki_of_point(&peer.to_point())))
            .send();
        let answer = block_on(deadline.next_attempt(), async move { call.await.map_err(fault) })?;
        let shared = answer.shared_secret.map(Blob::into_inner).map(Zeroizing::new).unwrap_or_default();
        let coordinate: &[u8; 32] = shared
            .as_slice()
            .try_into()
            .map_err(|_| Fault::faulty_answer("the answer has no shared secret of 32 bytes"))?;
        let mut secret = Box::new(Secret::zeroed());
        secret.as_mut_bytes().copy_from_slice(coordinate);
        Ok(secret)
    }
}
