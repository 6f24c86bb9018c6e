//! Roots, names, times, and the order of checks.

use super::*;
use crate::error::InvalidKey;

#[test]
fn a_root_that_is_not_pinned_is_unknown() {
    let bytes = sign(&signing_key(9), &payload(&first(), &entries()));
    assert_eq!(refused(&bytes), KeysetRefusal::UnknownRoot);
}

#[test]
fn the_keyset_of_another_deployment_is_refused() {
    let other = PinnedRoots::new(KeysetName::new("plant-b").unwrap(), root().verifying_key());
    let bytes = signed(&first(), &entries());
    assert_eq!(verify(&bytes, &other, None, NOW).unwrap_err(), KeysetRefusal::WrongName);
}

#[test]
fn two_roots_are_accepted_and_a_third_is_refused() {
    let both = roots().or(signing_key(9).verifying_key()).unwrap();
    let inner = payload(&first(), &entries());
    for (seed, expected) in [(0xa0, Ok(())), (9, Ok(())), (10, Err(KeysetRefusal::UnknownRoot))] {
        let bytes = sign(&signing_key(seed), &inner);
        assert_eq!(verify(&bytes, &both, None, NOW).map(drop), expected, "{seed}");
    }
}

#[test]
fn a_root_is_pinned_once_and_two_at_most() {
    assert_eq!(roots().or(root().verifying_key()).unwrap_err(), InvalidKey);
    let both = roots().or(signing_key(9).verifying_key()).unwrap();
    assert_eq!(both.or(signing_key(10).verifying_key()).unwrap_err(), InvalidKey);
}

#[test]
fn history_continues_across_a_change_of_roots() {
    let (old, new) = (root(), signing_key(9));
    let both = roots().or(new.verifying_key()).unwrap();
    let only_new = PinnedRoots::new(name(), new.verifying_key());
    let one = signed(&first(), &entries());
    let seen = accepted(&one).checkpoint();
    let head = Head { sequence: 2, previous: Some(*seen.digest()), ..first() };
    let inner = payload(&head, &entries());

    assert!(verify(&sign(&new, &inner), &both, Some(&seen), NOW).is_ok());
    assert!(verify(&sign(&new, &inner), &only_new, Some(&seen), NOW).is_ok());
    assert_eq!(verify(&one, &both, Some(&accepted(&sign(&old, &inner)).checkpoint()), NOW).unwrap_err(), {
        KeysetRefusal::RolledBack
    });
    // Two roots that sign the same payload do not make a fork.
    let seen = accepted(&sign(&old, &inner)).checkpoint();
    assert!(verify(&sign(&new, &inner), &both, Some(&seen), NOW).is_ok());
}

#[test]
fn a_pinned_root_among_the_keys_is_refused_whichever_signed() {
    let other = signing_key(9);
    let both = roots().or(other.verifying_key()).unwrap();
    let agreement = EntryKey::Agreement(agreement_key(0xa0).public_key());
    for entry in [
        producer(0xa0),
        producer(9),
        producer(0xa0).state(KeyState::Disabled),
        Entry::new(agreement, KeyState::Primary),
        Entry::tombstone(root().verifying_key().kid()),
    ] {
        let bytes = signed(&first(), &[entry]);
        assert_eq!(verify(&bytes, &both, None, NOW).unwrap_err(), KeysetRefusal::RootInKeyset);
    }
}

#[test]
fn more_entries_than_the_memory_holds_are_refused() {
    let bytes = signed(&first(), &entries());
    let parsed = UnverifiedKeyset::parse(&bytes).unwrap();
    let now = &mut TimeWindow::exact(NOW);
    assert_eq!(parsed.verify::<4>(&roots(), None, now).map(drop), Err(KeysetRefusal::TooManyKeys));
    assert_eq!(parsed.verify::<5>(&roots(), None, now).map(drop), Ok(()));
}

#[test]
fn a_keyset_ends_to_the_second_and_begins_with_tolerance() {
    let bytes = signed(&first(), &entries());
    let at = |now| verify(&bytes, &roots(), None, now).map(drop);
    assert_eq!(at(NOW - 301), Err(KeysetRefusal::IssuedInFuture));
    assert_eq!(at(NOW - 300), Ok(()));
    assert_eq!(at(NOW + 30 * DAY - 1), Ok(()));
    assert_eq!(at(NOW + 30 * DAY), Err(KeysetRefusal::Expired));
    assert_eq!(at(u64::MAX), Err(KeysetRefusal::Expired));
    assert_eq!(at(0), Err(KeysetRefusal::IssuedInFuture));
}

#[test]
fn a_window_is_refused_if_any_of_its_times_is_refused() {
    let bytes = signed(&first(), &entries());
    let parsed = UnverifiedKeyset::parse(&bytes).unwrap();
    let end = NOW + 30 * DAY;
    let windows = [
        (NOW - 301, NOW, Err(KeysetRefusal::IssuedInFuture)),
        (NOW, end, Err(KeysetRefusal::Expired)),
        (end, NOW, Err(KeysetRefusal::Expired)),
        (NOW - 300, end - 1, Ok(())),
    ];
    for (earliest, latest, expected) in windows {
        let result = parsed.verify::<8>(&roots(), None, &mut TimeWindow { earliest, latest });
        assert_eq!(result.map(drop), expected, "{earliest} {latest}");
    }
}

#[test]
fn a_keyset_that_expires_while_it_is_loaded_is_no_longer_used() {
    let bytes = signed(&first(), &entries());
    let keyset = accepted(&bytes);
    let at = |now| keyset.at(TimeWindow::exact(now)).map(drop);
    assert_eq!(at(NOW + 30 * DAY - 1), Ok(()));
    assert_eq!(at(NOW + 30 * DAY), Err(KeysetRefusal::Expired));
    // A clock that is set back does not make it valid without limit either.
    assert_eq!(at(NOW - 301), Err(KeysetRefusal::IssuedInFuture));
}

#[test]
fn without_a_clock_all_but_the_time_is_checked() {
    let bytes = signed(&first(), &entries());
    let parsed = UnverifiedKeyset::parse(&bytes).unwrap();
    let without = |bytes, last_seen: Option<&Checkpoint>| {
        UnverifiedKeyset::parse(bytes)?.danger_verify_without_clock::<8>(&roots(), last_seen).map(drop)
    };
    assert_eq!(without(&bytes, None), Ok(()));
    let later = Checkpoint::new(2, [0; 32]);
    assert_eq!(without(&bytes, Some(&later)), Err(KeysetRefusal::RolledBack));
    let forged = sign(&signing_key(9), &payload(&first(), &entries()));
    assert_eq!(without(&forged, None), Err(KeysetRefusal::UnknownRoot));
    let root_inside = signed(&first(), &[producer(0xa0)]);
    assert_eq!(without(&root_inside, None), Err(KeysetRefusal::RootInKeyset));
    assert_eq!(parsed.danger_sequence_unverified(), 1);
}

#[test]
fn the_first_check_that_fails_decides() {
    // Every check fails at first; the faults are corrected one by one.
    let end = NOW + 30 * DAY;
    let seen = Checkpoint::new(3, [7; 32]);
    let wrong = KeysetName::new("other").unwrap();
    let many: Vec<Entry<'_>> = {
        let mut entries: Vec<Entry<'_>> = (1..=9).map(producer).collect();
        entries.push(producer(0xa0));
        entries.sort_by_key(Entry::kid);
        entries
    };
    let head = Head { name: wrong, sequence: 2, issued_at: end - 1, not_after: end, previous: Some([1; 32]) };
    let decide = |head: &Head<'_>, entries: &[Entry<'_>], now| {
        verify(&signed(head, entries), &roots(), Some(&seen), now).map(drop).unwrap_err()
    };

    let forged = sign(&signing_key(9), &payload(&head, &many));
    assert_eq!(verify(&forged, &roots(), Some(&seen), NOW).unwrap_err(), KeysetRefusal::UnknownRoot);
    let mut damaged = signed(&head, &many);
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&damaged, &roots(), Some(&seen), NOW).unwrap_err(), KeysetRefusal::Rejected);
    assert_eq!(decide(&head, &many, NOW), KeysetRefusal::WrongName);
    let head = Head { name: name(), ..head };
    assert_eq!(decide(&head, &many, NOW), KeysetRefusal::RolledBack);
    let head = Head { sequence: 4, ..head };
    assert_eq!(decide(&head, &many, NOW), KeysetRefusal::Forked);
    let head = Head { previous: Some([7; 32]), ..head };
    assert_eq!(decide(&head, &many, NOW), KeysetRefusal::IssuedInFuture);
    assert_eq!(decide(&head, &many, end), KeysetRefusal::Expired);
    assert_eq!(decide(&head, &many, end - 1), KeysetRefusal::RootInKeyset);
    let without_root: Vec<Entry<'_>> = many.into_iter().filter(|entry| *entry != producer(0xa0)).collect();
    assert_eq!(decide(&head, &without_root, end - 1), KeysetRefusal::TooManyKeys);
    assert_eq!(verify(&signed(&head, &without_root[1..]), &roots(), Some(&seen), end - 1).map(drop), Ok(()));
}

#[test]
fn codes_are_stable_words_with_their_section_in_the_specification_in_order() {
    let sections = SPECIFICATION.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    assert!(sections.eq(KeysetRefusal::ALL.iter().map(|refusal| refusal.code())));
    for refusal in KeysetRefusal::ALL {
        assert_eq!(KeysetRefusal::from_code(refusal.code()), Some(*refusal));
    }
    assert_eq!(["", "Expired", "unknown"].map(KeysetRefusal::from_code), [None; 3]);
}
