//! Secret bytes: wiped on drop, never printed, never compared with `==`, never copied by accident.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::stack::clear_registers;

/// `N` secret bytes. Has no `Clone`, no `PartialEq` and a `Debug` that shows nothing.
///
/// # Security
/// Moving a value may leave a copy of the bytes on the stack; build it where it stays, as
/// [`Secret::zeroed`] and [`Secret::as_mut_bytes`] allow.
#[derive(Zeroize)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// All bytes zero, to be filled in place.
    #[must_use]
    pub const fn zeroed() -> Self {
        Self([0; N])
    }

    /// Copies `bytes`; the caller wipes the original.
    #[must_use]
    pub const fn copy_from(bytes: &[u8; N]) -> Self {
        Self(*bytes)
    }

    /// The bytes.
    ///
    /// # Security
    /// The caller must not let a copy outlive its use.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, to be filled in place.
    #[must_use]
    pub const fn as_mut_bytes(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

/// Wiped, and with it what moved or read it left in the vector registers.
impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.zeroize();
        clear_registers();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}
