//! Exhaustive tampering: whatever is changed in a valid envelope, nothing of it is accepted.
//!
//! Bits, bytes, lengths and heads of the outer object, of the header inside it and of the encrypted object
//! inside that; and every field exchanged with the same field of another valid envelope.

use std::collections::BTreeSet;
use std::thread;

use taskseal_core::keys::{AgreementKey, EncryptionKey, MacKey, SigningKey, VerifyingKey};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::seal::Mode;
use taskseal_core::{
    Claims, ContentType, Keyset, Kind, NameSet, OpenError, Policy, Refusal, ReplayWindow, Sealer, Signer,
    Suite, SuiteSet, TaskId, TimeWindow, Unverified,
};
use taskseal_vectors::example::{self, BODY, Counted, sha256};
use taskseal_vectors::tree::Node;

/// Another body, of another length.
const SHORTER: &[u8] = b"{}";

/// Every key there is, all of them trusted for everything: what is refused is refused for its bytes.
struct World {
    producers: [SigningKey; 2],
    verifying: [VerifyingKey; 2],
    mac: MacKey,
    sealing: EncryptionKey,
    shared: EncryptionKey,
    worker: AgreementKey,
}

impl World {
    fn new() -> Self {
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

    fn policy(kind: Kind) -> Policy<'static> {
        let audience = example::claims().audience;
        let mut policy = match kind {
            Kind::Result => Policy::for_result(audience, [1; 32]),
            _ => Policy::for_tasks(audience),
        };
        policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
        policy
    }

    fn keyset(&self, kind: Kind) -> Keyset<'_, 4> {
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
    fn accepts(&self, bytes: &[u8], kind: Kind) -> Result<Vec<u8>, OpenError> {
        let mut now = TimeWindow::exact(example::ISSUED_AT);
        let verified = Unverified::parse(bytes)?.verify(&self.keyset(kind), &Self::policy(kind), &mut now)?;
        let mut buffer = vec![0; verified.body_len()];
        let opened = verified.admit(&mut ReplayWindow::<1>::new())?.open(&mut Keys::of(self), &mut buffer)?;
        Ok(opened.body().to_vec())
    }

    /// A valid envelope of each suite by each producer, and a result: name, kind, bytes.
    fn envelopes(&self) -> Vec<(String, Kind, Vec<u8>)> {
        let mut all = Vec::new();
        let mut id = 0;
        for (index, producer) in self.producers.iter().enumerate() {
            let recipient = self.worker.public_key();
            for body in [BODY, SHORTER] {
                id += 1;
                let claims = claims(id);
                let mut put = |suite: Suite, bytes| all.push((format!("{suite} {index}"), Kind::Task, bytes));
                put(Suite::S, seal(Sealer::sign(producer), &claims, body));
                put(Suite::M, seal(Sealer::authenticate(&self.mac), &claims, body));
                put(Suite::E, seal(Sealer::encrypt(&self.sealing), &claims, body));
                put(Suite::Se, seal(Sealer::sign_encrypt(producer, &self.shared), &claims, body));
                put(Suite::Sp, seal(Sealer::sign_encrypt_to(producer, &recipient), &claims, body));
            }
        }
        let sealer = Sealer::sign(&self.producers[0]).kind(Kind::Result);
        all.push(("result".to_owned(), Kind::Result, seal(sealer, &claims(99).request([1; 32]), BODY)));
        all
    }

    /// One envelope of each suite, and the result.
    fn one_of_each(&self) -> Vec<(String, Kind, Vec<u8>)> {
        let all = self.envelopes();
        let result = all.last().cloned();
        all.into_iter().take(5).chain(result).collect()
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

/// What became of mutants.
#[derive(Default)]
struct Tally {
    malformed: usize,
    refused: usize,
    accepted: Vec<String>,
}

/// Opens every mutant on all processors. A mutant that is one of the originals is none.
fn tally(world: &World, mutants: &[(String, Kind, Vec<u8>)]) -> Tally {
    let originals: BTreeSet<Vec<u8>> = world.envelopes().into_iter().map(|envelope| envelope.2).collect();
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let share = mutants.len().div_ceil(threads).max(1);
    let judge = |part: &[(String, Kind, Vec<u8>)]| {
        let mut tally = Tally::default();
        for (name, kind, bytes) in part.iter().filter(|mutant| !originals.contains(&mutant.2)) {
            match world.accepts(bytes, *kind) {
                Err(OpenError::Refused(Refusal::Malformed | Refusal::Unsealed | Refusal::TooLarge)) => {
                    tally.malformed += 1;
                }
                Err(_) => tally.refused += 1,
                Ok(_) => tally.accepted.push(name.clone()),
            }
        }
        tally
    };
    thread::scope(|scope| {
        let parts: Vec<_> = mutants.chunks(share).map(|part| scope.spawn(move || judge(part))).collect();
        parts.into_iter().fold(Tally::default(), |mut sum, part| {
            let part = part.join().expect("no panic while opening");
            sum.malformed += part.malformed;
            sum.refused += part.refused;
            sum.accepted.extend(part.accepted);
            sum
        })
    })
}

fn assert_none_accepted(what: &str, world: &World, mutants: &[(String, Kind, Vec<u8>)]) {
    let tally = tally(world, mutants);
    println!(
        "{what}: {} mutants, {} not well-formed, {} refused later, {} accepted",
        tally.malformed + tally.refused + tally.accepted.len(),
        tally.malformed,
        tally.refused,
        tally.accepted.len()
    );
    assert!(tally.accepted.is_empty(), "{:?}", tally.accepted);
    assert!(tally.malformed + tally.refused > 0);
}

/// Bytes put in where none belong.
const INSERTED: [u8; 6] = [0x00, 0xff, 0x18, 0x40, 0xa0, 0xf6];

/// Every byte deleted, and every byte of [`INSERTED`] inserted at every place.
fn edits(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let deleted = (0..bytes.len()).map(|at| {
        let mut mutant = bytes.to_vec();
        mutant.remove(at);
        (format!("without byte {at}"), mutant)
    });
    let inserted = (0..=bytes.len()).flat_map(move |at| {
        INSERTED.iter().map(move |byte| {
            let mut mutant = bytes.to_vec();
            mutant.insert(at, *byte);
            (format!("{byte:02x} at {at}"), mutant)
        })
    });
    deleted.chain(inserted)
}

#[test]
fn the_originals_are_accepted() {
    let world = World::new();
    for (name, kind, bytes) in world.envelopes() {
        let body = world.accepts(&bytes, kind);
        assert!(matches!(&body, Ok(body) if body == BODY || body == SHORTER), "{name}: {body:?}");
        assert_eq!(Node::of_envelope(&bytes).encode(), bytes, "{name}");
    }
}

#[test]
fn no_flipped_bit_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for (name, kind, bytes) in world.one_of_each() {
        for bit in 0..8 * bytes.len() {
            let mut mutant = bytes.clone();
            mutant[bit / 8] ^= 1 << (bit % 8);
            mutants.push((format!("{name}, bit {bit}"), kind, mutant));
        }
    }
    assert_none_accepted("bits", &world, &mutants);
}

#[test]
fn no_other_length_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for (name, kind, bytes) in world.one_of_each() {
        for len in 0..bytes.len() {
            mutants.push((format!("{name} cut to {len}"), kind, bytes[..len].to_vec()));
            mutants.push((format!("{name} from {len}"), kind, bytes[len + 1..].to_vec()));
        }
        for (edit, mutant) in edits(&bytes) {
            mutants.push((format!("{name} {edit}"), kind, mutant));
        }
        mutants.push((format!("{name} twice"), kind, [bytes.as_slice(), &bytes].concat()));
    }
    assert_none_accepted("lengths", &world, &mutants);
}

#[test]
fn no_edit_inside_a_byte_string_is_accepted_when_the_lengths_around_it_fit() {
    let world = World::new();
    let mut mutants = Vec::new();
    for (name, kind, bytes) in world.one_of_each() {
        let tree = Node::of_envelope(&bytes);
        for path in tree.paths() {
            let Some(content) = tree.get(&path).and_then(Node::string_content) else { continue };
            for (edit, content) in edits(&content) {
                let mutant = tree.with(&path, Node::Bytes(content));
                mutants.push((format!("{name} {path:?} {edit}"), kind, mutant.encode()));
            }
        }
    }
    assert_none_accepted("edits inside", &world, &mutants);
}

#[test]
fn no_wider_head_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for (name, kind, bytes) in world.one_of_each() {
        let tree = Node::of_envelope(&bytes);
        for head in 0..tree.heads() {
            for width in [1, 2, 4, 8] {
                let mutant = tree.encode_with_wide_head(head, width);
                mutants.push((format!("{name}, head {head} in {width} bytes"), kind, mutant));
            }
        }
    }
    assert_none_accepted("wider heads", &world, &mutants);
}

#[test]
fn no_field_of_another_envelope_is_accepted() {
    let world = World::new();
    let all = world.envelopes();
    let mut mutants = Vec::new();
    for (name, kind, bytes) in &all {
        let tree = Node::of_envelope(bytes);
        for (other_name, _, other) in &all {
            let other = Node::of_envelope(other);
            for path in tree.paths() {
                let Some(field) = other.get(&path) else { continue };
                let mutant = tree.with(&path, field.clone()).encode();
                mutants.push((format!("{name} with {path:?} of {other_name}"), *kind, mutant));
            }
        }
    }
    assert_none_accepted("exchanged fields", &world, &mutants);
}

#[test]
fn no_removed_repeated_or_reordered_item_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for (name, kind, bytes) in world.one_of_each() {
        let tree = Node::of_envelope(&bytes);
        for path in tree.paths() {
            for (what, node) in tree.get(&path).into_iter().flat_map(Node::rearranged) {
                mutants.push((format!("{name} {path:?} {what}"), kind, tree.with(&path, node).encode()));
            }
        }
    }
    assert_none_accepted("rearranged items", &world, &mutants);
}

#[test]
fn a_ciphertext_signed_again_under_another_header_does_not_decrypt() {
    let world = World::new();
    let envelopes = world.envelopes();
    let mut tried = 0;
    for suite in ["SE", "SP"] {
        let of = |producer| {
            let name = format!("{suite} {producer}");
            envelopes.iter().filter(move |envelope| envelope.0 == name).map(|envelope| &envelope.2)
        };
        for (stolen, header) in
            of(0).flat_map(|stolen| of(1).chain(of(0)).map(move |header| (stolen, header)))
        {
            if stolen == header {
                continue;
            }
            let payload = Node::of_envelope(stolen).get(&[0, 2]).cloned().expect("a payload");
            let thief = usize::from(of(1).any(|envelope| envelope == header));
            let forged = Node::of_envelope(header).with(&[0, 2], payload);
            let bytes = sign_again(&forged, &world.producers[thief]);

            assert!(Unverified::parse(&bytes).is_ok_and(|envelope| {
                let mut now = TimeWindow::exact(example::ISSUED_AT);
                envelope.verify(&world.keyset(Kind::Task), &World::policy(Kind::Task), &mut now).is_ok()
            }));
            assert_eq!(world.accepts(&bytes, Kind::Task), Err(OpenError::Refused(Refusal::Rejected)));
            tried += 1;
        }
    }
    assert_eq!(tried, 12);
}

/// Puts a good signature of `key` on a COSE_Sign1, as its holder can.
fn sign_again(sign1: &Node, mut key: &SigningKey) -> Vec<u8> {
    let field = |index| sign1.get(&[0, index]).cloned().expect("a field");
    let items = vec![Node::Text("Signature1".to_owned()), field(0), Node::Bytes(Vec::new()), field(2)];
    let Ok(signature) = key.sign_digest(&sha256(&Node::Array(items).encode()));
    sign1.with(&[0, 3], Node::Bytes(example::low_s(signature).to_vec())).encode()
}
