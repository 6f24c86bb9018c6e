//! Overwrites the stack after secrets were moved through it.

/// Larger than the frames through which a key is moved. The frames of the arithmetic are overwritten where it is done.
const DEPTH: usize = 16 << 10;

/// Runs `work`, then overwrites its stack frames.
///
/// # Security
/// Best effort: the frame of the caller is not overwritten. `work` should return secrets in a box, which moves as a pointer.
pub(crate) fn with_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    taskseal_core::stack::overwriting::<DEPTH, T>(work)
}
