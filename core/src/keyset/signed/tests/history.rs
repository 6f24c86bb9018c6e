//! Rollbacks, forks, gaps, and stored checkpoints.

use super::*;

fn at(sequence: u64, previous: [u8; 32]) -> Vec<u8> {
    let previous = (sequence > 1).then_some(previous);
    signed(&Head { sequence, previous, ..first() }, &entries())
}

fn after(bytes: &[u8], seen: &Checkpoint) -> Result<(), KeysetRefusal> {
    verify(bytes, &roots(), Some(seen), NOW).map(drop)
}

#[test]
fn an_older_keyset_is_rolled_back() {
    let seen = Checkpoint::new(7, [7; 32]);
    for sequence in 1..7 {
        // Also if it names the newest as its predecessor.
        assert_eq!(after(&at(sequence, [7; 32]), &seen), Err(KeysetRefusal::RolledBack), "{sequence}");
    }
}

#[test]
fn another_keyset_of_the_same_number_is_forked() {
    let mine = at(7, [6; 32]);
    let seen = accepted(&mine).checkpoint();
    assert_eq!(after(&at(7, [5; 32]), &seen), Err(KeysetRefusal::Forked));
    assert_eq!(after(&mine, &seen), Ok(()));
}

#[test]
fn the_next_keyset_must_name_the_one_seen() {
    let seen = Checkpoint::new(7, [7; 32]);
    assert_eq!(after(&at(8, [6; 32]), &seen), Err(KeysetRefusal::Forked));
    assert_eq!(after(&at(8, [7; 32]), &seen), Ok(()));
}

#[test]
fn a_gap_in_the_history_is_bridged_by_the_root() {
    let seen = Checkpoint::new(7, [7; 32]);
    assert_eq!(after(&at(9, [1; 32]), &seen), Ok(()));
    assert_eq!(after(&at(MAX_SEQUENCE - 1, [1; 32]), &seen), Ok(()));
}

#[test]
fn the_digest_of_a_checkpoint_is_that_of_the_payload() {
    use sha2::{Digest, Sha256};

    let bytes = signed(&first(), &entries());
    let digest: [u8; 32] = Sha256::digest(payload(&first(), &entries())).into();
    assert_eq!(accepted(&bytes).checkpoint(), Checkpoint::new(1, digest));
}

#[test]
fn a_checkpoint_round_trips() {
    let checkpoint = Checkpoint::new(0x0012_3456_789a_bcde, [9; 32]);
    let bytes = checkpoint.to_bytes();
    assert_eq!(bytes[..10], [0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 9, 9]);
    assert_eq!(Checkpoint::from_bytes(&bytes), Ok(checkpoint));
}

#[test]
fn erased_storage_is_not_a_checkpoint() {
    for filler in [0, 0xff] {
        assert_eq!(Checkpoint::from_bytes(&[filler; 40]), Err(InvalidCheckpoint));
    }
    let mut bytes = Checkpoint::new(MAX_SEQUENCE - 1, [0xff; 32]).to_bytes();
    assert!(Checkpoint::from_bytes(&bytes).is_ok());
    bytes[1] += 1;
    assert_eq!(Checkpoint::from_bytes(&bytes), Err(InvalidCheckpoint));
}
