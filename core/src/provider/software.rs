//! The default provider: RustCrypto, which picks AES-NI, VAES, CLMUL, SHA-NI and their ARMv8 counterparts
//! at run time where the processor has them.

// Chosen on bare metal; elsewhere the tests hold it against the general one.
#[cfg(any(test, target_os = "none", taskseal_small))]
mod es256;
#[cfg(any(test, target_os = "none", taskseal_small))]
mod gcm;

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
#[cfg(not(any(target_os = "none", taskseal_small)))]
use p256::ecdsa::{Signature, signature::hazmat::PrehashVerifier};
use zeroize::Zeroize;

use super::{Provider, Rejected};
use crate::constant_time::tags_match;
use crate::keys::{AgreementKey, AgreementPublicKey, VerifyingKey};
use crate::provider::Agree;
use crate::secret::Secret;

/// Pure Rust, no heap, no operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Software;

impl Provider for Software {
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected> {
        #[cfg(any(target_os = "none", taskseal_small))]
        return es256::verify(key, digest, signature);
        #[cfg(not(any(target_os = "none", taskseal_small)))]
        {
            let signature = Signature::from_slice(signature).map_err(|_| Rejected)?;
            key.inner().verify_prehash(digest, &signature).map_err(|_| Rejected)
        }
    }

    fn encrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        let cipher = Aes256Gcm::new(key.as_bytes().into());
        let tag = cipher.encrypt_inout_detached(iv.into(), aad, buffer.into()).map_err(|_| Rejected)?;
        Ok(tag.into())
    }

    fn decrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        let cipher = Aes256Gcm::new(key.as_bytes().into());
        let opened = cipher.decrypt_inout_detached(iv.into(), aad, buffer.into(), tag.into());
        opened.map_err(|_| Rejected)
    }

    /// The tag of SP 800-38D section 7.1: `GHASH(H, A, C) xor E(K, J0)`, with `J0 = IV || 00000001`.
    fn check_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        let cipher = Aes256::new(key.as_bytes().into());
        let mut hash_key = ghash::Key::default();
        cipher.encrypt_block(&mut hash_key);
        let mut hash = GHash::new(&hash_key);
        hash_key.zeroize();
        hash.update_padded(aad);
        hash.update_padded(ciphertext);
        let lengths = u128::from(bits(aad)) << 64 | u128::from(bits(ciphertext));
        hash.update(&[lengths.to_be_bytes().into()]);

        let [a, b, c, d, e, f, g, h, i, j, k, l] = *iv;
        let mut mask = ghash::Block::from([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 1]);
        cipher.encrypt_block(&mut mask);
        let mut expected: [u8; 16] = hash.finalize().into();
        expected.iter_mut().zip(mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
        let matches = tags_match(&expected, tag);
        // With the mask and the hash, a tag for other bytes could be computed.
        mask.zeroize();
        expected.zeroize();
        if matches { Ok(()) } else { Err(Rejected) }
    }

    #[cfg(any(target_os = "none", taskseal_small))]
    fn encrypt_a256gcm_in_pieces(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        gcm::encrypt(key, iv, aad, buffer)
    }

    #[cfg(any(target_os = "none", taskseal_small))]
    fn decrypt_a256gcm_in_pieces(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        gcm::decrypt(key, iv, aad, buffer, tag)
    }

    #[cfg(any(target_os = "none", taskseal_small))]
    fn check_a256gcm_in_pieces(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        ciphertext: &[u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        gcm::check(key, iv, aad, ciphertext, tag)
    }

    fn agree_ephemeral(
        &self,
        scalar: &Secret<32>,
        peer: &AgreementPublicKey,
    ) -> Option<(AgreementPublicKey, Secret<32>)> {
        let mut ephemeral = AgreementKey::from_scalar(scalar).ok()?;
        let public = ephemeral.public_key();
        let Ok(z) = ephemeral.agree(peer);
        Some((public, z))
    }
}

fn bits(bytes: &[u8]) -> u64 {
    bytes.len() as u64 * 8
}

#[cfg(test)]
mod tests;
