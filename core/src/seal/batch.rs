//! Sealing of batches: tasks are written as they are added, signed together, and then completed with a receipt each.

use core::fmt;

use heapless::Vec;
use rand_core::TryCryptoRng;

use super::hedged::HedgeKey;
use super::signed::{SignerError, sign, signed_header, write_signed};
use super::{Job, Sealer, SigningMode, bytes_len};
use crate::batch::{
    Frame, Hash, MAX_BATCH, MAX_RECEIPT_HEADER, Tree, encode_header, longest_receipt, receipt_len,
};
use crate::cbor::encoder::{Sink, Writer};
use crate::claims::Claims;
use crate::envelope::{MAX_BODY, encode_batched_start};
use crate::error::SealError;
use crate::kid::KeyId;
use crate::name::ContentType;
use crate::provider::{Provider, Signer};
use crate::secret::Secret;
use crate::stack::{Depth, with_wiped_stack};
use crate::structure::{batch_leaf, signature_digest};

impl<M: SigningMode, P: Provider> Sealer<M, P> {
    /// Creates a batch of up to `N` tasks under one signature; at most [`MAX_BATCH`] are accepted. It takes 64 bytes of
    /// memory per task in addition to the envelopes.
    ///
    /// Suite SP performs one key agreement for the whole batch. With a weak source of randomness, add tasks
    /// [hedged](Batch::add_hedged).
    ///
    /// ```
    /// # use taskseal_core::keys::SigningKey;
    /// # use taskseal_core::{Audience, Claims, ContentType, Issuer, Sealer, Secret, TaskId, TaskType};
    /// # struct Rng;
    /// # impl rand_core::TryRng for Rng {
    /// #     type Error = core::convert::Infallible;
    /// #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { Ok(4) }
    /// #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { Ok(4) }
    /// #     fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> { bytes.fill(4); Ok(()) }
    /// # }
    /// # impl rand_core::TryCryptoRng for Rng {}
    /// # let mut rng = Rng;
    /// # let signer = SigningKey::from_scalar(&Secret::copy_from(&[1; 32]))?;
    /// # let claims = |id: u8| Ok::<_, taskseal_core::name::InvalidName>(Claims::new(
    /// #     Issuer::new("sensor-17")?, TaskType::new("reading:store")?, Audience::new("plant-a/ingest")?,
    /// #     TaskId::from_bytes([id; 16])).issued_at(1_763_751_000).expires_at(1_763_754_600));
    /// let (mut first, mut second) = ([0; 640], [0; 640]);
    /// let mut sealer = Sealer::sign(&signer);
    /// let mut batch = sealer.batch::<64>();
    /// let one = batch.add(&claims(1)?, ContentType::JSON, b"21.5", &mut rng, &mut first)?;
    /// let two = batch.add(&claims(2)?, ContentType::JSON, b"22.0", &mut rng, &mut second)?;
    /// let signed = batch.sign()?;
    /// let envelopes = [signed.finish(one, &mut first)?, signed.finish(two, &mut second)?];
    /// # assert!(envelopes.iter().all(|envelope| envelope.first() == Some(&0x83)));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    pub fn batch<const N: usize>(&mut self) -> Batch<'_, M, P, N> {
        Batch { sealer: self, session: M::Session::default(), has_begun: false, leaves: Vec::new() }
    }

    /// Returns the maximum size of an envelope in a batch of `size` tasks around a body of `body_len` bytes, in bytes.
    pub fn batched_len(
        &self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body_len: usize,
        size: usize,
    ) -> usize {
        let job = Job { claims, content_type, body: &[], kind: self.kind };
        let receipt = longest_receipt(self.mode.signer().kid(), size.clamp(1, MAX_BATCH)).ok();
        unsigned_len(&self.mode, &job, body_len)
            .and_then(|unsigned| unsigned.checked_add(bytes_len(receipt?)?))
            .unwrap_or(usize::MAX)
    }
}

/// Tasks before their common signature.
///
/// # Security
/// In suite SP it holds the content key of its tasks from the first task until they are signed. Moving it in this state
/// may leave a copy on the stack.
pub struct Batch<'s, M: SigningMode, P, const N: usize> {
    sealer: &'s mut Sealer<M, P>,
    /// Set by the first task, so that it is filled in place.
    session: M::Session,
    has_begun: bool,
    leaves: Vec<Hash, N>,
}

/// A written task of a batch without its receipt. It cannot be copied, because a task gets one receipt.
#[derive(Debug)]
#[allow(missing_copy_implementations)]
#[must_use = "an envelope without its receipt is not valid"]
pub struct Pending {
    index: usize,
    /// Returns the number of bytes written.
    len: usize,
}

impl<M: SigningMode, P: Provider, const N: usize> Batch<'_, M, P, N> {
    /// Writes a task without its receipt into the start of `buffer`.
    ///
    /// # Errors
    /// [`SealError::BatchFull`]; otherwise as [`Sealer::seal`]. The batch is then unchanged.
    ///
    /// # Security
    /// As [`Sealer::seal`].
    pub fn add<R: TryCryptoRng + ?Sized>(
        &mut self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        rng: &mut R,
        buffer: &mut [u8],
    ) -> Result<Pending, SealError<SignerError<M>>> {
        if body.len() > MAX_BODY {
            return Err(SealError::BodyTooLong);
        }
        if self.leaves.is_full() || self.leaves.len() >= MAX_BATCH {
            return Err(SealError::BatchFull);
        }
        claims.check(self.sealer.kind).map_err(|_| SealError::InconsistentClaims)?;
        let job = Job { claims, content_type, body, kind: self.sealer.kind };
        let len = unsigned_len(&self.sealer.mode, &job, body.len()).ok_or(SealError::BodyTooLong)?;
        let (unsigned, _) = buffer.split_at_mut_checked(len).ok_or(SealError::BufferTooSmall)?;
        match with_wiped_stack(Depth::of_sealing(self.sealer.suite()), || self.write(&job, rng, unsigned)) {
            Ok(leaf) => {
                let index = self.leaves.len();
                self.leaves.push(leaf).map_err(|_| SealError::BatchFull)?;
                Ok(Pending { index, len })
            }
            Err(error) => {
                unsigned.fill(0);
                Err(error)
            }
        }
    }

    /// Like [`add`](Self::add), with hedged randomness as in [`Sealer::seal_hedged`]. In suite SP the tasks share the ephemeral
    /// key that the first one generates; the nonce of each task depends on its claims and body.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Security
    /// As [`Sealer::seal`].
    pub fn add_hedged<R: TryCryptoRng + ?Sized>(
        &mut self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        key: &HedgeKey,
        rng: &mut R,
        buffer: &mut [u8],
    ) -> Result<Pending, SealError<SignerError<M>>> {
        with_wiped_stack(Depth::Hash, || {
            let mut fresh = Secret::zeroed();
            rng.try_fill_bytes(fresh.as_mut_bytes()).map_err(|_| SealError::Random)?;
            let mut stream = self.sealer.stream(claims, content_type, body, key, &fresh);
            self.add(claims, content_type, body, &mut stream, buffer)
        })
    }

    fn write<R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        rng: &mut R,
        unsigned: &mut [u8],
    ) -> Result<Hash, SealError<SignerError<M>>> {
        let Self { sealer, session, has_begun, .. } = self;
        let Sealer { mode, provider, .. } = &mut **sealer;
        if !*has_begun {
            mode.begin(session, provider, rng)?;
            *has_begun = true;
        }
        let mut writer = Writer::new(unsigned);
        encode_batched_start(signed_header(mode, job).encoded_len()?, &mut writer)?;
        write_signed(mode, job, session, (provider, rng), |_| Ok(()), batch_leaf, &mut writer)
    }

    /// Returns the number of tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Returns whether the batch has no tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Signs all tasks. The batch is then empty and can be reused.
    ///
    /// # Errors
    /// [`SealError::BatchEmpty`], [`SealError::Signer`] or [`SealError::InvalidSignature`]. The batch is then
    /// unchanged, and signing can be retried.
    pub fn sign(&mut self) -> Result<SignedBatch<N>, SealError<SignerError<M>>> {
        let tree = Tree::new(core::mem::take(&mut self.leaves)).ok_or(SealError::BatchEmpty)?;
        match sign_tree(self.sealer.mode.signer_mut(), &tree) {
            Ok((kid, signature)) => {
                self.session = M::Session::default();
                self.has_begun = false;
                Ok(SignedBatch { tree, kid, signature })
            }
            Err(error) => {
                self.leaves = tree.into_leaves();
                Err(error)
            }
        }
    }
}

fn sign_tree<S: Signer, const N: usize>(
    signer: &mut S,
    tree: &Tree<N>,
) -> Result<(KeyId, [u8; 64]), SealError<S::Error>> {
    let kid = signer.kid();
    let root = tree.root().ok_or(SealError::BatchEmpty)?;
    let mut header = [0; MAX_RECEIPT_HEADER];
    let mut writer = Writer::new(&mut header);
    encode_header(kid, tree.size(), &mut writer)?;
    let signature = sign(signer, &signature_digest(writer.as_bytes(), root))?;
    Ok((kid, signature))
}

fn unsigned_len<M: SigningMode>(mode: &M, job: &Job<'_>, body_len: usize) -> Option<usize> {
    let header_len = signed_header(mode, job).encoded_len().ok()?;
    (1 + bytes_len(header_len)?).checked_add(bytes_len(mode.payload_len(job, body_len)?)?)
}

/// A signature over a batch, which issues the receipts of its tasks.
pub struct SignedBatch<const N: usize> {
    tree: Tree<N>,
    kid: KeyId,
    signature: [u8; 64],
}

impl<const N: usize> SignedBatch<N> {
    /// Appends the receipt of a task to the bytes that [`Batch::add`] wrote into `buffer`, and returns the envelope.
    ///
    /// # Errors
    /// [`SealError::BufferTooSmall`].
    ///
    /// # Security
    /// `buffer` must be the one into which the task was written: with the receipt of another task it does not verify.
    pub fn finish<'b>(&self, task: Pending, buffer: &'b mut [u8]) -> Result<&'b [u8], SealError> {
        let Pending { index, len } = task;
        let frame = Frame { kid: self.kid, size: self.tree.size(), index };
        let receipt_len = receipt_len(self.kid, frame.size, index)?;
        let mut writer = Writer::after(buffer, len);
        writer.bytes_head(receipt_len)?;
        frame.encode(self.tree.path(index), &self.signature, &mut writer)?;
        let end = writer.position();
        buffer.get(..end).ok_or(SealError::BufferTooSmall)
    }
}

impl<M: SigningMode, P, const N: usize> fmt::Debug for Batch<'_, M, P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.leaves.len()).finish_non_exhaustive()
    }
}

impl<const N: usize> fmt::Debug for SignedBatch<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedBatch").field("len", &self.tree.size()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
