//! Hedged randomness for devices with a weak source of randomness, or without one.
//!
//! Salts, nonces and ephemeral keys are generated from a stream that is keyed with a device secret and bound to the
//! message. With a good source the stream is random; with a bad one it repeats only if the whole message repeats.

use core::convert::Infallible;
use core::fmt;

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::{Job, Mode, Sealer};
use crate::cbor::encoder::Sink;
use crate::claims::Claims;
use crate::commit::{derive_labelled, hmac_into};
use crate::error::SealError;
use crate::keys::{EncryptionKey, SigningKey};
use crate::name::ContentType;
use crate::provider::Provider;
use crate::secret::Secret;
use crate::stack::{Depth, with_wiped_stack};

/// The key of the stream: 32 secret bytes, unique to the device. Wiped on drop.
///
/// # Security
/// Two devices with the same key and no randomness generate the same stream for the same message. The key must be used
/// for nothing else; [`derive`](Self::derive) derives one from another secret of the device.
#[derive(Debug)]
pub struct HedgeKey(Secret<32>);

impl HedgeKey {
    /// Creates a key from 32 secret bytes.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// Derives a key from another secret of the device, as `HKDF-SHA256(secret, no salt, "taskseal/v1 hedge", 32)`.
    #[must_use]
    pub fn derive(secret: &Secret<32>) -> Self {
        let mut key = Secret::zeroed();
        derive_labelled(secret, b"taskseal/v1 hedge", &mut key);
        Self(key)
    }
}

impl HedgeKey {
    /// Derives a key from a signing key in memory.
    #[must_use]
    pub fn of_signing_key(key: &SigningKey) -> Self {
        with_wiped_stack(Depth::Curve, || {
            let mut scalar = Secret::zeroed();
            let mut bytes = key.inner().to_bytes();
            scalar.as_mut_bytes().copy_from_slice(&bytes);
            bytes.zeroize();
            Self::derive(&scalar)
        })
    }

    /// Derives a key from a shared key.
    #[must_use]
    pub fn of_encryption_key(key: &EncryptionKey) -> Self {
        Self::derive(key.key())
    }
}

impl<M: Mode, P: Provider> Sealer<M, P> {
    /// Like [`seal`](Self::seal), with hedged randomness: all random values depend on 32 bytes of `rng`, the device's
    /// key, the suite, the keys, all claims and the body.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_hedged<'b, R: TryCryptoRng + ?Sized>(
        &mut self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        key: &HedgeKey,
        rng: &mut R,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SealError<M::Error>> {
        with_wiped_stack(Depth::Hash, || {
            let mut fresh = Secret::zeroed();
            rng.try_fill_bytes(fresh.as_mut_bytes()).map_err(|_| SealError::Random)?;
            let mut stream = self.stream(claims, content_type, body, key, &fresh);
            self.seal(claims, content_type, body, &mut stream, buffer)
        })
    }

    /// Like [`seal_hedged`](Self::seal_hedged), for a device without a source of randomness.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    ///
    /// # Security
    /// Two messages must not have the same claims and body: the task id or the sequence must differ each time, also
    /// across restarts. Equal messages have equal ciphertexts, which reveals only that they are equal.
    pub fn danger_seal_without_randomness<'b>(
        &mut self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        key: &HedgeKey,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SealError<M::Error>> {
        with_wiped_stack(Depth::Hash, || {
            let mut stream = self.stream(claims, content_type, body, key, &Secret::zeroed());
            self.seal(claims, content_type, body, &mut stream, buffer)
        })
    }

    /// The key of the stream is `HMAC(key, fresh || SHA-256(suite, content type, header, inner kid) || SHA-256(body))`,
    /// its block `n` is `HMAC(stream key, n)`.
    pub(super) fn stream(
        &self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        key: &HedgeKey,
        fresh: &Secret<32>,
    ) -> Stream {
        let job = Job { claims, content_type, body, kind: self.kind };
        let mut header = Sha256::new();
        // The content type separately, because suites SE and SP have it in the inner header.
        for text in [self.mode.suite().short_name(), content_type.as_str()] {
            header.text(text).expect("a hash takes any number of bytes");
        }
        self.mode.bind(&job, &mut header);
        let mut stream = Stream { key: Secret::zeroed(), drawn: 0 };
        let parts = [fresh.as_bytes(), &header.finalize().into(), &Sha256::digest(body).into()];
        hmac_into(key.0.as_bytes(), &parts.map(<[u8; 32]>::as_slice), stream.key.as_mut_bytes());
        stream
    }
}

/// The stream of one message. Private, because it must not be used for a second message.
pub(super) struct Stream {
    key: Secret<32>,
    drawn: u32,
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Every call starts a new block, so that no byte is returned twice.
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let mut block = Secret::zeroed();
        for chunk in out.chunks_mut(32) {
            hmac_into(self.key.as_bytes(), &[&self.drawn.to_be_bytes()], block.as_mut_bytes());
            // A message needs a salt, a nonce and at most eight scalars.
            self.drawn = self.drawn.wrapping_add(1);
            chunk.iter_mut().zip(block.as_bytes()).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }
}

impl TryCryptoRng for Stream {}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
