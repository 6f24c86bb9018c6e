//! Secrets on the heap, filled in place: values that go from thread to thread are moved, and each move of the bytes
//! would leave a copy.

use taskseal_core::Secret;

/// A secret on the heap.
pub(crate) type Boxed = Box<Secret<32>>;

/// Copies `bytes`; the caller wipes the original.
pub(crate) fn boxed(bytes: &[u8; 32]) -> Boxed {
    let mut secret = Box::new(Secret::zeroed());
    secret.as_mut_bytes().copy_from_slice(bytes);
    secret
}

/// Takes the secret out, for callers that want it as a value.
pub(crate) fn unboxed(secret: &Boxed) -> Secret<32> {
    // Moved out of the box, it would stay there.
    Secret::copy_from(secret.as_bytes())
}
