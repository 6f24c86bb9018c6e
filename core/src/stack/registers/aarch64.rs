//! 32 registers of NEON.

use core::arch::asm;

#[inline(never)]
pub(super) fn clear() {
    // SAFETY: NEON is part of the target. The instructions change v0 to v31 only, which are all clobbers: the
    // compiler saves the lower halves of v8 to v15, which belong to the caller.
    unsafe {
        asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
             16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
            "movi v\\n\\().2d, #0",
            ".endr",
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
            options(nomem, nostack, preserves_flags),
        );
    }
}

#[cfg(test)]
mod tests;
