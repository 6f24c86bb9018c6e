//! A provider that provides NO SECURITY: every signature and tag is good, so that a fuzzer gets behind them.

use taskseal_core::keys::{AgreementPublicKey, VerifyingKey};
use taskseal_core::provider::Rejected;
use taskseal_core::{Provider, Secret, Software};

pub(super) struct AcceptsAll;

impl Provider for AcceptsAll {
    fn verify_es256(&self, _: &VerifyingKey, _: &[u8; 32], _: &[u8; 64]) -> Result<(), Rejected> {
        Ok(())
    }

    fn encrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        Software.encrypt_a256gcm(key, iv, aad, buffer)
    }

    fn decrypt_a256gcm(
        &self,
        _: &Secret<32>,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &mut [u8],
        _: &[u8; 16],
    ) -> Result<(), Rejected> {
        Ok(())
    }

    fn check_a256gcm(
        &self,
        _: &Secret<32>,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &[u8],
        _: &[u8; 16],
    ) -> Result<(), Rejected> {
        Ok(())
    }

    fn agree_ephemeral(
        &self,
        scalar: &Secret<32>,
        peer: &AgreementPublicKey,
    ) -> Option<(AgreementPublicKey, Secret<32>)> {
        Software.agree_ephemeral(scalar, peer)
    }
}
