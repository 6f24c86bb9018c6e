//! Comparison with the recursive definitions of RFC 9162 sections 2.1.1 and 2.1.3.1, transcribed literally.

use std::vec;
use std::vec::Vec as StdVec;

use super::*;
use crate::batch::MAX_BATCH;
use crate::testing::hex;

fn leaves(count: usize) -> StdVec<Hash> {
    (0..count).map(|number| leaf_hash().chain_update(number.to_be_bytes()).finalize().into()).collect()
}

fn tree(leaves: &[Hash]) -> Tree<MAX_BATCH> {
    Tree::new(Vec::from_slice(leaves).unwrap()).unwrap()
}

/// `MTH` of RFC 9162 section 2.1.1.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node(&root(left), &root(right))
        }
    }
}

/// `PATH` of RFC 9162 section 2.1.3.1.
fn path(index: usize, leaves: &[Hash]) -> StdVec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = if index < left.len() {
        (path(index, left), root(right))
    } else {
        (path(index - left.len(), right), root(left))
    };
    path.push(sibling);
    path
}

#[test]
fn a_tree_needs_a_leaf() {
    assert!(Tree::<4>::new(Vec::new()).is_none());
}

#[test]
fn a_path_of_the_wrong_length_does_not_lead_to_a_root() {
    let leaves = leaves(11);
    for index in 0..11 {
        let path = path(index, &leaves);
        let longer = path.iter().chain([&[0; 32]]);
        assert_eq!(root_above(leaves[index], 11, index, path.iter().skip(1)), None);
        assert_eq!(root_above(leaves[index], 11, index, longer), None);
    }
}

#[test]
fn a_path_leads_to_the_root_from_its_own_index_only() {
    let leaves = leaves(13);
    let root = root(&leaves);
    for index in 0..13 {
        let path = path(index, &leaves);
        for place in (0..13).filter(|place| *place != index) {
            assert_ne!(root_above(leaves[index], 13, place, path.iter()), Some(root));
        }
    }
}

#[test]
fn a_path_fits_trees_of_several_sizes() {
    let leaves = leaves(5);
    let path = path(0, &leaves);
    assert_eq!(root_above(leaves[0], 6, 0, path.iter()), Some(root(&leaves)));
}

#[test]
fn roots_and_paths_match_the_recursive_definition() {
    for size in (1..=70).chain([127, 128, 129, 1000, 1023, 1024]) {
        let leaves = leaves(size);
        let tree = tree(&leaves);
        assert_eq!(tree.root(), Some(&root(&leaves)), "{size}");
        assert_eq!(tree.nodes.len(), size - 1);
        for index in (0..size).step_by(1 + size / 70) {
            let path = path(index, &leaves);
            assert!(tree.path(index).eq(&path), "{index} of {size}");
            assert_eq!(path_len(size, index), path.len());
            assert_eq!(root_above(leaves[index], size, index, path.iter()), Some(root(&leaves)));
        }
    }
}

#[test]
fn leaves_and_nodes_hash_as_in_rfc_9162() {
    // SHA-256 of the single byte 0, the leaf of an empty entry.
    let empty: Hash = leaf_hash().finalize().into();
    assert_eq!(empty.as_slice(), hex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"));
    assert_eq!(node(&empty, &empty), *tree(&[empty, empty]).root().unwrap());
    assert_ne!(node(&empty, &[1; 32]), node(&[1; 32], &empty));
}
