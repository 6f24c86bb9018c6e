//! The randomness of salts and nonces.

use getrandom::rand_core::TryCryptoRng;
use taskseal_core::seal::{Batch, HedgeKey, Mode, Pending, SigningMode};
use taskseal_core::{SealError, Sealer, Signer, Software};

use super::{Draft, SealFault};
use crate::keys::signer::SignerFault;

/// How a draft gets its randomness.
pub(super) trait Randomness {
    fn seal<M: Mode>(
        &mut self,
        sealer: &mut Sealer<M>,
        draft: &Draft<'_>,
        envelope: &mut [u8],
    ) -> Result<(), SealError<M::Error>>;

    fn add<M: SigningMode<Signer: Signer<Error = SignerFault>>, const N: usize>(
        &mut self,
        batch: &mut Batch<'_, M, Software, N>,
        draft: &Draft<'_>,
        envelope: &mut [u8],
    ) -> Result<Pending, SealFault>;
}

/// A source alone: for suites that do not encrypt.
pub(super) struct Plain<'r, R>(pub(super) &'r mut R);

impl<R: TryCryptoRng> Randomness for Plain<'_, R> {
    fn seal<M: Mode>(
        &mut self,
        sealer: &mut Sealer<M>,
        draft: &Draft<'_>,
        envelope: &mut [u8],
    ) -> Result<(), SealError<M::Error>> {
        sealer.seal(draft.claims, draft.content_type, draft.body, self.0, envelope).map(drop)
    }

    fn add<M: SigningMode<Signer: Signer<Error = SignerFault>>, const N: usize>(
        &mut self,
        batch: &mut Batch<'_, M, Software, N>,
        draft: &Draft<'_>,
        envelope: &mut [u8],
    ) -> Result<Pending, SealFault> {
        batch.add(draft.claims, draft.content_type, draft.body, self.0, envelope)
    }
}

/// A source, and a key that hedges it. Salts and nonces depend on claims and body too, so that two clones of one virtual
/// machine whose random number generators return the same bytes do not encrypt different bodies with one nonce.
pub(super) struct Hedged<'r, R> {
    pub(super) key: &'r HedgeKey,
    pub(super) rng: &'r mut R,
}

impl<R: TryCryptoRng> Randomness for Hedged<'_, R> {
    fn seal<M: Mode>(
        &mut self,
        sealer: &mut Sealer<M>,
        draft: &Draft<'_>,
        envelope: &mut [u8],
    ) -> Result<(), SealError<M::Error>> {
        let Draft { claims, content_type, body, .. } = *draft;
        sealer.seal_hedged(claims, content_type, body, self.key, self.rng, envelope).map(drop)
    }

    fn add<M: SigningMode<Signer: Signer<Error = SignerFault>>, const N: usize>(
        &mut self,
        batch: &mut Batch<'_, M, Software, N>,
        draft: &Draft<'_>,
        envelope: &mut [u8],
    ) -> Result<Pending, SealFault> {
        let Draft { claims, content_type, body, .. } = *draft;
        batch.add_hedged(claims, content_type, body, self.key, self.rng, envelope)
    }
}
