//! Wiping of the stack and the vector registers after use of secrets: primitives spill keys into stack frames that no
//! destructor reaches, and leave them in registers.

mod registers;

use core::hint::black_box;

pub use self::registers::clear as clear_registers;
use crate::suite::Suite;

/// The depth of stack that can contain secrets.
#[derive(Clone, Copy)]
pub(crate) enum Depth {
    /// No secrets.
    Nothing,
    /// HMAC, key derivation.
    Hash,
    /// AES and its callers.
    Cipher,
    /// AES for sealing inside a signature, whose callers need more stack.
    Inner,
    /// AES with an agreed key.
    Agreed,
    /// Scalars and points.
    Curve,
    /// Signing, which needs less on bare metal.
    Signature,
}

// With an operating system. Stack use in bytes, measured on x86-64 with each backend of the primitives and on ARMv8 by
// filling the stack in advance: hashing at most 1,600, curves 5,040; the cipher 12,480 with VAES-512, whose frame holds
// 64 blocks and four copies of each round key, 7,968 with VAES-256, and 6,088 otherwise. A signal during the work adds
// a frame in which the kernel stores all registers: 3,376 bytes with AVX-512, 4,688 on ARMv8.
#[cfg(any(not(target_os = "none"), target_feature = "avx512f"))]
mod bytes {
    pub(super) const HASH: usize = 8 << 10;
    pub(super) const CIPHER: usize = 20 << 10;
    pub(super) const INNER: usize = CIPHER;
    pub(super) const AGREED: usize = CIPHER;
    pub(super) const CURVE: usize = 12 << 10;
    pub(super) const SIGNATURE: usize = CURVE;
}

// On bare metal with 64 bits, without signals and AVX-512.
#[cfg(all(target_os = "none", not(target_pointer_width = "32"), not(target_feature = "avx512f")))]
mod bytes {
    pub(super) const HASH: usize = 4 << 10;
    pub(super) const CIPHER: usize = 8 << 10;
    pub(super) const INNER: usize = CIPHER;
    pub(super) const AGREED: usize = CIPHER;
    pub(super) const CURVE: usize = 8 << 10;
    pub(super) const SIGNATURE: usize = CURVE;
}

// On small devices: slightly more than the work needs with any combination of linked parts. core/capi/footprint checks
// for remaining secrets.
#[cfg(all(target_os = "none", target_pointer_width = "32", not(target_feature = "avx512f")))]
mod bytes {
    pub(super) const HASH: usize = 1400;
    pub(super) const CIPHER: usize = 2304;
    pub(super) const INNER: usize = 2944;
    pub(super) const AGREED: usize = 3 << 10;
    pub(super) const CURVE: usize = 3 << 10;
    pub(super) const SIGNATURE: usize = 2200;
}

impl Depth {
    /// Returns the depth of sealing. Every suite has a secret key.
    pub(crate) const fn of_sealing(suite: Suite) -> Self {
        match suite {
            Suite::M => Self::Hash,
            Suite::E => Self::Cipher,
            Suite::S | Suite::Se => Self::Inner,
            Suite::Sp => Self::Agreed,
        }
    }

    /// Returns the depth of verification. Signatures are verified with public keys.
    pub(crate) const fn of_verifying(suite: Suite) -> Self {
        match suite {
            Suite::M => Self::Hash,
            Suite::E => Self::Cipher,
            Suite::S | Suite::Se | Suite::Sp => Self::Nothing,
        }
    }

    /// Returns the depth of decryption.
    pub(crate) const fn of_opening(suite: Suite) -> Self {
        if suite.encrypts() { Self::Cipher } else { Self::Nothing }
    }
}

/// Runs `work`, then overwrites its stack frames and clears the vector registers, also if `work` panics.
///
/// # Security
/// Best effort: the caller's frame is not overwritten, so a result that is moved there may leave a copy. General
/// registers are not cleared, because the code that follows reuses them immediately.
pub(crate) fn with_wiped_stack<T>(depth: Depth, work: impl FnOnce() -> T) -> T {
    // The result is returned directly and not through a variable, so that it is written to the caller's memory without
    // a copy.
    let _wiped = WipeToDepth(depth);
    apart(work)
}

/// Runs `work` for dependent crates, then overwrites `LEN` bytes of stack below the caller. Functions of this crate
/// that are called from `work` wipe their own frames, at any depth.
pub fn overwriting<const LEN: usize, T>(work: impl FnOnce() -> T) -> T {
    let _wiped = Wipe::<LEN>;
    apart(work)
}

struct WipeToDepth(Depth);

impl Drop for WipeToDepth {
    fn drop(&mut self) {
        match self.0 {
            Depth::Nothing => {}
            Depth::Hash => drop(Wipe::<{ bytes::HASH }>),
            Depth::Cipher => drop(Wipe::<{ bytes::CIPHER }>),
            Depth::Inner => drop(Wipe::<{ bytes::INNER }>),
            Depth::Agreed => drop(Wipe::<{ bytes::AGREED }>),
            Depth::Curve => drop(Wipe::<{ bytes::CURVE }>),
            Depth::Signature => drop(Wipe::<{ bytes::SIGNATURE }>),
        }
    }
}

struct Wipe<const LEN: usize>;

impl<const LEN: usize> Drop for Wipe<LEN> {
    fn drop(&mut self) {
        overwrite::<LEN>();
        clear_registers();
    }
}

/// Prevents inlining of `work` into the caller's frame.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Occupies the stack that [`apart`] used.
#[inline(never)]
fn overwrite<const LEN: usize>() {
    black_box(&mut [0_u8; LEN]);
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
