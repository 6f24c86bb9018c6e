//! The keyset file: `[[key]]` entries, each checked for consistency.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use taskseal_core::keys::{AgreementPublicKey, VerifyingKey};
use taskseal_core::keyset::signed::KeyState;
use taskseal_core::{KeyId, Kind};

use super::algorithm::Algorithm;
use super::error::KeyringError;
use super::file;
use super::record::{KeysetKey, Record};
use super::reference::KeyRef;
use super::secret_key::SecretKey;
use super::signed_keyset::SharedKeys;
use crate::file_error::FileError;
use crate::file_security;
use crate::toml_file::{Spanned, parse_toml};

pub use self::append::{append_entry, check_appendable};
pub use self::draft::{DraftFile, StateChange};
pub use self::fields::is_pattern;
use self::fields::{Instant, State};
pub(crate) use self::fields::{Kid, Patterns, Point};
pub use self::settings::{KeysetSettings, default_distribution, default_longest_task};

mod append;
mod check;
mod draft;
mod edit;
mod fields;
mod settings;
#[cfg(test)]
mod tests;

/// Reads and checks a keyset file.
pub(super) fn load(file: &Path, shared: SharedKeys) -> Result<BTreeMap<KeyId, Record>, KeyringError> {
    let text = check::unsigned(file)?;
    records(file, &text, parse(file, &text)?.key, Secrets::Read(shared))
}

/// Checks the entries of a keyset file.
fn records(
    file: &Path,
    text: &str,
    entries: Vec<Spanned<Entry>>,
    secrets: Secrets,
) -> Result<BTreeMap<KeyId, Record>, KeyringError> {
    let mut records = BTreeMap::new();
    for entry in entries {
        let context = KeysetContext { file, text, entry: entry.start(), secrets };
        let record = context.record(entry.into_inner())?;
        records.insert(record.kid(), record);
    }
    Ok(records)
}

/// What to do with the files of shared keys that a keyset names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Read(SharedKeys),
    /// Only name them: who signs the keyset does not have them.
    Name,
}

/// Parses a keyset file, whose kids differ.
fn parse(file: &Path, text: &str) -> Result<KeysetFile, FileError> {
    let parsed: KeysetFile = parse_toml(file, text).map_err(check::renamed_field)?;
    let mut kids = HashSet::new();
    for entry in &parsed.key {
        let (kid, at) = (entry.get_ref().kid.get_ref(), entry.get_ref().kid.start());
        if !kids.insert(kid) {
            let context = KeysetContext { file, text, entry: entry.start(), secrets: Secrets::Name };
            let message = format!("duplicate kid \"{kid}\"");
            return Err(context.fault(at, message, "remove one of the two entries"));
        }
    }
    Ok(parsed)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysetFile {
    /// For those who change and sign the keyset. Hosts that read the file ignore it.
    #[serde(default)]
    keyset: Option<KeysetSettings>,
    #[serde(default)]
    key: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(deserialize_with = "fields::kid")]
    kid: Spanned<KeyId>,
    #[serde(default)]
    alg: Option<Spanned<Algorithm>>,
    #[serde(default)]
    r#use: Option<Use>,
    #[serde(default)]
    public: Option<Spanned<Point>>,
    #[serde(default)]
    secret_file: Option<Spanned<String>>,
    /// Required for a secret that this host does not have, so that a forgotten `secret_file` is an error.
    #[serde(default)]
    in_token: Option<Spanned<bool>>,
    #[serde(default)]
    issuers: Option<Spanned<Patterns>>,
    #[serde(default)]
    types: Option<Spanned<Patterns>>,
    #[serde(default)]
    audiences: Option<Spanned<Patterns>>,
    #[serde(default)]
    use_from: Option<Instant>,
    #[serde(default)]
    sign_until: Option<Instant>,
    #[serde(default)]
    accept_until: Option<Instant>,
    #[serde(default)]
    since: Option<Instant>,
    #[serde(default)]
    state: State,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Use {
    Task,
    Result,
}

/// The position of an entry, for its errors.
struct KeysetContext<'f> {
    file: &'f Path,
    text: &'f str,
    entry: usize,
    secrets: Secrets,
}

impl KeysetContext<'_> {
    fn fault(&self, at: usize, message: impl Into<String>, hint: impl Into<String>) -> FileError {
        FileError::new(self.file, message).hint(hint).at(self.text, at)
    }

    fn record(&self, entry: Entry) -> Result<Record, KeyringError> {
        if entry.state.0 == KeyState::Destroyed {
            return Ok(self.destroyed(entry)?);
        }
        let Some(alg) = &entry.alg else { return Err(self.missing("alg", "`alg = \"ES256\"`").into()) };
        let kind = match entry.r#use {
            Some(Use::Task) => Kind::Task,
            Some(Use::Result) => Kind::Result,
            None => return Err(self.missing("use", "`use = \"task\"` or `use = \"result\"`").into()),
        };
        let algorithm = *alg.get_ref();
        let key = self.key(&entry, alg)?;
        self.check_kid(&entry, algorithm, key.kid())?;
        let record = Record {
            key: Arc::new(key),
            kind,
            state: entry.state.0,
            label: entry.label,
            issuers: self.patterns(algorithm, "issuers", entry.issuers)?,
            types: self.patterns(algorithm, "types", entry.types)?,
            audiences: self.patterns(algorithm, "audiences", entry.audiences)?,
            use_from: entry.use_from.map(|instant| instant.0),
            sign_until: entry.sign_until.map(|instant| instant.0),
            accept_until: entry.accept_until.map(|instant| instant.0),
            since: entry.since.map(|instant| instant.0),
        };
        self.check_rules(&record)?;
        Ok(record)
    }

    fn missing(&self, field: &str, example: &str) -> FileError {
        self.fault(self.entry, format!("missing field `{field}`"), format!("add {example}"))
    }

    fn check_kid(&self, entry: &Entry, algorithm: Algorithm, actual: KeyId) -> Result<(), FileError> {
        let stated = *entry.kid.get_ref();
        if actual == stated {
            return Ok(());
        }
        let owner = if algorithm.is_symmetric() { "the key in secret_file" } else { "the public key" };
        let message = format!("expected kid {actual}, that of {owner}, found {stated}");
        let hint = "copy the whole entry that `taskseal keygen` printed";
        Err(self.fault(entry.kid.start(), message, hint))
    }

    fn key(&self, entry: &Entry, alg: &Spanned<Algorithm>) -> Result<KeysetKey, KeyringError> {
        let algorithm = *alg.get_ref();
        if let Some(at) = entry.in_token.as_ref().filter(|in_token| *in_token.get_ref()) {
            return Ok(self.key_in_token(entry, algorithm, at.start())?);
        }
        let fault = |message: &str, hint: &str| Err(self.fault(alg.start(), message, hint).into());
        match (algorithm.is_symmetric(), &entry.public, &entry.secret_file) {
            (false, Some(point), None) => Ok(self.public_key(algorithm, point)?),
            (true, None, Some(_)) if self.secrets == Secrets::Name => {
                Ok(KeysetKey::Named(algorithm, *entry.kid.get_ref()))
            }
            (true, None, Some(path)) => {
                let stated = *entry.kid.get_ref();
                let key = self.shared_key(algorithm, path);
                let is_usable = key.as_ref().is_ok_and(|key| key.kid() == stated);
                if is_usable || self.secrets != Secrets::Read(SharedKeys::Available) {
                    return key;
                }
                Ok(KeysetKey::Named(algorithm, stated))
            }
            (false, ..) => fault(
                "this algorithm takes `public` and no `secret_file`",
                "copy the entry that `taskseal keygen` printed",
            ),
            (true, ..) => fault(
                "this algorithm takes `secret_file` and no `public`",
                "set `secret_file` to the secret key file, relative to the keyset",
            ),
        }
    }

    fn key_in_token(&self, entry: &Entry, algorithm: Algorithm, at: usize) -> Result<KeysetKey, FileError> {
        match (algorithm, &entry.public, &entry.secret_file) {
            (Algorithm::Hs256, None, None) => Ok(KeysetKey::Named(algorithm, *entry.kid.get_ref())),
            _ => Err(self.fault(
                at,
                "`in_token` is for HS256 without `secret_file` and `public`",
                "remove it: `public` verifies other keys in tokens",
            )),
        }
    }

    fn public_key(&self, algorithm: Algorithm, point: &Spanned<Point>) -> Result<KeysetKey, FileError> {
        let at = point.start();
        let point = &point.get_ref().0;
        let key = match algorithm {
            Algorithm::EcdhEs => AgreementPublicKey::from_point(point).map(KeysetKey::EcdhEs),
            _ => VerifyingKey::from_point(point).map(KeysetKey::Es256),
        };
        key.map_err(|_| {
            self.fault(at, "not a point on P-256", "copy it from the comment in the secret key file")
        })
    }

    fn shared_key(&self, algorithm: Algorithm, path: &Spanned<String>) -> Result<KeysetKey, KeyringError> {
        let place =
            KeyRef::from(file_security::secret_path(self.file, path.get_ref())).with_field("key.secret_file");
        match (algorithm, file::read(&place)?) {
            (Algorithm::Hs256, SecretKey::Mac(key)) => Ok(KeysetKey::Hs256(key)),
            (Algorithm::A256Gcm, SecretKey::Encrypt(key)) => Ok(KeysetKey::A256Gcm(key)),
            (_, other) => {
                let message =
                    format!("expected an {algorithm} key in the file, found an {} key", other.algorithm());
                Err(self.fault(path.start(), message, "correct `alg` or `secret_file`").into())
            }
        }
    }

    fn patterns(
        &self,
        algorithm: Algorithm,
        field: &str,
        patterns: Option<Spanned<Patterns>>,
    ) -> Result<String, FileError> {
        match (algorithm, patterns) {
            (Algorithm::Es256 | Algorithm::Hs256, None) => {
                let message = format!("missing field `{field}`");
                let hint = format!("list what the key may sign for, for example `{field} = [\"*\"]`");
                Err(self.fault(self.entry, message, hint))
            }
            // A shared key that only decrypts (suite SE) has no rights. A key agreement key without rights is used where a
            // configuration names it.
            (_, patterns) => Ok(patterns.map_or_else(String::new, |patterns| patterns.into_inner().0)),
        }
    }
}
