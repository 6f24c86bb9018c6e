//! Clearing the vector registers: the next signal would store on the stack what the primitives left in them, and so
//! would a core dump.
//!
//! Most code uses the lower part of the first 16 registers only, so the others would keep round keys for long.
//!
//! The only module of this crate with unsafe code: no safe operation names a register.
#![allow(unsafe_code)]

/// Sets the vector registers to zero that a function may change, on x86-64 and on ARMv8. Elsewhere it does nothing.
///
/// The others belong to the caller, and functions that use them put back what was in them: the lower halves of v8 to
/// v15 on ARMv8, and those of xmm6 to xmm15 on Windows.
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
