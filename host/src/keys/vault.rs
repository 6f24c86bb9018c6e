//! Keys in Vault and in servers with its API: `vault://MOUNT/data/PATH` is a secret of the KV engine, version 2, and
//! `vault://MOUNT/keys/NAME` is a key of the Transit engine, which never leaves the server.
//!
//! One client of a configuration serves all its keys: it logs in once, renews its token, and shares its connections.

use std::path::Path;
use std::sync::Arc;

use self::address::Address;
use self::client::Client;
use self::fault::VaultFault;
use super::armoured_key;
use super::error::KeyError;
use super::handle::{KeyHandle, KeyUsage};
use super::reference::{InvalidKeyRef, KeyRef};
use super::secret_source::FetchedSecret;
use super::store::KeyStore;

mod address;
mod client;
mod fault;
mod http;
mod kv;
mod login;
mod session;
mod settings;
mod transit;

pub(crate) use self::settings::{VaultAuth, VaultSettings};

/// The store of keys in one Vault server.
#[derive(Debug)]
pub(crate) struct VaultStore(Arc<Client>);

const SCHEME: &str = "vault";

impl VaultStore {
    /// Creates the store of a server. Nothing is sent before the first key is opened.
    pub(crate) fn new(settings: VaultSettings) -> Self {
        Self(Arc::new(Client::new(settings)))
    }
}

impl KeyStore for VaultStore {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let address = uri.split_once(':').map_or("", |(_, address)| address);
        let address = address.strip_prefix("//").unwrap_or(address);
        Address::parse(address).map_err(|message| InvalidKeyRef::new(message, FORMS))?;
        // No part of an address is secret.
        Ok(KeyRef::new(SCHEME, address, format!("{SCHEME}://{address}")))
    }

    fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
        let (mount, name, version, kid) = match address(key)? {
            Address::Kv { .. } => {
                let secret = self.fetch(key)?;
                return armoured_key::parse_secret(key, secret.content()).map(KeyHandle::Secret);
            }
            Address::Transit { mount, name, version, kid } => (mount, name, version, kid),
        };
        let client = Arc::clone(&self.0);
        match (usage, kid) {
            (KeyUsage::Sign, _) => transit::Signer::load(client, &mount, &name, version)
                .map(|signer| KeyHandle::Signer(Arc::new(signer))),
            (KeyUsage::Authenticate, Some(kid)) => {
                transit::HmacKey::load(client, &mount, &name, version, kid)
                    .map(|key| KeyHandle::Authenticator(Arc::new(key)))
            }
            (KeyUsage::Authenticate, None) => {
                return Err(KeyError::invalid(key, "the URI of an HMAC key has no `kid`")
                    .hint("add `?version=N&kid=` and the 16 hex digits of its entry in the keyset"));
            }
            _ => {
                return Err(KeyError::invalid(key, "a Transit key signs or authenticates only")
                    .hint("keep keys that decrypt or encrypt in the KV engine: vault://MOUNT/data/PATH"));
            }
        }
        .map_err(|fault| fault.of_key(key))
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        match address(secret)? {
            Address::Kv { mount, path, field, version } => {
                kv::read(&self.0, &mount, &path, &field, version).map_err(|fault| fault.of_key(secret))
            }
            Address::Transit { .. } => Err(KeyError::invalid(secret, "a Transit key stays in its server")
                .hint("name a secret of the KV engine: vault://MOUNT/data/PATH")),
        }
    }
}

fn address(key: &KeyRef) -> Result<Address, KeyError> {
    let text = key.address().to_str().unwrap_or_default();
    Address::parse(text).map_err(|message| VaultFault::Invalid(message).of_key(key))
}

const FORMS: &str = "write vault://MOUNT/data/PATH?field=NAME&version=N for a secret of the KV engine, and vault://MOUNT/keys/NAME?version=N \
                     for a key of the Transit engine; &kid=KID follows for one of HMAC";
