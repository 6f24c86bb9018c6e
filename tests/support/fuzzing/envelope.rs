//! Envelopes: opened with verification stubbed, opened beside a body, sealed and opened again.

use std::sync::LazyLock;

use taskseal_core::batch::BatchRootCache;
use taskseal_core::claims::ClockSource;
use taskseal_core::keys::{AgreementKey, EncryptionKey, HmacKey, SigningKey, VerifyingKey};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::name::Reference;
use taskseal_core::seal::Mode;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, KeyLookup, Kind, NameSet, Policy, ReplayWindow, Sealer,
    Secret, Suite, SuiteSet, TaskId, TaskType, TimeWindow, Unverified,
};

use super::stub::AcceptsAll;
use crate::example::{Counted, agreement_key, sha256, signing_key};

pub(super) static SIGNING: LazyLock<SigningKey> = LazyLock::new(|| signing_key("fuzz signing key"));
static PUBLIC: LazyLock<VerifyingKey> = LazyLock::new(|| SIGNING.verifying_key());
static WORKER: LazyLock<AgreementKey> = LazyLock::new(|| agreement_key("fuzz worker key"));
pub(super) static MAC: LazyLock<HmacKey> = LazyLock::new(|| HmacKey::new(kid(1), secret("fuzz mac key")));
pub(super) static SHARED: LazyLock<EncryptionKey> =
    LazyLock::new(|| EncryptionKey::new(kid(2), secret("fuzz shared key")));
pub(super) static INNER: LazyLock<EncryptionKey> =
    LazyLock::new(|| EncryptionKey::new(kid(3), secret("fuzz inner key")));

const NOW: u64 = 1_763_751_000;

fn kid(number: u8) -> KeyId {
    KeyId::from_bytes([number; 8])
}

fn secret(label: &str) -> Secret<32> {
    Secret::copy_from(&sha256(label.as_bytes()))
}

pub(super) fn recipient() -> taskseal_core::keys::AgreementPublicKey {
    WORKER.public_key()
}

/// The keys that the bytes may be sealed with, under their own kids.
pub(super) struct Keys;

impl KeyLookup for Keys {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        let key = [RecordKey::Es256(&PUBLIC), RecordKey::Hmac256(&MAC), RecordKey::A256Gcm(&SHARED)];
        let record = |key| {
            let all = NameSet::ANY;
            KeyRecord::new(key).issuers(all).types(all).audiences(all)
        };
        key.into_iter().map(record).find(|record| record.kid() == kid)
    }
}

/// The same keys, each for every kid that a message could name: every suite gets to its end.
struct AnyKid<'k>(RecordKey<'k>, KeyId, Kind, &'k str);

impl KeyLookup for AnyKid<'_> {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        // A record must have the kid that was asked for.
        let all = NameSet::ANY;
        let record = KeyRecord::new(self.0).issuers(all).types(all).audiences(NameSet::new(self.3));
        (kid == self.1).then(|| record.kind(self.2))
    }
}

impl DecryptionKeys for Keys {
    type Agree<'k> = &'k AgreementKey;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        [&*SHARED, &*INNER].into_iter().find(|key| key.kid() == kid)
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<Self::Agree<'_>> {
        (WORKER.public_key().kid() == kid).then_some(&*WORKER)
    }
}

pub(super) fn policy<'a>(kind: Kind, audience: Audience<'a>, request: Option<[u8; 32]>) -> Policy<'a> {
    let mut policy = Policy::for_tasks(audience);
    policy.kind = kind;
    policy.request = request;
    policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    policy.accept_batches = true;
    policy.accept_beacon = true;
    policy.accept_clockless = true;
    policy.max_lifetime = u64::MAX;
    policy
}

/// A body is shorter than its envelope, no bytes verify that were not sealed with a key, and no bytes that get
/// past the signature do harm behind it.
pub(super) fn open(bytes: &[u8]) {
    let Ok(envelope) = Unverified::parse(bytes) else { return };
    assert!(envelope.body_len() < bytes.len());
    let claims = *envelope.danger_claims_unverified();
    let policy = policy(envelope.kind(), claims.audience, claims.request);
    let now = &mut TimeWindow::exact(claims.issued_at.unwrap_or(NOW));
    // The seeds are sealed with these very keys: what else verifies is forged.
    if envelope.verify(&Keys, &policy, now).is_ok() {
        return;
    }
    let by_any_key = AnyKid(RecordKey::Es256(&PUBLIC), PUBLIC.kid(), envelope.kind(), "*");
    let mut roots = BatchRootCache::<4>::new();
    let Ok(verified) = envelope.verify_with(&AcceptsAll, &mut roots, &by_any_key, &policy, now) else {
        return;
    };
    let mut buffer = vec![0; verified.body_len()];
    let Ok(admitted) = verified.admit(&mut ReplayWindow::<1>::new()) else { return };
    if let Ok(opened) = admitted.open_with(&AcceptsAll, &mut Keys, &mut buffer) {
        assert_eq!(opened.body().len(), verified.body_len());
    }
}

/// What reads as detached does not read as attached, and is never encrypted.
pub(super) fn detached(bytes: &[u8]) {
    let (envelope, body) = bytes.split_at(bytes.len() - bytes.len() / 4);
    let Ok(parsed) = Unverified::parse_detached(envelope, body) else { return };
    assert!(Unverified::parse(envelope).is_err());
    assert!(!parsed.suite().encrypts() && !parsed.is_batched());
    assert_eq!(parsed.body_len(), body.len());
}

/// Whatever claims and body are sealed come out again, in every suite.
pub(super) fn round_trip(bytes: &[u8]) {
    let mut feed = Feed(bytes);
    let suite = feed.byte();
    let kind = if feed.byte().is_multiple_of(4) { Kind::Result } else { Kind::Task };
    let names = [feed.name(64), feed.name(128), feed.name(128), feed.name(64)];
    let [issuer, task_type, audience, reference] = &names;
    let (Ok(issuer), Ok(task_type), Ok(audience)) =
        (Issuer::new(issuer), TaskType::new(task_type), Audience::new(audience))
    else {
        return;
    };
    let mut claims = Claims::new(issuer, task_type, audience, TaskId::from_bytes(feed.array()));
    let set = u16::from_be_bytes(feed.array());
    let has = |bit: u16| set & (1 << bit) != 0;
    claims.clock = match set >> 14 {
        0 | 1 => ClockSource::Synchronised,
        2 => ClockSource::Beacon,
        _ => ClockSource::None,
    };
    if claims.clock != ClockSource::None {
        claims.issued_at = Some(NOW);
        claims.expires_at = Some(NOW + u64::from(u32::from_be_bytes(feed.array())) % 9_000 + 1);
        claims.not_before = has(0).then_some(NOW);
    }
    claims.sequence = None;
    if has(1) || claims.clock == ClockSource::None {
        claims = claims.sequence(u32::from_be_bytes(feed.array()), u64::from_be_bytes(feed.array()));
    }
    claims.schema = has(2).then(|| u32::from_be_bytes(feed.array()));
    claims.trace = has(3).then(|| feed.array());
    claims.reference = if has(4) { Reference::new(reference).ok() } else { None };
    claims.beacon = (claims.clock == ClockSource::Beacon).then(|| feed.array());
    claims.ttl = (has(5) && claims.clock == ClockSource::None).then(|| u32::from_be_bytes(feed.array()));
    claims.attempts = has(6).then(|| u16::from_be_bytes(feed.array()));
    claims.timeout = has(7).then(|| u32::from_be_bytes(feed.array()));
    claims.retention = has(8).then(|| u32::from_be_bytes(feed.array()));
    claims.request = (kind == Kind::Result).then(|| feed.array());
    let body = feed.0;

    let worker = recipient();
    match suite % 5 {
        0 => sealed_and_opened(Sealer::sign(&*SIGNING), kind, &claims, body),
        1 => sealed_and_opened(Sealer::authenticate(&*MAC), kind, &claims, body),
        2 => sealed_and_opened(Sealer::encrypt(&SHARED), kind, &claims, body),
        3 => sealed_and_opened(Sealer::sign_encrypt(&*SIGNING, &INNER), kind, &claims, body),
        _ => sealed_and_opened(Sealer::sign_encrypt_to(&*SIGNING, &worker), kind, &claims, body),
    }
}

fn sealed_and_opened<M: Mode>(sealer: Sealer<M>, kind: Kind, claims: &Claims<'_>, body: &[u8])
where
    M::Error: std::fmt::Debug,
{
    let mut sealer = sealer.kind(kind);
    let mut buffer = vec![0; sealer.sealed_len(claims, ContentType::OCTETS, body.len())];
    let mut rng = Counted(0);
    let sealed = sealer.seal(claims, ContentType::OCTETS, body, &mut rng, &mut buffer);
    let sealed = sealed.expect("consistent claims are sealed");
    let parsed = Unverified::parse(sealed).expect("what was sealed is well-formed");
    assert_eq!((parsed.kind(), parsed.danger_claims_unverified()), (kind, claims));
    let record_kind = kind;
    let key = Keys.find(parsed.kid()).expect("one of the keys").key;
    let keys = AnyKid(key, parsed.kid(), record_kind, "*");
    let policy = policy(kind, claims.audience, claims.request);
    let verified =
        parsed.verify(&keys, &policy, &mut TimeWindow::exact(NOW)).expect("what was sealed verifies");
    let mut out = vec![0; verified.body_len()];
    let opened = verified.danger_open_without_replay_guard(&mut Keys, &mut out);
    assert_eq!(opened.expect("what was sealed opens").body(), body);
}

/// Takes bytes from the front; zeros when there are none.
struct Feed<'b>(&'b [u8]);

impl<'b> Feed<'b> {
    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        out.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
        self.0 = rest;
        out
    }

    /// A name of printable characters, at most `most` of them.
    fn name(&mut self, most: usize) -> String {
        let len = usize::from(self.byte()) % most + 1;
        let (taken, rest): (&'b [u8], _) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        let name: String = taken.iter().map(|byte| char::from(byte % 94 + 0x21)).collect();
        if name.is_empty() { "x".to_owned() } else { name }
    }
}
