//! Wiping of the copies that moving a key into place leaves on the stack.

/// More than the frames that hold a key while it is moved. The arithmetic below them wipes its own frames.
const DEPTH: usize = 640;

/// Runs `work`, then overwrites its stack frames.
pub(crate) fn with_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    taskseal_core::stack::overwriting::<DEPTH, T>(work)
}
