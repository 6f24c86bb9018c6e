//! Content keys and key commitments: HKDF-SHA256 (RFC 5869) with one label per use.
//!
//! Every message has its own content key, which keeps random 12-byte nonces far below their limit. It also has a key
//! commitment, so no ciphertext decrypts under two keys.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::constant_time::tags_match;
use crate::error::Rejected;
use crate::header::SALT_COMMIT_LEN;
use crate::inner::COMMIT_LEN;
use crate::secret::Secret;

/// Size of the salt of suites E and SE, in bytes.
pub(crate) const SALT_LEN: usize = 16;

/// A key for exactly one message, and the commitment to it.
pub(crate) struct ContentKey {
    pub(crate) key: Secret<32>,
    pub(crate) commit: [u8; COMMIT_LEN],
}

impl ContentKey {
    /// Creates a key to be derived in place: moving a key leaves a copy behind.
    pub(crate) const fn zeroed() -> Self {
        Self { key: Secret::zeroed(), commit: [0; COMMIT_LEN] }
    }

    /// Derives from a shared key: `OKM(64) = HKDF(key, salt, "taskseal/v1 A256GCM")`, content key first.
    pub(crate) fn derive_shared(&mut self, key: &Secret<32>, salt: &[u8; SALT_LEN]) {
        let mut prk = Secret::zeroed();
        extract(salt, key.as_bytes(), &mut prk);
        expand(&prk, INFO_SHARED, 1, &[], self.key.as_mut_bytes());
        // The second block of the expansion takes the first block as its prefix.
        expand(&prk, INFO_SHARED, 2, self.key.as_bytes(), &mut self.commit);
    }

    /// Derives from an agreed secret: the content key as RFC 9053 section 5.2 defines it for ECDH-ES + HKDF-256 with
    /// A256GCM, the commitment under a separate label.
    pub(crate) fn derive_agreed(&mut self, z: &Secret<32>) {
        let mut prk = Secret::zeroed();
        // RFC 5869 section 2.2: a missing salt is 32 zero bytes.
        extract(&[0; 32], z.as_bytes(), &mut prk);
        expand(&prk, KDF_CONTEXT, 1, &[], self.key.as_mut_bytes());
        expand(&prk, INFO_COMMIT, 1, &[], &mut self.commit);
    }

    /// Derives from a shared key and checks the commitment that came with the salt.
    pub(crate) fn derive_shared_checked(
        &mut self,
        key: &Secret<32>,
        salt_commit: &[u8; SALT_COMMIT_LEN],
    ) -> Result<(), Rejected> {
        let (salt, commit) = salt_commit.split_first_chunk::<SALT_LEN>().ok_or(Rejected)?;
        self.derive_shared(key, salt);
        self.check(commit)
    }

    /// Derives from an agreed secret and checks the commitment.
    pub(crate) fn derive_agreed_checked(
        &mut self,
        z: &Secret<32>,
        commit: &[u8; COMMIT_LEN],
    ) -> Result<(), Rejected> {
        self.derive_agreed(z);
        self.check(commit)
    }

    fn check(&self, commit: &[u8]) -> Result<(), Rejected> {
        if tags_match(&self.commit, commit) { Ok(()) } else { Err(Rejected) }
    }
}

/// `HKDF-SHA256(secret, no salt, label, 32)`.
pub(crate) fn derive_labelled(secret: &Secret<32>, label: &[u8], key: &mut Secret<32>) {
    let mut prk = Secret::zeroed();
    extract(&[0; 32], secret.as_bytes(), &mut prk);
    expand(&prk, label, 1, &[], key.as_mut_bytes());
}

/// The label contains the algorithm, so that a key is never used with another one.
const INFO_SHARED: &[u8] = b"taskseal/v1 A256GCM";
const INFO_COMMIT: &[u8] = b"taskseal/v1 commit";

/// COSE_KDF_Context (RFC 9053 5.2): `[3, [nil,nil,nil], [nil,nil,nil], [256, h'a1013818']]`, that is: A256GCM, no party
/// information, 256 bits, and the protected header of the recipient.
const KDF_CONTEXT: &[u8] = &[
    0x84, 0x03, 0x83, 0xf6, 0xf6, 0xf6, 0x83, 0xf6, 0xf6, 0xf6, 0x82, 0x19, 0x01, 0x00, 0x44, 0xa1, 0x01,
    0x38, 0x18,
];

/// HKDF-Extract of RFC 5869 section 2.2.
pub(crate) fn extract(salt: &[u8], secret: &[u8], prk: &mut Secret<32>) {
    hmac_into(salt, &[secret], prk.as_mut_bytes());
}

/// Block `counter` of HKDF-Expand, RFC 5869 section 2.3. `previous` is the block before it, empty for the first.
pub(crate) fn expand(prk: &Secret<32>, info: &[u8], counter: u8, previous: &[u8], block: &mut [u8; 32]) {
    hmac_into(prk.as_bytes(), &[previous, info, &[counter]], block);
}

pub(crate) fn hmac_into(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    let mut tag = mac.finalize().into_bytes();
    out.copy_from_slice(&tag);
    tag.zeroize();
}

#[cfg(test)]
mod tests;
