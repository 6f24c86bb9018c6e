//! Vectors of envelopes: reads, verifies, asks the replay guard and decrypts as each vector specifies.

use taskseal_core::claims::Sequence;
use taskseal_core::keys::{AgreementKey, EncryptionKey, HmacKey, VerifyingKey};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::replay::{Admission, AdmissionRequest, NotAdmitted, SequenceWindow};
use taskseal_core::{
    Audience, KeyId, Keyset, Kind, NameSet, OpenError, Policy, ReplayGuard, ReplayWindow, Secret, Suite,
    SuiteSet, TaskId, Unverified,
};

use crate::Transcript;
use crate::text::{Room, Vector, array, hex};

/// Lines that occur at most once. Lines with a key and lines about its rights are checked separately.
const LINES: &str = " expect note by now audience kind request suites batches types max-body skew max-lifetime \
                     beacon clockless before first-seen newest detached body shared agree ";
const RECORDS: [&str; 3] = ["es256", "hmac256", "a256gcm"];
const RIGHTS: [&str; 7] =
    ["issuers", "types", "audiences", "valid-from", "valid-until", "record-kind", "disabled"];

/// Returns the outcome: `accepted`, the code of a refusal, or another error.
pub(crate) fn outcome(vector: &Vector<'_>, room: &mut Room, transcript: &mut Transcript) -> &'static str {
    for (name, _) in vector.lines() {
        let is_known = LINES.split(' ').any(|line| line == name);
        assert!(is_known || RECORDS.contains(&name) || RIGHTS.contains(&name), "{}: {name}", vector.name);
    }
    let outcome = match open(vector, room, transcript) {
        Ok(outcome) => outcome,
        Err(OpenError::Refused(refusal)) => refusal.code(),
        Err(_) => "a fault on this side",
    };
    transcript.add(outcome.as_bytes());
    outcome
}

fn open(
    vector: &Vector<'_>,
    room: &mut Room,
    transcript: &mut Transcript,
) -> Result<&'static str, OpenError> {
    let Room { bytes, beside, body, expected } = room;
    let bytes = vector.bytes(bytes);
    let keys = owned_keys(vector);
    let keyset = keyset(vector, &keys);
    let (mut guard, mut now) = (Guard::ByTask(ReplayWindow::new()), vector.now());
    let unverified = match vector.get("detached") {
        Some(text) => Unverified::parse_detached(bytes, hex(text, beside))?,
        None => Unverified::parse(bytes)?,
    };
    let verified = unverified.verify(&keyset, &policy(vector), &mut now)?;
    prepare(vector, &mut guard, verified.admission_request());
    let opened = verified.admit(&mut guard)?.open(&mut Decryption::of(vector), body)?;
    transcript.add(opened.body());
    let expected = vector.get("body").map(|text| hex(text, expected));
    Ok(if expected == Some(opened.body()) { "accepted" } else { "another body" })
}

enum OwnedKey {
    Es256(VerifyingKey),
    Hmac256(HmacKey),
    A256Gcm(EncryptionKey),
}

/// The keys of the records, in their order.
fn owned_keys(vector: &Vector<'_>) -> [Option<OwnedKey>; 8] {
    let mut keys = vector.lines().filter_map(|(name, value)| match name {
        "es256" => {
            let key = VerifyingKey::from_point(&array(value)).expect("a point on the curve");
            Some(OwnedKey::Es256(key))
        }
        "hmac256" => {
            let (kid, key) = kid_and_key(value);
            Some(OwnedKey::Hmac256(HmacKey::new(kid, key)))
        }
        "a256gcm" => {
            let (kid, key) = kid_and_key(value);
            Some(OwnedKey::A256Gcm(EncryptionKey::new(kid, key)))
        }
        _ => None,
    });
    let owned = core::array::from_fn(|_| keys.next());
    assert!(keys.next().is_none(), "{}: more than eight records", vector.name);
    owned
}

fn kid_and_key(value: &str) -> (KeyId, Secret<32>) {
    let (kid, key) = value.split_once(' ').expect("kid and key");
    (KeyId::parse_hex(kid).expect("a kid"), Secret::copy_from(&array(key)))
}

/// A line with a key begins a record; the lines below it are its rights.
fn keyset<'v>(vector: &Vector<'v>, keys: &'v [Option<OwnedKey>; 8]) -> Keyset<'v, 8> {
    let (mut keyset, mut keys) = (Keyset::new(), keys.iter().flatten());
    let mut record: Option<KeyRecord<'v>> = None;
    for (name, value) in vector.lines() {
        if RECORDS.contains(&name) {
            let key = match keys.next().expect("a key for each record") {
                OwnedKey::Es256(key) => RecordKey::Es256(key),
                OwnedKey::Hmac256(key) => RecordKey::Hmac256(key),
                OwnedKey::A256Gcm(key) => RecordKey::A256Gcm(key),
            };
            let any = KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY);
            let above = record.replace(any);
            above.into_iter().for_each(|record| keyset.insert(record).expect("a new kid"));
        } else if let Some(record) = &mut record {
            let number = || value.parse().expect("a time");
            match name {
                "issuers" => record.issuers = NameSet::new(value),
                "types" => record.types = NameSet::new(value),
                "audiences" => record.audiences = NameSet::new(value),
                "valid-from" => record.valid_from = number(),
                "valid-until" => record.valid_until = number(),
                "record-kind" => record.kind = Kind::Result,
                "disabled" => record.enabled = false,
                _ => {}
            }
        }
    }
    record.into_iter().for_each(|record| keyset.insert(record).expect("a new kid"));
    keyset
}

fn policy<'v>(vector: &Vector<'v>) -> Policy<'v> {
    let audience = Audience::new(vector.get("audience").expect("an audience")).expect("a name");
    let mut policy = match vector.get("kind") {
        Some("result") => Policy::for_result(audience, array(vector.get("request").expect("a request"))),
        _ => Policy::for_tasks(audience),
    };
    let suites = vector.get("suites").unwrap_or("S M E SE SP").split(' ');
    let suites = suites.map(|name| Suite::from_name(name).expect("a suite"));
    policy.suites = suites.fold(SuiteSet::NONE, SuiteSet::with);
    // Below a record the same name is a right of that record.
    let above = vector.lines().take_while(|(name, _)| !RECORDS.contains(name));
    let types = above.filter(|(name, _)| *name == "types").map(|(_, value)| value).next();
    policy.types = NameSet::new(types.unwrap_or("*"));
    policy.accept_batches = vector.get("batches").is_some();
    policy.accept_beacon = vector.get("beacon").is_some();
    policy.accept_clockless = vector.get("clockless").is_some();
    if let Some(most) = vector.number("max-body") {
        policy.max_body = usize::try_from(most).expect("a length");
    }
    if let Some(seconds) = vector.number("skew") {
        policy.skew = u32::try_from(seconds).expect("a tolerance");
    }
    policy.max_lifetime = vector.number("max-lifetime").unwrap_or(policy.max_lifetime);
    policy
}

/// Puts the guard into the state that the vector specifies.
fn prepare(vector: &Vector<'_>, guard: &mut Guard, request: AdmissionRequest<'_>) {
    let mut seen = request;
    if let Some(newest) = vector.get("newest") {
        let (epoch, counter) = newest.split_once(' ').expect("epoch and counter");
        let (epoch, counter) = (epoch.parse().expect("an epoch"), counter.parse().expect("a counter"));
        seen.sequence = Some(Sequence { epoch, counter });
        seen.task_id = TaskId::from_bytes([0; 16]);
        let mut window = SequenceWindow::new(0);
        window.admit(&seen).expect("admitted for the first time");
        *guard = Guard::BySequence(window);
        return;
    }
    let Some(before) = vector.get("before") else { return };
    if before == "other" {
        seen.digest = [0; 32];
    }
    seen.seen_at = vector.number("first-seen").unwrap_or(seen.seen_at);
    guard.admit(&seen).expect("admitted for the first time");
    if before == "finished" {
        let Guard::ByTask(window) = guard else { return };
        assert!(window.finish(seen.issuer, seen.task_id), "a task that was admitted");
    }
}

/// The guard of the vector: of tasks, or of issuers without a clock.
enum Guard {
    ByTask(ReplayWindow<4>),
    BySequence(SequenceWindow<1, 4>),
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

impl Decryption {
    fn of(vector: &Vector<'_>) -> Self {
        let shared = vector.get("shared").map(|value| {
            let (kid, key) = kid_and_key(value);
            EncryptionKey::new(kid, key)
        });
        let agree = vector
            .get("agree")
            .map(|scalar| AgreementKey::from_scalar(&Secret::copy_from(&array(scalar))).expect("a scalar"));
        Self { shared, agree }
    }
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
