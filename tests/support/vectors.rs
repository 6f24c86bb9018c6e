//! Test vectors of envelopes: files of `name: value` lines, an empty line, and the envelope in hex.
//!
//! ```text
//! expect: accepted                 or the code of a refusal
//! note: one sentence
//! now: 1763751600                  or two numbers: earliest and latest
//! audience: prod/critical          the queue that it is taken from
//! kind: task                       or result; with request: the SHA-256 of the request
//! suites: S M E SE SP              types: *   max-body:   skew:   max-lifetime:   beacon: yes   clockless: yes
//!                                  by default 1 MiB, 60 s, a day (of results 366 days), and neither clock
//! es256: 04…                       a record of the keyset; also hmac256: and a256gcm: with kid and key
//!   issuers: *                     rights of the record above: issuers, types, audiences, valid-from,
//!                                  valid-until, record-kind, disabled
//! shared: <kid> <key>              a shared key to decrypt with
//! agree: <scalar>                  a key agreement key to decrypt with
//! before: admitted                 the replay guard has admitted it; or finished; or other, for another envelope
//! body: …                          the body that comes out
//! ```

use std::fs;
use std::path::Path;

use taskseal_core::keys::{AgreementKey, EncryptionKey, MacKey, VerifyingKey};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::replay::Sighting;
use taskseal_core::{
    Audience, KeyId, Keyset, Kind, NameSet, OpenError, Policy, ReplayGuard, ReplayWindow, Secret, Suite,
    SuiteSet, TimeWindow, Unverified,
};

use crate::example::hex;

/// One vector.
#[derive(Clone, Debug)]
pub struct Vector {
    /// The name of its file.
    pub name: String,
    /// The lines above the envelope.
    pub lines: Vec<(String, String)>,
    /// The envelope.
    pub bytes: Vec<u8>,
}

/// Every vector of an area, in the order of their names.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn all(area: &str) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(area);
    let mut vectors: Vec<_> = fs::read_dir(folder)
        .expect("the folder of the vectors")
        .map(|entry| entry.expect("a file of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| Vector::read(&path))
        .collect();
    vectors.sort_by(|left, right| left.name.cmp(&right.name));
    vectors
}

impl Vector {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a readable vector");
        let (lines, envelope) = text.split_once("\n\n").expect("an empty line");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let lines = lines.lines().map(|line| line.trim().split_once(':').expect("name: value"));
        let lines = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Self { name, lines, bytes: hex(envelope) }
    }

    /// The value of a line.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|line| line.0 == name).map(|line| line.1.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).map(|value| value.parse().expect("a number"))
    }

    /// What it must come to: `accepted` or the code of a refusal.
    ///
    /// # Panics
    /// If the vector does not say.
    #[must_use]
    pub fn expected(&self) -> &str {
        self.get("expect").expect("an expectation")
    }

    /// Parses, verifies, admits and opens the envelope as the vector says.
    ///
    /// # Errors
    /// What one of the steps gives.
    ///
    /// # Panics
    /// If the vector is not well-formed.
    pub fn open(&self) -> Result<Vec<u8>, OpenError> {
        let keys = self.keys();
        let keyset = self.keyset(&keys);
        let mut guard = ReplayWindow::<4>::new();
        let (policy, mut now) = (self.policy(), self.now());
        let verified = Unverified::parse(&self.bytes)?.verify(&keyset, &policy, &mut now)?;
        self.prepare(&mut guard, verified.sighting());
        let mut buffer = vec![0; verified.body_len()];
        let opened = verified.admit(&mut guard)?.open(&mut self.decryption_keys(), &mut buffer)?;
        Ok(opened.body().to_vec())
    }

    fn keys(&self) -> Vec<OwnedKey> {
        self.lines.iter().filter_map(|(name, value)| OwnedKey::read(name, value)).collect()
    }

    /// A line that is a key begins a record; the lines below it are its rights.
    fn keyset<'v>(&'v self, keys: &'v [OwnedKey]) -> Keyset<'v, 8> {
        let mut records: Vec<KeyRecord<'v>> = Vec::new();
        let mut keys = keys.iter();
        for (name, value) in &self.lines {
            if OwnedKey::is(name) {
                records.extend(keys.next().map(OwnedKey::record));
            } else if let Some(record) = records.last_mut() {
                set_right(record, name, value);
            }
        }
        let mut keyset = Keyset::new();
        records.into_iter().for_each(|record| keyset.insert(record).expect("a new kid"));
        keyset
    }

    fn now(&self) -> TimeWindow {
        let now = self.get("now").expect("a time");
        let (earliest, latest) = now.split_once(' ').unwrap_or((now, now));
        let number = |text: &str| text.parse().expect("a time");
        TimeWindow { earliest: number(earliest), latest: number(latest) }
    }

    fn policy(&self) -> Policy<'_> {
        let audience = Audience::new(self.get("audience").expect("an audience")).expect("a name");
        let mut policy = Policy::for_tasks(audience);
        if self.get("kind") == Some("result") {
            let request = self.get("request").map(hex).expect("a request");
            policy = Policy::for_result(audience, request.try_into().expect("32 bytes"));
        }
        let suites = self.get("suites").unwrap_or("S M E SE SP").split(' ');
        policy.suites =
            suites.map(|name| Suite::from_name(name).expect("a suite")).fold(SuiteSet::NONE, SuiteSet::with);
        policy.types =
            NameSet::new(self.get("types").filter(|_| !self.types_belong_to_a_record()).unwrap_or("*"));
        policy.accept_beacon = self.get("beacon").is_some();
        policy.accept_clockless = self.get("clockless").is_some();
        if let Some(most) = self.number("max-body") {
            policy.max_body = usize::try_from(most).expect("a length");
        }
        if let Some(seconds) = self.number("skew") {
            policy.skew = u32::try_from(seconds).expect("a tolerance");
        }
        policy.max_lifetime = self.number("max-lifetime").unwrap_or(policy.max_lifetime);
        policy
    }

    /// `types:` above the first key is the policy's, below it the record's.
    fn types_belong_to_a_record(&self) -> bool {
        let types = self.lines.iter().position(|line| line.0 == "types");
        let key = self.lines.iter().position(|line| OwnedKey::is(&line.0));
        types > key && key.is_some()
    }

    fn prepare(&self, guard: &mut ReplayWindow<4>, sighting: Sighting<'_>) {
        let Some(before) = self.get("before") else { return };
        let mut seen = sighting;
        if before == "other" {
            seen.digest = [0; 32];
        }
        guard.admit(&seen).expect("a first sighting");
        if before == "finished" {
            assert!(guard.finish(seen.issuer, seen.task_id));
        }
    }

    fn decryption_keys(&self) -> Decryption {
        let shared = self.get("shared").map(|value| {
            let (kid, key) = kid_and_key(value);
            EncryptionKey::new(kid, key)
        });
        let agree = self.get("agree").map(|scalar| {
            let scalar: [u8; 32] = hex(scalar).try_into().expect("32 bytes");
            AgreementKey::from_scalar(&Secret::copy_from(&scalar)).expect("a scalar")
        });
        Decryption { shared, agree }
    }
}

fn set_right<'v>(record: &mut KeyRecord<'v>, name: &str, value: &'v str) {
    let number = || value.parse().expect("a time");
    match name {
        "issuers" => record.issuers = NameSet::new(value),
        "types" => record.types = NameSet::new(value),
        "audiences" => record.audiences = NameSet::new(value),
        "valid-from" => record.valid_from = number(),
        "valid-until" => record.valid_until = number(),
        "record-kind" => record.kind = if value == "result" { Kind::Result } else { Kind::Task },
        "disabled" => record.enabled = false,
        _ => {}
    }
}

enum OwnedKey {
    Es256(VerifyingKey),
    Hmac256(MacKey),
    A256Gcm(EncryptionKey),
}

impl OwnedKey {
    fn is(name: &str) -> bool {
        matches!(name, "es256" | "hmac256" | "a256gcm")
    }

    fn read(name: &str, value: &str) -> Option<Self> {
        Some(match name {
            "es256" => {
                let point = hex(value).try_into().expect("65 bytes");
                Self::Es256(VerifyingKey::from_point(&point).expect("a point on the curve"))
            }
            "hmac256" => {
                let (kid, key) = kid_and_key(value);
                Self::Hmac256(MacKey::new(kid, key))
            }
            "a256gcm" => {
                let (kid, key) = kid_and_key(value);
                Self::A256Gcm(EncryptionKey::new(kid, key))
            }
            _ => return None,
        })
    }

    fn record(&self) -> KeyRecord<'_> {
        let key = match self {
            Self::Es256(key) => RecordKey::Es256(key),
            Self::Hmac256(key) => RecordKey::Hmac256(key),
            Self::A256Gcm(key) => RecordKey::A256Gcm(key),
        };
        KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY)
    }
}

fn kid_and_key(value: &str) -> (KeyId, Secret<32>) {
    let (kid, key) = value.split_once(' ').expect("kid and key");
    let key: [u8; 32] = hex(key).try_into().expect("32 bytes");
    (KeyId::parse_hex(kid).expect("a kid"), Secret::copy_from(&key))
}

struct Decryption {
    shared: Option<EncryptionKey>,
    agree: Option<AgreementKey>,
}

impl DecryptionKeys for Decryption {
    type Agree<'k> = &'k mut AgreementKey;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.shared.as_ref().filter(|key| key.kid() == kid)
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<&mut AgreementKey> {
        self.agree.as_mut().filter(|key| key.public_key().kid() == kid)
    }
}
