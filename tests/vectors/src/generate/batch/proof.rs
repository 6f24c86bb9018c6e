//! Violations in the proof of a receipt, and roots and signatures that do not match.

use taskseal_core::Suite;

use super::sealed::{Batch, item, number, proof_of, receipt_of, task, unedited};
use super::{By, File, refused};
use crate::cose::{CLAIMS, PRIVATE, sign, structure};
use crate::example::{self, hex};
use crate::tree::{Node, bytes, int, text};

/// Places in a proof.
const SIZE: usize = 0;
const INDEX: usize = 1;
const PATH: usize = 2;

fn five() -> Batch {
    Batch::new(Suite::S, 5)
}

fn malformed(name: &'static str, by: By, note: &'static str, bytes: &[u8]) -> File {
    refused(name, by, "malformed", note, bytes).producer()
}

fn rejected(name: &'static str, by: By, note: &'static str, bytes: &[u8]) -> File {
    refused(name, by, "rejected", note, bytes).producer()
}

/// The envelope of a task with an edited proof.
fn with_proof(index: usize, edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    five().edited(index, unedited, |receipt| edit(proof_of(receipt)))
}

/// The envelope of a task with the given sizes in header and proof; the header is signed with its size.
fn with_sizes(index: usize, signed: Node, proof: Node) -> Vec<u8> {
    five().edited(
        index,
        |header| header.set(PRIVATE, signed),
        |receipt| *item(proof_of(receipt), SIZE) = proof,
    )
}

fn sizes() -> Vec<File> {
    let unsigned = |size: usize| {
        let batch = five();
        let mut header = batch.header();
        header.set(PRIVATE, number(size));
        let mut signature = batch.receipt(0, unedited, unedited);
        let signature = item(&mut signature, 3).string_content().expect("a signature");
        let mut proof = batch.proof(0);
        *item(&mut proof, SIZE) = number(size);
        batch.around(0, receipt_of(&header.encode(), proof, &signature)).encode()
    };
    let index = |name, note, index: Node| {
        malformed(name, By::Anyone, note, &with_proof(3, |proof| *item(proof, INDEX) = index))
    };
    vec![
        malformed(
            "size_in_proof",
            By::Anyone,
            "six in the proof, where the path would fit, five in the header",
            &with_proof(0, |proof| *item(proof, SIZE) = number(6)),
        ),
        malformed(
            "size_in_header",
            By::KeyHolder,
            "six in the header, well signed, five in the proof",
            &with_sizes(0, number(6), number(5)),
        ),
        rejected("size_in_both", By::Anyone, "six in both, where the path would fit", &unsigned(6)),
        malformed("size_zero", By::KeyHolder, "a batch of none", &with_sizes(0, number(0), number(0))),
        malformed(
            "size_1025",
            By::KeyHolder,
            "one more than there may be",
            &with_sizes(0, number(1025), number(1025)),
        ),
        malformed("size_negative", By::KeyHolder, "a size of -5", &with_sizes(0, int(-5), int(-5))),
        malformed(
            "size_huge",
            By::KeyHolder,
            "a size of 2^64 - 1",
            &with_sizes(0, Node::Int(0, u64::MAX), Node::Int(0, u64::MAX)),
        ),
        index("index_of_the_size", "the index is the size", number(5)),
        index("index_huge", "an index of 2^64 - 1", Node::Int(0, u64::MAX)),
        index("index_negative", "an index of -1", int(-1)),
        index("index_text", "the index as a text", text("3")),
        rejected(
            "index_of_a_neighbour",
            By::Anyone,
            "the index of the task beside it, with as long a path",
            &with_proof(3, |proof| *item(proof, INDEX) = number(2)),
        ),
    ]
}

fn paths() -> Vec<File> {
    let path = |name, note, edit: fn(&mut Vec<Node>)| {
        malformed(name, By::Anyone, note, &with_proof(3, |proof| edit(item(proof, PATH).items())))
    };
    let raw = |name, note, position, digits: &str| {
        let other = Node::Raw(hex(digits));
        malformed(name, By::Anyone, note, &with_proof(3, |proof| *item(proof, position) = other))
    };
    vec![
        path("path_short", "one hash too few", |path| path.truncate(2)),
        path("path_long", "one hash too many", |path| path.push(bytes(&[0; 32]))),
        path("path_empty", "no hash at all", Vec::clear),
        malformed(
            "path_of_one",
            By::Anyone,
            "a hash where a batch of one needs none",
            &Batch::new(Suite::S, 1).edited(0, unedited, |receipt| {
                item(proof_of(receipt), PATH).items().push(bytes(&[0; 32]));
            }),
        ),
        path("path_hash_short", "a hash of 31 bytes", |path| {
            path.splice(0..1, [bytes(&[0; 31])]).for_each(drop);
        }),
        path("path_hash_text", "a hash as a text", |path| {
            path.splice(0..1, [text("abcdefghijklmnopqrstuvwxyz012345")]).for_each(drop);
        }),
        path("path_hash_widened", "the length of a hash in three bytes", |path| {
            let hash = path.first().and_then(Node::string_content).expect("a hash");
            path.splice(0..1, [Node::Raw([hex("590020"), hash].concat())]).for_each(drop);
        }),
        raw("proof_size_widened", "the size in two bytes", SIZE, "1805"),
        raw("proof_index_widened", "the index in two bytes", INDEX, "1803"),
        malformed(
            "proof_path_widened",
            By::Anyone,
            "the array head of the path in two bytes",
            &with_proof(3, |proof| {
                let path = item(proof, PATH).encode().split_off(1);
                *item(proof, PATH) = Node::Raw([hex("9803"), path].concat());
            }),
        ),
        malformed(
            "proof_trailing_byte",
            By::Anyone,
            "a byte after the proof",
            &with_proof(3, |proof| {
                *proof = bytes(&[proof.string_content().unwrap_or_default(), vec![0]].concat());
            }),
        ),
        malformed(
            "proof_of_four",
            By::Anyone,
            "a fourth item in the proof",
            &with_proof(3, |proof| proof.items().push(int(0))),
        ),
        rejected(
            "path_order",
            By::Anyone,
            "two siblings exchanged",
            &with_proof(3, |proof| item(proof, PATH).items().swap(0, 1)),
        ),
        rejected(
            "path_bit_flipped",
            By::Anyone,
            "one bit of the first hash",
            &with_proof(3, |proof| {
                let mut hash = item(item(proof, PATH), 0).string_content().expect("a hash");
                hash.iter_mut().take(1).for_each(|byte| *byte ^= 1);
                *item(item(proof, PATH), 0) = bytes(&hash);
            }),
        ),
    ]
}

fn signatures() -> Vec<File> {
    let batch = five();
    let producer = example::producer();
    let second = example::signing_key("taskseal example second producer signing key");
    let header = batch.header().encode();
    let signed = |payload: &[u8]| structure("Signature1", &[&header, b"", payload]);
    let with = |signature: &[u8]| batch.around(3, receipt_of(&header, batch.proof(3), signature)).encode();
    let good = sign(&producer, &signed(&batch.root()));
    let (outer, payload) = batch.tasks.get(3).expect("a task");
    let leaf = *batch.leaves().get(3).expect("a leaf");
    let exchanged =
        |index, other: &Batch, of| other.around(index, batch.receipt(of, unedited, unedited)).encode();
    let other_body = five().with(3, (outer.clone(), b"{}".to_vec()));
    let other_type = task(Suite::S, 3, |header| header.at(CLAIMS).set(2, text("email:destroy")));
    vec![
        rejected(
            "signature_high_s",
            By::Anyone,
            "the other signature of the root: n - s",
            &with(&example::other_s(good)),
        ),
        rejected("signature_bit_flipped", By::Anyone, "last bit of the signature", &{
            let mut bytes = batch.envelope(3);
            bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
            bytes
        }),
        rejected("signature_zero", By::Anyone, "r and s zero", &with(&[0; 64])),
        rejected(
            "signature_by_other_key",
            By::Anyone,
            "the root signed by another key under this kid",
            &with(&sign(&second, &signed(&batch.root()))),
        ),
        rejected(
            "signature_over_the_task",
            By::KeyHolder,
            "a signature over the task instead of the root",
            &with(&sign(&producer, &structure("Signature1", &[outer, b"", payload]))),
        ),
        rejected(
            "signature_over_the_leaf",
            By::KeyHolder,
            "a signature over the leaf instead of the root",
            &with(&sign(&producer, &signed(&leaf))),
        ),
        rejected(
            "signature_over_other_context",
            By::KeyHolder,
            "a signature over the structure of COSE_Sign",
            &with(&sign(&producer, &structure("Signature", &[&header, b"", b"", &batch.root()]))),
        ),
        rejected(
            "receipt_of_a_neighbour",
            By::Anyone,
            "the receipt of the task beside it",
            &exchanged(3, &batch, 2),
        ),
        rejected(
            "receipt_of_another_batch",
            By::Anyone,
            "a task in the receipt of another batch, at the same place",
            &exchanged(3, &five().with(3, other_type), 3),
        ),
        rejected("body_changed", By::Anyone, "another body", &exchanged(3, &other_body, 3)),
        {
            let (header, _) = task(Suite::Se, 3, |_| ());
            let (_, stolen) = task(Suite::Se, 2, |_| ());
            let batch = Batch::new(Suite::Se, 5).with(3, (header, stolen));
            let note = "the ciphertext of one task under the claims of another, both in the batch";
            rejected("strip_se_within_the_batch", By::KeyHolder, note, &batch.envelope(3)).shared()
        },
        {
            let (header, _) = task(Suite::Sp, 3, |_| ());
            let (_, stolen) = task(Suite::Sp, 2, |_| ());
            let batch = Batch::new(Suite::Sp, 5).with(3, (header, stolen));
            let note = "the ciphertext of one task under the claims of another, one ephemeral key";
            rejected("strip_sp_within_the_batch", By::KeyHolder, note, &batch.envelope(3)).worker()
        },
    ]
}

pub(super) fn files() -> Vec<File> {
    [sizes(), paths(), signatures()].concat()
}
