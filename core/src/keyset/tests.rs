//! Periods of validity at their boundaries, and the uniqueness of kids.

use super::*;
use crate::testing::{encryption_key, mac_key, record, signing_key};

#[test]
fn a_key_is_valid_from_and_until_with_the_skew() {
    let key = mac_key(1);
    let mut record = record(RecordKey::Hmac256(&key));
    (record.valid_from, record.valid_until) = (1000, 2000);

    let valid = |now| record.is_valid(TimeWindow::exact(now), 60);
    assert_eq!([939, 940, 2059, 2060].map(valid), [false, true, true, false]);
    let exactly = |now| record.is_valid(TimeWindow::exact(now), 0);
    assert_eq!([999, 1000, 1999, 2000].map(exactly), [false, true, true, false]);
    assert!(!record.is_valid(TimeWindow { earliest: 939, latest: 1500 }, 60));
    assert!(!record.is_valid(TimeWindow { earliest: 1500, latest: 2060 }, 60));
    assert!(record.is_valid(TimeWindow { earliest: 940, latest: 2059 }, 60));
}

#[test]
fn a_disabled_key_is_never_valid() {
    let key = mac_key(1);
    let mut record = record(RecordKey::Hmac256(&key));
    assert!(record.is_valid(TimeWindow::exact(0), u32::MAX));
    assert!(record.is_valid(TimeWindow::exact(u64::MAX - 1), 0));
    record.enabled = false;
    assert!(!record.is_valid(TimeWindow::exact(1000), u32::MAX));
}

#[test]
fn a_key_without_an_end_is_valid_for_a_clock_without_an_upper_bound() {
    let key = mac_key(1);
    let mut record = record(RecordKey::Hmac256(&key));
    let since = |earliest| TimeWindow { earliest, latest: u64::MAX };
    assert!(record.is_valid(since(1000), 0) && record.is_valid(since(1000), 300));
    record.valid_until = u64::MAX - 1;
    assert!(!record.is_valid(since(1000), 0));
    (record.valid_from, record.valid_until) = (2000, u64::MAX);
    assert!(!record.is_valid(since(1000), 0));
}

#[test]
fn a_new_record_has_no_rights() {
    let key = mac_key(1);
    let record = KeyRecord::new(RecordKey::Hmac256(&key));
    assert_eq!(
        (record.issuers, record.types, record.audiences),
        (NameSet::NONE, NameSet::NONE, NameSet::NONE)
    );
    assert_eq!(record.kind, Kind::Task);
}

#[test]
fn a_second_key_with_the_same_kid_is_refused_whatever_its_algorithm() {
    let signing = signing_key(1).verifying_key();
    let mac = HmacKey::new(signing.kid(), crate::Secret::zeroed());
    let encryption = EncryptionKey::new(signing.kid(), crate::Secret::zeroed());
    let mut keyset = Keyset::<4>::new();

    assert_eq!(keyset.insert(KeyRecord::new(RecordKey::Hmac256(&mac))), Ok(()));
    assert_eq!(keyset.insert(KeyRecord::new(RecordKey::Es256(&signing))), Err(InvalidKey));
    assert_eq!(keyset.insert(KeyRecord::new(RecordKey::A256Gcm(&encryption))), Err(InvalidKey));
    assert_eq!(keyset.insert(KeyRecord::new(RecordKey::Hmac256(&mac))), Err(InvalidKey));
    assert!(matches!(keyset.find(signing.kid()), Some(KeyRecord { key: RecordKey::Hmac256(_), .. })));
}

#[test]
fn a_full_keyset_accepts_no_record() {
    let keys = [1, 2, 3].map(mac_key);
    let mut keyset = Keyset::<2>::new();
    let insert = keys.each_ref().map(|key| keyset.insert(KeyRecord::new(RecordKey::Hmac256(key))));
    assert_eq!(insert, [Ok(()), Ok(()), Err(InvalidKey)]);
    assert!(keyset.find(keys[2].kid()).is_none());
}

#[test]
fn stores_of_one_key_find_that_key_only() {
    let (shared, mut agreement) = (encryption_key(1), crate::testing::agreement_key(2));
    let (shared_kid, agreement_kid) = (shared.kid(), agreement.public_key().kid());

    let mut store = &shared;
    assert!(store.encryption_key(shared_kid).is_some());
    assert!(store.encryption_key(agreement_kid).is_none());
    assert!(store.agreement_key(shared_kid).is_none());
    assert!(agreement.agreement_key(agreement_kid).is_some());
    assert!(agreement.agreement_key(shared_kid).is_none());
    assert!(agreement.encryption_key(agreement_kid).is_none());
    assert!(().encryption_key(shared_kid).is_none() && ().agreement_key(agreement_kid).is_none());
}

#[test]
fn a_reference_to_a_keyset_finds_what_the_keyset_finds() {
    fn find(lookup: impl KeyLookup, kid: KeyId) -> bool {
        lookup.find(kid).is_some()
    }
    let (key, other) = (mac_key(1), mac_key(2));
    let mut keyset = Keyset::<1>::new();
    keyset.insert(KeyRecord::new(RecordKey::Hmac256(&key))).unwrap();
    assert!(find(&keyset, key.kid()));
    assert!(!find(&keyset, other.kid()));
}
