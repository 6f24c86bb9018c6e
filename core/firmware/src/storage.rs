//! The content of the flash, in four pages:
//!
//! | page | what | written |
//! | --- | --- | --- |
//! | 0 | names, and the worker's public key | in production |
//! | 1 | the signing key | by the device, at its first boot |
//! | 2, 3 | the epoch: one record a boot | by the device |
//!
//! The sequence of a reading is an epoch and a counter. Only the epoch is stored, once per boot; the counter starts at
//! zero in each epoch and needs no flash. A page holds 512 epochs, so 10,000 cycles of two pages are ten million boots.

#[cfg(test)]
mod tests;

use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use rand_core::TryCryptoRng;
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::{Audience, Issuer, Secret, tags_match};

/// Size of a page, in bytes: a multiple of the erase size of the flash.
pub const PAGE: u32 = 4096;
/// Number of bytes in use.
pub const LEN: u32 = 4 * PAGE;

const SETTINGS: u32 = 0;
const KEY: u32 = PAGE;
const EPOCHS: [u32; 2] = [2 * PAGE, 3 * PAGE];
/// Marks a page of settings in this format.
const SETTINGS_MARK: [u8; 8] = *b"taskseal";
/// Marks a key that was written completely.
const KEY_MARK: [u8; 8] = *b"tskskey1";
const RECORD: u32 = 8;
/// Offset of the kid in the page of the key: after mark and scalar.
const KID: u32 = RECORD + 32;

/// The reason for which the storage cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// Reading, writing or erasing the flash failed.
    Flash,
    /// The settings are missing or damaged.
    NotProvisioned,
    /// The source of randomness failed while a key was generated.
    Random,
    /// All epochs are used.
    EpochsUsedUp,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flash => "the flash failed",
            Self::NotProvisioned => "the settings are missing or damaged",
            Self::Random => "the source of randomness failed",
            Self::EpochsUsedUp => "all epochs are used",
        })
    }
}

impl core::error::Error for StorageError {}

/// The settings that are written in production: the name of the device, the audience of its readings, and their
/// recipient.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    issuer: Text<64>,
    audience: Text<128>,
    /// The worker that can decrypt.
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
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// [`StorageError::Flash`], [`StorageError::NotProvisioned`].
    pub fn read(flash: &mut impl NorFlash) -> Result<Self, StorageError> {
        let mut page = [0; 8 + 65 + 1 + 64 + 1 + 128 + 5];
        flash.read(SETTINGS, &mut page).map_err(|_| StorageError::Flash)?;
        Self::parse(&page).ok_or(StorageError::NotProvisioned)
    }

    /// Mark, point, and two texts with a length prefix.
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

/// Returns the signing key. It is generated on the device at the first boot, so it was never elsewhere.
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
        // Nearly every scalar is a valid key, so the kid detects flash that lost bits.
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
        // A stuck source returns the same bytes twice.
        if tags_match(scalar.as_bytes(), before.as_bytes()) {
            return Err(StorageError::Random);
        }
        // One of 2^32 scalars is out of range; repeated ones mean a broken source.
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
    // The mark is written last: after a power cut there is no key instead of a partial one.
    flash.write(KEY, &KEY_MARK).map_err(|_| StorageError::Flash)?;
    Ok((key, scalar))
}

/// Increments the epoch and stores it. The returned epoch is unique among all boots.
///
/// Two pages alternate. A page is erased only while the other holds the newest epoch, and incomplete records are
/// ignored, so a power cut at any time does not lose a returned epoch.
///
/// # Errors
/// [`StorageError::Flash`], [`StorageError::EpochsUsedUp`].
pub fn next_epoch<F: NorFlash>(flash: &mut F) -> Result<u32, StorageError> {
    const { assert!(8 % F::WRITE_SIZE == 0 && (PAGE as usize).is_multiple_of(F::ERASE_SIZE)) };
    // Returns the newest epoch, its page, and the offset of the first empty record after it.
    let mut newest = (0, 1, PAGE);
    // Unreadable records after the newest one: each may have been a newer epoch than the readable ones.
    let (mut damaged, mut lost) = (0_u32, 0_u32);
    for (index, page) in EPOCHS.into_iter().enumerate() {
        let (mut greatest, mut free, mut trailing) = (0, 0, 0);
        for place in (0..PAGE).step_by(RECORD as usize) {
            let mut record = [0; RECORD as usize];
            // On flash with error correction, an interrupted write may stay unreadable.
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
            // A page without readable records may be the newer one.
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
    // Without this check, an epoch that cannot be read back would be reused at the next boot.
    let mut stored = [0; RECORD as usize];
    flash.read(place, &mut stored).map_err(|_| StorageError::Flash)?;
    if stored == record { Ok(next) } else { Err(StorageError::Flash) }
}

/// Returns the epoch of a record that was written completely.
fn epoch_of(record: [u8; RECORD as usize]) -> Option<u32> {
    let [a, b, c, d, rest @ ..] = record;
    (rest == [!a, !b, !c, !d]).then_some(u32::from_be_bytes([a, b, c, d]))
}
