//! The default provider: RustCrypto, which selects AES-NI, VAES, CLMUL, SHA-NI and their ARMv8 counterparts at run
//! time.

use super::{Agree, Provider, Rejected, arithmetic};
use crate::keys::{AgreementKey, AgreementPublicKey, VerifyingKey};
use crate::secret::Secret;

/// The default provider, in Rust, without heap or operating system.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "callers write it as a literal")]
pub struct Software;

impl Provider for Software {
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected> {
        arithmetic::verify(key, digest, signature)
    }

    fn encrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        arithmetic::gcm::encrypt(key, iv, aad, buffer)
    }

    fn decrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        arithmetic::gcm::decrypt(key, iv, aad, buffer, tag)
    }

    fn check_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        ciphertext: &[u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        arithmetic::gcm::check(key, iv, aad, ciphertext, tag)
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

#[cfg(test)]
mod tests;
