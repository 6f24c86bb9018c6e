//! The recipient that a keyset chooses for a body.

use super::*;
use crate::keyset::KeyLookup;
use crate::name::{Audience, Issuer, TaskType};
use crate::testing::{claims, seal};
use crate::{Kind, Sealer};

/// Returns the kid that keys at `now` choose for a body of the sensor: a task, or the result of a request.
fn chosen(entries: &[Entry<'_>], kind: Kind, now: TimeWindow) -> Option<KeyId> {
    chosen_for(entries, kind, ["sensor-17", "reading:raw", "plant/critical"], now)
}

fn chosen_for(entries: &[Entry<'_>], kind: Kind, names: [&str; 3], now: TimeWindow) -> Option<KeyId> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(Entry::kid);
    let bytes = signed(&first(), &entries);
    let keyset = accepted(&bytes);
    let [issuer, task_type, audience] = names;
    let (issuer, task_type) = (Issuer::new(issuer).unwrap(), TaskType::new(task_type).unwrap());
    let audience = Audience::new(audience).unwrap();
    keyset.at(now).unwrap().recipient_for(kind, issuer, task_type, audience).map(|key| key.kid())
}

const EXACT: TimeWindow = TimeWindow::exact(NOW);

#[test]
fn a_recipient_without_a_role_is_never_chosen() {
    assert_eq!(chosen(&[recipient(2)], Kind::Task, EXACT), None);
    assert_eq!(chosen(&[recipient(2)], Kind::Result, EXACT), None);
}

#[test]
fn an_absent_set_of_a_recipient_matches_no_name() {
    let sets = [
        rights().issuers(NameSet::NONE),
        rights().types(NameSet::NONE),
        rights().audiences(NameSet::NONE),
        Role::new().kind(Kind::Result),
    ];
    for role in sets {
        assert_eq!(chosen(&[recipient(2).role(role)], role.kind, EXACT), None, "{role:?}");
    }
}

#[test]
fn every_set_of_the_role_must_match() {
    let entry = recipient(2).role(rights());
    for names in [
        ["sensor-18", "reading:raw", "plant/critical"],
        ["sensor-17", "alarm:raw", "plant/critical"],
        ["sensor-17", "reading:raw", "other/critical"],
    ] {
        assert_eq!(chosen_for(&[entry], Kind::Task, names, EXACT), None, "{names:?}");
    }
    assert_eq!(chosen(&[entry], Kind::Task, EXACT), Some(entry.kid()));
}

#[test]
fn a_recipient_of_results_is_not_chosen_for_tasks_and_the_reverse() {
    let (tasks, results) = (recipient(2).role(rights()), recipient(3).role(rights().kind(Kind::Result)));
    assert_eq!(chosen(&[tasks], Kind::Result, EXACT), None);
    assert_eq!(chosen(&[results], Kind::Task, EXACT), None);
    assert_eq!(chosen(&[tasks, results], Kind::Task, EXACT), Some(tasks.kid()));
    assert_eq!(chosen(&[tasks, results], Kind::Result, EXACT), Some(results.kid()));
}

#[test]
fn a_key_with_rights_to_sign_is_not_a_recipient() {
    let mac = Entry::new(EntryKey::Hmac256(kid(3)), KeyState::Primary).role(rights());
    let encryption = Entry::new(EntryKey::A256Gcm(kid(4)), KeyState::Primary).role(rights());
    assert_eq!(chosen(&[producer(1), mac, encryption], Kind::Task, EXACT), None);
}

#[test]
fn only_a_primary_recipient_is_chosen() {
    for state in KeyState::ALL.into_iter().filter(|state| *state != KeyState::Destroyed) {
        let entry = recipient(2).role(rights()).state(state).accept_until(NOW + DAY);
        let expected = (state == KeyState::Primary).then_some(entry.kid());
        assert_eq!(chosen(&[entry], Kind::Task, EXACT), expected, "{state}");
    }
}

#[test]
fn a_recipient_is_chosen_in_its_period_only() {
    let entry = recipient(2).role(rights()).use_from(NOW + 10).sign_until(NOW + 20).accept_until(NOW + 30);
    let at = |after| chosen(&[entry], Kind::Task, TimeWindow::exact(NOW + after)).is_some();
    assert_eq!([9, 10, 19, 20].map(at), [false, true, true, false]);
    let window = |earliest, latest| {
        let window = TimeWindow { earliest: NOW + earliest, latest: NOW + latest };
        chosen(&[entry], Kind::Task, window).is_some()
    };
    assert_eq!([window(9, 15), window(15, 20), window(10, 19)], [false, false, true]);
}

#[test]
fn the_recipient_with_the_latest_begin_is_chosen() {
    let [absent, early, late] =
        [recipient(2), recipient(3).use_from(NOW - 20), recipient(4).use_from(NOW - 10)]
            .map(|entry| entry.role(rights()));
    assert_eq!(chosen(&[absent, early, late], Kind::Task, EXACT), Some(late.kid()));
    assert_eq!(chosen(&[absent, early], Kind::Task, EXACT), Some(early.kid()));
    // The one that has not begun is not chosen.
    let future = late.use_from(NOW + 1);
    assert_eq!(chosen(&[absent, early, future], Kind::Task, EXACT), Some(early.kid()));
}

#[test]
fn the_lowest_kid_is_chosen_of_those_with_one_begin() {
    let keys = [2, 3, 4, 5].map(|seed| recipient(seed).role(rights()));
    let lowest = keys.iter().map(Entry::kid).min();
    assert_eq!(chosen(&keys, Kind::Task, EXACT), lowest);
    // An absent begin counts as 0.
    let zero = keys.map(|entry| if Some(entry.kid()) == lowest { entry } else { entry.use_from(0) });
    assert_eq!(chosen(&zero, Kind::Task, EXACT), lowest);
}

#[test]
fn a_recipient_with_a_role_verifies_nothing_and_decrypts() {
    let entry = recipient(2).role(rights());
    let bytes = signed(&first(), &[entry]);
    let keyset = accepted(&bytes);
    let keys = keyset.at(EXACT).unwrap();
    assert!(keys.find(entry.kid()).is_none());
    assert!(keys.decryption_allowed(entry.kid()) && keys.recipient(entry.kid()).is_some());
    let staged = signed(&first(), &[entry.state(KeyState::Staged)]);
    let keyset = accepted(&staged);
    let keys = keyset.at(EXACT).unwrap();
    assert!(keys.decryption_allowed(entry.kid()) && keys.recipient(entry.kid()).is_none());
}

#[test]
fn a_recipient_gets_a_role_and_loses_it_in_a_later_keyset() {
    let bare = recipient(2);
    let mut draft = KeysetDraft::<1>::first(name(), NOW, NOW + DAY).unwrap();
    draft.insert(bare).unwrap();
    draft.replace(bare.role(rights())).unwrap();
    assert_eq!(draft.entries(), [bare.role(rights())]);
    draft.replace(bare).unwrap();
    assert_eq!(draft.entries(), [bare]);
}

#[test]
fn an_envelope_under_the_kid_of_a_recipient_is_of_an_unknown_key() {
    let entry = recipient(2).role(rights());
    let bytes = signed(&first(), &[entry]);
    let keyset = accepted(&bytes);
    // The same scalar signs and agrees here, which the format does not allow in one keyset.
    let envelope = seal(&mut Sealer::sign(signing_key(2)), &claims(), b"");
    let parsed = crate::Unverified::parse(&envelope).unwrap();
    let verdict = parsed.verify(&keyset.at(EXACT).unwrap(), &policy(), &mut TimeWindow::exact(NOW));
    assert_eq!(verdict.err().and_then(crate::OpenError::refusal), Some(crate::Refusal::UnknownKey));
}

fn policy() -> crate::Policy<'static> {
    let suites = crate::SuiteSet::NONE.with(crate::Suite::S);
    crate::Policy { suites, ..crate::Policy::for_tasks(claims().audience) }
}
