//! Software keys in the forms of the services.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use base64ct::{Base64, Encoding as _};
use p256::ecdsa::Signature;
use taskseal_core::Agree as _;
use taskseal_core::keys::{AgreementKey, AgreementPublicKey};
use taskseal_core::keys::{POINT_LEN, SigningKey};
use taskseal_core::{KeyId, Secret, Signer as _};

/// The head of a SubjectPublicKeyInfo on P-256, as `openssl ec -pubout -outform DER` writes it, in Base64.
const SPKI_HEAD: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=";

/// A private key on P-256, chosen by a byte.
#[derive(Clone, Copy, Debug)]
pub struct TestKey(u8);

impl TestKey {
    /// Creates the key of a byte.
    #[must_use]
    pub const fn new(seed: u8) -> Self {
        Self(seed)
    }

    fn scalar(&self) -> Secret<32> {
        Secret::copy_from(&[self.0; 32])
    }

    fn signing(&self) -> SigningKey {
        SigningKey::from_scalar(&self.scalar()).unwrap()
    }

    /// Returns the key identifier.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        self.signing().kid()
    }

    /// Returns the public key as an uncompressed point.
    #[must_use]
    pub fn point(&self) -> [u8; POINT_LEN] {
        self.signing().verifying_key().to_point()
    }

    /// Returns the public key as SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        [Base64::decode_vec(SPKI_HEAD).unwrap(), self.point().to_vec()].concat()
    }

    /// Signs a digest with the larger of the two values of `s`, as services may do.
    #[must_use]
    pub fn sign_high(&self, digest: &[u8]) -> Signature {
        let mut key = &self.signing();
        let Ok(signature) = key.sign_digest(digest.try_into().expect("a digest of 32 bytes"));
        let (r, s) = Signature::from_slice(&signature).unwrap().normalize_s().split_scalars();
        let high = Signature::from_scalars(r, -*s).unwrap();
        assert_ne!(high.normalize_s(), high);
        high
    }

    /// Returns the secret shared with a public key in SubjectPublicKeyInfo.
    #[must_use]
    pub fn agree(&self, spki: &[u8]) -> Secret<32> {
        let point =
            spki.strip_prefix(Base64::decode_vec(SPKI_HEAD).unwrap().as_slice()).expect("a key on P-256");
        let peer = AgreementPublicKey::from_point(point.try_into().unwrap()).expect("a point on the curve");
        let key = AgreementKey::from_scalar(&self.scalar()).unwrap();
        let mut key = &key;
        let Ok(shared) = key.agree(&peer);
        shared
    }
}
