//! Keys of the Transit engine: ES256 signatures and HMAC tags. The version is fixed when a key is opened: another version is another
//! key with another kid.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use taskseal_core::keys::{POINT_LEN, VerifyingKey};
use taskseal_core::provider::MacStructure;
use taskseal_core::{KeyId, Provider as _, Secret, Software};
use zeroize::Zeroizing;

use super::client::Client;
use super::fault::VaultFault;
use super::login::parse;
use crate::keys::authenticator::RemoteAuthenticator;
use crate::keys::pem::PemKey;
use crate::keys::signer::{RemoteSigner, SignerFault};

/// What the server says about a key.
#[derive(Deserialize)]
struct Read {
    data: KeyData,
}

#[derive(Deserialize)]
struct KeyData {
    r#type: String,
    latest_version: u64,
    /// The first version that was not deleted; 0 if none was.
    #[serde(default)]
    min_available_version: u64,
    /// The versions: objects of asymmetric keys, times of symmetric ones; none of HMAC keys.
    #[serde(default)]
    keys: BTreeMap<String, Version>,
    /// Length of an HMAC key, in bytes. Servers before version 1.12 do not state it.
    #[serde(default)]
    key_size: Option<u64>,
}

impl KeyData {
    fn has_version(&self, version: u64) -> bool {
        match self.keys.is_empty() {
            true => (self.min_available_version.max(1)..=self.latest_version).contains(&version),
            false => self.keys.contains_key(&version.to_string()),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Version {
    Asymmetric { public_key: String },
    Other(serde::de::IgnoredAny),
}

/// Length of the secret of suite M, in bytes.
const MAC_KEY_LEN: u64 = 32;

/// What a key signs when it is opened: not the digest of a message.
const SELF_TEST: &[u8] = b"taskseal self-test of a signing key in Vault";

/// One version of a key.
struct Key {
    client: Arc<Client>,
    mount: String,
    name: String,
    version: u64,
}

impl Key {
    /// Reads what the server says about a key, and fixes its version.
    fn load(
        client: Arc<Client>,
        mount: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<(Self, KeyData), VaultFault> {
        let path = format!("{mount}/keys/{name}");
        let reply = client.call(&path, None)?;
        let Read { data } = parse(&path, &reply)?;
        let version = version.unwrap_or(data.latest_version);
        if !data.has_version(version) {
            return Err(VaultFault::NotFound(format!(
                "{path}: no version {version}, the latest is {}",
                data.latest_version
            )));
        }
        Ok((Self { client, mount: mount.to_owned(), name: name.to_owned(), version }, data))
    }

    /// Returns what follows `vault:vN:` in a value that the server has computed with this version.
    fn value<'v>(&self, path: &str, value: &'v str) -> Result<&'v str, VaultFault> {
        let prefix = format!("vault:v{}:", self.version);
        value.strip_prefix(&prefix).ok_or_else(|| {
            VaultFault::Invalid(format!("{path}: the reply was not computed with version {}", self.version))
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// An ES256 key.
#[derive(Debug)]
pub(super) struct Signer {
    key: Key,
    public: VerifyingKey,
}

impl Signer {
    /// Reads the public key, which the kid is computed from, and has the key sign once, so that a missing right is found now.
    pub(super) fn load(
        client: Arc<Client>,
        mount: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<Self, VaultFault> {
        let (key, data) = Key::load(client, mount, name, version)?;
        let public = public_key(&key, &data)?;
        let signer = Self { key, public };
        signer.sign_verified(&Sha256::digest(SELF_TEST).into())?;
        Ok(signer)
    }
}

/// Returns the public key of the version that is in use.
fn public_key(key: &Key, data: &KeyData) -> Result<VerifyingKey, VaultFault> {
    let fault = |what: &str| VaultFault::Invalid(format!("{}/keys/{}: {what}", key.mount, key.name));
    if data.r#type != "ecdsa-p256" {
        return Err(fault("not a key of the type ecdsa-p256"));
    }
    let Some(Version::Asymmetric { public_key }) = data.keys.get(&key.version.to_string()) else {
        return Err(fault("the version has no public key"));
    };
    let parsed = PemKey::parse(public_key.as_bytes()).map_err(|error| fault(&error.message))?;
    let PemKey::Public(point) = parsed else { return Err(fault("the version has no public key")) };
    VerifyingKey::from_point(&point).map_err(|_| fault("the public key is damaged"))
}

impl RemoteSigner for Signer {
    fn kid(&self) -> KeyId {
        self.public.kid()
    }

    fn public_point(&self) -> Option<[u8; POINT_LEN]> {
        Some(self.public.to_point())
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        self.sign_verified(digest).map_err(VaultFault::of_signer)
    }
}

impl Signer {
    /// Signs, and verifies the signature: a key that was deleted and created again has the same name and versions.
    fn sign_verified(&self, digest: &[u8; 32]) -> Result<[u8; 64], VaultFault> {
        let signature = self.sign(digest)?;
        match Software.verify_es256(&self.public, digest, &signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err(self.explain()),
        }
    }

    /// Returns why a signature does not verify: the name leads to another key, or the reply is wrong.
    fn explain(&self) -> VaultFault {
        let Key { client, mount, name, version } = &self.key;
        let found = Key::load(Arc::clone(client), mount, name, Some(*version));
        match found.and_then(|(key, data)| public_key(&key, &data)) {
            Ok(found) if found.kid() == self.public.kid() => VaultFault::Unavailable(format!(
                "{mount}/sign/{name}: the signature does not verify with the public key of the version"
            )),
            Ok(found) => VaultFault::Invalid(format!(
                "{mount}/keys/{name}: the key was replaced after it was opened: expected {}, found {}",
                self.public.kid(),
                found.kid()
            )),
            Err(fault) => fault,
        }
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 64], VaultFault> {
        #[derive(Serialize)]
        struct Request<'a> {
            input: &'a str,
            key_version: u64,
            hash_algorithm: &'static str,
            prehashed: bool,
            /// `r || s`, in base64url.
            marshaling_algorithm: &'static str,
        }
        #[derive(Deserialize)]
        struct Signed {
            data: Signature,
        }
        #[derive(Deserialize)]
        struct Signature {
            signature: String,
        }
        let path = format!("{}/sign/{}", self.key.mount, self.key.name);
        let request = Request {
            input: &Base64::encode_string(digest),
            key_version: self.key.version,
            hash_algorithm: "sha2-256",
            prehashed: true,
            marshaling_algorithm: "jws",
        };
        let reply = self.key.client.call(&path, Some(&request))?;
        let Signed { data } = parse(&path, &reply)?;
        let mut signature = [0; 64];
        let decoded = Base64UrlUnpadded::decode(self.key.value(&path, &data.signature)?, &mut signature);
        match decoded.map(<[u8]>::len) {
            Ok(64) => Ok(signature),
            _ => Err(VaultFault::Invalid(format!("{path}: the reply has no ES256 signature"))),
        }
    }
}

/// An HMAC-SHA256 key.
#[derive(Debug)]
pub(super) struct HmacKey {
    key: Key,
    kid: KeyId,
}

impl HmacKey {
    /// Fixes the version, and checks that the server computes a tag.
    pub(super) fn load(
        client: Arc<Client>,
        mount: &str,
        name: &str,
        version: Option<u64>,
        kid: KeyId,
    ) -> Result<Self, VaultFault> {
        let (key, data) = Key::load(client, mount, name, version)?;
        let fault = |what: &str| VaultFault::Invalid(format!("{mount}/keys/{name}: {what}"));
        // Keys of other types authenticate too, with a second secret that no verifier has.
        if data.r#type != "hmac" {
            return Err(fault("not a key of the type hmac"));
        }
        if data.key_size.is_some_and(|size| size != MAC_KEY_LEN) {
            return Err(fault("the key_size must be 32: verifiers have a secret of 32 bytes"));
        }
        let key = Self { key, kid };
        key.tag(b"")?;
        Ok(key)
    }

    fn tag(&self, message: &[u8]) -> Result<Secret<32>, VaultFault> {
        #[derive(Serialize)]
        struct Request<'a> {
            input: &'a str,
            key_version: u64,
            algorithm: &'static str,
        }
        #[derive(Deserialize)]
        struct Tagged {
            data: Tag,
        }
        #[derive(Deserialize)]
        struct Tag {
            hmac: String,
        }
        let path = format!("{}/hmac/{}", self.key.mount, self.key.name);
        let input = Zeroizing::new(Base64::encode_string(message));
        let request = Request { input: &input, key_version: self.key.version, algorithm: "sha2-256" };
        let reply = self.key.client.call(&path, Some(&request))?;
        let Tagged { data } = parse(&path, &reply)?;
        let mut tag = [0; 33];
        let decoded = Base64::decode(self.key.value(&path, &data.hmac)?, &mut tag);
        let tag = decoded.ok().and_then(|tag| <&[u8; 32]>::try_from(tag).ok());
        tag.map(Secret::copy_from)
            .ok_or_else(|| VaultFault::Invalid(format!("{path}: the reply has no HMAC-SHA256 tag")))
    }
}

/// Maximum length of a message, in bytes: base64 of it fits into the default request size of the server, 32 MiB.
const MAX_MESSAGE: usize = 20 << 20;

impl RemoteAuthenticator for HmacKey {
    fn kid(&self) -> KeyId {
        self.kid
    }

    fn authenticate(&self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault> {
        if message.len() > MAX_MESSAGE {
            return Err(SignerFault::refusing(format!("longer than {MAX_MESSAGE} bytes")));
        }
        let mut whole = Zeroizing::new(Vec::with_capacity(message.len()));
        message.pieces(|piece| whole.extend_from_slice(piece));
        self.tag(&whole).map_err(VaultFault::of_signer)
    }
}
