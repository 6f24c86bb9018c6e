//! Contents of the stack and the registers after the work, with marks instead of secrets.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(unsafe_code)] // No safe operation fills or stores a register.

use core::arch::asm;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{catch_unwind, resume_unwind};
use std::vec;

use super::*;

const MARK: [u8; 16] = *b"a mark of a test";

/// Fills the registers that every x86-64 processor has.
fn fill_registers() {
    // SAFETY: reads the 16 bytes of the mark. The registers that it changes are clobbers.
    unsafe {
        asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "movdqu xmm\\n, [{mark}]",
            ".endr",
            mark = in(reg) MARK.as_ptr(),
            clobber_abi("sysv64"),
            options(readonly, nostack, preserves_flags),
        );
    }
}

/// Returns the lower 16 bytes of each register after a call of the function, without compiled code in between.
macro_rules! registers_after {
    ($function:ident) => {{
        let mut stored = [[0_u8; 16]; 16];
        // SAFETY: the array has the size that is written; all registers that the function may change are clobbers;
        // without `nostack` the stack is aligned for a call; r13 survives it.
        unsafe {
            asm!(
                "call {function}",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "movdqu [r13 + 16 * \\n], xmm\\n",
                ".endr",
                function = sym $function,
                in("r13") stored.as_mut_ptr(),
                clobber_abi("sysv64"),
            );
        }
        stored
    }};
}

extern "C" fn leaves_marks() {
    fill_registers();
}

extern "C" fn works() {
    with_wiped_stack(Depth::Hash, fill_registers);
}

extern "C" fn works_for_dependent_crates() {
    overwriting::<64, ()>(fill_registers);
}

extern "C" fn panics() {
    let _ = catch_unwind(|| {
        with_wiped_stack(Depth::Hash, || {
            fill_registers();
            resume_unwind(std::boxed::Box::new(()));
        });
    });
}

#[test]
fn registers_are_cleared_after_the_work() {
    assert_eq!(registers_after!(leaves_marks), [MARK; 16], "the marks are found where they are left");
    assert_eq!(registers_after!(works), [[0; 16]; 16]);
    assert_eq!(registers_after!(works_for_dependent_crates), [[0; 16]; 16]);
}

#[test]
fn registers_are_cleared_after_a_panic() {
    assert!(!registers_after!(panics).contains(&MARK));
}

/// Fills about `len` bytes of the stack below the caller, 256 in each frame.
#[inline(never)]
fn fill_stack(len: usize) {
    let mut room = [[0_u8; 16]; 16];
    room.fill(MARK);
    black_box(&mut room);
    if len > size_of_val(&room) {
        fill_stack(len - size_of_val(&room));
    }
    // Used after the call, so that it is not turned into a loop.
    black_box(&mut room);
}

/// Returns the number of marks on this thread's stack, up to 64 KiB below the caller.
#[inline(never)]
fn marks_below() -> usize {
    const LEN: usize = 64 << 10;
    let here = 0_u8;
    let end = core::ptr::from_ref(black_box(&here)).addr();
    let mut bytes = vec![0; LEN];
    let start = u64::try_from(end - LEN).expect("an address");
    File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, start).unwrap();
    bytes.windows(16).filter(|window| *window == MARK).count()
}

/// Returns the number of marks after `work` on a new stack.
fn marks_after(work: impl FnOnce() + Send + 'static) -> usize {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread
        .spawn(move || {
            work();
            marks_below()
        })
        .unwrap()
        .join()
        .unwrap()
}

/// The frame in which the kernel stores the registers for a signal, with AVX-512, and 512 bytes for the handler.
const SIGNAL: usize = 3376 + 512;

#[test]
fn the_stack_of_the_work_and_a_signal_is_overwritten() {
    assert!(marks_after(|| fill_stack(1024)) > 0, "marks are found where they are left");
    assert_eq!(marks_after(|| with_wiped_stack(Depth::Hash, || fill_stack(1600 + SIGNAL))), 0);
    assert_eq!(marks_after(|| with_wiped_stack(Depth::Cipher, || fill_stack(12_480 + SIGNAL))), 0);
    assert_eq!(marks_after(|| with_wiped_stack(Depth::Inner, || fill_stack(12_480 + SIGNAL))), 0);
    assert_eq!(marks_after(|| with_wiped_stack(Depth::Agreed, || fill_stack(12_480 + SIGNAL))), 0);
    assert_eq!(marks_after(|| with_wiped_stack(Depth::Curve, || fill_stack(5040 + SIGNAL))), 0);
    assert_eq!(marks_after(|| with_wiped_stack(Depth::Signature, || fill_stack(5040 + SIGNAL))), 0);
}

#[test]
fn the_stack_is_overwritten_after_a_panic() {
    let panics = || {
        with_wiped_stack(Depth::Hash, || {
            fill_stack(1024);
            resume_unwind(std::boxed::Box::new(()));
        });
    };
    assert_eq!(marks_after(move || assert!(catch_unwind(panics).is_err())), 0);
}
