#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

extern crate std;

use core::convert::Infallible;
use std::vec::Vec;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use super::*;

/// Flash in memory whose power can be cut after a number of bytes.
struct Memory {
    bytes: Vec<u8>,
    /// Bytes that are still written or erased.
    power: usize,
    /// A byte that cannot be changed.
    stuck: Option<usize>,
    /// Reading from here fails, as where errors cannot be corrected.
    unreadable: Option<usize>,
}

#[derive(Debug)]
struct PowerCut;

impl NorFlashError for PowerCut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Memory {
    fn new() -> Self {
        Self { bytes: std::vec![0xff; LEN as usize], power: usize::MAX, stuck: None, unreadable: None }
    }

    fn change(
        &mut self,
        offset: u32,
        new: impl Iterator<Item = u8>,
        merge: fn(u8, u8) -> u8,
    ) -> Result<(), PowerCut> {
        for (at, byte) in (offset as usize..).zip(new) {
            self.power = self.power.checked_sub(1).ok_or(PowerCut)?;
            if self.stuck != Some(at) {
                self.bytes[at] = merge(self.bytes[at], byte);
            }
        }
        Ok(())
    }
}

impl ErrorType for Memory {
    type Error = PowerCut;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerCut> {
        if self.unreadable == Some(offset as usize) {
            return Err(PowerCut);
        }
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerCut> {
        self.change(from, (from..to).map(|_| 0xff), |_, new| new)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerCut> {
        self.change(offset, bytes.iter().copied(), |old, new| old & new)
    }
}

/// Counts up from a seed.
struct Counting(u8);

impl rand_core::TryRng for Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(4)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(4)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

impl TryCryptoRng for Counting {}

#[test]
fn epochs_count_up_through_many_pages() {
    let mut flash = Memory::new();
    for boot in 1..3000 {
        assert_eq!(next_epoch(&mut flash), Ok(boot));
    }
}

#[test]
fn power_cut_at_any_byte_never_gives_an_epoch_twice() {
    // Before, at and after the change of the page.
    for boots in [0, 1, 511, 512, 513, 1023, 1024] {
        let mut before = Memory::new();
        let mut last = 0;
        for _ in 0..boots {
            last = next_epoch(&mut before).unwrap();
        }
        for power in (0..24).chain(4090..4110) {
            let mut flash = Memory { bytes: before.bytes.clone(), power, stuck: None, unreadable: None };
            let returned = next_epoch(&mut flash);
            flash.power = usize::MAX;
            let next = next_epoch(&mut flash).unwrap();
            assert!(next > returned.unwrap_or(last), "{boots} boots, cut after {power}: {next}");
            assert_eq!(next_epoch(&mut flash), Ok(next + 1));
        }
    }
}

#[test]
fn record_that_was_cut_off_is_passed_over() {
    let mut flash = Memory::new();
    assert_eq!(next_epoch(&mut flash), Ok(1));
    let place = EPOCHS[0] as usize + 8;
    flash.bytes[place..place + 8].copy_from_slice(&[0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(next_epoch(&mut flash), Ok(3), "2 may have been used");
    assert_eq!(next_epoch(&mut flash), Ok(4));
}

#[test]
fn epoch_whose_record_lost_a_bit_is_not_given_again() {
    let mut flash = Memory::new();
    for epoch in 1..=3 {
        assert_eq!(next_epoch(&mut flash), Ok(epoch));
    }
    flash.bytes[EPOCHS[0] as usize + 2 * 8 + 3] ^= 1;
    assert_eq!(next_epoch(&mut flash), Ok(4));
    // Damage before the newest record has no effect.
    assert_eq!(next_epoch(&mut flash), Ok(5));
}

#[test]
fn record_that_cannot_be_read_keeps_no_device_from_starting() {
    let mut flash = Memory::new();
    assert_eq!(next_epoch(&mut flash), Ok(1));
    flash.unreadable = Some(EPOCHS[0] as usize + 8);
    assert_eq!(next_epoch(&mut flash), Ok(3));
    assert_eq!(next_epoch(&mut flash), Ok(4));
}

#[test]
fn key_that_the_flash_does_not_keep_is_not_announced() {
    let mut flash = Memory { stuck: Some(KEY as usize + RECORD as usize + 5), ..Memory::new() };
    assert_eq!(signing_key(&mut flash, &mut Counting(0)).map(drop), Err(StorageError::Flash));
}

#[test]
fn key_that_lost_a_bit_is_refused() {
    let mut flash = Memory::new();
    signing_key(&mut flash, &mut Counting(0)).unwrap();
    flash.bytes[KEY as usize + RECORD as usize + 31] ^= 4;
    assert_eq!(signing_key(&mut flash, &mut Counting(0)).map(drop), Err(StorageError::Flash));
}

#[test]
fn source_that_is_stuck_makes_no_key() {
    struct Stuck;
    impl rand_core::TryRng for Stuck {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(4)
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(4)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.fill(4);
            Ok(())
        }
    }
    impl TryCryptoRng for Stuck {}
    assert_eq!(signing_key(&mut Memory::new(), &mut Stuck).map(drop), Err(StorageError::Random));
}

#[test]
fn flash_that_does_not_keep_what_is_written_gives_no_epoch() {
    let mut flash = Memory::new();
    // A record that looks free but has a stuck bit, so it reads back differently.
    flash.stuck = Some(EPOCHS[0] as usize + 3);
    assert_eq!(next_epoch(&mut flash), Err(StorageError::Flash));
}

#[test]
fn last_epoch_is_the_last() {
    let mut flash = Memory::new();
    let place = EPOCHS[1] as usize;
    flash.bytes[place..place + 8].copy_from_slice(&[0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1]);
    assert_eq!(next_epoch(&mut flash), Ok(u32::MAX));
}

#[test]
fn key_is_made_once_and_half_a_key_never_used() {
    for power in (0..PAGE as usize).step_by(512).chain(4090..4140) {
        let mut flash = Memory { power, ..Memory::new() };
        let first = signing_key(&mut flash, &mut Counting(0)).map(|(key, _)| key.verifying_key().kid());
        flash.power = usize::MAX;
        let (second, _) = signing_key(&mut flash, &mut Counting(99)).unwrap();
        let (third, _) = signing_key(&mut flash, &mut Counting(7)).unwrap();
        assert_eq!(second.verifying_key().kid(), third.verifying_key().kid());
        assert!(first.is_err() || first == Ok(second.verifying_key().kid()), "cut after {power}");
    }
}

#[test]
fn blank_flash_is_not_provisioned() {
    assert_eq!(Settings::read(&mut Memory::new()).map(drop), Err(StorageError::NotProvisioned));
}
