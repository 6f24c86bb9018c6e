//! Sealing many drafts under one signature, each into its own envelope.

use taskseal_core::batch::MAX_BATCH;
use taskseal_core::seal::{Batch, Pending, SignedBatch, SigningMode};
use taskseal_core::{MAX_BODY, SealError, Sealer, Signer, Software};

use super::{Draft, Randomness, SealFault, seal_alone, without_signer};
use crate::keys::signer::SignerFault;

/// Maximum number of drafts for the small tree. The tree is moved on the stack, so its size matters.
const SMALL: usize = 64;

/// Seals up to [`MAX_BATCH`] drafts under one signature; returns the envelopes in the same order.
pub(super) fn seal_together<M, R>(
    sealer: Sealer<M>,
    drafts: &[Draft<'_>],
    random: &mut R,
) -> Vec<Result<Vec<u8>, SealFault>>
where
    R: Randomness,
    M: SigningMode,
    M::Signer: Signer<Error = SignerFault>,
{
    if drafts.len() <= SMALL {
        seal_sized::<SMALL, M, R>(sealer, drafts, random)
    } else {
        seal_sized::<MAX_BATCH, M, R>(sealer, drafts, random)
    }
}

/// An envelope that lacks its signature.
type Unsigned = Result<(Pending, Vec<u8>), SealFault>;

fn seal_sized<const N: usize, M, R>(
    mut sealer: Sealer<M>,
    drafts: &[Draft<'_>],
    random: &mut R,
) -> Vec<Result<Vec<u8>, SealFault>>
where
    R: Randomness,
    M: SigningMode,
    M::Signer: Signer<Error = SignerFault>,
{
    let mut lens = Vec::with_capacity(drafts.len());
    for draft in drafts {
        lens.push(sealer.batched_len(draft.claims, draft.content_type, draft.body.len(), drafts.len()));
    }
    let mut batch = sealer.batch::<N>();
    let mut unsigned = Vec::with_capacity(drafts.len());
    for (draft, len) in drafts.iter().zip(lens) {
        unsigned.push(write(&mut batch, draft, random, len));
    }
    if batch.len() > 1 {
        return finish(&batch.sign(), unsigned);
    }
    // The other drafts cannot be sealed, and one draft needs no batch.
    let mut envelopes = Vec::with_capacity(drafts.len());
    for (draft, unsigned) in drafts.iter().zip(unsigned) {
        envelopes.push(unsigned.and_then(|_| seal_alone(&mut sealer, draft, random)));
    }
    envelopes
}

/// Adds its signature to each envelope.
fn finish<const N: usize>(
    signed: &Result<SignedBatch<N>, SealFault>,
    unsigned: Vec<Unsigned>,
) -> Vec<Result<Vec<u8>, SealFault>> {
    let finish = |unsigned: Unsigned| {
        let (pending, mut buffer) = unsigned?;
        let signed = signed.as_ref().map_err(Clone::clone)?;
        let len = signed.finish(pending, &mut buffer).map_err(without_signer)?.len();
        buffer.truncate(len);
        Ok(buffer)
    };
    unsigned.into_iter().map(finish).collect()
}

/// Writes a draft into a buffer of `len` bytes.
fn write<M, R, const N: usize>(
    batch: &mut Batch<'_, M, Software, N>,
    draft: &Draft<'_>,
    random: &mut R,
    len: usize,
) -> Unsigned
where
    R: Randomness,
    M: SigningMode,
    M::Signer: Signer<Error = SignerFault>,
{
    if draft.body.len() > MAX_BODY {
        return Err(SealError::BodyTooLong);
    }
    let mut buffer = vec![0; len];
    let pending = random.add(batch, draft, &mut buffer)?;
    Ok((pending, buffer))
}
