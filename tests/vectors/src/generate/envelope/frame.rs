//! Violations outside the protected header: tags, arrays, lengths, the unprotected map, trailing bytes.

use super::valid::{example_m, example_s, example_sp};
use super::{By, File};
use crate::cose::{self, SIGN1, header_s};
use crate::example::{BODY, hex};
use crate::tree::{NULL, Node, bytes, int, text};

/// The items of the example of suite S: header, map, payload, signature.
fn with_item(position: usize, item: Node) -> Vec<u8> {
    let mut tree = Node::of_envelope(&example_s());
    *tree.items().get_mut(position).expect("four items") = item;
    tree.encode()
}

fn raw(digits: &str) -> Node {
    Node::Raw(hex(digits))
}

/// The example of suite S with its beginning exchanged.
fn with_start(len: usize, start: &str) -> Vec<u8> {
    [hex(start), example_s().split_off(len)].concat()
}

fn followed_by(end: &[u8]) -> Vec<u8> {
    [&example_s(), end].concat()
}

/// A byte string with a head of three bytes.
fn widened(content: &[u8]) -> Node {
    let len = u16::try_from(content.len()).expect("a short string").to_be_bytes();
    Node::Raw([[0x59].as_slice(), &len, content].concat())
}

fn signature() -> Vec<u8> {
    example_s().split_off(example_s().len() - 64)
}

/// `SEQUENCE { INTEGER r, INTEGER s }`.
fn signature_in_der() -> Vec<u8> {
    let signature = signature();
    let (r, s) = signature.split_at(32);
    [&hex("30440220"), r, &hex("0220"), s].concat()
}

pub(super) fn files() -> Vec<File> {
    let by_anyone =
        |name, expect, note, bytes: Vec<u8>| File::refused(name, By::Anyone, expect, note, &bytes).producer();
    let malformed = |name, note, bytes| by_anyone(name, "malformed", note, bytes);
    let unsealed = |name, note, bytes| by_anyone(name, "unsealed", note, bytes);
    let header = header_s().encode();
    let shorter = |by: usize| {
        let mut bytes = example_s();
        bytes.truncate(bytes.len() - by);
        bytes
    };
    let signature_of = |len: usize| {
        let mut signature = signature();
        signature.resize(len, 0);
        with_item(3, bytes(&signature))
    };
    let in_five_seven = |start: &str, end: &str| [hex(start), BODY.to_vec(), hex(end)].concat();
    vec![
        unsealed("frame_empty", "no bytes", Vec::new()),
        unsealed("frame_json", "a bare body", BODY.to_vec()),
        unsealed("frame_leading_byte", "a byte before the envelope", with_start(0, "00")),
        unsealed("frame_self_described", "an outer self-described CBOR tag", with_start(0, "d9d9f7")),
        unsealed("frame_tag_cwt", "an outer CWT tag", with_start(0, "d83d")),
        unsealed("frame_tag_sign", "COSE_Sign (98)", with_start(1, "d862")),
        unsealed("frame_tag_widened", "tag 18 in two bytes", with_start(1, "d812")),
        unsealed("frame_untagged", "COSE_Sign1 without its tag", with_start(1, "")),
        malformed("frame_tag_only", "a tag and nothing", hex("d2")),
        malformed(
            "frame_array_indefinite",
            "array of indefinite length",
            [with_start(2, "d29f"), hex("ff")].concat(),
        ),
        malformed("frame_array_of_five", "a fifth item", [with_start(2, "d285"), hex("f6")].concat()),
        malformed("frame_array_of_three", "array head says three", with_start(2, "d283")),
        malformed("frame_array_widened", "array head in two bytes", with_start(2, "d29804")),
        malformed("frame_encrypt0_tag_on_sign1", "tag of COSE_Encrypt0 on a COSE_Sign1", with_start(1, "d0")),
        malformed("frame_mac0_tag_on_sign1", "tag of COSE_Mac0 on a COSE_Sign1", with_start(1, "d1")),
        File::refused(
            "frame_sign1_tag_on_mac0",
            By::Anyone,
            "malformed",
            "tag of COSE_Sign1 on a COSE_Mac0",
            &[hex("d2"), example_m().split_off(1)].concat(),
        )
        .mac(),
        malformed("frame_header_empty", "empty protected header", with_item(0, bytes(b""))),
        malformed(
            "frame_header_length_widened",
            "length of the header in three bytes",
            with_item(0, widened(&header)),
        ),
        malformed(
            "frame_header_not_wrapped",
            "the header map itself instead of a byte string",
            with_item(0, header_s()),
        ),
        malformed(
            "frame_header_tag_24",
            "tag 24 around the header",
            with_item(0, Node::Tag(24, Box::new(bytes(&header)))),
        ),
        malformed(
            "frame_unprotected_countersignature",
            "a countersignature (RFC 9338)",
            with_item(1, Node::Map(vec![int(12), bytes(&[0; 64])])),
        ),
        malformed(
            "frame_unprotected_indefinite",
            "empty map of indefinite length",
            with_item(1, raw("bfff")),
        ),
        malformed(
            "frame_unprotected_kid",
            "kid in the unprotected map as well",
            with_item(1, Node::Map(vec![int(cose::KID), header_s().at(cose::KID).clone()])),
        ),
        malformed("frame_unprotected_widened", "empty map in two bytes", with_item(1, raw("b800"))),
        malformed(
            "frame_payload_indefinite",
            "payload of indefinite length",
            with_item(2, Node::Raw(in_five_seven("5f5834", "ff"))),
        ),
        malformed(
            "frame_payload_length_beyond",
            "declared length beyond the end",
            with_item(2, Node::Raw(in_five_seven("59ffff", ""))),
        ),
        malformed(
            "frame_payload_length_huge",
            "declared length of 2^64 - 1",
            with_item(2, raw("5bffffffffffffffff")),
        ),
        malformed(
            "frame_payload_length_widened",
            "length of the payload in three bytes",
            with_item(2, widened(BODY)),
        ),
        malformed("frame_payload_nil", "detached payload", with_item(2, NULL)),
        malformed(
            "frame_payload_text",
            "payload as a text string",
            with_item(2, text(std::str::from_utf8(BODY).expect("JSON"))),
        ),
        malformed("frame_signature_der", "signature in DER", with_item(3, bytes(&signature_in_der()))),
        malformed(
            "frame_signature_length_widened",
            "length of the signature in three bytes",
            with_item(3, widened(&signature())),
        ),
        malformed("frame_signature_long", "signature of 65 bytes", signature_of(65)),
        malformed("frame_signature_short", "signature of 63 bytes", signature_of(63)),
        malformed("frame_trailing_byte", "a byte after the envelope", followed_by(&hex("00"))),
        malformed("frame_trailing_null", "a null after the envelope", followed_by(&hex("f6"))),
        malformed("frame_truncated", "the last byte is missing", shorter(1)),
        malformed("frame_two_envelopes", "one envelope after another", followed_by(&example_s())),
        File::refused(
            "strip_se_alone",
            By::Anyone,
            "unsealed",
            "the inner object of SP by itself",
            &inner_of(&example_sp()),
        )
        .producer()
        .worker(),
        File::refused(
            "strip_se_inner_alone",
            By::Anyone,
            "malformed",
            "the inner object of SE by itself",
            &inner_of(&super::valid::example_se()),
        )
        .producer()
        .shared(),
    ]
}

/// The payload of a COSE_Sign1.
fn inner_of(envelope: &[u8]) -> Vec<u8> {
    let tree = Node::of_envelope(envelope);
    assert!(matches!(tree, Node::Tag(SIGN1, _)), "a COSE_Sign1");
    tree.get(&[0, 2]).and_then(Node::string_content).expect("a payload")
}
