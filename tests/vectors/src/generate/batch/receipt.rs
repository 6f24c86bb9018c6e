//! Violations of form B, and in the header and frame of a receipt.

use taskseal_core::Suite;

use super::sealed::{Batch, VDP, VDS, item, proof_of, receipt_of, task, unedited};
use super::{By, File, refused};
use crate::cose::{
    ALG, CLAIMS, IV, KID, PRIVATE, RESULT, SIGN1, TASK, TYP, claims, frame, header, sign, structure,
};
use crate::example::{self, BODY, hex};
use crate::tree::{NULL, Node, bytes, int, map, text, wrapped};

const INDEX: usize = 3;

fn five() -> Batch {
    Batch::new(Suite::S, 5)
}

fn malformed(name: &'static str, by: By, note: &'static str, bytes: &[u8]) -> File {
    refused(name, by, "malformed", note, bytes).producer()
}

/// The receipt with an edited header, correctly signed by the producer.
fn header_edited(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Node)) -> File {
    malformed(name, By::KeyHolder, note, &five().edited(INDEX, edit, unedited))
}

/// The receipt edited after it was signed.
fn edited(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Node)) -> File {
    malformed(name, By::Anyone, note, &five().edited(INDEX, unedited, edit))
}

/// The envelope edited as a whole.
fn frame_edited(
    name: &'static str,
    expect: &'static str,
    note: &'static str,
    edit: impl FnOnce(&mut Node),
) -> File {
    let batch = five();
    let mut envelope = batch.around(INDEX, batch.receipt(INDEX, unedited, unedited));
    edit(&mut envelope);
    refused(name, By::Anyone, expect, note, &envelope.encode()).producer()
}

/// A byte string whose head is wider than it must be.
fn widened(content: &[u8]) -> Node {
    let len = u32::try_from(content.len()).expect("a short string").to_be_bytes();
    Node::Raw([[0x5a].as_slice(), &len, content].concat())
}

fn content(node: &Node) -> Vec<u8> {
    node.string_content().expect("a byte string")
}

fn frames() -> Vec<File> {
    let batch = five();
    let (outer, payload) = batch.tasks.get(INDEX).expect("a task").clone();
    let receipt = || batch.receipt(INDEX, unedited, unedited);
    let tagged = |items| Node::Tag(SIGN1, Box::new(Node::Array(items)));
    let signature = sign(&example::producer(), &structure("Signature1", &[&outer, b"", &payload]));
    let other_alg = |alg, content_type| {
        let (kid, task_type) = (example::producer().verifying_key().kid(), content_type);
        let header = header(alg, task_type, kid.as_bytes()).encode();
        let batch = five().with(INDEX, (header, BODY.to_vec()));
        batch.envelope(INDEX)
    };
    let as_envelope = frame(SIGN1, &batch.header().encode(), bytes(&batch.root()), &{
        let mut receipt = receipt();
        content(item(&mut receipt, 3))
    });
    let anyone = |name, note, bytes: &[u8]| malformed(name, By::Anyone, note, bytes);
    vec![
        anyone(
            "frame_tagged_array_of_four",
            "a COSE_Sign1 with a receipt in the place of its signature",
            &tagged(vec![bytes(&outer), Node::Map(vec![]), bytes(&payload), wrapped(receipt())]).encode(),
        ),
        anyone(
            "frame_tagged_array_of_three",
            "tag 18 before form B",
            &tagged(vec![bytes(&outer), bytes(&payload), wrapped(receipt())]).encode(),
        ),
        anyone(
            "frame_tag_encrypt0",
            "tag 16 before form B",
            &Node::Tag(16, Box::new(batch.around(INDEX, receipt()))).encode(),
        ),
        refused(
            "frame_untagged_array_of_four",
            By::Anyone,
            "unsealed",
            "an untagged COSE_Sign1 with a receipt",
            &Node::Array(vec![bytes(&outer), Node::Map(vec![]), bytes(&payload), wrapped(receipt())])
                .encode(),
        )
        .producer(),
        malformed(
            "frame_signature_for_receipt",
            By::KeyHolder,
            "a signature in the place of the receipt",
            &Node::Array(vec![bytes(&outer), bytes(&payload), bytes(&signature)]).encode(),
        ),
        anyone(
            "frame_receipt_as_envelope",
            "the receipt with its root as a COSE_Sign1",
            &as_envelope.encode(),
        ),
        anyone("frame_receipt_alone", "the receipt by itself", &receipt().encode()),
        malformed(
            "frame_envelope_as_receipt",
            By::KeyHolder,
            "a task of suite S in the place of the receipt",
            &batch.around(INDEX, Node::of_envelope(&crate::generate::envelope::example_s())).encode(),
        ),
        malformed(
            "frame_header_of_mac",
            By::KeyHolder,
            "a header of suite M",
            &other_alg(5, text("application/json")),
        ),
        malformed(
            "frame_header_of_encrypt0",
            By::KeyHolder,
            "a header of suite E, no commitment",
            &other_alg(3, text("application/json")),
        ),
        malformed("frame_header_of_encrypt0_with_commit", By::KeyHolder, "a header of suite E", &{
            let task = task(Suite::S, INDEX, |header| {
                header.set(ALG, int(3));
                header.append(int(PRIVATE), bytes(&[0; 48]));
            });
            five().with(INDEX, task).envelope(INDEX)
        }),
        frame_edited("frame_payload_nil", "malformed", "a detached body in form B", |envelope| {
            *item(envelope, 1) = NULL;
        }),
        frame_edited("frame_receipt_nil", "malformed", "no receipt", |envelope| *item(envelope, 2) = NULL),
        frame_edited(
            "frame_receipt_not_wrapped",
            "malformed",
            "the receipt itself instead of a byte string",
            |envelope| {
                *item(envelope, 2) = Node::Raw(content(item(envelope, 2)));
            },
        ),
        frame_edited("frame_receipt_untagged", "malformed", "the receipt without its tag", |envelope| {
            let untagged = content(item(envelope, 2)).split_off(1);
            *item(envelope, 2) = bytes(&untagged);
        }),
        frame_edited(
            "frame_receipt_tag_widened",
            "malformed",
            "the tag of the receipt in two bytes",
            |envelope| {
                let receipt = content(item(envelope, 2)).split_off(1);
                *item(envelope, 2) = bytes(&[hex("d812"), receipt].concat());
            },
        ),
        frame_edited("frame_receipt_trailing_byte", "malformed", "a byte after the receipt", |envelope| {
            let receipt = content(item(envelope, 2));
            *item(envelope, 2) = bytes(&[receipt, vec![0]].concat());
        }),
        frame_edited(
            "frame_receipt_length_widened",
            "malformed",
            "the length of the receipt in five bytes",
            |envelope| {
                *item(envelope, 2) = widened(&content(item(envelope, 2)));
            },
        ),
        frame_edited("frame_array_widened", "unsealed", "array head in two bytes", |envelope| {
            *envelope = Node::Raw([hex("9803"), envelope.encode().split_off(1)].concat());
        }),
        frame_edited("frame_array_indefinite", "unsealed", "array of indefinite length", |envelope| {
            *envelope = Node::Raw([hex("9f"), envelope.encode().split_off(1), hex("ff")].concat());
        }),
        frame_edited("frame_trailing_byte", "malformed", "a byte after the envelope", |envelope| {
            *envelope = Node::Raw([envelope.encode(), vec![0]].concat());
        }),
        frame_edited("frame_truncated", "malformed", "the last byte is missing", |envelope| {
            let mut bytes = envelope.encode();
            bytes.truncate(bytes.len() - 1);
            *envelope = Node::Raw(bytes);
        }),
    ]
}

fn headers() -> Vec<File> {
    let second = example::signing_key("taskseal example second producer signing key").verifying_key();
    let other_kid = five().edited(INDEX, |header| header.set(KID, bytes(second.kid().as_bytes())), unedited);
    let value =
        |name, note, label: i64, value| header_edited(name, note, move |header| header.set(label, value));
    vec![
        refused(
            "receipt_kid_of_another",
            By::KeyHolder,
            "malformed",
            "the kid of another producer in the receipt",
            &other_kid,
        )
        .producer()
        .es256(&second),
        header_edited("receipt_kid_missing", "no kid in the receipt", |header| drop(header.remove(KID))),
        value("receipt_kid_short", "a kid of 7 bytes in the receipt", KID, bytes(&[1; 7])),
        value(
            "receipt_typ_unknown",
            "typ of a version 2",
            TYP,
            text("application/vnd.taskseal.batch.v2+cose"),
        ),
        value("receipt_typ_of_a_task", "the typ of a task", TYP, text(TASK)),
        value("receipt_typ_of_a_result", "the typ of a result", TYP, text(RESULT)),
        header_edited("receipt_typ_missing", "no typ", |header| drop(header.remove(TYP))),
        value("receipt_alg_eddsa", "alg -8", ALG, int(-8)),
        value("receipt_alg_esp256", "alg -9 (RFC 9864)", ALG, int(-9)),
        value("receipt_vds_2", "another verifiable data structure", VDS, int(2)),
        value("receipt_vds_widened", "the data structure in two bytes", VDS, Node::Raw(hex("1801"))),
        header_edited("receipt_vds_missing", "no data structure", |header| drop(header.remove(VDS))),
        header_edited("receipt_size_missing", "no size in the header", |header| drop(header.remove(PRIVATE))),
        value("receipt_size_text", "the size as a text", PRIVATE, text("5")),
        value("receipt_size_widened", "the size in two bytes", PRIVATE, Node::Raw(hex("1805"))),
        header_edited("receipt_claims", "claims in the header of the receipt (CWT of RFC 9942)", |header| {
            header.put_before(TYP, int(CLAIMS), claims());
        }),
        header_edited("receipt_unknown_label", "label 6", |header| header.put_before(TYP, int(6), int(1))),
        header_edited("receipt_misordered", "the size before the data structure", |header| {
            let [label, size] = header.remove(PRIVATE);
            header.put_before(VDS, label, size);
        }),
        header_edited("receipt_header_widened", "map head in two bytes", |header| {
            *header = Node::Raw([hex("b805"), header.encode().split_off(1)].concat());
        }),
        header_edited("receipt_header_trailing_byte", "a byte after the header", |header| {
            *header = Node::Raw([header.encode(), vec![0]].concat());
        }),
    ]
}

fn parts() -> Vec<File> {
    let batch = five();
    let root = batch.root();
    let raw_item = |position, digits: &'static str| {
        move |receipt: &mut Node| *item(receipt, position) = Node::Raw(hex(digits))
    };
    vec![
        edited("receipt_root_attached", "the root instead of null", |receipt| {
            *item(receipt, 2) = bytes(&root);
        }),
        edited("receipt_root_undefined", "undefined instead of null", raw_item(2, "f7")),
        edited("receipt_root_empty", "an empty string instead of null", raw_item(2, "40")),
        edited("receipt_unprotected_empty", "no proof", raw_item(1, "a0")),
        edited("receipt_unprotected_two", "an IV beside the proof", |receipt| {
            item(receipt, 1).append(int(IV), bytes(&[0; 12]));
        }),
        edited(
            "receipt_proofs_consistency",
            "a proof of consistency beside the one of inclusion",
            |receipt| {
                item(receipt, 1).at(VDP).append(int(-2), Node::Array(vec![bytes(b"")]));
            },
        ),
        edited("receipt_proofs_of_another_kind", "the proof as one of consistency", |receipt| {
            let [_, proofs] = item(receipt, 1).at(VDP).remove(-1);
            *item(receipt, 1).at(VDP) = map([(-2, proofs)]);
        }),
        edited("receipt_proofs_two", "two proofs", |receipt| {
            let proof = bytes(&batch.proof(4).encode());
            item(receipt, 1).at(VDP).at(-1).items().push(proof);
        }),
        edited("receipt_proofs_none", "an array of no proofs", |receipt| {
            item(receipt, 1).at(VDP).at(-1).items().clear();
        }),
        edited("receipt_proofs_not_in_an_array", "the proof without an array", |receipt| {
            let proof = proof_of(receipt).encode();
            *item(receipt, 1).at(VDP).at(-1) = Node::Raw(proof);
        }),
        edited("receipt_vdp_label_widened", "label 396 in five bytes", |receipt| {
            let [_, proofs] = item(receipt, 1).remove(VDP);
            *item(receipt, 1) = Node::Map(vec![Node::Raw(hex("1a0000018c")), proofs]);
        }),
        edited("receipt_header_length_widened", "the length of its header in five bytes", |receipt| {
            *item(receipt, 0) = widened(&content(item(receipt, 0)));
        }),
        edited("receipt_signature_length_widened", "the length of its signature in five bytes", |receipt| {
            *item(receipt, 3) = widened(&content(item(receipt, 3)));
        }),
        edited("receipt_signature_short", "a signature of 63 bytes", |receipt| {
            let mut signature = content(item(receipt, 3));
            signature.truncate(63);
            *item(receipt, 3) = bytes(&signature);
        }),
        malformed(
            "receipt_array_of_five",
            By::Anyone,
            "a fifth item",
            &batch.edited(INDEX, unedited, |receipt| receipt.items().push(NULL)),
        ),
        malformed(
            "receipt_header_empty",
            By::Anyone,
            "an empty header",
            &batch.around(INDEX, receipt_of(b"", batch.proof(INDEX), &[0; 64])).encode(),
        ),
    ]
}

pub(super) fn files() -> Vec<File> {
    [frames(), headers(), parts()].concat()
}
