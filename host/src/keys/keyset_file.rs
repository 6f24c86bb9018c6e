//! The keyset file: `[[key]]` entries, each checked against itself before it is believed.

use std::collections::BTreeMap;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Deserializer};
use taskseal_core::keys::{AgreementPublicKey, POINT_LEN, VerifyingKey};
use taskseal_core::{KeyId, Kind};
use toml::Spanned;

use super::record::{KeysetKey, Record, Status};
use super::relative_to;
use super::secret_key::{Algorithm, SecretKey};
use crate::file_error::{FileError, MAX_LEN, invalid, parse_toml};
use crate::file_security;

/// Reads and checks a keyset file.
pub(super) fn load(file: &Path) -> Result<BTreeMap<KeyId, Record>, FileError> {
    let text = file_security::read_guarded(file, MAX_LEN)?;
    let parsed: KeysetFile = parse_toml(file, &text)?;
    let mut records = BTreeMap::new();
    for entry in parsed.key {
        let context = Context { file, text: &text, entry: entry.span().start };
        let entry = entry.into_inner();
        let kid_at = entry.kid.span().start;
        let record = context.record(entry)?;
        let kid = record.kid();
        if records.insert(kid, record).is_some() {
            return Err(FileError::new(file, format!("kid {kid} stands here for the second time"))
                .hint("one key, one entry: remove one of the two")
                .at(&text, kid_at));
        }
    }
    Ok(records)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysetFile {
    #[serde(default)]
    key: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(deserialize_with = "kid")]
    kid: Spanned<KeyId>,
    alg: Spanned<Algorithm>,
    r#use: Use,
    #[serde(default)]
    public: Option<Spanned<Point>>,
    #[serde(default)]
    secret_file: Option<Spanned<String>>,
    /// A secret that is not told to this host must be said to be elsewhere: one that was forgotten is a fault.
    #[serde(default)]
    in_token: Option<Spanned<bool>>,
    #[serde(default)]
    issuers: Option<Spanned<Patterns>>,
    #[serde(default)]
    types: Option<Spanned<Patterns>>,
    #[serde(default)]
    audiences: Option<Spanned<Patterns>>,
    #[serde(default)]
    valid_from: Option<Instant>,
    #[serde(default)]
    valid_until: Option<Instant>,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Use {
    Task,
    Result,
}

/// Where an entry stands, for its faults.
struct Context<'f> {
    file: &'f Path,
    text: &'f str,
    entry: usize,
}

impl Context<'_> {
    fn fault(&self, at: usize, message: impl Into<String>, hint: impl Into<String>) -> FileError {
        FileError::new(self.file, message).hint(hint).at(self.text, at)
    }

    fn record(&self, entry: Entry) -> Result<Record, FileError> {
        let kind = match entry.r#use {
            Use::Task => Kind::Task,
            Use::Result => Kind::Result,
        };
        let algorithm = *entry.alg.get_ref();
        let key = self.key(&entry)?;
        let stated = *entry.kid.get_ref();
        if key.kid() != stated {
            let whose = if algorithm.is_symmetric() { "the key in secret_file" } else { "this public key" };
            let message = format!("kid {stated} is not the kid of {whose}, which is {}", key.kid());
            let hint = "copy the whole entry that `taskseal keygen` printed";
            return Err(self.fault(entry.kid.span().start, message, hint));
        }
        Ok(Record {
            key,
            kind,
            status: entry.status,
            label: entry.label,
            issuers: self.patterns(algorithm, "issuers", entry.issuers)?,
            types: self.patterns(algorithm, "types", entry.types)?,
            audiences: self.patterns(algorithm, "audiences", entry.audiences)?,
            valid_from: entry.valid_from.map_or(0, |instant| instant.0),
            valid_until: entry.valid_until.map_or(u64::MAX, |instant| instant.0),
        })
    }

    fn key(&self, entry: &Entry) -> Result<KeysetKey, FileError> {
        let algorithm = *entry.alg.get_ref();
        let fault = |message: &str, hint: &str| Err(self.fault(entry.alg.span().start, message, hint));
        if let Some(at) = entry.in_token.as_ref().filter(|in_token| *in_token.get_ref()) {
            return match (algorithm, &entry.public, &entry.secret_file) {
                (Algorithm::Hs256, None, None) => Ok(KeysetKey::Hs256InToken(*entry.kid.get_ref())),
                _ => Err(self.fault(
                    at.span().start,
                    "`in_token` is for HS256 without `secret_file` and `public`",
                    "leave it out: other keys in tokens are verified by `public`",
                )),
            };
        }
        match (algorithm.is_symmetric(), &entry.public, &entry.secret_file) {
            (false, Some(point), None) => {
                let at = point.span().start;
                let point = &point.get_ref().0;
                let key = match algorithm {
                    Algorithm::EcdhEs => AgreementPublicKey::from_point(point).map(KeysetKey::EcdhEs),
                    _ => VerifyingKey::from_point(point).map(KeysetKey::Es256),
                };
                key.map_err(|_| self.fault(at, "not a point on P-256", "copy it from the secret key's file"))
            }
            (true, None, Some(path)) => {
                let at = path.span().start;
                let path = relative_to(self.file, path.get_ref());
                match (algorithm, SecretKey::read(&path)?) {
                    (Algorithm::Hs256, SecretKey::Mac(key)) => Ok(KeysetKey::Hs256(key)),
                    (Algorithm::A256Gcm, SecretKey::Encrypt(key)) => Ok(KeysetKey::A256Gcm(key)),
                    (_, other) => {
                        let message = format!("holds an {} key, not {algorithm}", other.algorithm());
                        Err(self.fault(at, message, "correct `alg` or `secret_file`"))
                    }
                }
            }
            (false, ..) => fault(
                "this algorithm takes `public` and no `secret_file`",
                "copy the entry that `taskseal keygen` printed",
            ),
            (true, ..) => fault(
                "this algorithm takes `secret_file` and no `public`",
                "name the secret key file, relative to the keyset",
            ),
        }
    }

    fn patterns(
        &self,
        algorithm: Algorithm,
        field: &str,
        patterns: Option<Spanned<Patterns>>,
    ) -> Result<String, FileError> {
        match (algorithm, patterns) {
            (Algorithm::EcdhEs, Some(patterns)) => {
                let message = "a key that is encrypted to vouches for nothing";
                Err(self.fault(patterns.span().start, message, format!("remove `{field}`")))
            }
            (Algorithm::Es256 | Algorithm::Hs256, None) => {
                let message = format!("missing field `{field}`");
                let hint = format!("say what the key may vouch for, for example `{field} = [\"*\"]`");
                Err(self.fault(self.entry, message, hint))
            }
            // A shared key that only decrypts (suite SE) vouches for nothing.
            (_, patterns) => Ok(patterns.map_or_else(String::new, |patterns| patterns.into_inner().0)),
        }
    }
}

fn kid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<KeyId>, D::Error> {
    let text = Spanned::<Kid>::deserialize(deserializer)?;
    Ok(Spanned::new(text.span(), text.get_ref().0))
}

pub(crate) struct Kid(pub(crate) KeyId);

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        KeyId::parse_hex(&text)
            .map(Self)
            .map_err(|_| invalid("not a kid", "a kid is 16 hex digits, printed by `taskseal keygen`"))
    }
}

struct Point([u8; POINT_LEN]);

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut point = [0; POINT_LEN];
        match Base64UrlUnpadded::decode(&text, &mut point) {
            Ok(decoded) if decoded.len() == POINT_LEN => Ok(Self(point)),
            _ => Err(invalid(
                "not a public key",
                "a public key is the base64url text of the uncompressed point, 87 characters",
            )),
        }
    }
}

/// Patterns, joined by spaces.
struct Patterns(String);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns = Vec::<String>::deserialize(deserializer)?;
        let is_pattern = |pattern: &String| {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            !pattern.is_empty()
                && pattern.len() <= 128
                && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
        };
        if let Some(wrong) = patterns.iter().find(|pattern| !is_pattern(pattern)) {
            return Err(invalid(
                format_args!("`{}` is not a pattern", wrong.escape_default()),
                "a pattern is a name, or the beginning of one followed by `*`; printable ASCII without space",
            ));
        }
        Ok(Self(patterns.join(" ")))
    }
}

/// Unix time in seconds.
#[derive(Clone, Copy)]
struct Instant(u64);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Self).ok_or_else(|| {
            invalid("not a time", "write RFC 3339 with an offset, for example \"2026-01-31T00:00:00Z\"")
        })
    }
}
