//! Leaving nothing on the stack: what primitives spill there and what moved values leave behind is overwritten.

use core::hint::black_box;

use crate::suite::Suite;

/// How far down secrets get.
#[derive(Clone, Copy)]
pub(crate) enum Depth {
    /// There are none.
    Nothing,
    /// HMAC, key derivation.
    Hash,
    /// AES and what it is called from.
    Cipher,
    /// The same to seal inside a signature, which needs more itself.
    Inner,
    /// The same for a key that was agreed on.
    Agreed,
    /// Scalars and points.
    Curve,
    /// Signing, which on bare metal is done in less.
    Signature,
}

// Where memory is plenty: by far enough, whatever the compiler makes of the frames.
#[cfg(not(all(target_os = "none", target_pointer_width = "32")))]
mod bytes {
    pub(super) const HASH: usize = 4 << 10;
    pub(super) const CIPHER: usize = 8 << 10;
    pub(super) const INNER: usize = 8 << 10;
    pub(super) const AGREED: usize = 8 << 10;
    pub(super) const CURVE: usize = 8 << 10;
    pub(super) const SIGNATURE: usize = 8 << 10;
}

// On small devices: a little more than the work itself needs, whichever parts of the library are linked together.
// core/capi/footprint looks for what is left.
#[cfg(all(target_os = "none", target_pointer_width = "32"))]
mod bytes {
    pub(super) const HASH: usize = 1400;
    pub(super) const CIPHER: usize = 2304;
    pub(super) const INNER: usize = 2944;
    pub(super) const AGREED: usize = 3 << 10;
    pub(super) const CURVE: usize = 3 << 10;
    pub(super) const SIGNATURE: usize = 2200;
}

impl Depth {
    /// Of sealing: every suite has a secret key.
    pub(crate) const fn of_sealing(suite: Suite) -> Self {
        match suite {
            Suite::M => Self::Hash,
            Suite::E => Self::Cipher,
            Suite::S | Suite::Se => Self::Inner,
            Suite::Sp => Self::Agreed,
        }
    }

    /// Of verifying: signatures are verified with public keys.
    pub(crate) const fn of_verifying(suite: Suite) -> Self {
        match suite {
            Suite::M => Self::Hash,
            Suite::E => Self::Cipher,
            _ => Self::Nothing,
        }
    }

    /// Of decrypting.
    pub(crate) const fn of_opening(suite: Suite) -> Self {
        if suite.encrypts() { Self::Cipher } else { Self::Nothing }
    }
}

/// Does `work`, then overwrites the frames it was done in.
///
/// # Security
/// Best effort: the frame of the caller is not reached, so a result that is moved there may leave a copy.
pub(crate) fn leaving_nothing<T>(depth: Depth, work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    match depth {
        Depth::Nothing => {}
        Depth::Hash => overwrite::<{ bytes::HASH }>(),
        Depth::Cipher => overwrite::<{ bytes::CIPHER }>(),
        Depth::Inner => overwrite::<{ bytes::INNER }>(),
        Depth::Agreed => overwrite::<{ bytes::AGREED }>(),
        Depth::Curve => overwrite::<{ bytes::CURVE }>(),
        Depth::Signature => overwrite::<{ bytes::SIGNATURE }>(),
    }
    result
}

/// Keeps `work` out of the caller's frame.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Takes the place on the stack that [`apart`] had.
#[inline(never)]
fn overwrite<const LEN: usize>() {
    black_box(&mut [0_u8; LEN]);
}
