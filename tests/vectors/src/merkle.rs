//! The tree of RFC 9162 section 2.1, written down as the RFC has it: recursively, from the definitions.

use sha2::{Digest, Sha256};

/// A leaf or a node.
pub type Hash = [u8; 32];

/// The leaf of an entry: `HASH(0x00 || entry)`.
#[must_use]
pub fn leaf(entry: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(entry).finalize().into()
}

/// `MTH(D[n])` over leaves that are hashed already.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => panic!("a tree of no leaves"),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            Sha256::new_with_prefix([1]).chain_update(root(left)).chain_update(root(right)).finalize().into()
        }
    }
}

/// `PATH(m, D[n])`.
#[must_use]
pub fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut below, sibling) = match index.checked_sub(left.len()) {
        None => (path(index, left), root(right)),
        Some(index) => (path(index, right), root(left)),
    };
    below.push(sibling);
    below
}

/// The largest power of two below `len`.
const fn split(len: usize) -> usize {
    len.next_power_of_two() / 2
}
