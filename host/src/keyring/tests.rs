use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskseal_core::keys::HmacKey;
use taskseal_core::provider::MacStructure;
use taskseal_core::{
    Audience, Authenticator, Claims, ContentType, Issuer, OpenError, Policy, Refusal, SealError, Secret,
    Suite, SuiteSet, TaskId, TaskType, Unverified,
};

use super::*;

/// A folder with keys and a keyset.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn key(&self, name: &str, algorithm: Algorithm) -> SecretKey {
        SecretKey::create(&self.path(name), algorithm, "a test").unwrap()
    }

    fn keyset(&self, text: &str) -> Result<Keyring, FileError> {
        self.write("keyset.toml", text);
        Keyring::load(&self.path("keyset.toml"))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

const RIGHTS: &str = "issuers = [\"me\"]\ntypes = [\"*\"]\naudiences = [\"here/*\"]\n";

fn entry(key: &SecretKey, more: &str) -> String {
    let (kid, alg) = (key.kid(), key.algorithm());
    let public = key.public().map_or_else(String::new, |public| format!("public = \"{public}\"\n"));
    format!("[[key]]\nkid = \"{kid}\"\nalg = \"{alg}\"\n{public}{more}\n")
}

fn claims() -> Claims<'static> {
    let (issuer, audience) = (Issuer::new("me").unwrap(), Audience::new("here/q").unwrap());
    Claims::new(issuer, TaskType::new("t").unwrap(), audience, TaskId::from_bytes([7; 16]))
        .issued_at(now())
        .expires_at(now() + 60)
}

fn policy() -> Policy<'static> {
    let mut policy = Policy::for_tasks(Audience::new("here/q").unwrap());
    policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    policy
}

fn open(keyring: &Keyring, envelope: &[u8]) -> Result<Vec<u8>, OpenError> {
    let verified = Unverified::parse(envelope)?.verify(keyring, &policy(), &mut clock())?;
    let mut buffer = vec![0; verified.body_len()];
    Ok(verified.danger_open_without_replay_guard(&mut &*keyring, &mut buffer)?.body().to_vec())
}

#[test]
fn kid_of_another_key_is_refused_with_line_and_hint() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let text = entry(&key, &format!("use = \"task\"\n{RIGHTS}"));
    let text = text.replace(&key.kid().to_string(), "0011223344556677");

    let fault = folder.keyset(&text).unwrap_err();

    assert_eq!(fault.position.unwrap().line, 2);
    assert_eq!(fault.field.as_deref(), Some("key.kid"));
    assert!(fault.message.contains("0011223344556677 is not the kid of this public key"), "{fault}");
    assert!(fault.hint.is_some());
}

#[test]
fn kid_that_stands_twice_is_refused_where_it_stands_again() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::EcdhEs);
    let one = entry(&key, "use = \"task\"\n");

    let fault = folder.keyset(&format!("{one}{one}")).unwrap_err();

    assert!(fault.message.contains("second time"), "{fault}");
    assert_eq!(fault.position.unwrap().line, one.lines().count() + 2);
}

#[test]
fn point_off_the_curve_is_refused() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let public = key.public().unwrap();
    // The last four characters change the last three bytes of y.
    let (start, end) = public.split_at(public.len() - 4);
    let other = format!("{start}{}", if end == "AAAA" { "AAAE" } else { "AAAA" });
    let text = entry(&key, &format!("use = \"task\"\n{RIGHTS}")).replace(&public, &other);

    let fault = folder.keyset(&text).unwrap_err();

    assert_eq!((fault.message.as_str(), fault.position.unwrap().line), ("not a point on P-256", 4));
}

#[test]
fn entry_with_a_fault_is_refused_with_the_field() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let good = entry(&key, &format!("use = \"task\"\n{RIGHTS}"));
    folder.keyset(&good).unwrap();

    for (from, to, message) in [
        ("use = \"task\"", "use = \"tasks\"", "unknown variant `tasks`"),
        ("use = \"task\"", "usage = \"task\"", "unknown field `usage`"),
        ("[\"*\"]", "[\"a b\"]", "`a b` is not a pattern"),
        ("[\"*\"]", "[\"a*b\"]", "`a*b` is not a pattern"),
        ("alg = \"ES256\"", "alg = \"none\"", "unknown variant `none`"),
        ("alg = \"ES256\"", "alg = \"HS256\"", "this algorithm takes `secret_file` and no `public`"),
        ("issuers = [\"me\"]\n", "", "missing field `issuers`"),
        ("use = \"task\"", "use = \"task\"\nvalid_from = \"yesterday\"", "not a time"),
        ("use = \"task\"", "use = \"task\"\nstatus = \"primary\"", "unknown variant `primary`"),
        ("public = \"B", "public = \"=", "not a public key"),
    ] {
        let fault = folder.keyset(&good.replacen(from, to, 1)).unwrap_err();
        assert_eq!(fault.message, message);
        assert!(fault.position.is_some() && fault.hint.is_some(), "{fault:?}");
    }
}

#[test]
fn agreement_key_that_claims_rights_is_refused() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::EcdhEs);

    let fault = folder.keyset(&entry(&key, &format!("use = \"task\"\n{RIGHTS}"))).unwrap_err();

    assert_eq!(fault.hint.as_deref(), Some("remove `issuers`"));
}

#[test]
fn public_key_of_agreement_is_not_found_as_one_that_verifies() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::EcdhEs);
    let keyring = folder.keyset(&entry(&key, "use = \"task\"\n")).unwrap();

    assert!(keyring.find(key.kid()).is_none());
    assert_eq!(keyring.known_kids().collect::<Vec<_>>(), [key.kid()]);
}

#[test]
fn damaged_or_foreign_key_file_is_refused_without_showing_it() {
    let folder = Folder::new();
    folder.key("a.key", Algorithm::Es256);
    let pem = String::from_utf8(crate::secret_file::read(&folder.path("a.key")).unwrap().to_vec()).unwrap();
    let body = pem.lines().nth(4).unwrap().to_owned();
    for (name, text) in [
        ("b.key", pem.replace("TASKSEAL SECRET KEY", "PRIVATE KEY")),
        ("c.key", pem.replace(&body, &body.replace(char::is_alphabetic, "A"))),
        ("d.key", "kid = 3\n".to_owned()),
        ("e.key", String::new()),
    ] {
        crate::secret_file::create(&folder.path(name), text.as_bytes()).unwrap();
        let fault = SecretKey::read(&folder.path(name)).unwrap_err();
        assert!(fault.hint.is_some());
        assert!(!format!("{fault} {fault:?}").contains(&body[..16]), "{fault}");
    }
}

#[test]
fn key_that_the_keyset_does_not_let_seal_is_not_opened() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let source = SealingSource::new(Suite::S, folder.path("a.key"));
    let refused = |more: &str, kind| {
        let keyring = folder.keyset(&entry(&key, &format!("{more}\n{RIGHTS}"))).unwrap();
        keyring.sealing_key(&source, kind).unwrap_err().message.clone()
    };

    assert!(refused("use = \"task\"", Kind::Result).ends_with("is for tasks"));
    assert!(refused("use = \"task\"\nstatus = \"retiring\"", Kind::Task).ends_with("is retiring"));
    assert!(
        refused("use = \"task\"\nvalid_until = \"2001-01-01T00:00:00Z\"", Kind::Task).ends_with("any more")
    );
    assert!(
        refused("use = \"task\"\nvalid_from = \"2999-01-01T00:00:00Z\"", Kind::Task)
            .ends_with("not valid yet")
    );
    let empty = folder.keyset("").unwrap();
    assert!(empty.sealing_key(&source, Kind::Task).unwrap_err().message.contains("is not in"));
}

#[test]
fn key_of_another_algorithm_is_not_opened_for_a_suite() {
    let folder = Folder::new();
    for (index, algorithm) in Algorithm::ALL.into_iter().enumerate() {
        let name = format!("{index}.key");
        folder.key(&name, algorithm);
        for suite in Suite::ALL {
            let keyring = folder.keyset("").unwrap();
            let fault =
                keyring.sealing_key(&SealingSource::new(suite, folder.path(&name)), Kind::Task).unwrap_err();
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
fn revoked_keys_neither_verify_nor_decrypt() {
    let folder = Folder::new();
    let (producer, worker) = (folder.key("p.key", Algorithm::Es256), folder.key("w.key", Algorithm::EcdhEs));
    let keyset = |producer_status: &str, worker_status: &str| {
        let producer = entry(&producer, &format!("use = \"task\"\nstatus = \"{producer_status}\"\n{RIGHTS}"));
        let worker = entry(&worker, &format!("use = \"task\"\nstatus = \"{worker_status}\"\n"));
        let keyring = folder.keyset(&format!("{producer}{worker}")).unwrap();
        keyring.with_decryption_keys([folder.path("w.key")]).unwrap()
    };
    let source = SealingSource::new(Suite::Sp, folder.path("p.key")).recipient(worker.kid());
    let sealing = keyset("active", "active").sealing_key(&source, Kind::Task).unwrap();
    let envelope = sealing.seal(&claims(), ContentType::JSON, b"{}").unwrap();

    assert_eq!(open(&keyset("revoked", "active"), &envelope), Err(Refusal::KeyNotValid.into()));
    assert_eq!(open(&keyset("disabled", "active"), &envelope), Err(Refusal::KeyNotValid.into()));
    assert_eq!(open(&keyset("active", "revoked"), &envelope), Err(Refusal::NoDecryptionKey.into()));
    assert_eq!(open(&keyset("retiring", "retiring"), &envelope).unwrap(), b"{}");
}

#[test]
fn what_one_suite_seals_the_keyring_of_the_other_side_opens() {
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
    let keyring =
        folder.keyset(&text.concat()).unwrap().with_decryption_keys([folder.path("agree.key")]).unwrap();
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
    let fault = keyring.sealing_key(&both, Kind::Task).unwrap_err();
    assert!(fault.message.contains("suite E"), "{fault}");
}

/// A key that is kept elsewhere, and away for as long as a test wants.
#[derive(Debug)]
struct Elsewhere {
    key: HmacKey,
    away: AtomicBool,
}

impl RemoteAuthenticator for Elsewhere {
    fn kid(&self) -> KeyId {
        self.key.kid()
    }

    fn authenticate(&self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault> {
        if self.away.load(Ordering::Relaxed) {
            return Err(SignerFault::transient("away", Duration::from_millis(5)));
        }
        let mut key = &self.key;
        key.authenticate(message).map_err(|never| match never {})
    }
}

/// The entry of a key whose secret its host does not have.
fn in_token(kid: KeyId) -> String {
    format!("[[key]]\nkid = \"{kid}\"\nalg = \"HS256\"\nuse = \"task\"\nin_token = true\n{RIGHTS}\n")
}

#[test]
fn hmac_key_elsewhere_seals_what_holders_of_the_secret_open_and_its_own_host_does_not() {
    let folder = Folder::new();
    let SecretKey::Mac(key) = folder.key("mac.key", Algorithm::Hs256) else { panic!("another key") };
    let kid = key.kid();
    let elsewhere = Arc::new(Elsewhere { key: *key, away: AtomicBool::new(true) });
    let producer = folder.keyset(&in_token(kid)).unwrap();
    let held = in_token(kid).replace("in_token = true", "secret_file = \"mac.key\"");
    let worker = folder.keyset(&held).unwrap();

    let other = SealingSource::new(Suite::S, folder.path("token"));
    let fault =
        producer.remote_authenticating_key(Arc::clone(&elsewhere) as _, &other, Kind::Task).unwrap_err();
    assert!(fault.message.contains("cannot seal with suite S"), "{fault}");
    let source = SealingSource::new(Suite::M, folder.path("token"));
    let none = folder.keyset("").unwrap();
    assert!(none.remote_authenticating_key(Arc::clone(&elsewhere) as _, &source, Kind::Task).is_err());

    let sealing =
        producer.remote_authenticating_key(Arc::clone(&elsewhere) as _, &source, Kind::Task).unwrap();
    assert_eq!((sealing.suite(), sealing.kid()), (Suite::M, kid));
    assert!(sealing.may_block() && !sealing.signs());
    match sealing.seal(&claims(), ContentType::JSON, b"{}") {
        Err(SealError::Signer(fault)) => assert_eq!(fault.retry_after(), Some(Duration::from_millis(5))),
        other => panic!("{other:?}"),
    }
    elsewhere.away.store(false, Ordering::Relaxed);
    let envelope = sealing.seal(&claims(), ContentType::JSON, b"{}").unwrap();
    assert_eq!(open(&worker, &envelope).unwrap(), b"{}");
    assert_eq!(open(&producer, &envelope), Err(Refusal::UnknownKey.into()));
    let in_memory = worker.sealing_key(&SealingSource::new(Suite::M, folder.path("mac.key")), Kind::Task);
    let in_memory = in_memory.unwrap();
    assert!(!in_memory.may_block());
}

#[test]
fn secret_is_said_to_be_in_a_token_of_hmac_keys_only_and_not_beside_a_file() {
    let folder = Folder::new();
    let (mac, sign) = (folder.key("mac.key", Algorithm::Hs256), folder.key("sign.key", Algorithm::Es256));
    let shared = folder.key("shared.key", Algorithm::A256Gcm);
    let good = in_token(mac.kid());
    folder.keyset(&good).unwrap();
    for text in [
        entry(&mac, &format!("use = \"task\"\nin_token = true\nsecret_file = \"mac.key\"\n{RIGHTS}")),
        entry(&sign, &format!("use = \"task\"\nin_token = true\n{RIGHTS}")),
        entry(&shared, "use = \"task\"\nin_token = true\n"),
    ] {
        let fault = folder.keyset(&text).unwrap_err();
        assert!(fault.message.contains("`in_token` is for HS256"), "{fault}");
    }
    // A secret that was forgotten is a fault as ever.
    let fault = folder.keyset(&good.replace("in_token = true", "in_token = false")).unwrap_err();
    assert_eq!(fault.message, "this algorithm takes `secret_file` and no `public`");
}

#[test]
fn uri_of_a_private_key_does_not_authenticate_and_that_of_a_shared_one_neither_signs_nor_decrypts() {
    let folder = Folder::new();
    let keyring = folder.keyset("").unwrap();
    let named = |kind: &str| {
        let uri = format!("pkcs11:token=nowhere;object=k;type={kind}?module-path=/nowhere.so");
        KeyLocation::parse(&uri, &folder.path("taskseal.toml")).unwrap()
    };
    let fault = |suite, kind: &str| {
        keyring.sealing_key(&SealingSource::new(suite, named(kind)), Kind::Task).unwrap_err().message.clone()
    };
    assert!(fault(Suite::M, "private").contains("names a private key"));
    assert!(fault(Suite::S, "secret-key").contains("names a shared key"));
    let decryption = keyring.with_decryption_keys([named("secret-key")]).unwrap_err();
    assert!(decryption.message.contains("names a shared key"), "{decryption}");
}

#[test]
fn two_keys_made_one_after_the_other_have_nothing_in_common() {
    let folder = Folder::new();
    for algorithm in Algorithm::ALL {
        let (first, second) = (
            folder.key(&format!("{algorithm}1"), algorithm),
            folder.key(&format!("{algorithm}2"), algorithm),
        );
        assert_ne!(first.kid(), second.kid());
        let read = |name: &str| crate::secret_file::read(&folder.path(name)).unwrap();
        assert_ne!(read(&format!("{algorithm}1")), read(&format!("{algorithm}2")));
    }
}
