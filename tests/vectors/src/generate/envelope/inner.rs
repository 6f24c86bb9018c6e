//! Violations in the encrypted object of suites SE and SP, correctly signed by the producer.

use super::valid::example_s;
use super::{By, File};
use crate::cose::{
    ALG, CLAIMS, IV, KID, PRIVATE, agreed_content_key, claims, encrypt, header_encp, header_se, header_sp,
    inner_se, inner_sp, iv, sign1,
};
use crate::example::{self, BODY};
use crate::tree::{NULL, Node, bytes, int, map, wrapped};

/// Places in the arrays of the encrypted objects.
const UNPROTECTED: usize = 1;
const CIPHERTEXT: usize = 2;
const RECIPIENTS: usize = 3;

fn item(node: &mut Node, position: usize) -> &mut Node {
    node.items().get_mut(position).expect("an item")
}

fn recipient(node: &mut Node) -> &mut Node {
    item(item(node, RECIPIENTS), 0)
}

fn ephemeral(node: &mut Node) -> &mut Node {
    item(recipient(node), UNPROTECTED).at(-1)
}

fn string(node: &Node) -> Vec<u8> {
    node.string_content().expect("a byte string")
}

/// Suite SE with the header edited before encryption, and the object after.
fn se(edit_header: impl FnOnce(&mut Node), edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    let outer = header_se().encode();
    let mut inner = inner_se(&outer, BODY, edit_header);
    edit(&mut inner);
    sign1(&outer, &inner.encode())
}

/// Suite SP with the header edited before encryption, and the object after.
fn sp(edit_header: impl FnOnce(&mut Node), edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    let outer = header_sp().encode();
    let mut inner = inner_sp(&outer, BODY, edit_header);
    edit(&mut inner);
    sign1(&outer, &inner.encode())
}

fn unedited(_: &mut Node) {}

fn malformed(name: &'static str, note: &'static str, bytes: &[u8]) -> File {
    File::refused(name, By::KeyHolder, "malformed", note, bytes).producer().worker().shared()
}

fn rejected(name: &'static str, note: &'static str, bytes: &[u8]) -> File {
    File::refused(name, By::KeyHolder, "rejected", note, bytes).producer()
}

fn commit_of(header: &mut Node, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut commit = string(header.at(PRIVATE));
    edit(&mut commit);
    header.set(PRIVATE, bytes(&commit));
}

fn coordinate(name: &'static str, note: &'static str, label: i64, value: Node) -> File {
    malformed(name, note, &sp(unedited, |inner| ephemeral(inner).set(label, value)))
}

/// The prime of the field of P-256, plus 5.
const ABOVE_THE_FIELD: &str = "ffffffff00000001000000000000000000000001000000000000000000000004";

fn structure() -> Vec<File> {
    let other = example::signing_key("taskseal example second producer signing key").verifying_key();
    let outer_sp = header_sp().encode();
    let outer_se = header_se().encode();
    vec![
        malformed("inner_alg_a128gcm", "A128GCM", &se(|header| header.set(ALG, int(1)), unedited)),
        malformed(
            "inner_ciphertext_nil",
            "detached ciphertext",
            &se(unedited, |inner| *item(inner, CIPHERTEXT) = NULL),
        ),
        malformed(
            "inner_ciphertext_shorter_than_tag",
            "15 bytes of ciphertext",
            &se(unedited, |inner| {
                let mut ciphertext = string(item(inner, CIPHERTEXT));
                ciphertext.truncate(15);
                *item(inner, CIPHERTEXT) = bytes(&ciphertext);
            }),
        ),
        malformed(
            "inner_claims",
            "claims in the inner header",
            &se(|header| header.put_before(PRIVATE, int(CLAIMS), claims()), unedited),
        ),
        malformed(
            "inner_commit_missing",
            "no commitment",
            &sp(|header| drop(header.remove(PRIVATE)), unedited),
        ),
        malformed(
            "inner_commit_short",
            "commitment of 31 bytes",
            &sp(|header| commit_of(header, |commit| commit.truncate(commit.len() - 1)), unedited),
        ),
        malformed(
            "inner_envelope",
            "an envelope instead of an encrypted object",
            &sign1(&outer_sp, &example_s()),
        ),
        malformed(
            "inner_iv_partial",
            "Partial IV instead of IV",
            &se(unedited, |inner| *item(inner, UNPROTECTED) = map([(6, bytes(&iv()))])),
        ),
        malformed(
            "inner_iv_short",
            "IV of 11 bytes",
            &se(unedited, |inner| {
                let mut iv = iv().to_vec();
                iv.pop();
                *item(inner, UNPROTECTED) = map([(IV, bytes(&iv))]);
            }),
        ),
        malformed(
            "inner_kid_in_encrypt",
            "kid in the header of a COSE_Encrypt",
            &sp(|header| header.put_before(PRIVATE, int(KID), bytes(b"enc\0\0\0\0\x01")), unedited),
        ),
        malformed(
            "inner_kid_missing",
            "COSE_Encrypt0 without kid",
            &se(|header| drop(header.remove(KID)), unedited),
        ),
        malformed(
            "inner_recipient_alg_a256kw",
            "recipient with ECDH-ES + A256KW",
            &sp(unedited, |inner| *item(recipient(inner), 0) = wrapped(map([(ALG, int(-31))]))),
        ),
        malformed(
            "inner_recipient_encrypted_key",
            "recipient with an encrypted key",
            &sp(unedited, |inner| *item(recipient(inner), CIPHERTEXT) = bytes(&[0; 40])),
        ),
        coordinate(
            "inner_recipient_key_compressed",
            "ephemeral key with y as a sign bit",
            -3,
            Node::Simple(21),
        ),
        coordinate("inner_recipient_key_okp", "ephemeral key of type OKP", 1, int(1)),
        coordinate("inner_recipient_key_p384", "ephemeral key on another curve", -1, int(2)),
        malformed(
            "inner_recipient_key_private",
            "ephemeral key with its private part",
            &sp(unedited, |inner| ephemeral(inner).append(int(-4), bytes(&[1; 32]))),
        ),
        malformed(
            "inner_recipients_none",
            "no recipient",
            &sp(unedited, |inner| item(inner, RECIPIENTS).items().clear()),
        ),
        malformed(
            "inner_recipients_two",
            "two recipients",
            &sp(unedited, |inner| {
                let mut second = recipient(inner).clone();
                item(&mut second, UNPROTECTED).set(KID, bytes(other.kid().as_bytes()));
                item(inner, RECIPIENTS).items().push(second);
            }),
        ),
        malformed(
            "inner_salt_commit_short",
            "salt and commitment of 47 bytes",
            &se(|header| commit_of(header, |commit| commit.truncate(commit.len() - 1)), unedited),
        ),
        malformed(
            "inner_se_under_sp_content_type",
            "says COSE_Encrypt, carries a COSE_Encrypt0",
            &sign1(&outer_sp, &inner_se(&outer_sp, BODY, unedited).encode()),
        ),
        malformed(
            "inner_sp_under_se_content_type",
            "says COSE_Encrypt0, carries a COSE_Encrypt",
            &sign1(&outer_se, &inner_sp(&outer_se, BODY, unedited).encode()),
        ),
        malformed(
            "inner_trailing_byte",
            "a byte after the inner object",
            &sp(unedited, |inner| *inner = Node::Raw([inner.encode(), vec![0]].concat())),
        ),
        malformed(
            "inner_untagged",
            "COSE_Encrypt without its tag",
            &sp(unedited, |inner| {
                if let Node::Tag(_, object) = inner {
                    *inner = *object.clone();
                }
            }),
        ),
    ]
}

/// Well-formed objects that are refused.
fn content() -> Vec<File> {
    let worker = example::worker().public_key();
    let other = example::agreement_key("taskseal example second producer signing key").public_key();
    let outer = header_sp().encode();
    let key = agreed_content_key(&other);
    let to_other = encrypt(&outer, &header_encp(&key), &key, &iv(), worker.kid().as_bytes(), BODY);
    let flip_last = |node: &mut Node| {
        let mut content = string(node);
        content.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
        *node = bytes(&content);
    };
    vec![
        rejected(
            "inner_commit_bit_flipped",
            "one bit of the commitment, well signed",
            &sp(
                |header| {
                    commit_of(header, |commit| {
                        commit.iter_mut().take(1).for_each(|byte| *byte ^= 1);
                    });
                },
                unedited,
            ),
        )
        .worker(),
        rejected(
            "inner_encrypted_to_other_key",
            "encrypted to another key, under the kid of the worker",
            &sign1(&outer, &to_other.encode()),
        )
        .worker(),
        rejected(
            "inner_point_off_curve",
            "an ephemeral key that is not on the curve, well signed",
            &sp(unedited, |inner| flip_last(ephemeral(inner).at(-3))),
        )
        .worker(),
        rejected(
            "inner_point_out_of_range",
            "an ephemeral x above the field, well signed",
            &sp(unedited, |inner| ephemeral(inner).set(-2, bytes(&example::hex(ABOVE_THE_FIELD)))),
        )
        .worker(),
        rejected(
            "inner_point_zero",
            "an ephemeral key of zeros, well signed",
            &sp(unedited, |inner| {
                ephemeral(inner).set(-2, bytes(&[0; 32]));
                ephemeral(inner).set(-3, bytes(&[0; 32]));
            }),
        )
        .worker(),
        rejected(
            "inner_tag_bit_flipped",
            "one bit of the AEAD tag, well signed",
            &se(unedited, |inner| flip_last(item(inner, CIPHERTEXT))),
        )
        .shared(),
    ]
}

pub(super) fn files() -> Vec<File> {
    [structure(), content()].concat()
}
