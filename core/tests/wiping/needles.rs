//! What is looked for: each secret in the forms it takes in memory, in pieces of 16 bytes.

use std::convert::Infallible;

use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::aes::{Aes256, Block};
use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::PrimeField;
use p256::elliptic_curve::ops::Reduce;
use p256::{FieldBytes, Scalar};
use sha2::Sha256;
use taskseal_core::keys::SigningKey;
use taskseal_core::{Agree, KeyId, Signer, Suite};

use super::work::{BODY_LEN, fill, seal_with, with_agreement_key, with_secret, with_signing_key};

/// A piece of a secret.
pub(crate) struct Needle {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Default)]
struct Needles(Vec<Needle>);

impl Needles {
    fn add(&mut self, name: &str, secret: &[u8]) {
        let piece = |bytes: &[u8]| Needle { name: name.to_owned(), bytes: bytes.to_vec() };
        self.0.extend(secret.chunks_exact(16).map(piece));
    }

    /// Numbers are kept as limbs, which on a little-endian machine are the bytes from back to front.
    fn add_number(&mut self, name: &str, secret: &[u8]) {
        self.add(name, secret);
        self.add(name, &secret.iter().rev().copied().collect::<Vec<_>>());
    }

    /// What HMAC makes of its key before it sees the message is as good as the key.
    fn add_hmac_key(&mut self, name: &str, key: &[u8; 32]) {
        self.add(name, key);
        for pad in [0x36, 0x5c] {
            let mut block = [pad; 64];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            // The initial state of SHA-256 (FIPS 180-4 5.3.3).
            let mut state = [
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ];
            sha2::block_api::compress256(&mut state, &[block]);
            self.add(name, &block[..32]);
            self.add(&format!("state of {name}"), &state.map(u32::to_le_bytes).concat());
        }
    }

    /// The first two round keys of AES-256 are its key; with the key of GHASH tags can be forged.
    fn add_content_key(&mut self, key: &[u8; 32]) {
        self.add("content key", key);
        let mut hash_key = Block::default();
        Aes256::new(&(*key).into()).encrypt_block(&mut hash_key);
        self.add_number("key of GHASH", &hash_key);
    }
}

/// The secrets of a suite; all keys in any case.
pub(crate) fn needles(suite: Suite) -> Vec<Needle> {
    let mut needles = Needles::default();
    for label in ["signing key", "agreement key", "ephemeral scalar"] {
        with_secret(label, |scalar| needles.add_number(label, scalar.as_bytes()));
    }
    with_secret("mac key", |key| needles.add_hmac_key("mac key", key.as_bytes()));
    with_secret("encryption key", |key| needles.add_hmac_key("encryption key", key.as_bytes()));
    with_secret("hedge key", |key| needles.add_hmac_key("hedge key", key.as_bytes()));
    if suite.encrypts() {
        let mut body = [0; BODY_LEN];
        fill("body", &mut body);
        needles.add("body", &body);
    }

    let mut salt = [0; 16];
    fill("salt", &mut salt);
    let prk = with_secret("encryption key", |key| hmac(&salt, &[key.as_bytes()]));
    needles.add_hmac_key("pseudorandom key", &prk);
    needles.add_content_key(&hmac(&prk, &[b"taskseal/v1 A256GCM", &[1]]));

    let ephemeral = with_secret("ephemeral scalar", taskseal_core::keys::AgreementKey::from_scalar).unwrap();
    let Ok(z) = with_agreement_key(|key| (&mut &*key).agree(&ephemeral.public_key()));
    needles.add_number("agreed secret", z.as_bytes());
    let prk = hmac(&[0; 32], &[z.as_bytes()]);
    needles.add_hmac_key("pseudorandom key", &prk);
    needles.add_content_key(&hmac(&prk, &[KDF_CONTEXT, &[1]]));

    if matches!(suite, Suite::S | Suite::Se | Suite::Sp) {
        let nonce = nonce(suite);
        needles.add_number("nonce", &nonce.to_repr());
        needles.add_number("nonce", &(-nonce).to_repr());
        needles.add_number("nonce", &nonce.invert_vartime().unwrap().to_repr());
    }
    needles.0
}

/// COSE_KDF_Context of A256GCM, 256 bits, ECDH-ES + HKDF-256 (RFC 9053 5.2). That it is right is shown by the
/// content key being found while it is in use.
const KDF_CONTEXT: &[u8] = b"\x84\x03\x83\xf6\xf6\xf6\x83\xf6\xf6\xf6\x82\x19\x01\x00\x44\xa1\x01\x38\x18";

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Keeps what was signed and the signature.
struct Recording<'k>(&'k SigningKey, &'k mut Option<([u8; 32], [u8; 64])>);

impl Signer for Recording<'_> {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.0.verifying_key().kid()
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Infallible> {
        let Ok(signature) = (&mut &*self.0).sign_digest(digest);
        *self.1 = Some((*digest, signature));
        Ok(signature)
    }
}

/// Whoever has the nonce of a signature has the key: `k = (z + r d) / s` (FIPS 186-5 6.4.1).
fn nonce(suite: Suite) -> Scalar {
    let mut signed = None;
    with_signing_key(|key| seal_with(suite, Recording(key, &mut signed), &mut [0; 1024]));
    let (digest, signature) = signed.unwrap();
    let scalar = |bytes: &[u8]| <Scalar as Reduce<FieldBytes>>::reduce(&FieldBytes::try_from(bytes).unwrap());
    let (r, s) = (scalar(&signature[..32]), scalar(&signature[32..]));
    let d = with_secret("signing key", |key| scalar(key.as_bytes()));
    let nonce = (scalar(&digest) + r * d) * s.invert_vartime().unwrap();
    let point = (p256::ProjectivePoint::GENERATOR * nonce).to_affine();
    assert_eq!(scalar(&p256::elliptic_curve::point::AffineCoordinates::x(&point)), r, "k G gives r");
    nonce
}
