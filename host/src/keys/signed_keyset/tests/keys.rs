//! The records of a signed keyset, with the shared keys that this host has.
#![allow(clippy::unwrap_in_result, reason = "test code")]

use taskseal_core::keys::AgreementPublicKey;
use taskseal_core::{KeyLookup, Kind};

use super::*;
use crate::keys::record::KeysetKey;
use crate::keys::{Algorithm, Keyring, SecretKey, reload_keyring};

/// Loads a keyset with these entries, and with the shared keys `shared`.
fn load(deployment: &Deployment, entries: &[Entry<'_>], shared: &[&str]) -> Result<Loaded, KeyringError> {
    let name = KeysetName::new("prod").unwrap();
    let mut draft = KeysetDraft::<8>::first(name, ISSUED, ISSUED + LIFETIME).unwrap();
    for entry in entries {
        draft.insert(*entry).unwrap();
    }
    deployment.write(&sign_draft(&draft, ROOT));
    let mut settings = deployment.settings();
    settings.shared = shared.iter().map(|name| deployment.path(name).into()).collect();
    settings.load(&KeyStores::default(), None, RECORDED, ISSUED)
}

/// Opens the keyset of a deployment at its start, or as a process that runs does.
fn keyring(deployment: &Deployment, shared: SharedKeys) -> Result<Keyring, KeyringError> {
    let mut settings = deployment.settings();
    settings.shared = vec![deployment.path("shared").into()];
    let stores = KeyStores::default();
    let loaded = settings.load(&stores, None, LoadMode::new(Recording::Durable, shared), ISSUED)?;
    Ok(Keyring::of_loaded(&settings, &stores, loaded))
}

fn shared(deployment: &Deployment, name: &str, algorithm: Algorithm) -> KeyId {
    SecretKey::create(&deployment.path(name), algorithm, "a test").unwrap().kid()
}

fn key_error(loaded: Result<Loaded, KeyringError>) -> String {
    match loaded.unwrap_err() {
        KeyringError::Key(error) => error.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn shared_key_of_another_algorithm_a_key_pair_and_a_duplicate_are_refused() {
    let deployment = Deployment::new();
    let mac = shared(&deployment, "mac.key", Algorithm::Hs256);
    shared(&deployment, "sign.key", Algorithm::Es256);
    let entries = [Entry::new(EntryKey::A256Gcm(mac), KeyState::Primary)];
    let error = key_error(load(&deployment, &entries, &["mac.key"]));
    assert!(error.contains("names key") && error.contains("as an A256GCM key"), "{error}");
    assert!(key_error(load(&deployment, &entries, &["sign.key"])).contains("must be a shared key"));
    fs::copy(deployment.path("mac.key"), deployment.path("copy.key")).unwrap();
    assert!(key_error(load(&deployment, &entries, &["mac.key", "copy.key"])).contains(&mac.to_string()));
    assert!(!deployment.path("state/keyset-checkpoint").exists() || deployment.load().is_ok());
}

#[test]
fn shared_key_that_cannot_be_read_does_not_keep_a_revoked_key_in_use() {
    let deployment = Deployment::new();
    fs::create_dir(deployment.path("shared")).unwrap();
    let mac = shared(&deployment, "shared/mac.key", Algorithm::Hs256);
    let name = KeysetName::new("prod").unwrap();
    let mac_entry = Entry::new(EntryKey::Hmac256(mac), KeyState::Primary);
    let mut first = KeysetDraft::<4>::first(name, ISSUED, ISSUED + LIFETIME).unwrap();
    first.insert(mac_entry).unwrap();
    first.insert(producer(10)).unwrap();
    let first = sign_draft(&first, ROOT);
    deployment.write(&first);
    let previous = keyring(&deployment, SharedKeys::Required).unwrap();
    let mut next = KeysetDraft::<4>::after(&checkpoint_of(&first), name, ISSUED, ISSUED + LIFETIME).unwrap();
    next.insert(mac_entry).unwrap();
    next.insert(producer(10).state(KeyState::Compromised)).unwrap();
    deployment.write(&sign_draft(&next, ROOT));
    for content in ["half of a key", ""] {
        fs::write(deployment.path("shared/mac.key"), content).unwrap();
        assert!(keyring(&deployment, SharedKeys::Required).is_err(), "a start");
        let loaded = reload_keyring(
            || keyring(&deployment, SharedKeys::Required),
            || keyring(&deployment, SharedKeys::Available),
            &previous,
        );
        let loaded = loaded.unwrap();
        assert!(loaded.fault.is_some(), "it is reported");
        let state = |kid| loaded.keys.record(kid).unwrap().state();
        assert_eq!(state(producer(10).kid()), KeyState::Compromised);
        let record = loaded.keys.record(mac).unwrap();
        assert!(matches!(record.key(), KeysetKey::Hs256(_)), "the former secret is used");
    }
}

#[test]
fn shared_key_without_its_secret_is_named_only_and_verifies_nothing() {
    let deployment = Deployment::new();
    let (mac, encrypt) = (KeyId::from_bytes([1; 8]), KeyId::from_bytes([2; 8]));
    let role = Role::new().issuers(NameSet::new("shop"));
    let entries = [
        Entry::new(EntryKey::Hmac256(mac), KeyState::Primary).role(role),
        Entry::new(EntryKey::A256Gcm(encrypt), KeyState::Primary).role(role),
    ];
    let records = load(&deployment, &entries, &[]).unwrap().records;
    for (kid, algorithm) in [(mac, Algorithm::Hs256), (encrypt, Algorithm::A256Gcm)] {
        let record = &records[&kid];
        assert!(matches!(record.key(), KeysetKey::Named(named, _) if *named == algorithm));
        assert!(record.to_core().is_none());
    }
}

#[test]
fn shared_keys_of_a_folder_are_found_by_their_kids() {
    let deployment = Deployment::new();
    fs::create_dir(deployment.path("shared")).unwrap();
    let mac = shared(&deployment, "shared/mac.key", Algorithm::Hs256);
    let encrypt = shared(&deployment, "shared/encrypt.key", Algorithm::A256Gcm);
    fs::write(deployment.path("shared/.hidden"), "no key").unwrap();
    fs::write(deployment.path("shared/mac.key~"), "no key").unwrap();
    let entries = [
        Entry::new(EntryKey::Hmac256(mac), KeyState::Primary),
        Entry::new(EntryKey::A256Gcm(encrypt), KeyState::Staged),
    ];
    let records = load(&deployment, &entries, &["shared"]).unwrap().records;
    assert!(matches!(records[&mac].key(), KeysetKey::Hs256(_)));
    assert!(matches!(records[&encrypt].key(), KeysetKey::A256Gcm(_)));
}

#[test]
fn records_mean_what_the_entries_mean() {
    let deployment = Deployment::new();
    let recipient = AgreementPublicKey::from_point(&key(60).verifying_key().to_point()).unwrap();
    let role = Role::new().issuers(NameSet::new("shop bulk-*")).types(NameSet::new("email:*"));
    let results = Role::new().kind(Kind::Result).issuers(NameSet::new("worker-*"));
    let entries = [
        producer(10).role(role).use_from(ISSUED).sign_until(ISSUED + 10).accept_until(ISSUED + 20),
        producer(11).state(KeyState::Retiring).accept_until(ISSUED + 20).role(results),
        producer(12).state(KeyState::Staged),
        producer(13).state(KeyState::Compromised),
        producer(14).state(KeyState::Disabled),
        Entry::new(EntryKey::Agreement(recipient), KeyState::Primary),
        Entry::tombstone(KeyId::from_bytes([7; 8])),
    ];
    let records = load(&deployment, &entries, &[]).unwrap().records;
    assert_eq!(records.len(), entries.len());
    for entry in entries {
        assert_eq!(records[&entry.kid()].to_entry(), entry);
        assert_eq!(records[&entry.kid()].label(), None);
    }
}

#[test]
fn expired_keyset_verifies_decrypts_and_seals_nothing_and_drops_no_key() {
    let deployment = Deployment::new();
    let name = KeysetName::new("prod").unwrap();
    // By the clock of this host it is long expired; it was loaded at a time at which it was not.
    let mut draft = KeysetDraft::<4>::first(name, ISSUED, ISSUED + LIFETIME).unwrap();
    draft.insert(producer(10)).unwrap();
    deployment.write(&sign_draft(&draft, ROOT));
    let kid = producer(10).kid();
    let loaded = deployment.load().unwrap();
    let keyring = Keyring::of_loaded(&deployment.settings(), &KeyStores::default(), loaded);
    assert_eq!(keyring.check_in_force(ISSUED), Ok(()));
    assert_refused(&keyring.check_in_force(ISSUED + LIFETIME).unwrap_err(), KeysetRefusal::Expired);
    assert!(keyring.record(kid).is_some());
    assert!(keyring.find(kid).is_none());
    assert!(keyring.is_withdrawn(kid));
    assert!(keyring.is_withdrawn(KeyId::from_bytes([9; 8])), "a key that is not in the keyset");
}
