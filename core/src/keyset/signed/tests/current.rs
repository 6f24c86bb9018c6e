//! The keys at a time: periods, roles, shared keys, and one purpose per key.

use std::string::ToString;

use super::*;
use crate::keyset::{DecryptionKeys, KeyLookup, RecordKey};
use crate::testing::{claims, encryption_key, mac_key, seal};
use crate::{Kind, Policy, Refusal, ReplayWindow, Sealer, Suite, SuiteSet, Unverified};

fn policy() -> Policy<'static> {
    let all = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    Policy { suites: all, ..Policy::for_tasks(claims().audience) }
}

fn refusal(envelope: &[u8], keys: &impl KeyLookup) -> Option<Refusal> {
    let parsed = Unverified::parse(envelope).unwrap();
    parsed.verify(keys, &policy(), &mut TimeWindow::exact(NOW)).err().and_then(crate::OpenError::refusal)
}

#[test]
fn errors_for_checkpoints_and_entries_have_messages() {
    assert_eq!(InvalidCheckpoint.to_string(), "not a checkpoint of a keyset");
    assert_eq!(InvalidEntry.to_string(), "the entry of the keyset contradicts itself");
}

#[test]
fn a_key_without_a_role_verifies_but_has_no_rights() {
    let bytes = signed(&first(), &[Entry { role: None, ..producer(1) }]);
    let keyset = accepted(&bytes);
    let envelope = seal(&mut Sealer::sign(signing_key(1)), &claims(), b"");
    let keys = keyset.at(TimeWindow::exact(NOW)).unwrap();
    assert_eq!(refusal(&envelope, &keys), Some(Refusal::IssuerNotAllowed));
}

#[test]
fn a_key_has_the_rights_of_its_role() {
    let envelope = seal(&mut Sealer::sign(signing_key(1)), &claims(), b"");
    let cases = [
        (rights(), None),
        (rights().issuers(NameSet::new("sensor-18")), Some(Refusal::IssuerNotAllowed)),
        (rights().types(NameSet::NONE), Some(Refusal::TypeNotAllowed)),
        (rights().audiences(NameSet::new("plant-b/*")), Some(Refusal::AudienceNotAllowed)),
        (rights().kind(Kind::Result), Some(Refusal::WrongKind)),
    ];
    for (role, expected) in cases {
        let bytes = signed(&first(), &[producer(1).role(role)]);
        let keyset = accepted(&bytes);
        assert_eq!(refusal(&envelope, &keyset.at(TimeWindow::exact(NOW)).unwrap()), expected, "{role:?}");
    }
}

#[test]
fn a_key_seals_in_its_period_only_and_is_accepted_before_and_after() {
    let entry = producer(1).use_from(NOW + 10).sign_until(NOW + 20).accept_until(NOW + 30);
    let bytes = signed(&first(), &[entry]);
    let keyset = accepted(&bytes);
    let seals = |now| keyset.at(TimeWindow::exact(now)).unwrap().sealing_allowed(entry.kid());
    assert_eq!([9, 10, 19, 20].map(|after| seals(NOW + after)), [false, true, true, false]);
    let window = |earliest, latest| {
        keyset
            .at(TimeWindow { earliest: NOW + earliest, latest: NOW + latest })
            .unwrap()
            .sealing_allowed(entry.kid())
    };
    assert_eq!([window(9, 15), window(15, 20), window(10, 19)], [false, false, true]);

    let keys = keyset.at(TimeWindow::exact(NOW)).unwrap();
    let record = keys.find(entry.kid()).unwrap();
    let valid = |after| record.is_valid(TimeWindow::exact(NOW + after), 0);
    assert_eq!([0, 9, 29, 30].map(valid), [true, true, true, false]);
}

#[test]
fn a_key_that_is_no_longer_accepted_does_not_seal_or_decrypt() {
    let (signing, agreement) = (producer(1).accept_until(NOW + 30), recipient(2).accept_until(NOW + 30));
    let mut both = [signing, agreement];
    both.sort_by_key(Entry::kid);
    let bytes = signed(&first(), &both);
    let keyset = accepted(&bytes);
    for (now, expected) in [(NOW + 29, true), (NOW + 30, false)] {
        let keys = keyset.at(TimeWindow::exact(now)).unwrap();
        assert_eq!(keys.sealing_allowed(signing.kid()), expected);
        assert_eq!(keys.recipients().next().is_some(), expected);
        assert_eq!(keys.decryption_allowed(agreement.kid()), expected);
    }
}

#[test]
fn without_a_clock_states_apply_and_periods_do_not() {
    let mut both = [producer(1).use_from(NOW).sign_until(NOW + 1), producer(2).state(KeyState::Staged)];
    both.sort_by_key(Entry::kid);
    let bytes = signed(&first(), &both);
    let keyset = accepted(&bytes);
    let keys = keyset.danger_at_any_time();
    assert!(keys.sealing_allowed(producer(1).kid()) && !keys.sealing_allowed(producer(2).kid()));
}

#[test]
fn keys_that_do_not_verify_envelopes_are_not_found() {
    let secrets = [encryption_key(4)];
    let mut all = [
        recipient(2),
        Entry::new(EntryKey::A256Gcm(kid(4)), KeyState::Primary),
        Entry::tombstone(kid(5)),
        Entry::tombstone(producer(6).kid()),
    ];
    all.sort_by_key(Entry::kid);
    let bytes = signed(&first(), &all);
    let keyset = accepted(&bytes);
    let keys = keyset.at(TimeWindow::exact(NOW)).unwrap().with_shared_keys((&[][..], &secrets[..]));
    for entry in all {
        assert!(keys.find(entry.kid()).is_none(), "{entry:?}");
        assert_eq!(keys.entry(entry.kid()), Some(&entry));
    }
    assert!(keys.find(kid(9)).is_none() && keys.entry(kid(9)).is_none());
    assert!(!keys.sealing_allowed(kid(9)) && !keys.decryption_allowed(kid(9)));
}

#[test]
fn shared_keys_are_found_by_the_algorithm_that_the_keyset_names() {
    let (macs, encryption) = ([mac_key(3), mac_key(4)], [encryption_key(3), encryption_key(4)]);
    let secrets = (&macs[..], &encryption[..]);
    let all = [
        Entry::new(EntryKey::Hmac256(kid(3)), KeyState::Primary).role(rights()),
        Entry::new(EntryKey::A256Gcm(kid(4)), KeyState::Primary).role(rights()),
        Entry::new(EntryKey::Hmac256(kid(5)), KeyState::Primary).role(rights()),
    ];
    let bytes = signed(&first(), &all);
    let keyset = accepted(&bytes);
    let bare = keyset.at(TimeWindow::exact(NOW)).unwrap();
    let keys = bare.with_shared_keys(secrets);

    assert!(matches!(keys.find(kid(3)).unwrap().key, RecordKey::Hmac256(_)));
    assert!(matches!(keys.find(kid(4)).unwrap().key, RecordKey::A256Gcm(_)));
    assert!(keys.find(kid(5)).is_none() && bare.find(kid(3)).is_none() && bare.find(kid(4)).is_none());
    let m = seal(&mut Sealer::authenticate(&macs[0]), &claims(), b"");
    let e = seal(&mut Sealer::encrypt(&encryption[1]), &claims(), b"");
    assert_eq!([refusal(&m, &keys), refusal(&e, &keys)], [None, None]);
    let borrowed = bare.with_shared_keys(&secrets);
    assert_eq!([refusal(&m, &borrowed), refusal(&e, &borrowed)], [None, None]);
    assert_eq!([refusal(&m, &bare), refusal(&e, &bare)], [Some(Refusal::UnknownKey); 2]);
}

#[test]
fn a_shared_key_with_another_kid_is_not_used() {
    struct Other(crate::keys::HmacKey);
    impl SharedKeys for Other {
        fn hmac_key(&self, _: KeyId) -> Option<&crate::keys::HmacKey> {
            Some(&self.0)
        }
        fn encryption_key(&self, _: KeyId) -> Option<&crate::keys::EncryptionKey> {
            None
        }
    }
    let bytes = signed(&first(), &[Entry::new(EntryKey::Hmac256(kid(3)), KeyState::Primary).role(rights())]);
    let keyset = accepted(&bytes);
    let keys = keyset.at(TimeWindow::exact(NOW)).unwrap().with_shared_keys(Other(mac_key(9)));
    assert!(keys.find(kid(3)).is_none());
}

#[test]
fn an_encryption_key_is_for_suite_e_or_for_se_never_for_both() {
    let secrets = [encryption_key(4)];
    let shared = (&[][..], &secrets[..]);
    let se = seal(&mut Sealer::sign_encrypt(signing_key(1), &secrets[0]), &claims(), b"a body");
    let e = seal(&mut Sealer::encrypt(&secrets[0]), &claims(), b"a body");
    let inner = Entry::new(EntryKey::A256Gcm(kid(4)), KeyState::Primary);
    for (entry, in_se, in_e) in
        [(inner, None, Some(Refusal::UnknownKey)), (inner.role(rights()), Some(Refusal::Rejected), None)]
    {
        let mut both = [producer(1), entry];
        both.sort_by_key(Entry::kid);
        let bytes = signed(&first(), &both);
        let keyset = accepted(&bytes);
        let keys = keyset.at(TimeWindow::exact(NOW)).unwrap().with_shared_keys(shared);
        assert_eq!([refusal(&se, &keys), refusal(&e, &keys)], [in_se, in_e]);
        // Verification cannot detect a key that it cannot find, so that key does not decrypt.
        let bare = keyset.at(TimeWindow::exact(NOW)).unwrap();
        assert_eq!(bare.decryption_allowed(kid(4)), entry.role.is_none());
        assert!(keys.decryption_allowed(kid(4)));
        assert_eq!(bare.permitted(&secrets[0]).encryption_key(kid(4)).is_some(), entry.role.is_none());
    }
}

#[test]
fn a_disabled_key_does_not_decrypt_through_the_keyset() {
    let worker = agreement_key(2);
    let sp = seal(&mut Sealer::sign_encrypt_to(signing_key(1), &worker.public_key()), &claims(), b"a body");
    for (state, expected) in [(KeyState::Staged, None), (KeyState::Disabled, Some(Refusal::NoDecryptionKey))]
    {
        let mut both = [producer(1), recipient(2).state(state)];
        both.sort_by_key(Entry::kid);
        let bytes = signed(&first(), &both);
        let keyset = accepted(&bytes);
        let keys = keyset.at(TimeWindow::exact(NOW)).unwrap();
        let mut buffer = [0; 64];

        let opened = Unverified::parse(&sp)
            .and_then(|task| task.verify(&keys, &policy(), &mut TimeWindow::exact(NOW)))
            .and_then(|task| task.admit(&mut ReplayWindow::<1>::new()))
            .and_then(|task| task.open(&mut keys.permitted(agreement_key(2)), &mut buffer));

        assert_eq!(opened.map(drop).err().and_then(crate::OpenError::refusal), expected, "{state}");
    }
}

#[test]
fn an_entry_takes_200_bytes_at_most() {
    assert!(size_of::<Entry<'_>>() <= 200);
}
