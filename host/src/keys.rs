//! Keys of a host: which ones vouch for tasks and results, and the secret halves that are held here.
//!
//! Two kinds of files, and tokens. The keyset (`keyset.toml`) says for every key what it is, what it may vouch for and
//! whether it still may; it is public but for the symmetric keys it points to. A secret key file holds one key
//! in PEM armour, in plain or wrapped by a key in a token, and is readable by its owner only. A key in a PKCS#11 token never leaves it.

mod agreement;
mod authenticator;
mod keyset_file;
mod location;
mod opening;
mod record;
mod sealing;
mod secret_key;
mod signer;
mod token;
mod wrapped_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskseal_core::keys::{AgreementPublicKey, EncryptionKey};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord};
use taskseal_core::{KeyId, KeyLookup, Kind, TimeWindow};

pub use self::agreement::{HeldAgreement, RemoteAgreement};
pub use self::authenticator::RemoteAuthenticator;
pub(crate) use self::keyset_file::Kid;
pub use self::location::{InvalidLocation, KeyLocation};
pub use self::opening::{OpeningKeys, WitnessedAgreement};
pub use self::record::{KeysetKey, Record, Status};
pub use self::sealing::{Draft, SealFault, SealingKey, SealingSource};
pub use self::secret_key::{Algorithm, SecretKey, public_text};
pub use self::signer::{RemoteSigner, SignerFault};
pub use self::token::TokenKey;

use self::agreement::Agreement;
use crate::file_error::FileError;

#[cfg(test)]
mod tests;

/// The keyset and the decryption keys of this host. Cloning shares them; they never change: a host that reads
/// its files again makes another.
#[derive(Clone, Debug)]
pub struct Keyring {
    file: Arc<Path>,
    records: Arc<BTreeMap<KeyId, Record>>,
    decryption: Arc<Decryption>,
}

/// Secret keys that open bodies and are not in the keyset.
#[derive(Debug, Default)]
struct Decryption {
    agreement: BTreeMap<KeyId, Agreement>,
    encryption: BTreeMap<KeyId, Box<EncryptionKey>>,
}

impl Keyring {
    /// Reads a keyset file and the symmetric keys it points to.
    ///
    /// # Errors
    /// [`FileError`] with the line, for anything in it that is not understood.
    pub fn load(keyset: &Path) -> Result<Self, FileError> {
        Ok(Self {
            file: keyset.into(),
            records: Arc::new(keyset_file::load(keyset)?),
            decryption: Arc::default(),
        })
    }

    /// The same keyset with the decryption keys in these places, and no others.
    ///
    /// # Errors
    /// [`FileError`] if a file cannot be read or a token not be reached, or holds a key that decrypts nothing.
    pub fn with_decryption_keys<L: Into<KeyLocation>>(
        &self,
        locations: impl IntoIterator<Item = L>,
    ) -> Result<Self, FileError> {
        let mut decryption = Decryption::default();
        for location in locations {
            decryption.open(&location.into())?;
        }
        Ok(self.decrypting_with(decryption))
    }

    /// As [`with_decryption_keys`](Self::with_decryption_keys), each with the field that names it, for its faults.
    pub(crate) fn with_configured_keys<'l>(
        &self,
        locations: impl IntoIterator<Item = (&'static str, &'l KeyLocation)>,
    ) -> Result<Self, FileError> {
        let mut decryption = Decryption::default();
        for (field, location) in locations {
            decryption.open(location).map_err(|error| error.named_by(field))?;
        }
        Ok(self.decrypting_with(decryption))
    }

    /// The same keyset with these decryption keys that are kept elsewhere, and no others.
    #[must_use]
    pub fn with_remote_decryption_keys(
        &self,
        keys: impl IntoIterator<Item = Arc<dyn RemoteAgreement>>,
    ) -> Self {
        let mut decryption = Decryption::default();
        keys.into_iter().for_each(|key| decryption.hold(key));
        self.decrypting_with(decryption)
    }

    fn decrypting_with(&self, decryption: Decryption) -> Self {
        Self {
            file: Arc::clone(&self.file),
            records: Arc::clone(&self.records),
            decryption: Arc::new(decryption),
        }
    }

    /// The keyset file it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Every kid of the keyset, whatever its status, in order.
    pub fn known_kids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.records.keys().copied()
    }

    /// Every record of the keyset, in the order of the kids.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.records.values()
    }

    /// One record of the keyset, whatever its status.
    #[must_use]
    pub fn record(&self, kid: KeyId) -> Option<&Record> {
        self.records.get(&kid)
    }

    /// Kids of the decryption keys that are held here, in order.
    #[must_use]
    pub fn decryption_kids(&self) -> Vec<KeyId> {
        let shared = self.records.values().filter(|record| matches!(record.key(), KeysetKey::A256Gcm(_)));
        let mut kids: Vec<_> = shared.map(Record::kid).collect();
        kids.extend(self.decryption.agreement.keys().chain(self.decryption.encryption.keys()));
        kids.sort_unstable();
        kids.dedup();
        kids
    }

    /// Opens the key that `source` describes, to seal `kind` with.
    ///
    /// # Errors
    /// [`FileError`] if a file cannot be read or a token not be reached, a key does not fit the suite, or the keyset does not have the
    /// key as one that may seal `kind` now: whoever verifies with this keyset would refuse it.
    pub fn sealing_key(&self, source: &SealingSource, kind: Kind) -> Result<SealingKey, FileError> {
        sealing::open(self, source, kind)
    }

    /// As [`sealing_key`](Self::sealing_key) for a signing key that is kept elsewhere; `source.key` only names it, in
    /// messages.
    ///
    /// # Errors
    /// As [`sealing_key`](Self::sealing_key).
    pub fn remote_sealing_key(
        &self,
        signer: Arc<dyn RemoteSigner>,
        source: &SealingSource,
        kind: Kind,
    ) -> Result<SealingKey, FileError> {
        sealing::open_remote(self, signer, source, kind)
    }

    /// As [`remote_sealing_key`](Self::remote_sealing_key) for the HMAC key of suite M.
    ///
    /// # Errors
    /// As [`sealing_key`](Self::sealing_key).
    pub fn remote_authenticating_key(
        &self,
        authenticator: Arc<dyn RemoteAuthenticator>,
        source: &SealingSource,
        kind: Kind,
    ) -> Result<SealingKey, FileError> {
        sealing::open_authenticated(self, authenticator, source, kind)
    }

    /// The public key of a recipient to whom `kind` may be encrypted now.
    fn recipient(&self, kid: KeyId, kind: Kind, now: u64) -> Result<AgreementPublicKey, FileError> {
        let fault = |message: String, hint: &str| Err(FileError::new(&self.file, message).hint(hint));
        let Some(record) = self.records.get(&kid) else {
            return fault(format!("recipient {kid} is not in the keyset"), "add its [[key]] entry");
        };
        let KeysetKey::EcdhEs(key) = record.key() else {
            return fault(
                format!("recipient {kid} is an {} key", record.key().algorithm()),
                "tasks are encrypted to an ECDH-ES key, made with `taskseal keygen --suite SP`",
            );
        };
        record.may_seal(kind, now).map_err(|reason| {
            FileError::new(&self.file, format!("recipient {kid} {reason}"))
                .hint("encrypt to a key that is active and of that use")
        })?;
        Ok(*key)
    }

    /// The decryption keys to open one envelope with, which tell a key that is at fault from an envelope that is.
    #[must_use]
    pub const fn opening(&self) -> OpeningKeys<'_> {
        OpeningKeys::new(self)
    }

    fn shared_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        if self.is_withdrawn(kid) {
            return None;
        }
        match self.records.get(&kid).map(Record::key) {
            Some(KeysetKey::A256Gcm(key)) => Some(key),
            _ => self.decryption.encryption.get(&kid).map(AsRef::as_ref),
        }
    }

    fn private_key(&self, kid: KeyId) -> Option<HeldAgreement<'_>> {
        if self.is_withdrawn(kid) {
            return None;
        }
        self.decryption.agreement.get(&kid).map(HeldAgreement)
    }

    /// Whether a decryption key is kept elsewhere, so that opening may wait for a token or a service.
    pub(crate) fn may_block(&self) -> bool {
        self.decryption.agreement.values().any(|key| matches!(key, Agreement::Remote(_)))
    }

    /// Whether the keyset says that the key is not to be used any more. A key it does not know may decrypt: it
    /// was named in the configuration.
    fn is_withdrawn(&self, kid: KeyId) -> bool {
        self.records.get(&kid).is_some_and(|record| !record.status().is_accepted())
    }
}

impl Decryption {
    fn open(&mut self, location: &KeyLocation) -> Result<(), FileError> {
        match location {
            KeyLocation::File(file) => self.read(file),
            KeyLocation::Token(key) => {
                self.hold(key.agreement()?);
                Ok(())
            }
        }
    }

    fn read(&mut self, file: &Path) -> Result<(), FileError> {
        match SecretKey::read(file)? {
            SecretKey::Agree(key) => {
                self.agreement.insert(key.public_key().kid(), Agreement::Software(key));
            }
            SecretKey::Encrypt(key) => {
                self.encryption.insert(key.kid(), key);
            }
            other => {
                let message = format!("an {} key cannot decrypt", other.algorithm());
                return Err(FileError::new(file, message).hint(
                    "decryption keys are made with `taskseal keygen --suite SP`, `--suite SE` or `--suite E`",
                ));
            }
        }
        Ok(())
    }

    fn hold(&mut self, key: Arc<dyn RemoteAgreement>) {
        self.agreement.insert(key.kid(), Agreement::Remote(key));
    }
}

impl KeyLookup for Keyring {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        self.records.get(&kid)?.to_core()
    }
}

/// Many threads decrypt with one keyring: `&mut &keyring`.
impl DecryptionKeys for &Keyring {
    type Agree<'k>
        = HeldAgreement<'k>
    where
        Self: 'k;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.shared_key(kid)
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<HeldAgreement<'_>> {
        self.private_key(kid)
    }
}

/// Keeps paths out of the way of what they are relative to.
pub(crate) fn relative_to(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

fn now() -> u64 {
    u64::try_from(crate::time::UnixMillis::now().as_secs()).unwrap_or(0)
}

/// This host's clock, exact to the second, as the envelope checks want it.
#[must_use]
pub fn clock() -> TimeWindow {
    TimeWindow::exact(now())
}
