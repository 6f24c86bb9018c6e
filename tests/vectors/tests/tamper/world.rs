//! Valid envelopes of every form, the keys that they are opened with, and what a changed one is opened with.

use std::collections::BTreeSet;

use taskseal_core::keys::{AgreementKey, EncryptionKey, HmacKey, SigningKey, VerifyingKey};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::seal::{Mode, SigningMode};
use taskseal_core::{
    Claims, ContentType, Keyset, Kind, NameSet, OpenError, Policy, ReplayWindow, Sealer, Signer, Suite,
    SuiteSet, TaskId, TimeWindow, Unverified,
};
use taskseal_vectors::example::{self, BODY, Counted, sha256};
use taskseal_vectors::tree::Node;

/// Another body, of another length.
pub(super) const SHORTER: &[u8] = b"{}";

/// An envelope, and what it is opened with.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    /// The body of the detached form.
    pub(super) beside: Option<Vec<u8>>,
    /// The envelope before the change.
    pub(super) original: Vec<u8>,
}

impl Case {
    pub(super) fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), kind: Kind::Task, original: bytes.clone(), bytes, beside: None }
    }

    pub(super) fn mutant(&self, what: impl std::fmt::Display, bytes: Vec<u8>) -> Self {
        Self { name: format!("{}: {what}", self.name), bytes, ..self.clone() }
    }

    pub(super) fn tree(&self) -> Node {
        Node::of_envelope(&self.bytes)
    }

    /// A decoder that takes it must find another meaning in it: it is the one spelling of another tree, and what
    /// was CBOR within a byte string before is so still, canonical as well.
    pub(super) fn means_something_else(&self) -> bool {
        let (before, Some(after)) = (Node::of_envelope(&self.original), Node::read_whole(&self.bytes)) else {
            return false;
        };
        let is_wrapped = |tree: &Node, path: &[usize]| matches!(tree.get(path), Some(Node::Wrapped(_)));
        let unwrapped = |path: &[usize]| {
            is_wrapped(&before, path) && after.get(path).is_some() && !is_wrapped(&after, path)
        };
        after.encode() == self.bytes && after != before && !before.paths().iter().any(|path| unwrapped(path))
    }
}

/// Every key there is, all of them trusted for everything: what is refused is refused for its bytes.
pub(super) struct World {
    pub(super) producers: [SigningKey; 2],
    verifying: [VerifyingKey; 2],
    mac: HmacKey,
    sealing: EncryptionKey,
    shared: EncryptionKey,
    worker: AgreementKey,
}

impl World {
    pub(super) fn new() -> Self {
        let producers =
            [example::producer(), example::signing_key("taskseal example second producer signing key")];
        let verifying = producers.each_ref().map(SigningKey::verifying_key);
        let shared = taskseal_core::Secret::copy_from(&sha256(b"taskseal example second enc key"));
        Self {
            producers,
            verifying,
            mac: example::mac_key(),
            sealing: example::encryption_key(),
            shared: EncryptionKey::new(taskseal_core::KeyId::from_bytes(*b"enc\0\0\0\0\x02"), shared),
            worker: example::worker(),
        }
    }

    pub(super) fn policy(kind: Kind) -> Policy<'static> {
        let audience = example::claims().audience;
        let mut policy = match kind {
            Kind::Result => Policy::for_result(audience, [1; 32]),
            _ => Policy::for_tasks(audience),
        };
        policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
        policy.accept_batches = true;
        policy
    }

    pub(super) fn keyset(&self, kind: Kind) -> Keyset<'_, 4> {
        let keys = [
            RecordKey::Es256(&self.verifying[0]),
            RecordKey::Es256(&self.verifying[1]),
            RecordKey::Hmac256(&self.mac),
            RecordKey::A256Gcm(&self.sealing),
        ];
        let mut keyset = Keyset::new();
        for key in keys {
            let record = KeyRecord::new(key).kind(kind);
            let record = record.issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY);
            keyset.insert(record).expect("four kids");
        }
        keyset
    }

    /// Parses, verifies, admits and opens; a mutant that does not even parse costs no signature.
    pub(super) fn accepts(&self, case: &Case) -> Result<Vec<u8>, OpenError> {
        let mut now = TimeWindow::exact(example::ISSUED_AT);
        let unverified = parse(case)?;
        let verified = unverified.verify(&self.keyset(case.kind), &Self::policy(case.kind), &mut now)?;
        let mut buffer = vec![0; verified.body_len()];
        let opened = verified.admit(&mut ReplayWindow::<1>::new())?.open(&mut Keys::of(self), &mut buffer)?;
        Ok(opened.body().to_vec())
    }

    /// Valid envelopes of each suite by each producer, alone, in batches and detached, and a result.
    pub(super) fn envelopes(&self) -> Vec<Case> {
        let mut all = Vec::new();
        let mut id = 0;
        for (index, producer) in self.producers.iter().enumerate() {
            let recipient = self.worker.public_key();
            for body in [BODY, SHORTER] {
                id += 1;
                let claims = claims(id);
                let mut put = |suite: Suite, bytes| all.push(Case::new(format!("{suite} {index}"), bytes));
                put(Suite::S, seal(Sealer::sign(producer), &claims, body));
                put(Suite::M, seal(Sealer::authenticate(&self.mac), &claims, body));
                put(Suite::E, seal(Sealer::encrypt(&self.sealing), &claims, body));
                put(Suite::Se, seal(Sealer::sign_encrypt(producer, &self.shared), &claims, body));
                put(Suite::Sp, seal(Sealer::sign_encrypt_to(producer, &recipient), &claims, body));
            }
            all.extend(batch(&format!("S of a batch {index}"), Sealer::sign(producer)));
            all.extend(batch(
                &format!("SE of a batch {index}"),
                Sealer::sign_encrypt(producer, &self.shared),
            ));
            all.extend(batch(
                &format!("SP of a batch {index}"),
                Sealer::sign_encrypt_to(producer, &recipient),
            ));
            let mut buffer = vec![0; 512];
            let claims = claims(90);
            let mut sealer = Sealer::sign(producer);
            let Ok(sealed) = sealer.seal_detached(&claims, ContentType::JSON, BODY, &mut buffer) else {
                panic!("consistent claims");
            };
            let detached = Case::new(format!("S detached {index}"), sealed.to_vec());
            all.push(Case { beside: Some(BODY.to_vec()), ..detached });
        }
        let mut buffer = vec![0; 512];
        let mut sealer = Sealer::authenticate(&self.mac);
        let sealed = sealer.seal_detached(&claims(91), ContentType::JSON, BODY, &mut buffer);
        let detached = Case::new("M detached", sealed.expect("consistent claims").to_vec());
        all.push(Case { beside: Some(BODY.to_vec()), ..detached });
        let sealer = Sealer::sign(&self.producers[0]).kind(Kind::Result);
        let result = Case::new("result", seal(sealer, &claims(99).request([1; 32]), BODY));
        all.push(Case { kind: Kind::Result, ..result });
        all
    }

    /// One envelope of each form by the first producer; of a batch, the two shapes of its path are shared out.
    pub(super) fn one_of_each(&self) -> Vec<Case> {
        let left_out = ["SE of a batch 0 last", "SP of a batch 0 first"];
        let mut seen = BTreeSet::new();
        let mut all = self.envelopes();
        all.retain(|case| {
            let is_of_the_first = !case.name.contains(" 1") && !left_out.contains(&case.name.as_str());
            is_of_the_first && seen.insert(case.name.clone())
        });
        all
    }
}

pub(super) fn parse(case: &Case) -> Result<Unverified<'_>, OpenError> {
    match &case.beside {
        Some(body) => Unverified::parse_detached(&case.bytes, body),
        None => Unverified::parse(&case.bytes),
    }
}

/// What a worker decrypts with.
struct Keys<'w> {
    shared: [&'w EncryptionKey; 2],
    worker: AgreementKey,
}

impl<'w> Keys<'w> {
    fn of(world: &'w World) -> Self {
        Self { shared: [&world.sealing, &world.shared], worker: example::worker() }
    }
}

impl DecryptionKeys for Keys<'_> {
    type Agree<'k>
        = &'k mut AgreementKey
    where
        Self: 'k;

    fn encryption_key(&self, kid: taskseal_core::KeyId) -> Option<&EncryptionKey> {
        self.shared.into_iter().find(|key| key.kid() == kid)
    }

    fn agreement_key(&mut self, kid: taskseal_core::KeyId) -> Option<&mut AgreementKey> {
        Some(&mut self.worker).filter(|key| key.public_key().kid() == kid)
    }
}

fn claims(id: u8) -> Claims<'static> {
    let mut claims = example::claims();
    claims.task_id = TaskId::from_bytes([id; 16]);
    claims
}

fn seal<M: Mode<Error = std::convert::Infallible>>(
    mut sealer: Sealer<M>,
    claims: &Claims<'_>,
    body: &[u8],
) -> Vec<u8> {
    let mut buffer = vec![0; sealer.sealed_len(claims, ContentType::JSON, body.len())];
    let mut rng = Counted(u64::from_be_bytes(sha256(body)[..8].try_into().expect("8 bytes")));
    sealer.seal(claims, ContentType::JSON, body, &mut rng, &mut buffer).expect("consistent claims");
    buffer
}

/// The first and the last of a batch of three: with two hashes, and handed up alone.
fn batch<M: SigningMode>(name: &str, mut sealer: Sealer<M>) -> Vec<Case>
where
    <M::Signer as Signer>::Error: std::fmt::Debug,
{
    let mut rng = Counted(u64::from_be_bytes(sha256(name.as_bytes())[..8].try_into().expect("8 bytes")));
    let mut batch = sealer.batch::<3>();
    let mut buffers = [const { [0; 1024] }; 3];
    let pending: Vec<_> = buffers
        .iter_mut()
        .zip(50..)
        .map(|(buffer, id)| {
            let claims = claims(id);
            batch.add(&claims, ContentType::JSON, BODY, &mut rng, buffer).expect("consistent claims")
        })
        .collect();
    let signed = batch.sign().expect("three tasks");
    let finish =
        |(task, mut buffer): (_, [u8; 1024])| signed.finish(task, &mut buffer).expect("room").to_vec();
    let envelopes: Vec<_> = pending.into_iter().zip(buffers).map(finish).collect();
    let [first, _, last] = envelopes.try_into().expect("three envelopes");
    vec![Case::new(format!("{name} first"), first), Case::new(format!("{name} last"), last)]
}
