//! The reader of the vectors: takes a file apart, and puts what it holds through verifier, guard and decryption.
//!
//! The format is described in `README.md` of this package.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use taskseal_core::claims::Sequence;
use taskseal_core::keys::{AgreementKey, EncryptionKey, HmacKey, VerifyingKey};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::replay::{Admission, AdmissionRequest, NotAdmitted, SequenceWindow};
use taskseal_core::{
    Audience, Issuer, KeyId, Keyset, Kind, NameSet, OpenError, Policy, ReplayGuard, ReplayWindow, Secret,
    Suite, SuiteSet, TaskId, TimeWindow, Unverified,
};

use crate::example::hex;

/// Lines that occur at most once, above or below the keys.
const LINES: [&str; 20] = [
    "expect",
    "note",
    "by",
    "now",
    "audience",
    "kind",
    "request",
    "suites",
    "batches",
    "types",
    "max-body",
    "skew",
    "max-lifetime",
    "beacon",
    "clockless",
    "before",
    "first-seen",
    "newest",
    "detached",
    "body",
];

/// Lines with a key.
const KEYS: [&str; 5] = ["es256", "hmac256", "a256gcm", "shared", "agree"];

/// Lines about the record above them.
const RIGHTS: [&str; 7] =
    ["issuers", "types", "audiences", "valid-from", "valid-until", "record-kind", "disabled"];

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
/// If a file cannot be read, or is none of the format.
#[must_use]
pub fn all(area: &str) -> Vec<Vector> {
    let path = |name: &String| folder(area).join(format!("{name}.txt"));
    names(area).iter().map(|name| Vector::read(&path(name))).collect()
}

/// The names of all vectors of an area.
///
/// # Panics
/// If the folder cannot be read or holds anything else.
#[must_use]
pub fn names(area: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(area)).expect("the folder of the vectors");
    let name = |entry: io::Result<fs::DirEntry>| {
        let name = entry.expect("a file of the folder").file_name().into_string().expect("an ASCII name");
        name.strip_suffix(".txt").expect("a vector").to_owned()
    };
    entries.map(name).collect()
}

pub(crate) fn folder(area: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(area)
}

impl Vector {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a readable vector");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        Self::parse(name, &text)
    }

    /// Takes the text of a file apart.
    ///
    /// # Panics
    /// If a line has a name or a value that the format does not know: what a reader skips, it does not test.
    #[must_use]
    pub fn parse(name: String, text: &str) -> Self {
        let (lines, envelope) = text.split_once("\n\n").expect("an empty line");
        let lines = lines.lines().map(|line| line.trim().split_once(':').expect("name: value"));
        let lines = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let vector = Self { name, lines, bytes: hex(envelope) };
        vector.check();
        vector
    }

    /// Checks that every line is known, is in a valid position, and has a valid value.
    fn check(&self) {
        let mut keys = 0;
        for (at, (name, value)) in self.lines.iter().enumerate() {
            let place = format!("{}: {name}: {value}", self.name);
            let is_right = RIGHTS.contains(&name.as_str()) && keys > 0;
            assert!(is_right || KEYS.contains(&name.as_str()) || LINES.contains(&name.as_str()), "{place}");
            keys += usize::from(OwnedKey::is(name));
            // Keys and their rights may occur more than once, all other lines at most once.
            let mut above = self.lines.iter().take(at);
            assert!(is_right || OwnedKey::is(name) || !above.any(|line| line.0 == *name), "{place}: twice");
            let allowed: &[&str] = match name.as_str() {
                "by" => &["anyone", "broker", "key holder", "other key holder"],
                "kind" => &["result"],
                "record-kind" => &["result"],
                "before" => &["admitted", "finished", "other"],
                "batches" | "beacon" | "clockless" | "disabled" => &["yes"],
                _ => continue,
            };
            assert!(allowed.contains(&value.as_str()), "{place}");
        }
        let is_accepted = self.expected() == "accepted";
        let is_lone = self.get("first-seen").is_some() && self.get("before").is_none();
        assert!(!is_lone, "{}: seen when, but not before", self.name);
        assert_eq!(self.get("by").is_none(), is_accepted, "{}: who makes it?", self.name);
        assert_eq!(self.get("body").is_some(), is_accepted, "{}: which body?", self.name);
        assert!(self.get("note").is_some_and(|note| !note.is_empty()), "{}: no note", self.name);
    }

    /// The value of a line.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|line| line.0 == name).map(|line| line.1.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).map(|value| value.parse().expect("a number"))
    }

    /// Returns the expected outcome: `accepted` or the code of a refusal.
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
        let mut guard = Guard::default();
        let (policy, mut now) = (self.policy(), self.now());
        let beside = self.get("detached").map(hex);
        let unverified = match &beside {
            Some(body) => Unverified::parse_detached(&self.bytes, body)?,
            None => Unverified::parse(&self.bytes)?,
        };
        let verified = unverified.verify(&keyset, &policy, &mut now)?;
        self.prepare(&mut guard, verified.admission_request());
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
        policy.accept_batches = self.get("batches").is_some();
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

    fn prepare(&self, guard: &mut Guard, request: AdmissionRequest<'_>) {
        let mut seen = request;
        if let Some(newest) = self.get("newest") {
            let (epoch, counter) = newest.split_once(' ').expect("epoch and counter");
            let (epoch, counter) = (epoch.parse().expect("an epoch"), counter.parse().expect("a counter"));
            seen.sequence = Some(Sequence { epoch, counter });
            seen.task_id = TaskId::from_bytes([0; 16]);
            // What was remembered of the task is forgotten; only its sequence is left.
            let mut window = SequenceWindow::new(0);
            window.admit(&seen).expect("admitted for the first time");
            *guard = Guard::BySequence(window);
            return;
        }
        let Some(before) = self.get("before") else { return };
        if before == "other" {
            seen.digest = [0; 32];
        }
        seen.seen_at = self.number("first-seen").unwrap_or(seen.seen_at);
        guard.admit(&seen).expect("admitted for the first time");
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
        // Lines about decryption, guard and body are also allowed below a record.
        _ => {}
    }
}

enum OwnedKey {
    Es256(VerifyingKey),
    Hmac256(HmacKey),
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
                Self::Hmac256(HmacKey::new(kid, key))
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

/// The guard of the vector: of tasks, or of issuers without a clock.
enum Guard {
    ByTask(ReplayWindow<4>),
    BySequence(SequenceWindow<1, 4>),
}

impl Default for Guard {
    fn default() -> Self {
        Self::ByTask(ReplayWindow::new())
    }
}

impl Guard {
    fn finish(&mut self, issuer: Issuer<'_>, task_id: TaskId) -> bool {
        match self {
            Self::ByTask(window) => window.finish(issuer, task_id),
            Self::BySequence(window) => window.finish(issuer, task_id),
        }
    }
}

impl ReplayGuard for Guard {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        match self {
            Self::ByTask(window) => window.admit(request),
            Self::BySequence(window) => window.admit(request),
        }
    }
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
