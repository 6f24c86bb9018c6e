//! A second carrier beside the file, and the copy of the last keyset.

use super::*;
use crate::file_watch::recorded;
use crate::keys::{Keyring, reload_keyring};

#[test]
fn host_without_a_copy_cannot_start_while_the_carrier_is_unavailable() {
    let deployment = Deployment::new();
    let error = error(deployment.load_with(Err("connection refused")));
    assert_eq!(error.kind, KeysetErrorKind::Unavailable);
    assert!(error.to_string().contains("carrier: no keyset: connection refused"), "{error}");
}

#[test]
fn host_with_a_copy_starts_while_the_carrier_is_unavailable() {
    let deployment = Deployment::new();
    deployment.load_with(Ok(sign(2))).unwrap();
    let loaded = deployment.load_with(Err("connection refused")).unwrap();
    assert_eq!(loaded.head.sequence, 2);
    assert_eq!(loaded.head.refused.len(), 1);
    // Without a carrier in the configuration, only the file counts.
    assert!(deployment.load().is_err());
}

#[test]
fn carrier_that_returns_an_older_keyset_does_not_replace_the_last_one() {
    let deployment = Deployment::new();
    deployment.load_with(Ok(sign(2))).unwrap();
    let loaded = deployment.load_with(Ok(sign(1))).unwrap();
    assert_eq!((loaded.head.sequence, loaded.head.refused.len()), (2, 1));
}

#[test]
fn carrier_that_withholds_the_newest_keyset_is_a_fault_of_each_reload() {
    let deployment = Deployment::new();
    let (settings, stores) = (deployment.settings(), KeyStores::default());
    let open = |content| {
        let loaded = deployment.load_with(content)?;
        Ok(Keyring::of_loaded(&settings, &stores, loaded))
    };
    let previous = open(Ok(sign(2))).unwrap();
    let fault = |content: Result<Vec<u8>, &'static str>| {
        reload_keyring(|| open(content.clone()), || open(content.clone()), &previous).unwrap().fault
    };
    for content in [Err("Redis has none"), Ok(sign(1)), Ok(b"no keyset".to_vec())] {
        assert!(fault(content).is_some());
    }
    assert_eq!(fault(Ok(sign(2))), None);
    // The file of the first start is older than what the carrier returned since.
    deployment.write(&sign(1));
    assert_eq!(fault(Ok(sign(3))), None);
}

#[test]
fn empty_or_damaged_file_beside_a_carrier_is_a_fault_of_each_reload() {
    let deployment = Deployment::new();
    let (settings, stores) = (deployment.settings(), KeyStores::default());
    let open = || {
        let loaded = deployment.load_with(Ok(sign(2)))?;
        Ok(Keyring::of_loaded(&settings, &stores, loaded))
    };
    let previous = open().unwrap();
    let fault = || reload_keyring(open, open, &previous).unwrap().fault;
    for content in [&b""[..], &sign(1)[..100]] {
        deployment.write(content);
        let Some(KeyringError::Keyset(error)) = fault() else { panic!("no fault") };
        assert_refused(&error, KeysetRefusal::Malformed);
    }
    deployment.write(&sign(1));
    assert_eq!(fault(), None, "an older file");
    // The copy is written again after each load.
    fs::write(deployment.path("state/keyset-copy.cose"), "").unwrap();
    assert_eq!(fault(), None);
}

#[test]
fn record_and_copy_that_a_load_writes_are_not_changed_files() {
    let deployment = Deployment::new();
    for sequence in [1, 2] {
        let (loaded, files) = recorded(|| deployment.load_with(Ok(sign(sequence))));
        assert_eq!(loaded.unwrap().head.sequence, u64::from(sequence));
        assert_eq!(files.now(), files, "{sequence}");
    }
    // Another process writes a copy: that is a change.
    let (_, files) = recorded(|| deployment.load_with(Ok(sign(2))).unwrap());
    fs::write(deployment.path("state/keyset-copy.cose"), sign(3)).unwrap();
    assert_ne!(files.now(), files);
}

#[test]
fn newest_of_file_carrier_and_copy_is_used() {
    let deployment = Deployment::new();
    deployment.write(&sign(2));
    assert_eq!(deployment.load_with(Ok(sign(3))).unwrap().head.sequence, 3);
    deployment.write(&sign(5));
    assert_eq!(deployment.load_with(Ok(sign(4))).unwrap().head.sequence, 5);
}

#[test]
fn damaged_keyset_of_one_source_is_reported_and_the_other_one_is_used() {
    let deployment = Deployment::new();
    deployment.write(&sign(1)[..100]);
    let loaded = deployment.load_with(Ok(sign(1))).unwrap();
    let [KeyringError::Keyset(refused)] = &*loaded.head.refused else { panic!("{:?}", loaded.head) };
    assert_refused(refused, KeysetRefusal::Malformed);
}

#[test]
fn two_sources_with_two_histories_are_a_fork() {
    let deployment = Deployment::new();
    deployment.write(&sign(1));
    let fork = sign_as(ROOT, "prod", None, 50);
    assert_refused(&error(deployment.load_with(Ok(fork.clone()))), KeysetRefusal::Forked);
    let next = sign_as(ROOT, "prod", Some(&checkpoint_of(&fork)), 51);
    assert_refused(&error(deployment.load_with(Ok(next))), KeysetRefusal::Forked);
    assert!(!deployment.path("state/keyset-checkpoint").exists());
}

#[test]
fn second_root_signs_when_the_first_is_lost() {
    let deployment = Deployment::new();
    deployment.write(&sign(1));
    let both = deployment.trusting(&[ROOT, 2]);
    let load = || both.load(&KeyStores::default(), None, RECORDED, ISSUED);
    load().unwrap();
    deployment.write(&sign_as(2, "prod", Some(&checkpoint_of(&sign(1))), 102));
    let loaded = load().unwrap();
    assert_eq!((loaded.head.sequence, loaded.head.root), (2, key(2).verifying_key().kid()));
    // A host that has not pinned it yet keeps out of it.
    assert_refused(&deployment.error(), KeysetRefusal::UnknownRoot);
}
