//! Keysets assembled by hand; each part can be edited before it is signed.

use taskseal_core::keys::SigningKey;

use crate::cose::{ALG, KID, SIGN1, TYP, frame, sign, structure};
use crate::example::{self, sha256};
use crate::tree::{Node, bytes, int, map, text};

/// The name that is pinned.
pub(super) const NAME: &str = "prod";
/// When the first keyset is issued, and the time of every vector that does not say otherwise.
pub(super) const NOW: u64 = 1_763_751_000;
/// Thirty days later.
pub(super) const NOT_AFTER: i64 = 1_766_343_000;
/// The `typ` of a keyset.
pub(super) const KEYSET: &str = "application/vnd.taskseal.keyset.v1+cose";

/// Members of a keyset.
pub(super) const SEQUENCE: i64 = 2;
pub(super) const ISSUED_AT: i64 = 3;
pub(super) const END: i64 = 4;
pub(super) const PREVIOUS: i64 = 5;
pub(super) const ENTRIES: i64 = 6;

/// The root of the examples.
pub(super) fn root() -> SigningKey {
    example::signing_key("taskseal example keyset root")
}

/// The root that follows it.
pub(super) fn next_root() -> SigningKey {
    example::signing_key("taskseal example keyset root 2")
}

/// Header and payload of a keyset, not signed yet.
#[derive(Clone)]
pub(super) struct Keyset {
    pub(super) header: Node,
    pub(super) payload: Node,
    pub(super) key: &'static str,
}

impl Keyset {
    /// The first keyset of the worked example: a producer's key and a disabled shared key.
    pub(super) fn first() -> Self {
        let payload = map([
            (1, text(NAME)),
            (SEQUENCE, int(1)),
            (ISSUED_AT, int(1_763_751_000)),
            (END, int(NOT_AFTER)),
            (ENTRIES, Node::Array(vec![shared_mac(), producer()])),
        ]);
        Self { header: header(&root()), payload, key: "taskseal example keyset root" }
    }

    /// A keyset with these entries.
    pub(super) fn of(entries: Vec<Node>) -> Self {
        Self::first().edited(|payload| payload.set(ENTRIES, Node::Array(entries)))
    }

    /// A later keyset: the sequence number, and the digest of the one before.
    pub(super) fn numbered(self, sequence: i64, previous: [u8; 32]) -> Self {
        self.edited(|payload| {
            payload.set(SEQUENCE, int(sequence));
            payload.put_before(ENTRIES, int(PREVIOUS), bytes(&previous));
        })
    }

    /// With another payload.
    pub(super) fn edited(mut self, edit: impl FnOnce(&mut Node)) -> Self {
        edit(&mut self.payload);
        self
    }

    /// Signed by another root, under its kid.
    pub(super) fn by(mut self, label: &'static str) -> Self {
        self.header = header(&example::signing_key(label));
        self.key = label;
        self
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        sha256(&self.payload.encode())
    }

    /// Returns the checkpoint of a verifier: sequence number and digest.
    pub(super) fn checkpoint(&self) -> Vec<u8> {
        let mut payload = self.payload.clone();
        let Node::Int(0, sequence) = payload.at(SEQUENCE) else { panic!("a sequence number") };
        [sequence.to_be_bytes().as_slice(), &self.digest()].concat()
    }

    pub(super) fn signature(&self) -> [u8; 64] {
        let message = structure("Signature1", &[&self.header.encode(), b"", &self.payload.encode()]);
        sign(&example::signing_key(self.key), &message)
    }

    /// As a tree of header, map, payload and signature.
    pub(super) fn tree(&self) -> Node {
        frame(SIGN1, &self.header.encode(), bytes(&self.payload.encode()), &self.signature())
    }

    pub(super) fn signed(&self) -> Vec<u8> {
        self.tree().encode()
    }

    /// Returns the keyset with a signature of another key.
    pub(super) fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        frame(SIGN1, &self.header.encode(), bytes(&self.payload.encode()), signature).encode()
    }
}

fn header(root: &SigningKey) -> Node {
    let kid = root.verifying_key().kid();
    map([(ALG, int(-7)), (KID, bytes(kid.as_bytes())), (TYP, text(KEYSET))])
}

/// A point as a COSE_Key of an algorithm.
pub(super) fn ec2(alg: i64, point: &[u8; 65]) -> Node {
    let (x, y) = point.strip_prefix(&[4]).map(|coordinates| coordinates.split_at(32)).unwrap_or_default();
    map([(1, int(2)), (3, int(alg)), (-1, int(1)), (-2, bytes(x)), (-3, bytes(y))])
}

/// The signing key of a label.
pub(super) fn es256(label: &str) -> Node {
    ec2(-7, &example::signing_key(label).verifying_key().to_point())
}

/// A shared key, named only.
pub(super) fn named(kid: &[u8], alg: i64) -> Node {
    map([(1, int(4)), (2, bytes(kid)), (3, int(alg))])
}

/// An entry of a key and a state.
pub(super) fn entry(key: Node, state: i64) -> Node {
    map([(1, key), (2, int(state))])
}

/// The producer's rights.
pub(super) fn role() -> Node {
    map([(2, text("sensor-gw-07")), (3, text("email:*")), (4, text("prod/*"))])
}

/// A role for tasks or results; an empty set is absent.
pub(super) fn map_of_role(results: bool, sets: [&str; 3]) -> Node {
    let kind = results.then(|| (1, int(1)));
    let sets = [2, 3, 4].into_iter().zip(sets).filter(|(_, set)| !set.is_empty());
    let members = kind.into_iter().chain(sets.map(|(label, set)| (label, text(set))));
    Node::Map(members.flat_map(|(label, value)| [int(label), value]).collect())
}

/// An entry with a time or a role.
pub(super) fn with(mut entry: Node, label: i64, value: Node) -> Node {
    entry.append(int(label), value);
    entry
}

/// The producer's key, primary.
pub(super) fn producer() -> Node {
    with(entry(es256("taskseal example producer signing key"), 1), 6, role())
}

/// A disabled key of suite M, for results.
pub(super) fn shared_mac() -> Node {
    with(entry(named(b"mac\0\0\0\0\x01", 5), 3), 6, map([(1, int(1)), (2, text("worker-1"))]))
}

/// The worker's key, primary.
pub(super) fn worker() -> Node {
    entry(ec2(-25, &example::worker().public_key().to_point()), 1)
}
