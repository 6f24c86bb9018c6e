//! The device: boot, registration data, and sealed readings.

use core::convert::Infallible;

use embedded_storage::nor_flash::NorFlash;
use rand_core::TryCryptoRng;
use taskseal_core::claims::{ClockSource, Sequence};
use taskseal_core::keys::{SigningKey, VerifyingKey};
use taskseal_core::seal::HedgeKey;
use taskseal_core::{Claims, ContentType, SealError, Sealer, TaskId, TaskType};

use crate::storage::{self, Settings, StorageError};

/// Task type of a reading, for which the worker has a handler.
const READING: TaskType<'static> = match TaskType::new("reading:store") {
    Ok(name) => name,
    Err(_) => panic!("printable ASCII"),
};
/// Time after which the worker discards a waiting reading, in seconds.
const TTL: u32 = 3600;

/// A device that has booted.
#[derive(Debug)]
pub struct Device<R> {
    settings: Settings,
    /// Kept in memory, because loading it costs as much as a signature.
    signer: SigningKey,
    hedge: HedgeKey,
    rng: R,
    epoch: u32,
    counter: u32,
}

impl<R: TryCryptoRng> Device<R> {
    /// Reads the settings, generates the key at the first boot, and starts a new epoch.
    ///
    /// # Errors
    /// [`StorageError`]: nothing can be sealed.
    pub fn boot(flash: &mut impl NorFlash, mut rng: R) -> Result<Self, StorageError> {
        let settings = Settings::read(flash)?;
        let (signer, secret) = storage::signing_key(flash, &mut rng)?;
        let hedge = HedgeKey::derive(&secret);
        // Stored before anything is sealed in this epoch.
        let epoch = storage::next_epoch(flash)?;
        Ok(Self { settings, signer, hedge, rng, epoch, counter: 0 })
    }

    /// Returns the name of the device, which is the issuer of its tasks.
    pub fn issuer(&self) -> &str {
        self.settings.issuer().map_or("", |issuer| issuer.as_str())
    }

    /// Returns the key for the worker's keyset.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.signer.verifying_key()
    }

    /// Returns epoch and counter of the next reading.
    pub fn next(&self) -> Sequence {
        Sequence { epoch: self.epoch, counter: u64::from(self.counter) }
    }

    /// Seals a reading: encrypted to the worker, signed by the device, numbered instead of dated.
    ///
    /// # Errors
    /// [`SealError`]; the counter advances also in this case.
    pub fn seal<'b>(
        &mut self,
        reading: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SealError<Infallible>> {
        let sequence = self.next();
        // An epoch has four billion readings; after that the device must boot.
        self.counter = self.counter.checked_add(1).ok_or(SealError::InconsistentClaims)?;
        let (Some(issuer), Some(audience)) = (self.settings.issuer(), self.settings.audience()) else {
            return Err(SealError::InconsistentClaims);
        };
        let claims = Claims::new(issuer, READING, audience, self.task_id(sequence))
            .clock(ClockSource::None)
            .sequence(sequence.epoch, sequence.counter)
            .ttl(TTL);
        let mut sealer = Sealer::sign_encrypt_to(&self.signer, &self.settings.worker);
        let hedged = sealer
            .seal_hedged(&claims, ContentType::JSON, reading, &self.hedge, &mut self.rng, buffer)
            .map(<[u8]>::len);
        let len = match hedged {
            // The sequence makes every message different, so the key of the device is sufficient to separate its
            // ciphertexts. The readings are not secret towards a party that later obtains that key.
            Err(SealError::Random) => sealer
                .danger_seal_without_randomness(&claims, ContentType::JSON, reading, &self.hedge, buffer)
                .map(<[u8]>::len),
            other => other,
        }?;
        buffer.get(..len).ok_or(SealError::BufferTooSmall)
    }

    /// Unique among all readings of all devices: the kid, then the sequence.
    fn task_id(&self, sequence: Sequence) -> TaskId {
        let mut id = [0; TaskId::LEN];
        let kid = *self.signer.verifying_key().kid().as_bytes();
        let number = u64::from(sequence.epoch) << 32 | sequence.counter;
        id.iter_mut().zip(kid.into_iter().chain(number.to_be_bytes())).for_each(|(to, from)| *to = from);
        TaskId::from_bytes(id)
    }
}
