//! Leaving nothing on the stack: the copies that moved values leave behind are overwritten.

use std::hint::black_box;

/// Does `work`, then overwrites the frames it was done in.
///
/// # Security
/// Best effort: the frame of the caller is not reached. What `work` returns should therefore hold its secrets in a box,
/// which moves as a pointer.
pub(crate) fn leaving_nothing<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    overwrite();
    result
}

/// Keeps `work` out of the caller's frame.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Takes the place on the stack that [`apart`] had. The arithmetic below it, which goes deeper, leaves nothing itself.
#[inline(never)]
fn overwrite() {
    black_box(&mut [0_u8; 16 << 10]);
}
