//! Hardware of the emulator: files of the host, accessed over semihosting.
//!
//! The file `flash.bin` in the current folder is the flash. It behaves like NOR flash: erasing sets bits, writing only
//! clears bits. On a board, replace it by the driver of the hardware abstraction layer.
#![allow(unsafe_code)] // Each call to the host passes addresses.

use core::ffi::CStr;

use cortex_m_semihosting::syscall;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use taskseal_firmware::storage::{LEN, PAGE};

/// An open file of the host.
struct File(usize);

/// Modes of semihosting: those of the C function `fopen`, numbered.
#[derive(Clone, Copy)]
enum Mode {
    Read = 1,
    Update = 3,
}

/// The host reported a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostFailed;

impl File {
    fn open(path: &CStr, mode: Mode) -> Option<Self> {
        // SAFETY: the path is read up to its length, and is valid until the end of the call.
        let handle = unsafe { syscall!(OPEN, path.as_ptr(), mode as usize, path.to_bytes().len()) };
        (handle != usize::MAX).then_some(Self(handle))
    }

    fn seek(&mut self, offset: u32) -> Result<(), HostFailed> {
        // SAFETY: no memory is passed.
        let failed = unsafe { syscall!(SEEK, self.0, offset) };
        if failed == 0 { Ok(()) } else { Err(HostFailed) }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), HostFailed> {
        // SAFETY: the host writes into these bytes only, which are borrowed mutably.
        let missing = unsafe { syscall!(READ, self.0, bytes.as_mut_ptr(), bytes.len()) };
        if missing == 0 { Ok(()) } else { Err(HostFailed) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HostFailed> {
        // SAFETY: the host reads these bytes only.
        let missing = unsafe { syscall!(WRITE, self.0, bytes.as_ptr(), bytes.len()) };
        if missing == 0 { Ok(()) } else { Err(HostFailed) }
    }
}

/// Flash in a file.
pub(crate) struct FileFlash(File);

impl FileFlash {
    pub(crate) fn open() -> Option<Self> {
        File::open(c"flash.bin", Mode::Update).map(Self)
    }

    /// Writes bytes as NOR flash does: clears bits only.
    fn change(&mut self, offset: u32, new: &[u8], merge: fn(u8, u8) -> u8) -> Result<(), NorFlashErrorKind> {
        for (offset, new) in (offset..).step_by(64).zip(new.chunks(64)) {
            let mut bytes = [0; 64];
            let (bytes, _) = bytes.split_at_mut(new.len());
            self.0.seek(offset)?;
            self.0.read(bytes)?;
            bytes.iter_mut().zip(new).for_each(|(byte, new)| *byte = merge(*byte, *new));
            self.0.seek(offset)?;
            self.0.write(bytes)?;
        }
        Ok(())
    }
}

impl From<HostFailed> for NorFlashErrorKind {
    fn from(_: HostFailed) -> Self {
        Self::Other
    }
}

impl NorFlashError for HostFailed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for FileFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        self.0.seek(offset)?;
        Ok(self.0.read(bytes)?)
    }

    fn capacity(&self) -> usize {
        LEN as usize
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = PAGE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for offset in (from..to).step_by(64) {
            self.change(offset, &[0xff; 64], |_, new| new)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.change(offset, bytes, |old, new| old & new)
    }
}

/// The host's source of randomness, with the traits that most hardware abstraction layers have today.
pub(crate) struct HostRng(File);

impl HostRng {
    pub(crate) fn open() -> Option<Self> {
        File::open(c"/dev/urandom", Mode::Read).map(Self)
    }
}

impl rand_core_06::RngCore for HostRng {
    fn next_u32(&mut self) -> u32 {
        rand_core_06::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core_06::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.try_fill_bytes(out).expect("the host has randomness");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core_06::Error> {
        let code = core::num::NonZeroU32::MIN.saturating_add(rand_core_06::Error::CUSTOM_START - 1);
        self.0.read(out).map_err(|HostFailed| rand_core_06::Error::from(code))
    }
}

impl rand_core_06::CryptoRng for HostRng {}
