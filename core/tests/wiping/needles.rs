//! The search patterns: each secret in its forms in memory, in pieces of 16 bytes.

use std::collections::HashSet;
use std::convert::Infallible;

use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::aes::{Aes256, Block};
use ghash::GHash;
use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::PrimeField;
use p256::elliptic_curve::ops::Reduce;
use p256::{FieldBytes, Scalar};
use sha2::Sha256;
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::{Acceleration, Agree, KeyId, Secret, Signer, Suite};

use super::memory::bytes_of;
use super::work::{
    BODY_LEN, ENVELOPE_LEN, fill, seal_hedged, seal_with, with_agreement_key, with_secret, with_signing_key,
};

/// A piece of a secret.
pub(crate) struct Needle {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Default)]
struct Needles(Vec<Needle>);

impl Needles {
    fn add(&mut self, name: &str, secret: &[u8]) {
        for piece in secret.chunks_exact(16) {
            // Zeros and the padding of HMAC are common in memory and not secret.
            if piece.iter().collect::<HashSet<_>>().len() > 4 {
                self.0.push(Needle { name: name.to_owned(), bytes: piece.to_vec() });
            }
        }
    }

    /// Numbers are kept as limbs, which on a little-endian machine are the bytes from back to front.
    fn add_number(&mut self, name: &str, secret: &[u8]) {
        self.add(name, secret);
        self.add(name, &secret.iter().rev().copied().collect::<Vec<_>>());
    }

    /// The state of HMAC before the message is equivalent to the key. SHA-256 holds both as words, expands the block to
    /// 64 words, and with SHA-NI keeps the words of the state in another order.
    fn add_hmac_key(&mut self, name: &str, key: &[u8; 32]) {
        self.add(name, key);
        for pad in [0x36, 0x5c] {
            let mut block = [pad; 64];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            self.add(name, &block);
            let words = message_schedule(&block);
            self.add(&format!("words of {name}"), &words.map(u32::to_le_bytes).concat());
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
            self.add(&format!("state of {name}"), &state.map(u32::to_le_bytes).concat());
            let [a, b, c, d, e, f, g, h] = state;
            self.add(&format!("state of {name}"), &[f, e, b, a, h, g, d, c].map(u32::to_le_bytes).concat());
        }
    }

    /// Adds the secrets derived from the shared key.
    fn add_shared(&mut self, salt: &[u8; 16]) {
        let prk = with_secret("encryption key", |key| hmac(salt, &[key.as_bytes()]));
        self.add_hmac_key("pseudorandom key", &prk);
        self.add_content_key(&with_secret("encryption key", |key| shared_content_key(key, salt)));
    }

    /// Adds the secrets agreed between the recipient and an ephemeral key.
    fn add_agreed(&mut self, ephemeral: &AgreementPublicKey) {
        let Ok(z) = with_agreement_key(|key| (&mut &*key).agree(ephemeral));
        self.add_number("agreed secret", z.as_bytes());
        let prk = hmac(&[0; 32], &[z.as_bytes()]);
        self.add_hmac_key("pseudorandom key", &prk);
        self.add_content_key(&hmac(&prk, &[KDF_CONTEXT, &[1]]));
    }

    /// Any two consecutive round keys of AES-256 give its key; with the key of GHASH or the mask of a tag, tags can
    /// be forged; the keystream gives the body.
    fn add_content_key(&mut self, key: &[u8; 32]) {
        self.add("content key", key);
        let cipher = Aes256::new(&(*key).into());
        let schedule = bytes_of(&cipher);
        if Acceleration::detect().aes.is_portable() {
            // 15 round keys, each as eight words of the bits of four equal blocks, whose bytes are 00, 0f, f0 or ff. A
            // piece starts at the first byte that is not common in memory.
            for round_key in schedule[..15 * 64].chunks_exact(64) {
                let start =
                    round_key.iter().position(|byte| matches!(byte, 0x0f | 0xf0)).expect("a mixed byte");
                assert!(start <= 32, "half of a round key is not searched for");
                self.0.push(Needle { name: "round key".to_owned(), bytes: round_key[start..].to_vec() });
            }
        } else {
            // 15 round keys to encrypt and 15 to decrypt. The rest of the type is not filled.
            self.add("round key", &schedule[..2 * 15 * 16]);
        }

        let mut hash_key = Block::default();
        cipher.encrypt_block(&mut hash_key);
        self.add_number("key of GHASH", &hash_key);
        self.add("power of the key of GHASH", &bytes_of(&GHash::new(&hash_key)));

        let mut iv = [0; 12];
        fill("iv", &mut iv);
        let mut next = iv;
        let counter = u32::from_be_bytes([iv[8], iv[9], iv[10], iv[11]]).wrapping_add(1);
        next[8..].copy_from_slice(&counter.to_be_bytes());
        // Counter 1 is for the tag, the others are for the body (SP 800-38D 7.1).
        let counters = (1_u32..).take(1 + BODY_LEN.div_ceil(16));
        for (iv, counter) in
            [iv, next].iter().flat_map(|iv| counters.clone().map(move |counter| (iv, counter)))
        {
            let mut block = Block::default();
            block[..12].copy_from_slice(iv);
            block[12..].copy_from_slice(&counter.to_be_bytes());
            cipher.encrypt_block(&mut block);
            self.add(if counter == 1 { "mask of the tag" } else { "keystream" }, &block);
        }
    }
}

/// Returns the 64 words of the message schedule of SHA-256 (FIPS 180-4 section 6.2.2, step 1).
fn message_schedule(block: &[u8; 64]) -> [u32; 64] {
    let mut words = [0_u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().unwrap());
    }
    for t in 16..64 {
        let (x, y) = (words[t - 15], words[t - 2]);
        let sigma0 = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
        let sigma1 = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
        words[t] = sigma1.wrapping_add(words[t - 7]).wrapping_add(sigma0).wrapping_add(words[t - 16]);
    }
    words
}

/// Returns the secrets of a suite, always including all keys.
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
    needles.add_shared(&salt);
    let ephemeral = with_secret("ephemeral scalar", taskseal_core::keys::AgreementKey::from_scalar).unwrap();
    needles.add_agreed(&ephemeral.public_key());

    if matches!(suite, Suite::S | Suite::Se | Suite::Sp) {
        let nonce = nonce(suite);
        needles.add_number("nonce", &nonce.to_repr());
        needles.add_number("nonce", &(-nonce).to_repr());
        needles.add_number("nonce", &nonce.invert_vartime().unwrap().to_repr());
    }
    needles.0
}

/// Returns the secrets of a suite with hedged randomness. The random values follow from the envelope, which has the
/// salt or the ephemeral public key.
pub(crate) fn hedged_needles(suite: Suite) -> Vec<Needle> {
    let mut needles = Needles(needles(suite));
    let mut envelope = [0; ENVELOPE_LEN];
    seal_hedged(suite, &mut envelope);
    match suite {
        Suite::E | Suite::Se => {
            let is_salt = |salt: &&[u8; 16], rest: &[u8]| {
                let prk = with_secret("encryption key", |key| hmac(*salt, &[key.as_bytes()]));
                let first = hmac(&prk, &[SHARED_INFO, &[1]]);
                rest.starts_with(&hmac(&prk, &[&first, SHARED_INFO, &[2]])[..16])
            };
            let pairs = envelope.windows(32).filter_map(|window| window.split_first_chunk::<16>());
            let (salt, _) = pairs.into_iter().find(|(salt, rest)| is_salt(salt, rest)).expect("a salt");
            needles.add_shared(salt);
        }
        Suite::Sp => {
            // The members x and y of a COSE_Key (RFC 9053 7.1.1): labels -2 and -3, byte strings of 32.
            let point = envelope.windows(70).find_map(|window| {
                let x = window.strip_prefix(&[0x21, 0x58, 0x20])?;
                let (x, rest) = x.split_first_chunk::<32>()?;
                let y = rest.strip_prefix(&[0x22, 0x58, 0x20])?;
                let point = [&[4], x.as_slice(), y].concat();
                AgreementPublicKey::from_point(&point.try_into().unwrap()).ok()
            });
            needles.add_agreed(&point.expect("an ephemeral key"));
        }
        _ => {}
    }
    needles.0
}

/// Info of the derivation from a shared key (envelope.md).
const SHARED_INFO: &[u8] = b"taskseal/v1 A256GCM";

/// Returns the content key for a salt.
pub(crate) fn shared_content_key(key: &Secret<32>, salt: &[u8; 16]) -> [u8; 32] {
    hmac(&hmac(salt, &[key.as_bytes()]), &[SHARED_INFO, &[1]])
}

/// COSE_KDF_Context of A256GCM, 256 bits, ECDH-ES + HKDF-256 (RFC 9053 5.2). That it is right is shown by the
/// content key being found while it is in use.
const KDF_CONTEXT: &[u8] = b"\x84\x03\x83\xf6\xf6\xf6\x83\xf6\xf6\xf6\x82\x19\x01\x00\x44\xa1\x01\x38\x18";

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Records the signed digest and the signature.
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

/// The nonce of a signature reveals the key: `k = (z + r d) / s` (FIPS 186-5 6.4.1).
fn nonce(suite: Suite) -> Scalar {
    let mut signed = None;
    with_signing_key(|key| seal_with(suite, Recording(key, &mut signed), &mut [0; ENVELOPE_LEN]));
    let (digest, signature) = signed.unwrap();
    let scalar = |bytes: &[u8]| <Scalar as Reduce<FieldBytes>>::reduce(&FieldBytes::try_from(bytes).unwrap());
    let (r, s) = (scalar(&signature[..32]), scalar(&signature[32..]));
    let d = with_secret("signing key", |key| scalar(key.as_bytes()));
    let nonce = (scalar(&digest) + r * d) * s.invert_vartime().unwrap();
    let point = (p256::ProjectivePoint::GENERATOR * nonce).to_affine();
    assert_eq!(scalar(&p256::elliptic_curve::point::AffineCoordinates::x(&point)), r, "k G gives r");
    nonce
}
