//! 16 registers of SSE2, widened by AVX, widened again and doubled by AVX-512.

use core::arch::asm;

// The detection covers the operating system, which has to save the registers.
cpufeatures::new!(avx, "avx");
cpufeatures::new!(avx512, "avx512f");

#[inline(never)]
pub(super) fn clear() {
    if avx512::get() {
        // SAFETY: the processor has AVX-512F.
        unsafe { clear_avx512() };
    } else if avx::get() {
        // SAFETY: the processor has AVX.
        unsafe { clear_avx() };
    } else {
        clear_sse2();
    }
}

/// # Safety
/// The processor must have AVX-512F.
unsafe fn clear_avx512() {
    // SAFETY: the caller guarantees that the instructions exist. They change vector registers only, and in this calling
    // convention every one of them may be changed, so that all are in the list of clobbers.
    unsafe {
        asm!(
            // All bits of the first 16 registers, including those of AVX-512.
            "vzeroall",
            ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
            "vpxord zmm\\n, zmm\\n, zmm\\n",
            ".endr",
            clobber_abi("sysv64"),
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// # Safety
/// The processor must have AVX.
unsafe fn clear_avx() {
    // SAFETY: the caller guarantees that the instruction exists. It changes vector registers only, all of them
    // clobbers.
    unsafe { asm!("vzeroall", clobber_abi("sysv64"), options(nomem, nostack, preserves_flags)) };
}

fn clear_sse2() {
    // SAFETY: SSE2 is part of the target. The instructions change vector registers only, all of them clobbers.
    unsafe {
        asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "pxor xmm\\n, xmm\\n",
            ".endr",
            clobber_abi("sysv64"),
            options(nomem, nostack, preserves_flags),
        );
    }
}

// The tests call functions by the System V convention.
#[cfg(all(test, not(windows)))]
mod tests;
