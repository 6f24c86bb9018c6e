//! Insertion, eviction, and the inputs of a root's identifier.

use super::*;
use crate::testing::signing_key;

fn id(number: u8) -> RootId {
    RootId([number; 32])
}

#[test]
fn a_cache_without_capacity_stores_nothing() {
    let mut roots = BatchRootCache::<0>::new();
    roots.insert(id(1));
    assert!(!roots.contains(&id(1)));
    assert!(!RootCache::contains(&mut (), &id(1)));
}

#[test]
fn a_borrowed_cache_stores_like_the_cache() {
    fn fill(mut roots: impl RootCache) -> [bool; 2] {
        roots.insert(id(1));
        [roots.contains(&id(1)), roots.contains(&id(2))]
    }
    let mut roots = BatchRootCache::<2>::new();
    assert_eq!(fill(&mut roots), [true, false]);
    assert!(roots.contains(&id(1)));
}

#[test]
fn the_least_recently_used_root_is_evicted_first() {
    let mut roots = BatchRootCache::<3>::new();
    [1, 2, 3].into_iter().for_each(|number| roots.insert(id(number)));
    assert!(roots.contains(&id(1)));
    roots.insert(id(4));
    assert!(!roots.contains(&id(2)));
    assert!([1, 3, 4].iter().all(|number| roots.contains(&id(*number))));
}

#[test]
fn a_root_inserted_twice_takes_one_slot() {
    let mut roots = BatchRootCache::<2>::new();
    [1, 2, 2, 2].into_iter().for_each(|number| roots.insert(id(number)));
    assert!(roots.contains(&id(1)));
}

#[test]
fn the_identifier_covers_key_header_root_and_signature() {
    let (key, other) = (signing_key(1).verifying_key(), signing_key(2).verifying_key());
    let root = RootId::new(&key, b"header", &[1; 32], &[2; 64]);
    assert_eq!(root, RootId::new(&key, b"header", &[1; 32], &[2; 64]));
    assert_ne!(root, RootId::new(&other, b"header", &[1; 32], &[2; 64]));
    assert_ne!(root, RootId::new(&key, b"heades", &[1; 32], &[2; 64]));
    assert_ne!(root, RootId::new(&key, b"header", &[3; 32], &[2; 64]));
    assert_ne!(root, RootId::new(&key, b"header", &[1; 32], &[3; 64]));
}
