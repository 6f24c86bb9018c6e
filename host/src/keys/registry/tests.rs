use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use taskseal_core::keys::{AgreementKey, AgreementPublicKey, SigningKey};
use taskseal_core::{
    Agree, Audience, Claims, ContentType, Issuer, KeyId, Policy, Secret, Signer, TaskId, TaskType, Unverified,
};

use super::*;
use crate::config::Config;
use crate::keys::{Algorithm, KeyErrorKind, RemoteAgreement, RemoteSigner, SecretKey, SignerFault};
use crate::time::{clock, unix_seconds};

/// A store of the scheme `memory:`, as an application would add one.
#[derive(Debug)]
struct Memory(BTreeMap<&'static str, Arc<Kept>>);

/// A key of [`Memory`].
#[derive(Debug)]
struct Kept(SecretKey);

impl KeyStore for Memory {
    fn scheme(&self) -> &'static str {
        "memory"
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let name = uri.split_once(':').map_or(uri, |(_, name)| name);
        let name = name.split_once('?').map_or(name, |(name, _)| name);
        if !self.0.contains_key(name) {
            return Err(InvalidKeyRef::new("no such key in memory", "name another one"));
        }
        Ok(KeyRef::new("memory", name, format!("memory:{name}")))
    }

    fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
        let kept = key.address().to_str().and_then(|name| self.0.get(name));
        let kept = Arc::clone(kept.ok_or_else(|| KeyError::unavailable(key, "the memory was lost"))?);
        Ok(match usage {
            KeyUsage::Sign => KeyHandle::Signer(kept),
            _ => KeyHandle::Agreement(kept),
        })
    }
}

impl Kept {
    fn signing(&self) -> &SigningKey {
        let SecretKey::Sign(key) = &self.0 else { panic!("{self:?} does not sign") };
        key
    }

    fn agreement(&self) -> &AgreementKey {
        let SecretKey::Agree(key) = &self.0 else { panic!("{self:?} does not decrypt") };
        key
    }
}

impl RemoteSigner for Kept {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        let mut key = self.signing();
        key.sign_digest(digest).map_err(|never| match never {})
    }
}

impl RemoteAgreement for Kept {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        let mut key = self.agreement();
        key.agree(peer).map_err(|never| match never {})
    }

    fn self_test(&self) -> Result<(), SignerFault> {
        Ok(())
    }
}

/// A folder with a configuration whose keys are in memory, and the stores that open them.
struct Project {
    folder: tempfile::TempDir,
    stores: KeyStores,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = |algorithm| {
            Arc::new(Kept(SecretKey::from_cose_key(&SecretKey::random(algorithm).unwrap()).unwrap()))
        };
        let (producer, worker) = (key(Algorithm::Es256), key(Algorithm::EcdhEs));
        let entry = |key: &Kept, rights: &str| {
            let (kid, algorithm, public) = (key.0.kid(), key.0.algorithm(), key.0.public().unwrap());
            format!(
                "[[key]]\nkid = \"{kid}\"\nalg = \"{algorithm}\"\nuse = \"task\"\npublic = \"{public}\"\n{rights}\n"
            )
        };
        let rights = "issuers = [\"shop\"]\ntypes = [\"*\"]\naudiences = [\"plant/*\"]\n";
        let keyset = entry(&producer, rights) + &entry(&worker, "");
        fs::write(folder.path().join("keyset.toml"), keyset).unwrap();
        let config = format!(
            "deployment = \"plant\"\n[client]\nissuer = \"shop\"\nsuite = \"SP\"\nkey = \"memory:producer?pin=77\"\n\
             recipient = \"{}\"\n[worker]\ndecryption_keys = [\"memory:worker\"]\n[[worker.queue]]\nname = \"orders\"\n",
            worker.0.kid()
        );
        fs::write(folder.path().join("taskseal.toml"), config).unwrap();
        let memory = Memory(BTreeMap::from([("producer", producer), ("worker", worker)]));
        Self { folder, stores: KeyStores::default().with(memory) }
    }

    fn load(&self, stores: &KeyStores) -> Result<Config, crate::file_error::FileError> {
        Config::load_with(&self.folder.path().join("taskseal.toml"), stores)
    }
}

#[test]
fn keys_of_a_registered_scheme_seal_and_open_what_a_configuration_says() {
    let project = Project::new();
    let config = project.load(&project.stores).unwrap();
    let keyring = config.keyring().unwrap();
    let key = config.task_key(&keyring).unwrap();
    let audience = Audience::new("plant/orders").unwrap();
    let claims = Claims::new(
        Issuer::new("shop").unwrap(),
        TaskType::new("ship").unwrap(),
        audience,
        TaskId::from_bytes([7; 16]),
    )
    .issued_at(unix_seconds())
    .expires_at(unix_seconds() + 60);

    let envelope = key.seal(&claims, ContentType::JSON, b"{\"order\":1}").unwrap();

    assert!(key.may_block() && keyring.may_block());
    let policy = Policy::for_tasks(audience);
    let verified = Unverified::parse(&envelope).unwrap().verify(&keyring, &policy, &mut clock()).unwrap();
    let mut buffer = vec![0; verified.body_len()];
    let opened = verified.danger_open_without_replay_guard(&mut keyring.opening(), &mut buffer).unwrap();
    assert_eq!(opened.body(), b"{\"order\":1}");
}

#[test]
fn error_of_a_store_names_the_key_without_its_query_and_the_field() {
    let project = Project::new();
    let config = project.load(&project.stores).unwrap();
    let lost = KeyStores::default().with(Memory(BTreeMap::new()));

    let error = lost.open(&config.client.unwrap().sealing.unwrap().key, KeyUsage::Sign).unwrap_err();

    assert_eq!(error.to_string(), "memory:producer: client.key: the memory was lost");
    assert_eq!(error.kind, KeyErrorKind::Unavailable);
    assert!(!format!("{error:?}").contains("77"));
}

#[test]
fn uri_of_a_scheme_without_a_store_is_refused_with_its_position_and_not_shown() {
    let project = Project::new();

    let error = project.load(&KeyStores::default()).unwrap_err();

    assert_eq!(error.message, "unknown key scheme `memory:`");
    let (field, line) = (error.field.as_deref().unwrap(), error.position.unwrap().line);
    assert!([("client.key", 5), ("worker.decryption_keys", 8)].contains(&(field, line)), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("`file:`"), "{error:?}");
    assert!(!format!("{error:?}").contains("77"));
}

#[test]
fn path_needs_no_scheme_and_starts_in_the_folder_of_the_file_that_names_it() {
    let stores = KeyStores::default();
    let file = Path::new("/etc/taskseal/taskseal.toml");
    let parse = |text| stores.parse(text, file).map(|key| key.to_string());

    for text in ["keys/a.key", "file:keys/a.key", "FILE:keys/a.key"] {
        assert_eq!(parse(text).unwrap(), "/etc/taskseal/keys/a.key", "{text}");
    }
    for text in ["/run/a.key", "file:/run/a.key", "file:///run/a.key"] {
        assert_eq!(parse(text).unwrap(), "/run/a.key", "{text}");
    }
    assert_eq!(parse("./vault:a").unwrap(), "/etc/taskseal/./vault:a");
    assert_eq!(parse("keys/vault:a").unwrap(), "/etc/taskseal/keys/vault:a");
    for text in ["file:", "file://host/run/a.key", "vault:a"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[cfg(feature = "pkcs11")]
#[test]
fn uri_of_a_token_is_shown_without_library_and_pin_source() {
    let stores = KeyStores::default();
    let uri = "pkcs11:token=plant;object=k?module-path=/lib/p11.so&pin-source=file:/run/secret77";

    let key = stores.parse(uri, Path::new("taskseal.toml")).unwrap();

    assert_eq!((key.scheme(), key.to_string().as_str()), ("pkcs11", "pkcs11:token=plant;object=k"));
    assert_eq!(key.address(), uri);
    assert!(!format!("{key:?}").contains("secret77"));
    for refused in ["PKCS11:token=plant;object=k?pin-value=secret77", "pkcs11:object=k?pin-value=secret77"] {
        let error = stores.parse(refused, Path::new("taskseal.toml")).unwrap_err();
        assert!(!format!("{error:?}").contains("secret77"), "{error:?}");
    }
}
