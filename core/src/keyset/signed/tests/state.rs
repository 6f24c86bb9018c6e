//! The uses that each state allows, and the allowed transitions.

use super::*;
use crate::testing::{claims, seal};
use crate::{Policy, Refusal, Sealer, Suite, SuiteSet, Unverified};

/// Returns an entry in `state`; for `Destroyed`, a tombstone.
fn in_state(entry: Entry<'static>, state: KeyState) -> Entry<'static> {
    match state {
        KeyState::Destroyed => Entry::tombstone(entry.kid()),
        KeyState::Retiring => entry.state(state).accept_until(NOW + DAY),
        _ => entry.state(state),
    }
}

#[test]
fn each_state_allows_its_uses() {
    let envelope = seal(&mut Sealer::sign(signing_key(1)), &claims(), b"a body");
    let policy = Policy { suites: SuiteSet::NONE.with(Suite::S), ..Policy::for_tasks(claims().audience) };
    let table = [
        (KeyState::Staged, None, false, true),
        (KeyState::Primary, None, true, true),
        (KeyState::Retiring, None, false, true),
        (KeyState::Disabled, Some(Refusal::KeyNotValid), false, false),
        (KeyState::Destroyed, Some(Refusal::UnknownKey), false, false),
        (KeyState::Compromised, Some(Refusal::KeyNotValid), false, false),
    ];
    assert_eq!(table.map(|(state, ..)| state), KeyState::ALL);
    for (state, refusal, seals, decrypts) in table {
        let (signing, agreement) = (in_state(producer(1), state), in_state(recipient(2), state));
        let mut both = [signing, agreement];
        both.sort_by_key(Entry::kid);
        let bytes = signed(&first(), &both);
        let keyset = accepted(&bytes);
        let keys = keyset.at(TimeWindow::exact(NOW)).unwrap();

        let opened =
            Unverified::parse(&envelope).unwrap().verify(&keys, &policy, &mut TimeWindow::exact(NOW));

        assert_eq!(opened.err().and_then(crate::OpenError::refusal), refusal, "{state}");
        assert_eq!(keys.sealing_allowed(signing.kid()), seals, "{state}");
        assert_eq!(keys.sealing_allowed(agreement.kid()), seals, "{state}");
        assert_eq!(keys.recipient(agreement.kid()).is_some(), seals, "{state}");
        assert_eq!(keys.recipients().count(), usize::from(seals), "{state}");
        assert_eq!(keys.decryption_allowed(agreement.kid()), decrypts, "{state}");
        assert_eq!((state.seals(), state.is_accepted()), (seals, decrypts), "{state}");
    }
}

#[test]
fn states_have_allowed_transitions() {
    // Rows: from; columns: to. Staged, primary, retiring, disabled, destroyed, compromised.
    let table = [
        [true, true, false, true, false, true],
        [false, true, true, true, false, true],
        [false, true, true, true, false, true],
        [true, true, true, true, true, true],
        [false, false, false, false, true, false],
        [false, false, false, false, true, true],
    ];
    for (from, row) in KeyState::ALL.into_iter().zip(table) {
        assert_eq!(KeyState::ALL.map(|next| from.can_become(next)), row, "from {from}");
    }
}

#[test]
fn states_have_stable_numbers_and_names() {
    assert_eq!(KeyState::ALL.map(KeyState::code), [0, 1, 2, 3, 4, 5]);
    assert_eq!(KeyState::from_code(6), None);
    for state in KeyState::ALL {
        assert_eq!(KeyState::from_name(state.name()), Some(state));
    }
    assert_eq!(["", "Primary", "active"].map(KeyState::from_name), [None; 3]);
}
