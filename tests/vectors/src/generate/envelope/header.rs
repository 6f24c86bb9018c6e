//! Violations in the outermost protected header, correctly signed by the producer.

use super::{By, File};
use crate::cose::{ALG, CLAIMS, CONTENT_TYPE, KID, PRIVATE, TYP, header_s, sign1};
use crate::example::{BODY, hex};
use crate::tree::{NULL, Node, bytes, int, text, wrapped};

fn signed(name: &'static str, note: &'static str, header: &[u8]) -> File {
    File::refused(name, By::KeyHolder, "malformed", note, &sign1(header, BODY)).producer()
}

fn edited(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Node)) -> File {
    let mut header = header_s();
    edit(&mut header);
    signed(name, note, &header.encode())
}

/// A header with another head of the map, and what follows it.
fn with_map_head(name: &'static str, note: &'static str, head: &str, end: &[u8]) -> File {
    let fields = header_s().encode().split_off(1);
    signed(name, note, &[&hex(head), fields.as_slice(), end].concat())
}

fn content_type(name: &'static str, note: &'static str, value: Node) -> File {
    edited(name, note, |header| header.set(CONTENT_TYPE, value))
}

fn algorithm(name: &'static str, note: &'static str, value: Node) -> File {
    edited(name, note, |header| header.set(ALG, value))
}

fn typ(name: &'static str, note: &'static str, value: Node) -> File {
    edited(name, note, |header| header.set(TYP, value))
}

fn kid(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Vec<u8>)) -> File {
    let mut kid = header_s().at(KID).string_content().expect("a kid");
    edit(&mut kid);
    edited(name, note, |header| header.set(KID, bytes(&kid)))
}

pub(super) fn files() -> Vec<File> {
    let mut too_long = header_s().encode();
    too_long.resize(769, 0);
    let salt_commit = || bytes(&[0; 48]);
    vec![
        algorithm("header_alg_a256gcm_in_sign1", "alg 3 in a COSE_Sign1", int(3)),
        edited("header_alg_duplicate", "alg twice", |header| header.put_before(ALG, int(ALG), int(-7))),
        algorithm("header_alg_eddsa", "alg -8", int(-8)),
        algorithm("header_alg_esp256", "alg -9 (RFC 9864)", int(-9)),
        algorithm("header_alg_hmac_in_sign1", "alg 5 in a COSE_Sign1", int(5)),
        edited("header_alg_missing", "no alg", |header| drop(header.remove(ALG))),
        algorithm("header_alg_null", "alg null", NULL),
        algorithm("header_alg_text", "alg as a text", text("ES256")),
        algorithm("header_alg_value_widened", "alg value in two bytes", Node::Raw(hex("3806"))),
        edited("header_claims_missing", "no claims", |header| drop(header.remove(CLAIMS))),
        edited("header_claims_wrapped", "claims in a byte string", |header| {
            let claims = header.at(CLAIMS).clone();
            header.set(CLAIMS, wrapped(claims));
        }),
        content_type("header_content_type_coap_json", "CoAP content format 50", int(50)),
        content_type(
            "header_content_type_encrypt0_on_body",
            "says COSE_Encrypt0, carries a bare body",
            int(16),
        ),
        content_type(
            "header_content_type_encrypt_on_body",
            "says COSE_Encrypt, carries a bare body",
            int(96),
        ),
        content_type(
            "header_content_type_long",
            "content type of 65 characters",
            text(&format!("a/{}", "b".repeat(63))),
        ),
        edited("header_content_type_missing", "no content type", |header| drop(header.remove(CONTENT_TYPE))),
        content_type("header_content_type_no_slash", "content type without a slash", text("json")),
        content_type(
            "header_content_type_space",
            "content type with a parameter after a space",
            text("text/plain; a=b"),
        ),
        content_type("header_content_type_two_slashes", "content type with two slashes", text("a/b/c")),
        edited("header_crit", "crit naming typ", |header| {
            header.put_before(CONTENT_TYPE, int(2), Node::Array(vec![int(TYP)]));
        }),
        kid("header_kid_long", "kid of 9 bytes", |kid| kid.push(0)),
        edited("header_kid_missing", "no kid", |header| drop(header.remove(KID))),
        kid("header_kid_short", "kid of 7 bytes", |kid| kid.truncate(7)),
        edited("header_kid_text", "kid as a text", |header| header.set(KID, text("12345678"))),
        edited("header_label_widened", "label 1 in two bytes", |header| {
            let [_, value] = header.remove(ALG);
            header.put_before(CONTENT_TYPE, Node::Raw(hex("1801")), value);
        }),
        with_map_head("header_map_indefinite", "map of indefinite length", "bf", &[0xff]),
        with_map_head("header_map_of_four", "map head says four", "a4", b""),
        with_map_head("header_map_of_six", "map head says six", "a6", b""),
        with_map_head("header_map_widened", "map head in two bytes", "b805", b""),
        edited("header_misordered", "content type before alg", |header| {
            let [label, value] = header.remove(ALG);
            header.put_before(KID, label, value);
        }),
        edited("header_private_before_claims", "the private label before the claims", |header| {
            header.put_before(CLAIMS, int(PRIVATE), salt_commit());
        }),
        edited("header_salt_commit_in_signed", "salt and commitment where nothing is encrypted", |header| {
            header.append(int(PRIVATE), salt_commit());
        }),
        signed("header_too_long", "a header of 769 bytes", &too_long),
        with_map_head("header_trailing_byte", "a byte after the header map", "a5", &[0]),
        typ("header_typ_capital", "typ in another case", text("application/vnd.Taskseal.v1+cose")),
        edited("header_typ_missing", "no typ", |header| drop(header.remove(TYP))),
        typ("header_typ_number", "typ as a number", int(18)),
        typ("header_typ_unknown_version", "typ of a version 2", text("application/vnd.taskseal.v2+cose")),
        edited("header_unknown_label", "label 6", |header| header.put_before(CLAIMS, int(6), bytes(b"x"))),
        edited("header_unknown_label_text", "a text label", |header| header.append(text("x"), int(1))),
    ]
}
