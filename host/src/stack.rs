//! Leaving nothing on the stack: the copies that moved values leave behind are overwritten.

/// More than the frames that hold a key on its way; the arithmetic below them is overwritten where it is done.
const DEPTH: usize = 16 << 10;

/// Does `work`, then overwrites the frames it was done in.
///
/// # Security
/// Best effort: the frame of the caller is not reached. What `work` returns should therefore hold its secrets in a box,
/// which moves as a pointer.
pub(crate) fn leaving_nothing<T>(work: impl FnOnce() -> T) -> T {
    taskseal_core::stack::overwriting::<DEPTH, T>(work)
}
