//! The Merkle tree of RFC 9162 section 2.1 over SHA-256, in fixed memory.
//!
//! The tree is built level by level: two adjacent nodes are hashed into a node of the next level, and the last node of
//! a level of odd length is promoted unchanged. The result is the unbalanced tree of RFC 9162.

use heapless::Vec;
use sha2::{Digest, Sha256};

/// A leaf or an inner node.
pub(crate) type Hash = [u8; 32];

/// Returns a hash that becomes a leaf once an entry is written into it. Leaves start with a byte 0 and inner nodes with
/// a byte 1, so neither can be mistaken for the other.
pub(crate) fn leaf_hash() -> Sha256 {
    Sha256::new_with_prefix([0])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// One step from a node to the level above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Hashed with a left sibling.
    AfterSibling,
    /// Hashed with a right sibling.
    BeforeSibling,
    /// Promoted unchanged.
    Alone,
}

/// Returns the steps from leaf `index` to the root of a tree of `size` leaves.
fn steps(size: usize, index: usize) -> impl Iterator<Item = Step> {
    (0..height(size)).map(move |level| {
        let position = index >> level;
        if position % 2 == 1 {
            Step::AfterSibling
        } else if position + 1 < level_len(size, level) {
            Step::BeforeSibling
        } else {
            Step::Alone
        }
    })
}

/// Returns the number of levels above the leaves.
const fn height(size: usize) -> u32 {
    usize::BITS - size.saturating_sub(1).leading_zeros()
}

/// Returns the number of nodes in a level; level 0 holds the leaves.
const fn level_len(size: usize, level: u32) -> usize {
    size.div_ceil(1 << level)
}

/// Returns the number of hashes in the path of a leaf.
pub(crate) fn path_len(size: usize, index: usize) -> usize {
    steps(size, index).filter(|step| *step != Step::Alone).count()
}

/// Returns the root that `path` leads to from `leaf`, the `index`th of `size`. Returns `None` if the path does not have
/// exactly the required length (RFC 9162 section 2.1.3.2).
pub(crate) fn root_above<'h>(
    leaf: Hash,
    size: usize,
    index: usize,
    mut path: impl Iterator<Item = &'h Hash>,
) -> Option<Hash> {
    let mut above = leaf;
    for step in steps(size, index) {
        match step {
            Step::AfterSibling => above = node(path.next()?, &above),
            Step::BeforeSibling => above = node(&above, path.next()?),
            Step::Alone => {}
        }
    }
    path.next().is_none().then_some(above)
}

/// A Merkle tree of up to `N` leaves, 64 bytes per leaf.
#[derive(Debug)]
pub(crate) struct Tree<const N: usize> {
    leaves: Vec<Hash, N>,
    /// The nodes with two children, lowest level first: one fewer than leaves.
    nodes: Vec<Hash, N>,
}

impl<const N: usize> Tree<N> {
    /// Creates the tree over `leaves`; returns `None` if there are none.
    pub(crate) fn new(leaves: Vec<Hash, N>) -> Option<Self> {
        if leaves.is_empty() {
            return None;
        }
        let mut tree = Self { leaves, nodes: Vec::new() };
        for level in 1..=height(tree.size()) {
            for position in 0..level_len(tree.size(), level - 1) / 2 {
                let joined = node(tree.at(level - 1, 2 * position)?, tree.at(level - 1, 2 * position + 1)?);
                tree.nodes.push(joined).ok()?;
            }
        }
        Some(tree)
    }

    /// Returns the leaves.
    pub(crate) fn into_leaves(self) -> Vec<Hash, N> {
        self.leaves
    }

    /// Returns the number of leaves.
    pub(crate) fn size(&self) -> usize {
        self.leaves.len()
    }

    pub(crate) fn root(&self) -> Option<&Hash> {
        self.at(height(self.size()), 0)
    }

    /// Returns the siblings on the path from a leaf to the root.
    pub(crate) fn path(&self, index: usize) -> impl Iterator<Item = &Hash> {
        (0..).zip(steps(self.size(), index)).filter_map(move |(level, step)| match step {
            Step::Alone => None,
            Step::AfterSibling | Step::BeforeSibling => self.at(level, (index >> level) ^ 1),
        })
    }

    fn at(&self, mut level: u32, mut position: usize) -> Option<&Hash> {
        while level > 0 {
            if 2 * position + 1 < level_len(self.size(), level - 1) {
                let before: usize = (1..level).map(|level| level_len(self.size(), level - 1) / 2).sum();
                return self.nodes.get(before + position);
            }
            // Promoted from the level below.
            (level, position) = (level - 1, 2 * position);
        }
        self.leaves.get(position)
    }
}

#[cfg(test)]
mod tests;
