use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskseal_core::keys::HmacKey;
use taskseal_core::provider::MacStructure;
use taskseal_core::{
    Audience, Authenticator, Claims, ContentType, Issuer, Kind, OpenError, Policy, Refusal, SealError,
    Secret, Suite, SuiteSet, TaskId, TaskType, Unverified,
};

use super::*;
use crate::keys::testing::{Folder, RIGHTS, entry, in_token};
use crate::keys::{Algorithm, NotSealed, RemoteAuthenticator, SealingSource, SignerFault};
use crate::time::{clock, unix_seconds};

fn claims() -> Claims<'static> {
    let (issuer, audience) = (Issuer::new("me").unwrap(), Audience::new("here/q").unwrap());
    Claims::new(issuer, TaskType::new("t").unwrap(), audience, TaskId::from_bytes([7; 16]))
        .issued_at(unix_seconds())
        .expires_at(unix_seconds() + 60)
}

fn policy() -> Policy<'static> {
    let mut policy = Policy::for_tasks(Audience::new("here/q").unwrap());
    policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    policy
}

/// Why a key is not opened to seal.
fn refusal(keyring: &Keyring, source: &SealingSource, kind: Kind) -> KeyError {
    match keyring.sealing_key(source, kind).unwrap_err() {
        KeyringError::Key(error) => error,
        other => panic!("{other}"),
    }
}

fn open(keyring: &Keyring, envelope: &[u8]) -> Result<Vec<u8>, OpenError> {
    let verified = Unverified::parse(envelope)?.verify(keyring, &policy(), &mut clock())?;
    let mut buffer = vec![0; verified.body_len()];
    Ok(verified.danger_open_without_replay_guard(&mut keyring.opening(), &mut buffer)?.body().to_vec())
}

#[test]
fn key_that_the_keyset_does_not_allow_to_seal_is_refused() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let source = SealingSource::new(Suite::S, folder.path("a.key"));
    let refused = |more: &str, kind| {
        let keyring = folder.keyset(&entry(&key, &format!("{more}\n{RIGHTS}")));
        refusal(&keyring, &source, kind).message.clone()
    };

    assert!(refused("use = \"task\"", Kind::Result).ends_with("has `use = \"task\"`, not \"result\""));
    assert!(refused("use = \"task\"\nstate = \"staged\"", Kind::Task).ends_with("is staged"));
    assert!(
        refused("use = \"task\"\nsign_until = \"2001-01-01T00:00:00Z\"", Kind::Task).ends_with("has expired")
    );
    assert!(
        refused("use = \"task\"\nuse_from = \"2999-01-01T00:00:00Z\"", Kind::Task)
            .ends_with("may not be used yet")
    );
    let empty = folder.keyset("");
    assert!(refusal(&empty, &source, Kind::Task).message.contains("is not in"));
}

#[test]
fn refusal_of_a_key_that_was_replaced_names_the_key_with_its_rights_that_seals_now() {
    let folder = Folder::new();
    let [old, new, other] = ["a.key", "b.key", "c.key"].map(|name| folder.key(name, Algorithm::Es256));
    let source = SealingSource::new(Suite::S, folder.path("a.key"));
    let result = |state: &str| {
        format!("use = \"result\"\nstate = \"{state}\"\naccept_until = \"2999-01-01T00:00:00Z\"\n{RIGHTS}")
    };
    let others =
        [entry(&old, &result("retiring")), entry(&other, &format!("use = \"task\"\n{RIGHTS}"))].concat();
    let alone = refusal(&folder.keyset(&others), &source, Kind::Result);
    assert!(alone.hint.as_deref().unwrap().contains("a primary key whose entry says"), "{alone:?}");

    let replaced =
        refusal(&folder.keyset(&[others, entry(&new, &result("primary"))].concat()), &source, Kind::Result);

    let hint = format!("seal with key {}, which has the same rights", new.kid());
    assert!(replaced.hint.as_deref().unwrap().starts_with(&hint), "{replaced:?}");
}

#[test]
fn key_of_another_algorithm_is_refused_for_a_suite() {
    let folder = Folder::new();
    for (index, algorithm) in Algorithm::ALL.into_iter().enumerate() {
        let name = format!("{index}.key");
        folder.key(&name, algorithm);
        for suite in Suite::ALL {
            let keyring = folder.keyset("");
            let fault = refusal(&keyring, &SealingSource::new(suite, folder.path(&name)), Kind::Task);
            let fits = matches!(
                (suite, algorithm),
                (Suite::S | Suite::Se | Suite::Sp, Algorithm::Es256)
                    | (Suite::M, Algorithm::Hs256)
                    | (Suite::E, Algorithm::A256Gcm)
            );
            assert_eq!(
                fault.message.contains("cannot seal with suite"),
                !fits,
                "{suite} {algorithm}: {fault}"
            );
        }
    }
}

#[test]
fn compromised_disabled_and_ended_keys_neither_verify_nor_decrypt() {
    let folder = Folder::new();
    let (producer, worker) = (folder.key("p.key", Algorithm::Es256), folder.key("w.key", Algorithm::EcdhEs));
    let keyset = |producer_state: &str, worker_state: &str| {
        let producer = entry(&producer, &format!("use = \"task\"\nstate = \"{producer_state}\"\n{RIGHTS}"));
        let worker = entry(&worker, &format!("use = \"task\"\nstate = \"{worker_state}\"\n"));
        let keyring = folder.keyset(&format!("{producer}{worker}"));
        keyring.with_decryption_keys([folder.path("w.key")]).unwrap()
    };
    let source = SealingSource::new(Suite::Sp, folder.path("p.key")).recipient(worker.kid());
    let sealing = keyset("primary", "primary").sealing_key(&source, Kind::Task).unwrap();
    let envelope = sealing.seal(&claims(), ContentType::JSON, b"{}").unwrap();

    assert_eq!(open(&keyset("compromised", "primary"), &envelope), Err(Refusal::KeyNotValid.into()));
    assert_eq!(open(&keyset("disabled", "primary"), &envelope), Err(Refusal::KeyNotValid.into()));
    assert_eq!(open(&keyset("primary", "compromised"), &envelope), Err(Refusal::NoDecryptionKey.into()));
    let until = |year: u32| format!("retiring\"\naccept_until = \"{year}-01-01T00:00:00Z");
    assert_eq!(open(&keyset(&until(2001), "primary"), &envelope), Err(Refusal::KeyNotValid.into()));
    assert_eq!(open(&keyset("primary", &until(2001)), &envelope), Err(Refusal::NoDecryptionKey.into()));
    assert_eq!(open(&keyset(&until(2999), &until(2999)), &envelope).unwrap(), b"{}");
    assert_eq!(open(&keyset("staged", "staged"), &envelope).unwrap(), b"{}");
    // A producer with a fast clock seals before `use_from`.
    let early = keyset("primary\"\nuse_from = \"2999-01-01T00:00:00Z", "primary");
    assert_eq!(open(&early, &envelope).unwrap(), b"{}");
}

#[test]
fn envelope_of_every_suite_is_opened_by_the_keyring_of_the_receiver() {
    let folder = Folder::new();
    let keys = [
        folder.key("sign.key", Algorithm::Es256),
        folder.key("mac.key", Algorithm::Hs256),
        folder.key("shared.key", Algorithm::A256Gcm),
        folder.key("agree.key", Algorithm::EcdhEs),
        folder.key("inside.key", Algorithm::A256Gcm),
    ];
    let text = [
        entry(&keys[0], &format!("use = \"task\"\n{RIGHTS}")),
        entry(&keys[1], &format!("use = \"task\"\nsecret_file = \"mac.key\"\n{RIGHTS}")),
        entry(&keys[2], &format!("use = \"task\"\nsecret_file = \"shared.key\"\n{RIGHTS}")),
        entry(&keys[3], "use = \"task\"\n"),
        entry(&keys[4], "use = \"task\"\nsecret_file = \"inside.key\"\n"),
    ];
    let keyring = folder.keyset(&text.concat()).with_decryption_keys([folder.path("agree.key")]).unwrap();
    let source = |suite, name: &str| SealingSource::new(suite, folder.path(name));

    for source in [
        source(Suite::S, "sign.key"),
        source(Suite::M, "mac.key"),
        source(Suite::E, "shared.key"),
        source(Suite::Se, "sign.key").encryption_key(folder.path("inside.key")),
        source(Suite::Sp, "sign.key").recipient(keys[3].kid()),
    ] {
        let sealing = keyring.sealing_key(&source, Kind::Task).unwrap();
        let envelope = sealing.seal(&claims(), ContentType::OCTETS, b"body").unwrap();

        assert_eq!(Unverified::parse(&envelope).unwrap().suite(), source.suite);
        assert_eq!(open(&keyring, &envelope).unwrap(), b"body", "{}", source.suite);
    }
    let both = source(Suite::Se, "sign.key").encryption_key(folder.path("shared.key"));
    let fault = refusal(&keyring, &both, Kind::Task);
    assert!(fault.message.contains("suite E"), "{fault}");
}

/// A key kept elsewhere, unavailable while a test says so.
#[derive(Debug)]
struct Elsewhere {
    key: HmacKey,
    unavailable: AtomicBool,
}

impl RemoteAuthenticator for Elsewhere {
    fn kid(&self) -> KeyId {
        self.key.kid()
    }

    fn authenticate(&self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault> {
        if self.unavailable.load(Ordering::Relaxed) {
            return Err(SignerFault::transient("unavailable", Duration::from_millis(5)));
        }
        let mut key = &self.key;
        key.authenticate(message).map_err(|never| match never {})
    }
}

#[test]
fn hmac_key_kept_elsewhere_seals_for_hosts_with_the_secret_and_its_own_host_opens_nothing() {
    let folder = Folder::new();
    let SecretKey::Mac(key) = folder.key("mac.key", Algorithm::Hs256) else { panic!("another key") };
    let kid = key.kid();
    let elsewhere = Arc::new(Elsewhere { key: *key, unavailable: AtomicBool::new(true) });
    let producer = folder.keyset(&in_token(kid));
    let held = in_token(kid).replace("in_token = true", "secret_file = \"mac.key\"");
    let worker = folder.keyset(&held);

    let remote = || KeyHandle::Authenticator(Arc::clone(&elsewhere) as _);
    let other = SealingSource::new(Suite::S, folder.path("token"));
    let fault = producer.sealing_key_from(remote(), &other, Kind::Task).unwrap_err();
    assert!(fault.to_string().contains("cannot seal with suite S"), "{fault}");
    let source = SealingSource::new(Suite::M, folder.path("token"));
    let none = folder.keyset("");
    assert!(none.sealing_key_from(remote(), &source, Kind::Task).is_err());

    let sealing = producer.sealing_key_from(remote(), &source, Kind::Task).unwrap();
    assert_eq!((sealing.suite(), sealing.kid()), (Suite::M, kid));
    assert!(sealing.may_block() && !sealing.signs());
    match sealing.seal(&claims(), ContentType::JSON, b"{}") {
        Err(NotSealed::Sealing(SealError::Signer(fault))) => {
            assert_eq!(fault.retry_after(), Some(Duration::from_millis(5)));
        }
        other => panic!("{other:?}"),
    }
    elsewhere.unavailable.store(false, Ordering::Relaxed);
    let envelope = sealing.seal(&claims(), ContentType::JSON, b"{}").unwrap();
    assert_eq!(open(&worker, &envelope).unwrap(), b"{}");
    assert_eq!(open(&producer, &envelope), Err(Refusal::UnknownKey.into()));
    let in_memory = worker.sealing_key(&SealingSource::new(Suite::M, folder.path("mac.key")), Kind::Task);
    let in_memory = in_memory.unwrap();
    assert!(!in_memory.may_block());
}

#[cfg(feature = "pkcs11")]
#[test]
fn uri_of_a_private_key_is_refused_for_suite_m_and_that_of_a_shared_key_for_signing_and_decrypting() {
    let folder = Folder::new();
    let keyring = folder.keyset("");
    let named = |kind: &str| {
        let uri = format!("pkcs11:token=nowhere;object=k;type={kind}?module-path=/nowhere.so");
        KeyStores::default().parse(&uri, &folder.path("taskseal.toml")).unwrap()
    };
    let fault = |suite, kind: &str| {
        refusal(&keyring, &SealingSource::new(suite, named(kind)), Kind::Task).message.clone()
    };
    assert!(fault(Suite::M, "private").contains("names a private key"));
    assert!(fault(Suite::S, "secret-key").contains("names a shared key"));
    let decryption = keyring.with_decryption_keys([named("secret-key")]).unwrap_err();
    assert!(decryption.message.contains("names a shared key"), "{decryption}");
}
