//! Drafts: order, limits, transitions, the chain of digests, exact sizes, and failing signers.

use super::*;
use crate::testing::twin;

fn draft() -> KeysetDraft<'static, 8> {
    let mut draft = KeysetDraft::first(name(), NOW, NOW + 30 * DAY).unwrap();
    entries().into_iter().rev().for_each(|entry| draft.insert(entry).unwrap());
    draft
}

fn written<S: Signer>(draft: &KeysetDraft<'_, 8>, root: &mut S) -> Result<Vec<u8>, BuildError<S::Error>> {
    let mut buffer = std::vec![0xee; draft.signed_len()];
    draft.sign(root, &mut buffer).map(<[u8]>::to_vec)
}

#[test]
fn contradictory_entries_are_refused() {
    let (mut first, mut second) = (draft(), draft());
    let retiring = producer(9).state(KeyState::Retiring);
    assert_eq!(first.insert(retiring), Err(BuildError::InvalidEntry));
    assert_eq!(first.replace(producer(1).role(Role::new())), Err(BuildError::InvalidEntry));
    assert_eq!(second.insert(recipient(9).role(Role::new())), Err(BuildError::InvalidEntry));
    assert_eq!((first.entries(), second.entries()), (&entries()[..], &entries()[..]));
}

#[test]
fn a_kid_is_taken_once() {
    let mut draft = draft();
    for entry in [producer(1), recipient(1), Entry::tombstone(producer(1).kid())] {
        assert_eq!(draft.insert(entry), Err(BuildError::DuplicateKid));
    }
}

#[test]
fn a_draft_holds_as_many_entries_as_it_has_memory_for() {
    let mut draft = KeysetDraft::<'_, 2>::first(name(), NOW, NOW + DAY).unwrap();
    assert_eq!([1, 2, 3].map(|seed| draft.insert(producer(seed))), [Ok(()), Ok(()), Err(BuildError::Full)]);
    let mut draft = KeysetDraft::<'_, 300>::first(name(), NOW, NOW + DAY).unwrap();
    let mut insert = |n: u64| draft.insert(Entry::tombstone(KeyId::from_bytes(n.to_be_bytes())));
    assert!((0..256).all(|n| insert(n).is_ok()));
    assert_eq!(insert(256), Err(BuildError::Full));
}

#[test]
fn times_and_numbers_out_of_range_are_refused() {
    let max = crate::claims::MAX_TIME;
    for (issued_at, not_after) in [(NOW, NOW), (NOW + 1, NOW), (NOW, max), (u64::MAX, u64::MAX)] {
        let result = KeysetDraft::<'_, 8>::first(name(), issued_at, not_after);
        assert_eq!(result.map(drop), Err(BuildError::InvalidTimes));
    }
    let last = Checkpoint::new(MAX_SEQUENCE - 1, [0; 32]);
    let result = KeysetDraft::<'_, 8>::after(&last, name(), NOW, NOW + 1);
    assert_eq!(result.map(drop), Err(BuildError::SequenceExhausted));
}

#[test]
fn nothing_is_signed_that_would_be_refused() {
    let empty = KeysetDraft::<'_, 8>::first(name(), NOW, NOW + DAY).unwrap();
    assert_eq!(written(&empty, &mut root()), Err(BuildError::Empty));
    let mut with_root = draft();
    with_root.insert(producer(0xa0)).unwrap();
    assert_eq!(written(&with_root, &mut root()), Err(BuildError::RootInKeyset));

    let set = ["abcdefg"; 64].join(" ");
    let role = Role::new().issuers(NameSet::new(&set)).types(NameSet::new(&set));
    let role = role.audiences(NameSet::new(&set));
    let mut long = KeysetDraft::<'_, 64>::first(name(), NOW, NOW + DAY).unwrap();
    for n in 0..64 {
        long.insert(Entry::new(EntryKey::Hmac256(kid(n)), KeyState::Primary).role(role)).unwrap();
    }
    assert!(long.signed_len() > MAX_KEYSET);
    assert_eq!(long.sign(&mut root(), &mut std::vec![0; 200_000]), Err(BuildError::TooLong));
}

#[test]
fn the_computed_size_is_exact() {
    let draft = draft();
    let mut buffer = std::vec![0; draft.signed_len()];
    let short = buffer.len() - 1;
    assert_eq!(draft.sign(&mut root(), &mut buffer[..short]), Err(BuildError::BufferTooSmall));
    assert_eq!(draft.sign(&mut root(), &mut buffer).unwrap().len(), draft.signed_len());
    let mut larger = std::vec![0x77; draft.signed_len() + 9];
    assert_eq!(draft.sign(&mut root(), &mut larger).unwrap(), buffer);
    assert_eq!(larger[buffer.len()..], [0x77; 9]);
}

#[test]
fn entries_in_any_order_make_the_same_keyset() {
    let mut forward = KeysetDraft::first(name(), NOW, NOW + 30 * DAY).unwrap();
    entries().into_iter().for_each(|entry| forward.insert(entry).unwrap());
    let bytes = written(&draft(), &mut root()).unwrap();
    assert_eq!(written(&forward, &mut root()).unwrap(), bytes);
    assert_eq!(bytes, signed(&first(), &entries()));
    assert_eq!(accepted(&bytes).checkpoint(), forward.checkpoint());
}

#[test]
fn the_next_keyset_is_chained_to_the_one_before() {
    let one = written(&draft(), &mut root()).unwrap();
    let seen = accepted(&one).checkpoint();

    let next = accepted(&one).draft(NOW + DAY, NOW + 31 * DAY).unwrap();

    assert_eq!((next.sequence(), next.entries()), (2, &entries()[..]));
    let two = written(&next, &mut root()).unwrap();
    let keyset = verify(&two, &roots(), Some(&seen), NOW + DAY).unwrap();
    assert_eq!((keyset.sequence(), keyset.checkpoint()), (2, next.checkpoint()));
    assert_eq!(
        verify(&one, &roots(), Some(&keyset.checkpoint()), NOW + DAY).unwrap_err(),
        KeysetRefusal::RolledBack
    );
}

#[test]
fn an_entry_keeps_its_key_and_its_purpose() {
    let mut draft = draft();
    let one_kid = producer(1).kid();
    let other = [
        Entry::new(EntryKey::Hmac256(one_kid), KeyState::Primary),
        Entry::new(EntryKey::Agreement(agreement_key(1).public_key()), KeyState::Primary),
    ];
    for entry in other {
        assert_eq!(draft.replace(entry), Err(BuildError::KeyChanged));
    }
    let suite_e = Entry::new(EntryKey::A256Gcm(kid(4)), KeyState::Disabled).role(rights());
    assert_eq!(draft.replace(suite_e), Err(BuildError::KeyChanged));
    assert_eq!(draft.replace(producer(9)), Err(BuildError::UnknownKid));
    assert_eq!(draft.replace(producer(1)), Ok(()));
}

#[test]
fn a_key_is_disabled_before_it_is_destroyed_and_its_kid_kept() {
    let mut draft = draft();
    let kid = producer(1).kid();
    assert_eq!(draft.replace(Entry::tombstone(kid)), Err(BuildError::StateNotAllowed));
    assert_eq!(draft.remove(kid), Err(BuildError::StateNotAllowed));
    assert_eq!(draft.replace(producer(1).state(KeyState::Disabled)), Ok(()));
    assert_eq!(draft.replace(Entry::tombstone(kid)), Ok(()));
    assert_eq!(draft.replace(producer(1)), Err(BuildError::StateNotAllowed));
    assert_eq!(draft.remove(kid), Ok(()));
    assert_eq!(draft.remove(kid), Err(BuildError::UnknownKid));
}

/// A root that returns a given result.
struct Scripted(KeyId, Result<[u8; 64], &'static str>);

impl Signer for Scripted {
    type Error = &'static str;

    fn kid(&self) -> KeyId {
        self.0
    }

    fn sign_digest(&mut self, _: &[u8; 32]) -> Result<[u8; 64], &'static str> {
        self.1
    }
}

#[test]
fn a_failing_root_signs_nothing() {
    let kid = root().verifying_key().kid();
    let away = written(&draft(), &mut Scripted(kid, Err("away")));
    assert_eq!(away, Err(BuildError::Signer("away")));
    for bytes in [[0; 64], [0xff; 64]] {
        let bad = written(&draft(), &mut Scripted(kid, Ok(bytes)));
        assert_eq!(bad, Err(BuildError::InvalidSignature));
    }
}

#[test]
fn a_high_signature_of_the_root_is_normalised() {
    let bytes = written(&draft(), &mut root()).unwrap();
    let low: [u8; 64] = bytes[bytes.len() - 64..].try_into().unwrap();
    let kid = root().verifying_key().kid();
    assert_eq!(written(&draft(), &mut Scripted(kid, Ok(twin(low)))).unwrap(), bytes);
}
