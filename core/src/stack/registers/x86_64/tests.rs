use core::arch::asm;
use std::arch::is_x86_feature_detected;

use super::*;

// `extern "C"`, so that assembly can call them.
extern "C" fn sse2() {
    clear_sse2();
}
extern "C" fn avx() {
    // SAFETY: the tests call it where the processor has AVX.
    unsafe { clear_avx() };
}
extern "C" fn avx512() {
    // SAFETY: the tests call it where the processor has AVX-512F.
    unsafe { clear_avx512() };
}

/// Fills the registers, calls the function and stores them, with no compiled code in between. Registers r12 and r13
/// survive the call.
macro_rules! registers_after {
    ($function:ident, $count:literal, $len:literal, $load:literal, $store:literal, $numbers:literal) => {{
        let filling = [0xa5_u8; $len];
        let mut stored = [[0xee_u8; $len]; $count];
        // SAFETY: the caller has checked that the instructions exist. The arrays have the sizes that are read and
        // written; all registers that the function may change are clobbers; without `nostack` the stack is aligned for
        // a call.
        unsafe {
            asm!(
                concat!(".irp n, ", $numbers), $load, ".endr",
                "call {function}",
                concat!(".irp n, ", $numbers), $store, ".endr",
                function = sym $function,
                in("r12") filling.as_ptr(),
                in("r13") stored.as_mut_ptr(),
                clobber_abi("sysv64"),
            );
        }
        stored
    }};
}

#[test]
fn sse2_registers_are_cleared() {
    let stored = registers_after!(
        sse2,
        16,
        16,
        "movdqu xmm\\n, [r12]",
        "movdqu [r13 + 16 * \\n], xmm\\n",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"
    );
    assert_eq!(stored, [[0; 16]; 16]);
}

#[test]
fn avx_registers_are_cleared() {
    if !is_x86_feature_detected!("avx") {
        return std::eprintln!("not run: this processor has no AVX");
    }
    let stored = registers_after!(
        avx,
        16,
        32,
        "vmovdqu ymm\\n, [r12]",
        "vmovdqu [r13 + 32 * \\n], ymm\\n",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"
    );
    assert_eq!(stored, [[0; 32]; 16]);
}

#[test]
fn avx512_registers_are_cleared() {
    if !is_x86_feature_detected!("avx512f") {
        return std::eprintln!("not run: this processor has no AVX-512");
    }
    let stored = registers_after!(
        avx512,
        32,
        64,
        "vmovdqu64 zmm\\n, [r12]",
        "vmovdqu64 [r13 + 64 * \\n], zmm\\n",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
         16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31"
    );
    assert_eq!(stored, [[0; 64]; 32]);
}
