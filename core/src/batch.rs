//! Batches: one signature over the root of a Merkle tree seals up to 1024 tasks, each of which stands alone.
//!
//! A token makes tens of signatures a second, a queue takes tens of thousands of tasks. Each envelope of a
//! batch carries the signed root and its own path to it (RFC 9942, RFC 9162), so that any worker verifies any
//! one of them without the others. [`Sealer::batch`](crate::Sealer::batch) seals one.

mod receipt;
mod roots;
mod tree;

pub(crate) use self::receipt::{
    Frame, MAX_RECEIPT_HEADER, Receipt, encode_header, longest_receipt, receipt_len,
};
#[doc(hidden)]
pub use self::roots::BatchRootCache as VerifiedRoots;
pub use self::roots::{BatchRootCache, RootCache, RootId};
#[cfg(feature = "fuzzing")]
pub(crate) use self::tree::root_above;
pub(crate) use self::tree::{Hash, Tree, leaf_hash};

/// Most tasks under one signature.
pub const MAX_BATCH: usize = 1024;
