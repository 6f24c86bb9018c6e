//! Many drafts under one signature, each sealed into an envelope of its own.

use getrandom::SysRng;
use taskseal_core::batch::MAX_BATCH;
use taskseal_core::seal::{Batch, Pending, SigningMode};
use taskseal_core::{MAX_BODY, SealError, Sealer, Signer, Software};

use super::{Draft, SealFault, alone, no_signer};
use crate::keys::signer::SignerFault;

/// Most drafts for which the small tree is enough: a tree is moved about on the stack.
const SMALL: usize = 64;

/// Seals up to [`MAX_BATCH`] drafts under one signature, and answers in their order.
pub(super) fn together<M>(sealer: Sealer<M>, drafts: &[Draft<'_>]) -> Vec<Result<Vec<u8>, SealFault>>
where
    M: SigningMode,
    M::Signer: Signer<Error = SignerFault>,
{
    if drafts.len() <= SMALL {
        sized::<SMALL, M>(sealer, drafts)
    } else {
        sized::<MAX_BATCH, M>(sealer, drafts)
    }
}

/// What was written of a draft, and where.
type Written = Result<(Pending, Vec<u8>), SealFault>;

fn sized<const N: usize, M>(mut sealer: Sealer<M>, drafts: &[Draft<'_>]) -> Vec<Result<Vec<u8>, SealFault>>
where
    M: SigningMode,
    M::Signer: Signer<Error = SignerFault>,
{
    let room = |draft: &Draft<'_>| {
        sealer.batched_len(draft.claims, draft.content_type, draft.body.len(), drafts.len())
    };
    let room: Vec<usize> = drafts.iter().map(room).collect();
    let mut batch = sealer.batch::<N>();
    let written: Vec<Written> =
        drafts.iter().zip(room).map(|(draft, room)| write(&mut batch, draft, room)).collect();
    if batch.len() < 2 {
        // The others cannot be sealed: what is left needs no batch.
        return written
            .into_iter()
            .zip(drafts)
            .map(|(written, draft)| written.and_then(|_| alone(&mut sealer, draft)))
            .collect();
    }
    let signed = batch.sign();
    let finish = |written: Written| {
        let (pending, mut buffer) = written?;
        let signed = signed.as_ref().map_err(Clone::clone)?;
        let len = signed.finish(pending, &mut buffer).map_err(no_signer)?.len();
        buffer.truncate(len);
        Ok(buffer)
    };
    written.into_iter().map(finish).collect()
}

fn write<M, const N: usize>(batch: &mut Batch<'_, M, Software, N>, draft: &Draft<'_>, room: usize) -> Written
where
    M: SigningMode,
    M::Signer: Signer<Error = SignerFault>,
{
    let Draft { claims, content_type, body } = *draft;
    if body.len() > MAX_BODY {
        return Err(SealError::BodyTooLong);
    }
    let mut buffer = vec![0; room];
    let pending = batch.add(claims, content_type, body, &mut SysRng, &mut buffer)?;
    Ok((pending, buffer))
}
