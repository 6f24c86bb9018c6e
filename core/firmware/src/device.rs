//! From a boot to sealed readings.

use core::convert::Infallible;

use embedded_storage::nor_flash::NorFlash;
use rand_core::TryCryptoRng;
use taskseal_core::claims::{ClockSource, Sequence};
use taskseal_core::keys::{SigningKey, VerifyingKey};
use taskseal_core::seal::HedgeKey;
use taskseal_core::{Claims, ContentType, SealError, Sealer, TaskId, TaskType};

use crate::storage::{self, Settings, StorageError};

/// What a reading is to the worker; it has a handler of this type.
const READING: TaskType<'static> = match TaskType::new("reading:store") {
    Ok(name) => name,
    Err(_) => panic!("printable ASCII"),
};
/// Seconds after which the worker throws away a reading that waits for its turn.
const TTL: u32 = 3600;

/// A device that has booted.
#[derive(Debug)]
pub struct Device<R> {
    settings: Settings,
    /// Kept from the boot on: to load it costs as much as to sign with it.
    signer: SigningKey,
    hedge: HedgeKey,
    rng: R,
    epoch: u32,
    counter: u32,
}

impl<R: TryCryptoRng> Device<R> {
    /// Reads what the device is, makes its key at the first boot, and begins a new epoch.
    ///
    /// # Errors
    /// [`StorageError`]: nothing can be sealed.
    pub fn boot(flash: &mut impl NorFlash, mut rng: R) -> Result<Self, StorageError> {
        let settings = Settings::read(flash)?;
        let (signer, secret) = storage::signing_key(flash, &mut rng)?;
        let hedge = HedgeKey::derive(&secret);
        // Stored before anything is sealed in it.
        let epoch = storage::next_epoch(flash)?;
        Ok(Self { settings, signer, hedge, rng, epoch, counter: 0 })
    }

    /// The name that the device speaks under.
    pub fn issuer(&self) -> &str {
        self.settings.issuer().map_or("", |issuer| issuer.as_str())
    }

    /// What the worker's keyset has to know.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.signer.verifying_key()
    }

    /// Epoch and counter of the next reading.
    pub fn next(&self) -> Sequence {
        Sequence { epoch: self.epoch, counter: u64::from(self.counter) }
    }

    /// Seals a reading: encrypted to the worker, signed by the device, numbered instead of dated.
    ///
    /// # Errors
    /// [`SealError`]; the number is used up all the same.
    pub fn seal<'b>(
        &mut self,
        reading: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SealError<Infallible>> {
        let sequence = self.next();
        // Four billion readings an epoch; whoever makes more has to begin another, by booting.
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
            // The number makes every message another one, so the key of the device alone is enough to keep its
            // ciphertexts apart. What is lost is secrecy towards whoever takes that key later.
            Err(SealError::Random) => sealer
                .danger_seal_without_randomness(&claims, ContentType::JSON, reading, &self.hedge, buffer)
                .map(<[u8]>::len),
            other => other,
        }?;
        buffer.get(..len).ok_or(SealError::BufferTooSmall)
    }

    /// No other reading of any device has it: the key's name, then the number.
    fn task_id(&self, sequence: Sequence) -> TaskId {
        let mut id = [0; TaskId::LEN];
        let kid = *self.signer.verifying_key().kid().as_bytes();
        let number = u64::from(sequence.epoch) << 32 | sequence.counter;
        id.iter_mut().zip(kid.into_iter().chain(number.to_be_bytes())).for_each(|(to, from)| *to = from);
        TaskId::from_bytes(id)
    }
}
