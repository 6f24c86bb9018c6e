//! Clearing of vector registers: signals and core dumps would store secrets that the primitives left in them.
//!
//! Most code uses only the lower part of the first 16 registers, so round keys would remain in the others for a long
//! time.
//!
//! The only module of this crate with unsafe code: no safe operation accesses a register.
#![allow(unsafe_code)]

/// Sets all vector registers that a function may change to zero, on x86-64 and on ARMv8. Does nothing on other
/// processors.
///
/// The remaining registers belong to the caller, and functions that use them restore them: the lower halves of v8 to
/// v15 on ARMv8, and of xmm6 to xmm15 on Windows.
#[inline]
pub fn clear() {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
    x86_64::clear();
    #[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
    aarch64::clear();
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
mod x86_64;

#[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
mod aarch64;
