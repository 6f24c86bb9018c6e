//! The worked examples, and bodies and claims at their limits.

use super::File;
use crate::cose::{
    self, KID, PRIVATE, TYP, header_m, header_s, header_se, header_sp, inner_se, inner_sp, sign1,
};
use crate::example::{self, BODY, sha256};
use crate::tree::{Node, bytes, int, map, text};

/// The example of suite S.
pub(in crate::generate) fn example_s() -> Vec<u8> {
    s_with(BODY)
}

fn s_with(body: &[u8]) -> Vec<u8> {
    sign1(&header_s().encode(), body)
}

/// The example of suite M.
pub(in crate::generate) fn example_m() -> Vec<u8> {
    cose::mac0(&sha256(b"taskseal example mac key"), &header_m().encode())
}

/// The example of suite E.
pub(in crate::generate) fn example_e() -> Vec<u8> {
    e_with(BODY)
}

fn e_with(body: &[u8]) -> Vec<u8> {
    cose::envelope_e(&cose::shared_key().1, body, |_| ())
}

/// The example of suite SE.
pub(in crate::generate) fn example_se() -> Vec<u8> {
    se_with(BODY)
}

fn se_with(body: &[u8]) -> Vec<u8> {
    let header = header_se().encode();
    sign1(&header, &inner_se(&header, body, |_| ()).encode())
}

/// The example of suite SP.
pub(in crate::generate) fn example_sp() -> Vec<u8> {
    sp_with(BODY)
}

fn sp_with(body: &[u8]) -> Vec<u8> {
    let header = header_sp().encode();
    sign1(&header, &inner_sp(&header, body, |_| ()).encode())
}

/// The result of the example of suite S, its extension edited before it is signed.
pub(in crate::generate) fn result_with(edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    let signer = example::worker_signer();
    let mut header = header_s();
    header.set(KID, bytes(signer.verifying_key().kid().as_bytes()));
    header.set(TYP, text(cose::RESULT));
    let claims = header.at(cose::CLAIMS);
    claims.set(1, text("worker-1"));
    claims.set(4, int(1_763_841_000));
    claims.set(6, int(1_763_751_060));
    claims.set(PRIVATE, map([(11, bytes(&sha256(&example_s())))]));
    edit(claims.at(PRIVATE));
    cose::sign1_by(&signer, &header.encode(), br#"{"sent":true}"#)
}

/// The claims of a beacon clock, each at its limit.
fn claims_at_their_limits(header: &mut Node) {
    const LAST: i64 = (1 << 40) - 1;
    header.set(cose::CONTENT_TYPE, text(&format!("a/{}", "b".repeat(62))));
    let mut extension = map([(1, int(1))]);
    extension.append(int(2), Node::Array(vec![int(0xffff_ffff), Node::Int(0, u64::MAX)]));
    extension.append(int(3), int(0xffff_ffff));
    extension.append(int(4), header.at(cose::CLAIMS).at(PRIVATE).at(4).clone());
    extension.append(int(5), text(&"r".repeat(64)));
    extension.append(int(6), bytes(b"beacon01"));
    extension.append(int(8), int(0xffff));
    extension.append(int(9), int(0xffff_ffff));
    extension.append(int(10), int(0xffff_ffff));
    let task_id = header.at(cose::CLAIMS).at(7).clone();
    header.set(
        cose::CLAIMS,
        map([
            (1, text(&"i".repeat(64))),
            (2, text(&"t".repeat(128))),
            (3, text(AUDIENCE)),
            (4, int(LAST)),
            (5, int(LAST - 1)),
            (6, int(LAST - 2)),
            (7, task_id),
            (PRIVATE, extension),
        ]),
    );
}

/// An audience of 128 characters.
const AUDIENCE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

pub(super) fn files() -> Vec<File> {
    let counting: Vec<u8> = (0..=255).collect();
    let request = super::hex_of(&sha256(&example_s()));
    let worker_signer = example::worker_signer().verifying_key();
    let limits_s = {
        let mut header = header_s();
        claims_at_their_limits(&mut header);
        sign1(&header.encode(), BODY)
    };
    let limits_e = cose::envelope_e(&cose::shared_key().1, BODY, claims_at_their_limits);
    let at_their_limits = |name, note, bytes: &[u8]| {
        let file = File::accepted(name, note, bytes).now("1099511627774").audience(AUDIENCE);
        file.policy("beacon", "yes")
    };
    vec![
        File::accepted("example_s", "suite S", &example_s()).producer().body(),
        File::accepted("example_m", "suite M", &example_m()).mac().body(),
        File::accepted("example_e", "suite E", &example_e()).enc().shared().body(),
        File::accepted("example_se", "suite SE", &example_se()).producer().shared().body(),
        File::accepted("example_sp", "suite SP", &example_sp()).producer().worker().body(),
        File::accepted("example_result", "the result of example_s", &result_with(|_| ()))
            .policy("kind", "result")
            .policy("request", request)
            .es256(&worker_signer)
            .line("record-kind", "result")
            .body_of(br#"{"sent":true}"#),
        File::accepted("body_empty_s", "a body of no bytes", &s_with(b"")).producer().body_of(b""),
        File::accepted("body_empty_e", "a body of no bytes, encrypted", &e_with(b""))
            .enc()
            .shared()
            .body_of(b""),
        File::accepted("body_empty_se", "a body of no bytes, encrypted", &se_with(b""))
            .producer()
            .shared()
            .body_of(b""),
        File::accepted("body_empty_sp", "a body of no bytes, encrypted", &sp_with(b""))
            .producer()
            .worker()
            .body_of(b""),
        File::accepted("body_256_sp", "lengths with heads of three bytes", &sp_with(&counting))
            .producer()
            .worker()
            .body_of(&counting),
        at_their_limits(
            "claims_all_at_their_limits_s",
            "every claim a beacon clock can have, each at its limit",
            &limits_s,
        )
        .producer()
        .body(),
        at_their_limits(
            "claims_all_at_their_limits_e",
            "the longest header there is: suite E with every claim at its limit",
            &limits_e,
        )
        .enc()
        .shared()
        .body(),
    ]
}
