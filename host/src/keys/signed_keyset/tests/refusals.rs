//! Keysets that are refused, each with its code.

use super::*;

#[test]
fn keyset_that_is_missing_garbage_or_cut_off_is_refused_and_leaves_no_checkpoint() {
    let deployment = Deployment::new();
    let KeyringError::File(error) = deployment.load().unwrap_err() else { panic!("another error") };
    assert_eq!(error.io, Some(std::io::ErrorKind::NotFound));
    assert!(error.hint.as_deref().unwrap().contains("`keyset` of [keys]"));

    let whole = sign(1);
    let mut longer = whole.clone();
    longer.push(0);
    for content in [&b""[..], b"garbage", &[0; 40], &whole[..1], &whole[..whole.len() - 1], &longer] {
        deployment.write(content);
        assert_refused(&deployment.error(), KeysetRefusal::Malformed);
    }
    deployment.write(&vec![0; MAX_KEYSET + 1]);
    assert_refused(&deployment.error(), KeysetRefusal::TooLarge);
    assert!(!deployment.path("state/keyset-checkpoint").exists());
}

#[test]
fn keyset_file_that_is_not_signed_is_refused_although_roots_are_pinned() {
    let deployment = Deployment::new();
    deployment.write(b"[[key]]\nkid = \"0011223344556677\"\n");
    let KeyringError::File(error) = deployment.load().unwrap_err() else { panic!("another error") };
    assert!(error.message.contains("is not signed"), "{error}");
    assert!(error.hint.as_deref().unwrap().contains("remove `roots`"));
}

#[test]
fn keyset_of_another_root_another_name_or_with_changed_bytes_is_refused() {
    let deployment = Deployment::new();
    deployment.write(&sign_as(9, "prod", None, 101));
    let error = deployment.error();
    assert_refused(&error, KeysetRefusal::UnknownRoot);
    assert!(error.message.contains(&key(9).verifying_key().kid().to_string()), "{error}");

    deployment.write(&sign_as(ROOT, "test", None, 101));
    assert_refused(&deployment.error(), KeysetRefusal::WrongName);

    let mut changed = sign(1);
    let last = changed.len() - 1;
    changed[last] ^= 1;
    deployment.write(&changed);
    assert_refused(&deployment.error(), KeysetRefusal::Rejected);
}

#[test]
fn keyset_with_a_root_among_its_keys_or_with_257_keys_is_refused() {
    let deployment = Deployment::new();
    let keyset = sign_as(ROOT, "prod", None, 2);
    deployment.write(&keyset);
    // The second root signs nothing here, and is still not a key.
    let settings = deployment.trusting(&[ROOT, 2]);
    let loaded = settings.load(&KeyStores::default(), None, RECORDED, ISSUED);
    assert_refused(&error(loaded), KeysetRefusal::RootInKeyset);

    let name = KeysetName::new("prod").unwrap();
    let mut draft = Box::new(KeysetDraft::<MAX_ENTRIES>::first(name, ISSUED, ISSUED + LIFETIME).unwrap());
    for number in 0..=255 {
        draft.insert(Entry::tombstone(KeyId::from_bytes([number; 8]))).unwrap();
    }
    let full = sign_draft(&draft, ROOT);
    deployment.write(&full);
    assert_eq!(deployment.load().unwrap().records.len(), MAX_ENTRIES);
    // The head of the array of entries, with the next number.
    let head = full.windows(4).position(|bytes| bytes == [0x06, 0x99, 0x01, 0x00]).unwrap();
    let mut more = full;
    more[head + 3] = 1;
    deployment.write(&more);
    assert_refused(&deployment.error(), KeysetRefusal::Malformed);
}

#[test]
fn clock_at_1970_or_a_day_behind_is_refused_with_both_times_and_61_seconds_are_not() {
    let deployment = Deployment::new();
    deployment.write(&sign(1));
    for now in [0, ISSUED - 86_400, ISSUED - 301] {
        let error = error(deployment.load_at(now));
        assert_refused(&error, KeysetRefusal::IssuedInFuture);
        assert!(error.message.contains("2025-11-21T18:50:00Z"), "{error}");
    }
    assert!(error(deployment.load_at(0)).message.contains("1970-01-01T00:00:00Z"));
    assert!(deployment.load_at(ISSUED - 61).is_ok());
    assert!(deployment.load_at(ISSUED + 86_400).is_ok());
}

#[test]
fn keyset_is_refused_from_its_last_second_on_at_load_and_while_it_is_loaded() {
    let deployment = Deployment::new();
    deployment.write(&sign(1));
    let loaded = deployment.load_at(ISSUED + LIFETIME - 1).unwrap();
    assert_eq!(loaded.head.check(ISSUED + LIFETIME - 1), Ok(()));
    assert_eq!(loaded.head.check(ISSUED + LIFETIME), Err(KeysetRefusal::Expired));
    assert_eq!(loaded.head.check(ISSUED - 301), Err(KeysetRefusal::IssuedInFuture));
    for now in [ISSUED + LIFETIME, u64::MAX] {
        assert_refused(&error(deployment.load_at(now)), KeysetRefusal::Expired);
    }
}

#[test]
fn roots_must_be_one_or_two_that_differ() {
    let new = |roots: &[u8], name: &str| {
        let roots = roots.iter().map(|root| key(*root).verifying_key()).collect();
        SignedKeyset::new("keyset.cose".into(), name, roots, "state".into()).map(drop)
    };
    assert_eq!(new(&[], "prod"), Err(InvalidRoots::Roots));
    assert_eq!(new(&[1, 1], "prod"), Err(InvalidRoots::Roots));
    assert_eq!(new(&[1, 2, 3], "prod"), Err(InvalidRoots::Roots));
    assert_eq!(new(&[1], ""), Err(InvalidRoots::Name));
    assert_eq!(new(&[1, 2], "prod"), Ok(()));
}
