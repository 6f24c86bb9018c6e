//! What a key that is moved into its place leaves on the stack is overwritten.

/// More than the frames that hold a key on its way; the arithmetic below them is overwritten where it is done.
const DEPTH: usize = 640;

/// Does `work`, then overwrites the frames it was done in.
pub(crate) fn with_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    taskseal_core::stack::overwriting::<DEPTH, T>(work)
}
