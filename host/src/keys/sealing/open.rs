//! Opening the keys of a suite and checking them against the keyset.

use std::sync::Arc;

use taskseal_core::keys::EncryptionKey;
use taskseal_core::seal::HedgeKey;
use taskseal_core::{Claims, KeyId, Kind, Secret, Suite};

use super::recipients::Recipients;
use super::{Keys, SealingKey, SealingSource};
use crate::keys::authenticator::Authenticating;
use crate::keys::error::{KeyError, KeyringError};
use crate::keys::handle::{KeyHandle, KeyUsage};
use crate::keys::keyring::Keyring;
use crate::keys::record::{Record, kind_word};
use crate::keys::reference::KeyRef;
use crate::keys::secret_key::SecretKey;
use crate::keys::signer::Signing;
use crate::time::unix_seconds;

impl Keyring {
    /// Opens the keys of `source` to seal `kind`; of a folder, or of a label in a token, the key that the keyset allows now. It may block.
    ///
    /// # Errors
    /// [`KeyringError`] if a key cannot be used, does not fit the suite, or the keyset does not allow it to seal `kind` now:
    /// verifiers with this keyset would refuse what it seals.
    pub fn sealing_key(&self, source: &SealingSource, kind: Kind) -> Result<SealingKey, KeyringError> {
        let usage = match source.suite {
            Suite::M => KeyUsage::Authenticate,
            Suite::E => KeyUsage::Encrypt,
            _ => KeyUsage::Sign,
        };
        let allows = |handle: &KeyHandle| self.use_from(handle.kid(), kind);
        let hint = format!("make one of them primary in the keyset, with `use = \"{}\"`", kind_word(kind));
        let (key, handle) = self.choose(&source.key, usage, allows, &hint)?;
        self.sealing_key_from(handle, &SealingSource { key, ..source.clone() }, kind)
    }

    /// Builds the sealing key from an opened key. `source.key` only names it in messages.
    ///
    /// # Errors
    /// As [`sealing_key`](Self::sealing_key).
    pub fn sealing_key_from(
        &self,
        handle: KeyHandle,
        source: &SealingSource,
        kind: Kind,
    ) -> Result<SealingKey, KeyringError> {
        let kid = handle.kid();
        let keys = match (source.suite, handle) {
            (Suite::S | Suite::Se | Suite::Sp, KeyHandle::Secret(SecretKey::Sign(key))) => {
                self.signing_keys(Signing::Software(key), source, kind)?
            }
            (Suite::S | Suite::Se | Suite::Sp, KeyHandle::Signer(key)) => {
                self.signing_keys(Signing::Remote(key), source, kind)?
            }
            (Suite::M, KeyHandle::Secret(SecretKey::Mac(key))) => {
                Keys::Authenticate(Authenticating::Software(key))
            }
            (Suite::M, KeyHandle::Authenticator(key)) => Keys::Authenticate(Authenticating::Remote(key)),
            (Suite::E, KeyHandle::Secret(SecretKey::Encrypt(key))) => {
                let hedge = HedgeKey::of_encryption_key(&key);
                Keys::Encrypt(key, hedge)
            }
            (suite, other) => {
                let message = format!(
                    "an {} key cannot seal with suite {suite}; were two key files exchanged?",
                    other.algorithm()
                );
                return Err(KeyError::invalid(&source.key, message).hint(needed(suite)).into());
            }
        };
        self.check_sealing(source, kid, kind)?;
        let keyset = self.without_decryption_keys();
        Ok(SealingKey { keys: Arc::new(keys), kind, keyset, source: source.clone() })
    }

    /// Returns the keys of a suite that signs.
    fn signing_keys(
        &self,
        signer: Signing,
        source: &SealingSource,
        kind: Kind,
    ) -> Result<Keys, KeyringError> {
        match source.suite {
            Suite::Se => {
                let key = self.encryption_key(source)?;
                let hedge = HedgeKey::of_encryption_key(&key);
                Ok(Keys::SignEncrypt(signer, key, hedge))
            }
            Suite::Sp => {
                let recipients = match &source.recipient {
                    Some(named) => Recipients::Named(self.recipient(named, kind)?),
                    None => Recipients::OfKeyset,
                };
                let hedge = hedge(&signer).map_err(|error| KeyError::no_randomness(&source.key, error))?;
                Ok(Keys::SignEncryptTo(signer, recipients, hedge))
            }
            _ => Ok(Keys::Sign(signer)),
        }
    }

    /// Checks that the keyset allows an opened key to seal `kind` now.
    pub(super) fn check_sealing_key(
        &self,
        source: &SealingSource,
        kid: KeyId,
        encryption_kid: Option<KeyId>,
        kind: Kind,
    ) -> Result<(), KeyError> {
        self.check_sealing(source, kid, kind)?;
        if let (Some(place), Some(kid)) = (&source.encryption_key, encryption_kid) {
            self.check_encryption(place, kid)?;
        }
        if let Some(recipient) = &source.recipient {
            self.recipient(recipient, kind)?;
        }
        Ok(())
    }

    /// Checks that verifiers with this keyset accept that an opened key seals these claims, besides their times.
    pub(super) fn check_rights(
        &self,
        source: &SealingSource,
        kid: KeyId,
        claims: &Claims<'_>,
    ) -> Result<(), KeyError> {
        let Some(record) = self.record(kid) else { return Ok(()) };
        let rights = [
            ("issuers", "issuer", record.issuers(), claims.issuer.as_str()),
            ("types", "type", record.types(), claims.task_type.as_str()),
            ("audiences", "queue", record.audiences(), claims.audience.as_str()),
        ];
        let missing = rights.into_iter().find(|(_, _, allowed, name)| !allowed.contains(name));
        let Some((field, word, _, name)) = missing else { return Ok(()) };
        let message = format!("the keyset gives key {kid} no right for {word} {name}");
        Err(KeyError::not_allowed(&source.key, message)
            .hint(format!("add it to `{field}` of the key in the keyset, or seal with another key")))
    }

    /// Checks that the keyset does not forbid the shared key of suite SE.
    fn check_encryption(&self, place: &KeyRef, kid: KeyId) -> Result<(), KeyError> {
        if self.record(kid).is_some_and(Record::has_rights) {
            let message = format!("the keyset has key {kid} as one of suite E: it may not encrypt for SE");
            return Err(KeyError::not_allowed(place, message)
                .hint("generate another key, and omit the rights from its [[key]] entry"));
        }
        self.is_in_use(kid, unix_seconds()).map_err(|reason| {
            KeyError::not_allowed(place, format!("the keyset says that key {kid} {reason}"))
                .hint("encrypt with a primary key")
        })
    }

    /// Checks that the keyset allows the key to seal `kind` now.
    fn check_sealing(&self, source: &SealingSource, kid: KeyId, kind: Kind) -> Result<(), KeyError> {
        self.check_in_force(unix_seconds())
            .map_err(|error| KeyError::not_allowed(&source.key, error.to_string()).hint(&error.hint))?;
        let Some(record) = self.record(kid) else {
            let message = format!("key {kid} is not in {}", self.file().display());
            return Err(KeyError::not_allowed(&source.key, message)
                .hint("add the [[key]] entry that `taskseal keygen` printed"));
        };
        record.may_seal(kind, unix_seconds()).map_err(|reason| {
            KeyError::not_allowed(&source.key, format!("the keyset says that key {kid} {reason}"))
                .hint(self.hint_of_replacement(record, kind))
        })
    }

    /// Returns what to seal `kind` with instead of a key: the keys with its rights that may seal now, if there are any.
    fn hint_of_replacement(&self, former: &Record, kind: Kind) -> String {
        let replaces = |record: &&Record| {
            record.may_seal(kind, unix_seconds()).is_ok()
                && record.key().algorithm() == former.key().algorithm()
                && record.issuers() == former.issuers()
                && record.types() == former.types()
                && record.audiences() == former.audiences()
        };
        let kids: Vec<_> = self.records().filter(replaces).map(|record| record.kid().to_string()).collect();
        if kids.is_empty() {
            return format!("seal with a primary key whose entry says `use = \"{}\"`", kind_word(kind));
        }
        format!(
            "seal with key {}, which has the same rights: name its file or URI instead",
            kids.join(" or ")
        )
    }

    /// Opens the shared key of suite SE.
    fn encryption_key(&self, source: &SealingSource) -> Result<Box<EncryptionKey>, KeyError> {
        let Some(place) = &source.encryption_key else {
            return Err(KeyError::invalid(&source.key, "suite SE needs a shared key to encrypt with"));
        };
        let allows = |handle: &KeyHandle| {
            self.check_encryption(place, handle.kid())
                .map_err(|error| format!("is not allowed: {}", error.message))?;
            Ok(self.record(handle.kid()).and_then(Record::use_from).unwrap_or(0))
        };
        let hint = "make one of them primary in the keyset, without rights";
        let (place, handle) = self.choose(place, KeyUsage::Encrypt, allows, hint)?;
        match handle {
            KeyHandle::Secret(SecretKey::Encrypt(key)) => {
                self.check_encryption(&place, key.kid())?;
                Ok(key)
            }
            other => Err(KeyError::invalid(&place, format!("an {} key cannot encrypt", other.algorithm()))
                .hint("`taskseal keygen shared --suite SE` generates shared keys")),
        }
    }
}

/// Returns the key that hedges the randomness of bodies: derived from a signing key in memory, otherwise drawn at random, because a
/// token reveals no secret.
fn hedge(signer: &Signing) -> Result<HedgeKey, getrandom::Error> {
    match signer {
        Signing::Software(key) => Ok(HedgeKey::of_signing_key(key)),
        Signing::Remote(_) => {
            let mut secret = Secret::zeroed();
            getrandom::fill(secret.as_mut_bytes())?;
            Ok(HedgeKey::new(secret))
        }
    }
}

/// Returns which key a suite needs.
const fn needed(suite: Suite) -> &'static str {
    match suite {
        Suite::M => "use an HS256 key: `taskseal keygen shared --suite M`",
        Suite::E => "use an A256GCM key: `taskseal keygen shared --suite E`",
        _ => "use an ES256 key: `taskseal keygen sign`",
    }
}
