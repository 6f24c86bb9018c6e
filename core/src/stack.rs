//! Wiping the stack and the vector registers that secrets passed through: primitives spill keys into frames that no
//! destructor reaches, and leave them in registers.

mod registers;

use core::hint::black_box;

pub use self::registers::clear as clear_registers;
use crate::suite::Suite;

/// How far down secrets get.
#[derive(Clone, Copy)]
pub(crate) enum Depth {
    /// There are none.
    Nothing,
    /// HMAC, key derivation.
    Hash,
    /// AES and what it is called from.
    Cipher,
    /// The same to seal inside a signature, which needs more itself.
    Inner,
    /// The same for a key that was agreed on.
    Agreed,
    /// Scalars and points.
    Curve,
    /// Signing, which on bare metal is done in less.
    Signature,
}

// With an operating system. Measured stack use of the work in bytes, on x86-64 with each backend of the primitives and
// on ARMv8, by filling the stack before it: hashing at most 1,600, curves 5,040; the cipher 12,480 with VAES-512,
// whose frame has room for 64 blocks and four copies of each round key, 7,968 with VAES-256, and 6,088 otherwise. A
// signal that interrupts the work adds a frame in which the kernel stores all registers: 3,376 bytes with AVX-512,
// 4,688 on ARMv8.
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

// On small devices: a little more than the work itself needs, whichever parts of the library are linked together.
// core/capi/footprint looks for what is left.
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
    /// Of sealing: every suite has a secret key.
    pub(crate) const fn of_sealing(suite: Suite) -> Self {
        match suite {
            Suite::M => Self::Hash,
            Suite::E => Self::Cipher,
            Suite::S | Suite::Se => Self::Inner,
            Suite::Sp => Self::Agreed,
        }
    }

    /// Of verifying: signatures are verified with public keys.
    pub(crate) const fn of_verifying(suite: Suite) -> Self {
        match suite {
            Suite::M => Self::Hash,
            Suite::E => Self::Cipher,
            _ => Self::Nothing,
        }
    }

    /// Of decrypting.
    pub(crate) const fn of_opening(suite: Suite) -> Self {
        if suite.encrypts() { Self::Cipher } else { Self::Nothing }
    }
}

/// Does `work`, then overwrites the frames it was done in and clears the vector registers, if `work` panics too.
///
/// # Security
/// Best effort: the frame of the caller is not reached, so a result that is moved there may leave a copy. General
/// registers are left to the code that follows, which needs them at once.
pub(crate) fn leaving_nothing<T>(depth: Depth, work: impl FnOnce() -> T) -> T {
    // Not a variable that is returned later: the result is written to where the caller wants it, without a copy here.
    let _wiped = WipeToDepth(depth);
    apart(work)
}

/// The same for crates above this one: overwrites `LEN` bytes below the caller. What this crate does in them leaves
/// nothing by itself, however deep it goes.
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

/// Keeps `work` out of the caller's frame.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Takes the place on the stack that [`apart`] had.
#[inline(never)]
fn overwrite<const LEN: usize>() {
    black_box(&mut [0_u8; LEN]);
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
