//! The instruction sets that the primitives use on this processor and in this build.
//!
//! This module selects nothing: [`Software`](crate::Software) detects the fastest implementation itself. It repeats
//! that detection and reports the result, so that an operator can see why a machine is slow.

use core::fmt;

/// The instruction sets that AES, GHASH and SHA-256 use.
///
/// ```
/// use taskseal_core::Acceleration;
///
/// let found = Acceleration::detect();
/// assert_eq!(found.aes.is_portable(), found.aes.name() == "portable");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acceleration {
    /// AES-256 in GCM.
    pub aes: Instructions,
    /// GHASH in GCM.
    pub ghash: Instructions,
    /// SHA-256 in digests, HMAC and HKDF.
    pub sha256: Instructions,
}

/// An instruction set that an implementation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Instructions {
    /// No cryptographic instructions: constant-time arithmetic for any processor.
    Portable,
    /// x86: AES-NI, one block per instruction.
    AesNi,
    /// x86: VAES, two blocks per instruction.
    Vaes256,
    /// x86: VAES with AVX-512, four blocks per instruction.
    Vaes512,
    /// x86: PCLMULQDQ.
    Pclmulqdq,
    /// x86: the SHA extensions.
    ShaNi,
    /// ARMv8: AESE and AESMC.
    Armv8Aes,
    /// ARMv8: PMULL.
    Armv8Pmull,
    /// ARMv8: SHA256H, SHA256H2, SHA256SU0 and SHA256SU1.
    Armv8Sha2,
    /// RISC-V: Zknh.
    Zknh,
    /// WebAssembly: 128-bit vectors.
    Simd128,
}

impl Instructions {
    /// Returns the name, which does not change between releases.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::AesNi => "aes-ni",
            Self::Vaes256 => "vaes-256",
            Self::Vaes512 => "vaes-512",
            Self::Pclmulqdq => "pclmulqdq",
            Self::ShaNi => "sha-ni",
            Self::Armv8Aes => "armv8-aes",
            Self::Armv8Pmull => "armv8-pmull",
            Self::Armv8Sha2 => "armv8-sha2",
            Self::Zknh => "zknh",
            Self::Simd128 => "simd128",
        }
    }

    /// Returns whether no cryptographic instruction is used.
    #[must_use]
    pub const fn is_portable(self) -> bool {
        matches!(self, Self::Portable)
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Acceleration {
    /// Detects the instruction sets. The processor is queried once; later calls cost two or three loads from memory.
    #[must_use]
    pub fn detect() -> Self {
        Self { aes: found::aes(), ghash: found::ghash(), sha256: found::sha256() }
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod found {
    use super::Instructions;

    // The same feature sets that the primitives query.
    cpufeatures::new!(vaes512, "avx512f", "vaes");
    cpufeatures::new!(vaes256, "vaes");
    cpufeatures::new!(clmul, "avx", "pclmulqdq");
    cpufeatures::new!(sha, "sha", "sse4.1");

    pub(super) fn aes() -> Instructions {
        if !aes::hardware_accelerated() {
            Instructions::Portable
        } else if vaes512::get() {
            Instructions::Vaes512
        } else if vaes256::get() {
            Instructions::Vaes256
        } else {
            Instructions::AesNi
        }
    }

    pub(super) fn ghash() -> Instructions {
        if cfg!(not(polyval_backend = "soft")) && clmul::get() {
            Instructions::Pclmulqdq
        } else {
            Instructions::Portable
        }
    }

    pub(super) fn sha256() -> Instructions {
        if cfg!(any(sha2_backend = "soft", sha2_256_backend = "soft")) {
            Instructions::Portable
        } else if cfg!(sha2_256_backend = "x86-sha") || sha::get() {
            Instructions::ShaNi
        } else {
            Instructions::Portable
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod found {
    use super::Instructions;

    // The primitives query AES and PMULL as one feature.
    cpufeatures::new!(pmull, "aes");
    cpufeatures::new!(sha2, "sha2");

    pub(super) fn aes() -> Instructions {
        if aes::hardware_accelerated() { Instructions::Armv8Aes } else { Instructions::Portable }
    }

    pub(super) fn ghash() -> Instructions {
        if cfg!(not(polyval_backend = "soft")) && pmull::get() {
            Instructions::Armv8Pmull
        } else {
            Instructions::Portable
        }
    }

    pub(super) fn sha256() -> Instructions {
        if cfg!(not(any(sha2_backend = "soft", sha2_256_backend = "soft"))) && sha2::get() {
            Instructions::Armv8Sha2
        } else {
            Instructions::Portable
        }
    }
}

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86", target_arch = "x86_64")))]
mod found {
    use super::Instructions;

    pub(super) const fn aes() -> Instructions {
        Instructions::Portable
    }

    pub(super) const fn ghash() -> Instructions {
        Instructions::Portable
    }

    /// Without detection, the build decides.
    pub(super) const fn sha256() -> Instructions {
        if cfg!(any(sha2_backend = "soft", sha2_256_backend = "soft")) {
            Instructions::Portable
        } else if cfg!(any(sha2_backend = "riscv-zknh", sha2_256_backend = "riscv-zknh")) {
            Instructions::Zknh
        } else if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) {
            Instructions::Simd128
        } else {
            Instructions::Portable
        }
    }
}

#[cfg(test)]
mod tests;
