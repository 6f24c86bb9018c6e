//! Secret bytes: wiped on drop, without `Clone`, `PartialEq` and a revealing `Debug`.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::stack::clear_registers;

/// `N` secret bytes. Has no `Clone` and no `PartialEq`; `Debug` prints no bytes.
///
/// # Security
/// Moving a value may leave a copy of the bytes on the stack. Fill it in place with [`Secret::zeroed`] and
/// [`Secret::as_mut_bytes`].
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Creates a secret of zeros, to be filled in place.
    #[must_use]
    pub const fn zeroed() -> Self {
        Self([0; N])
    }

    /// Creates a secret from a copy of `bytes`. The caller wipes the original.
    #[must_use]
    pub const fn copy_from(bytes: &[u8; N]) -> Self {
        Self(*bytes)
    }

    /// Returns the bytes.
    ///
    /// # Security
    /// The caller must not let a copy outlive its use.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// Returns the bytes, to be filled in place.
    #[must_use]
    pub const fn as_mut_bytes(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Zeroize for Secret<N> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Wipes the bytes, and the copies that moves and reads left in vector registers.
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
