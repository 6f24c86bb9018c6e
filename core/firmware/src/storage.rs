//! What lies in flash, in four pages:
//!
//! | page | what | written |
//! | --- | --- | --- |
//! | 0 | names, and the worker's public key | in production |
//! | 1 | the signing key | by the device, at its first boot |
//! | 2, 3 | the epoch: one record a boot | by the device |
//!
//! The number of a reading is an epoch and a counter. Only the epoch is stored, once a boot; the counter begins at zero in
//! each epoch and needs no flash. A page holds 512 epochs, so 10,000 cycles of two pages are ten million boots.

#[cfg(test)]
mod tests;

use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use rand_core::TryCryptoRng;
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::{Audience, Issuer, Secret, tags_match};

/// Bytes of a page here; a multiple of the least that the flash can erase.
pub const PAGE: u32 = 4096;
/// Bytes that are used.
pub const LEN: u32 = 4 * PAGE;

const SETTINGS: u32 = 0;
const KEY: u32 = PAGE;
const EPOCHS: [u32; 2] = [2 * PAGE, 3 * PAGE];
/// Marks a page of settings of this form.
const SETTINGS_MARK: [u8; 8] = *b"taskseal";
/// Marks a key that was written to its end.
const KEY_MARK: [u8; 8] = *b"tskskey1";
const RECORD: u32 = 8;
/// Where the kid of the key stands in its page: after mark and scalar.
const KID: u32 = RECORD + 32;

/// Why the storage cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// The flash does not read, write or erase.
    Flash,
    /// No settings, or damaged ones.
    NotProvisioned,
    /// A key is to be made, and the source of randomness failed.
    Random,
    /// The last epoch there can be was used.
    EpochsUsedUp,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flash => "the flash does not answer",
            Self::NotProvisioned => "the settings are not there or damaged",
            Self::Random => "the source of randomness failed",
            Self::EpochsUsedUp => "the last epoch was used",
        })
    }
}

impl core::error::Error for StorageError {}

/// What production writes: who the device is, where its readings go, and whom they are encrypted to.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    issuer: Text<64>,
    audience: Text<128>,
    /// The worker that may read.
    pub worker: AgreementPublicKey,
}

#[derive(Clone, Copy, Debug)]
struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.bytes.get(..usize::from(self.len))?).ok()
    }
}

impl Settings {
    /// Reads and checks them.
    ///
    /// # Errors
    /// [`StorageError::Flash`], [`StorageError::NotProvisioned`].
    pub fn read(flash: &mut impl NorFlash) -> Result<Self, StorageError> {
        let mut page = [0; 8 + 65 + 1 + 64 + 1 + 128 + 5];
        flash.read(SETTINGS, &mut page).map_err(|_| StorageError::Flash)?;
        Self::parse(&page).ok_or(StorageError::NotProvisioned)
    }

    /// Mark, point, and two texts with their length in front.
    fn parse(page: &[u8]) -> Option<Self> {
        let rest = page.strip_prefix(&SETTINGS_MARK)?;
        let (point, rest) = rest.split_first_chunk::<65>()?;
        let (issuer_len, rest) = rest.split_first()?;
        let (issuer, rest) = rest.split_first_chunk::<64>()?;
        let (audience_len, rest) = rest.split_first()?;
        let audience = rest.first_chunk::<128>()?;
        let settings = Self {
            issuer: Text { bytes: *issuer, len: *issuer_len },
            audience: Text { bytes: *audience, len: *audience_len },
            // A point that is damaged is not on the curve.
            worker: AgreementPublicKey::from_point(point).ok()?,
        };
        (settings.issuer().is_some() && settings.audience().is_some()).then_some(settings)
    }

    pub(crate) fn issuer(&self) -> Option<Issuer<'_>> {
        Issuer::new(self.issuer.as_str()?).ok()
    }

    pub(crate) fn audience(&self) -> Option<Audience<'_>> {
        Audience::new(self.audience.as_str()?).ok()
    }
}

/// The signing key. Made here at the first boot, so that it was never anywhere else.
///
/// # Errors
/// [`StorageError::Flash`], [`StorageError::Random`].
pub fn signing_key<R: TryCryptoRng>(
    flash: &mut impl NorFlash,
    rng: &mut R,
) -> Result<(SigningKey, Secret<32>), StorageError> {
    let mut mark = [0; 8];
    let mut scalar = Secret::<32>::zeroed();
    flash.read(KEY, &mut mark).map_err(|_| StorageError::Flash)?;
    if mark == KEY_MARK {
        flash.read(KEY + RECORD, scalar.as_mut_bytes()).map_err(|_| StorageError::Flash)?;
        let mut kid = [0; 8];
        flash.read(KEY + KID, &mut kid).map_err(|_| StorageError::Flash)?;
        // Nearly every scalar is some key: a flash that lost bits must not make this another device.
        let key = SigningKey::from_scalar(&scalar).map_err(|_| StorageError::Flash)?;
        if key.verifying_key().kid().as_bytes() != &kid {
            return Err(StorageError::Flash);
        }
        return Ok((key, scalar));
    }
    let mut before = Secret::<32>::zeroed();
    rng.try_fill_bytes(before.as_mut_bytes()).map_err(|_| StorageError::Random)?;
    let key = loop {
        rng.try_fill_bytes(scalar.as_mut_bytes()).map_err(|_| StorageError::Random)?;
        // A source that is stuck says the same twice.
        if tags_match(scalar.as_bytes(), before.as_bytes()) {
            return Err(StorageError::Random);
        }
        // One of 2^32 scalars is out of range; a source that is stuck there is broken.
        if let Ok(key) = SigningKey::from_scalar(&scalar) {
            break key;
        }
        if scalar.as_bytes() == &[0; 32] || scalar.as_bytes() == &[0xff; 32] {
            return Err(StorageError::Random);
        }
    };
    flash.erase(KEY, KEY + PAGE).map_err(|_| StorageError::Flash)?;
    flash.write(KEY + RECORD, scalar.as_bytes()).map_err(|_| StorageError::Flash)?;
    flash.write(KEY + KID, key.verifying_key().kid().as_bytes()).map_err(|_| StorageError::Flash)?;
    let mut stored = Secret::<32>::zeroed();
    flash.read(KEY + RECORD, stored.as_mut_bytes()).map_err(|_| StorageError::Flash)?;
    if !tags_match(stored.as_bytes(), scalar.as_bytes()) {
        return Err(StorageError::Flash);
    }
    // The mark comes last: without power in between there is no key, rather than half of one.
    flash.write(KEY, &KEY_MARK).map_err(|_| StorageError::Flash)?;
    Ok((key, scalar))
}

/// Counts the epoch up and stores it. When this returns, no earlier boot had the same one and no later one will.
///
/// Two pages take turns. A page is erased only while the other holds the newest epoch, and a record that was cut off is
/// no record, so a power cut at any moment loses no epoch that was ever returned.
///
/// # Errors
/// [`StorageError::Flash`], [`StorageError::EpochsUsedUp`].
pub fn next_epoch<F: NorFlash>(flash: &mut F) -> Result<u32, StorageError> {
    const { assert!(8 % F::WRITE_SIZE == 0 && (PAGE as usize).is_multiple_of(F::ERASE_SIZE)) };
    // The newest epoch, its page, and the first place in that page with nothing after it.
    let mut newest = (0, 1, PAGE);
    // Records after the newest one that say nothing any more: each may have been an epoch newer than all that can be read.
    let (mut damaged, mut lost) = (0_u32, 0_u32);
    for (index, page) in EPOCHS.into_iter().enumerate() {
        let (mut greatest, mut free, mut trailing) = (0, 0, 0);
        for place in (0..PAGE).step_by(RECORD as usize) {
            let mut record = [0; RECORD as usize];
            // What was cut off while it was written may be unreadable for ever where flash corrects errors.
            let is_readable = flash.read(page + place, &mut record).is_ok();
            if is_readable && record == [0xff; RECORD as usize] {
                continue;
            }
            free = place + RECORD;
            match epoch_of(record).filter(|_| is_readable) {
                Some(epoch) => (greatest, trailing) = (epoch.max(greatest), 0),
                None => trailing += 1,
            }
        }
        if greatest > newest.0 {
            (newest, damaged) = ((greatest, index, free), trailing);
        } else if greatest == 0 {
            // A page with nothing to read in it may be the newer one.
            lost = trailing;
        }
    }
    damaged += lost;
    let (epoch, index, free) = newest;
    let next = epoch.checked_add(damaged).and_then(|epoch| epoch.checked_add(1));
    let next = next.ok_or(StorageError::EpochsUsedUp)?;
    let here = EPOCHS.get(index).copied().unwrap_or(EPOCHS[0]);
    let place = if free < PAGE {
        here + free
    } else {
        let other = if here == EPOCHS[0] { EPOCHS[1] } else { EPOCHS[0] };
        flash.erase(other, other + PAGE).map_err(|_| StorageError::Flash)?;
        other
    };
    let [a, b, c, d] = next.to_be_bytes();
    let record = [a, b, c, d, !a, !b, !c, !d];
    flash.write(place, &record).map_err(|_| StorageError::Flash)?;
    // An epoch that cannot be read back would be used again at the next boot.
    let mut stored = [0; RECORD as usize];
    flash.read(place, &mut stored).map_err(|_| StorageError::Flash)?;
    if stored == record { Ok(next) } else { Err(StorageError::Flash) }
}

/// The epoch of a record, if it was written to its end.
fn epoch_of(record: [u8; RECORD as usize]) -> Option<u32> {
    let [a, b, c, d, rest @ ..] = record;
    (rest == [!a, !b, !c, !d]).then_some(u32::from_be_bytes([a, b, c, d]))
}
