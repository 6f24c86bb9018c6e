//! Batches: one signature over the root of a Merkle tree seals up to 1024 tasks. Each task remains a separate
//! envelope.
//!
//! A hardware token creates tens of signatures per second, while a queue accepts tens of thousands of tasks per second.
//! Each envelope of a batch carries the signed root and the inclusion path to it (RFC 9942, RFC 9162), so a worker
//! verifies one envelope without the others. [`Sealer::batch`](crate::Sealer::batch) seals a batch.

mod receipt;
mod roots;
mod tree;

pub(crate) use self::receipt::{
    Frame, MAX_RECEIPT_HEADER, Receipt, encode_header, longest_receipt, receipt_len,
};
pub use self::roots::{BatchRootCache, RootCache, RootId};
#[cfg(feature = "fuzzing")]
pub(crate) use self::tree::root_above;
pub(crate) use self::tree::{Hash, Tree, leaf_hash};

/// Maximum number of tasks under one signature.
pub const MAX_BATCH: usize = 1024;
