//! Sources of randomness that implement `rand_core` 0.6 or 0.9, as sources of 0.10.
//!
//! ```
//! use rand_core::TryRng;
//! use taskseal_firmware::adapter::FromRng06;
//!
//! # struct Hal;
//! # impl rand_core_06::RngCore for Hal {
//! #     fn next_u32(&mut self) -> u32 { 4 }
//! #     fn next_u64(&mut self) -> u64 { 4 }
//! #     fn fill_bytes(&mut self, out: &mut [u8]) { out.fill(4) }
//! #     fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core_06::Error> { out.fill(4); Ok(()) }
//! # }
//! # impl rand_core_06::CryptoRng for Hal {}
//! # let hal_rng = Hal;
//! let mut rng = FromRng06(hal_rng); // takes the place of `&mut rng` in `Sealer::seal`
//! let mut salt = [0; 16];
//! rng.try_fill_bytes(&mut salt)?;
//! # Ok::<(), taskseal_firmware::adapter::SourceFailed>(())
//! ```

use core::fmt;

use rand_core::{TryCryptoRng, TryRng};

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFailed;

impl fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of randomness failed")
    }
}

impl core::error::Error for SourceFailed {}

/// A source with the traits of `rand_core` 0.6.
#[derive(Debug)]
pub struct FromRng06<R>(pub R);

impl<R: rand_core_06::RngCore> TryRng for FromRng06<R> {
    type Error = SourceFailed;

    fn try_next_u32(&mut self) -> Result<u32, SourceFailed> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, SourceFailed> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), SourceFailed> {
        // The fallible call: when it fails, `fill_bytes` of a hardware source panics or returns incomplete randomness.
        self.0.try_fill_bytes(out).map_err(|_| SourceFailed)
    }
}

impl<R: rand_core_06::RngCore + rand_core_06::CryptoRng> TryCryptoRng for FromRng06<R> {}

/// A source with the traits of `rand_core` 0.9, either `RngCore` or `TryRngCore`.
#[derive(Debug)]
pub struct FromRng09<R>(pub R);

impl<R: rand_core_09::TryRngCore> TryRng for FromRng09<R> {
    type Error = SourceFailed;

    fn try_next_u32(&mut self) -> Result<u32, SourceFailed> {
        self.0.try_next_u32().map_err(|_| SourceFailed)
    }

    fn try_next_u64(&mut self) -> Result<u64, SourceFailed> {
        self.0.try_next_u64().map_err(|_| SourceFailed)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), SourceFailed> {
        self.0.try_fill_bytes(out).map_err(|_| SourceFailed)
    }
}

impl<R: rand_core_09::TryRngCore + rand_core_09::TryCryptoRng> TryCryptoRng for FromRng09<R> {}
