//! Violations in the claims, correctly signed by the producer.

use super::{By, File};
use crate::cose::{CLAIMS, PRIVATE, header_s, sign1};
use crate::example::{BODY, hex};
use crate::tree::{Node, bytes, int, text};

const ISSUER: i64 = 1;
const TYPE: i64 = 2;
const AUDIENCE: i64 = 3;
const EXPIRES_AT: i64 = 4;
const NOT_BEFORE: i64 = 5;
const ISSUED_AT: i64 = 6;
const TASK_ID: i64 = 7;

/// The example of suite S with other claims.
pub(in crate::generate) fn with_claims(edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    let mut header = header_s();
    edit(header.at(CLAIMS));
    sign1(&header.encode(), BODY)
}

/// The example of suite S, not before a time.
pub(super) fn not_before(time: i64) -> Vec<u8> {
    with_claims(|claims| claims.put_before(ISSUED_AT, int(NOT_BEFORE), int(time)))
}

fn edited(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Node)) -> File {
    File::refused(name, By::KeyHolder, "malformed", note, &with_claims(edit)).producer()
}

fn missing(name: &'static str, note: &'static str, label: i64) -> File {
    edited(name, note, |claims| drop(claims.remove(label)))
}

fn claim(name: &'static str, note: &'static str, label: i64, value: Node) -> File {
    edited(name, note, |claims| claims.set(label, value))
}

fn task_id(name: &'static str, note: &'static str, len: usize) -> File {
    edited(name, note, |claims| {
        let mut id = claims.at(TASK_ID).string_content().expect("an id");
        id.resize(len, 0);
        claims.set(TASK_ID, bytes(&id));
    })
}

pub(super) fn files() -> Vec<File> {
    vec![
        claim(
            "claims_audience_array",
            "audience as an array (allowed in JWT)",
            AUDIENCE,
            Node::Array(vec![text("prod/critical")]),
        ),
        claim("claims_audience_long", "audience of 129 characters", AUDIENCE, text(&"a".repeat(129))),
        missing("claims_audience_missing", "no audience", AUDIENCE),
        claim("claims_expiry_float", "expiry as a float", EXPIRES_AT, Node::Raw(hex("fb 41da483048c00000"))),
        missing("claims_expiry_missing", "no expiry with a synchronised clock", EXPIRES_AT),
        claim("claims_expiry_negative", "expiry of -1", EXPIRES_AT, int(-1)),
        claim(
            "claims_expiry_tagged",
            "expiry with tag 1",
            EXPIRES_AT,
            Node::Tag(1, Box::new(int(1_763_754_600))),
        ),
        claim("claims_expiry_too_large", "expiry of 2^40", EXPIRES_AT, int(1 << 40)),
        claim(
            "claims_expiry_widened",
            "expiry in nine bytes",
            EXPIRES_AT,
            Node::Raw(hex("1b 00000000 6920c268")),
        ),
        missing("claims_issue_time_missing", "no time of issue with a synchronised clock", ISSUED_AT),
        claim("claims_issuer_bytes", "issuer as a byte string", ISSUER, bytes(b"sensor-gw-07")),
        edited("claims_issuer_duplicate", "issuer twice", |claims| {
            claims.put_before(ISSUER, int(ISSUER), text("sensor-gw-07"));
        }),
        claim("claims_issuer_empty", "issuer of no characters", ISSUER, text("")),
        claim("claims_issuer_long", "issuer of 65 characters", ISSUER, text(&"i".repeat(65))),
        missing("claims_issuer_missing", "no issuer", ISSUER),
        claim("claims_issuer_newline", "a line break in the issuer", ISSUER, text("sensor\ngw")),
        claim(
            "claims_issuer_not_ascii",
            "a look-alike letter in the issuer",
            ISSUER,
            text("sens\u{43e}r-gw-07"),
        ),
        claim("claims_issuer_space", "a space in the issuer", ISSUER, text("sensor gw")),
        edited("claims_misordered", "task id before the times", |claims| {
            for time in [EXPIRES_AT, ISSUED_AT] {
                let [label, value] = claims.remove(time);
                claims.put_before(PRIVATE, label, value);
            }
        }),
        task_id("claims_task_id_long", "task id of 17 bytes", 17),
        missing("claims_task_id_missing", "no task id", TASK_ID),
        task_id("claims_task_id_short", "task id of 15 bytes", 15),
        claim("claims_type_long", "task type of 129 characters", TYPE, text(&"t".repeat(129))),
        missing("claims_type_missing", "no task type", TYPE),
        edited("claims_unknown_label", "claim 8 (cnf)", |claims| claims.put_before(PRIVATE, int(8), int(1))),
    ]
}
