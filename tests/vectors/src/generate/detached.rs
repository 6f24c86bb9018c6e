//! Area `detached`: suites S and M with a detached body, and envelopes that must not be used in this form.

use super::envelope::{example_e, example_m, example_s, example_se, example_sp};
use super::file::{By, File, hex_of};
use crate::cose::{
    self, CLAIMS, KID, MAC0, PRIVATE, SIGN1, TYP, frame, header_m, header_s, header_se, hmac, inner_se, sign,
    structure,
};
use crate::example::{self, BODY, hex, sha256};
use crate::tree::{NULL, Node, bytes, map, text};

/// An envelope of suite S without the body that it was signed with.
fn s_of(header: &Node, body: &[u8]) -> Node {
    let header = header.encode();
    let signature = sign(&example::producer(), &structure("Signature1", &[&header, b"", body]));
    frame(SIGN1, &header, NULL, &signature)
}

/// An envelope of suite M without the body that it was authenticated with.
fn m_of(body: &[u8]) -> Node {
    let header = header_m().encode();
    let tag = hmac(&sha256(b"taskseal example mac key"), &structure("MAC0", &[&header, b"", body]));
    frame(MAC0, &header, NULL, &tag)
}

fn s() -> Vec<u8> {
    s_of(&header_s(), BODY).encode()
}

/// The detached example of suite S with another item: header, map, payload or signature.
fn with_item(position: usize, item: Node) -> Vec<u8> {
    let mut tree = s_of(&header_s(), BODY);
    *tree.items().get_mut(position).expect("four items") = item;
    tree.encode()
}

/// Null instead of the payload.
fn without_payload(envelope: &[u8], position: usize) -> Vec<u8> {
    let mut tree = Node::of_envelope(envelope);
    *tree.items().get_mut(position).expect("a payload") = NULL;
    tree.encode()
}

fn payload_of(envelope: &[u8]) -> Vec<u8> {
    Node::of_envelope(envelope).get(&[0, 2]).and_then(Node::string_content).expect("a payload")
}

fn beside(file: File, body: &[u8]) -> File {
    file.policy("detached", hex_of(body))
}

fn accepted(name: &'static str, note: &'static str, bytes: &[u8], body: &[u8]) -> File {
    beside(File::accepted(name, note, bytes), body)
}

fn refused(
    name: &'static str,
    by: By,
    expect: &'static str,
    note: &'static str,
    bytes: &[u8],
    body: &[u8],
) -> File {
    beside(File::refused(name, by, expect, note, bytes), body)
}

fn valid() -> Vec<File> {
    let counting: Vec<u8> = (0..=255).collect();
    let request = sha256(&example_s());
    let mut result = header_s();
    result.set(TYP, text(cose::RESULT));
    result.at(CLAIMS).set(PRIVATE, map([(11, bytes(&request))]));
    vec![
        accepted("example_s", "suite S", &s(), BODY).producer().body(),
        accepted("example_m", "suite M", &m_of(BODY).encode(), BODY).mac().body(),
        accepted("body_empty_s", "a body of no bytes", &s_of(&header_s(), b"").encode(), b"")
            .producer()
            .body_of(b""),
        accepted("body_empty_m", "a body of no bytes", &m_of(b"").encode(), b"").mac().body_of(b""),
        accepted("body_256_s", "a body of 256 bytes", &s_of(&header_s(), &counting).encode(), &counting)
            .producer()
            .body_of(&counting),
        accepted("result", "a result", &s_of(&result, BODY).encode(), BODY)
            .policy("kind", "result")
            .policy("request", hex_of(&request))
            .producer()
            .line("record-kind", "result")
            .body(),
        accepted("body_at_the_policy", "as long as the policy allows", &s(), BODY)
            .policy("max-body", "52")
            .producer()
            .body(),
    ]
}

fn forms() -> Vec<File> {
    let malformed =
        |name, note, bytes: &[u8], body: &[u8]| refused(name, By::Anyone, "malformed", note, bytes, body);
    let ordinary = |name, note, bytes: &[u8]| File::refused(name, By::Anyone, "malformed", note, bytes);
    let payload = |name, note, digits: &str| {
        malformed(name, note, &with_item(2, Node::Raw(hex(digits))), BODY).producer()
    };
    let batch = super::batch::example_b();
    let outer_se = header_se().encode();
    let inner = inner_se(&outer_se, BODY, |_| ()).encode();
    vec![
        malformed("attached_s", "the attached form beside its own body", &example_s(), BODY).producer(),
        malformed("attached_m", "the attached form beside its own body", &example_m(), BODY).mac(),
        malformed("attached_beside_nothing", "the attached form beside no bytes", &example_s(), b"")
            .producer(),
        ordinary("detached_s_alone", "the detached form where the body is looked for inside", &s())
            .producer(),
        ordinary(
            "detached_m_alone",
            "the detached form where the body is looked for inside",
            &m_of(BODY).encode(),
        )
        .mac(),
        payload("payload_undefined", "undefined instead of null", "f7"),
        payload("payload_false", "false instead of null", "f4"),
        payload("payload_empty", "an empty string instead of null", "40"),
        payload("payload_null_widened", "null in two bytes", "f816"),
        payload("payload_zero", "a zero instead of null", "00"),
        malformed("suite_e", "suite E without its ciphertext", &without_payload(&example_e(), 2), BODY)
            .enc()
            .shared(),
        malformed(
            "suite_se",
            "suite SE beside its encrypted object",
            &without_payload(&example_se(), 2),
            &payload_of(&example_se()),
        )
        .producer()
        .shared(),
        malformed(
            "suite_sp",
            "suite SP beside its encrypted object",
            &without_payload(&example_sp(), 2),
            &payload_of(&example_sp()),
        )
        .producer()
        .worker(),
        malformed(
            "suite_se_beside_a_body",
            "suite SE beside a bare body",
            &without_payload(&cose::sign1(&outer_se, &inner), 2),
            BODY,
        )
        .producer()
        .shared(),
        refused("form_b", By::Anyone, "unsealed", "a task of a batch", &batch, BODY)
            .policy("batches", "yes")
            .producer(),
        malformed("trailing_byte", "a byte after the envelope", &[s(), vec![0]].concat(), BODY).producer(),
        malformed("truncated", "the last byte is missing", s().split_last().expect("bytes").1, BODY)
            .producer(),
        refused("body_alone", By::Anyone, "unsealed", "the body twice and no envelope", BODY, BODY)
            .producer(),
        refused("empty", By::Anyone, "unsealed", "no bytes beside a body", b"", BODY).producer(),
    ]
}

fn content() -> Vec<File> {
    let header = header_s().encode();
    let signature: [u8; 64] = *example_s().last_chunk().expect("a signature at the end");
    let second = example::signing_key("taskseal example second producer signing key");
    let with_signature = |signature: &[u8]| frame(SIGN1, &header, NULL, signature).encode();
    let rejected = |name, by, note, bytes: &[u8], body: &[u8]| {
        refused(name, by, "rejected", note, bytes, body).producer()
    };
    let over_null = {
        let items = vec![text("Signature1"), bytes(&header), bytes(b""), NULL];
        sign(&example::producer(), &Node::Array(items).encode())
    };
    let longer = [BODY, b"\n"].concat();
    let mut other_kid = header_m();
    other_kid.set(KID, bytes(example::producer().verifying_key().kid().as_bytes()));
    let public_as_mac = {
        let header = other_kid.encode();
        let point = example::producer().verifying_key().to_point();
        frame(MAC0, &header, NULL, &hmac(&point, &structure("MAC0", &[&header, b"", BODY]))).encode()
    };
    vec![
        rejected("body_other", By::Anyone, "another body", &s(), b"{}"),
        rejected("body_empty_beside", By::Anyone, "no bytes instead of the body", &s(), b""),
        rejected("body_longer", By::Anyone, "a line break after the body", &s(), &longer),
        refused("body_other_m", By::Anyone, "rejected", "another body", &m_of(BODY).encode(), b"{}").mac(),
        refused(
            "body_empty_beside_m",
            By::Anyone,
            "rejected",
            "no bytes instead of the body",
            &m_of(BODY).encode(),
            b"",
        )
        .mac(),
        rejected(
            "signature_high_s",
            By::Anyone,
            "the other signature of the same message: n - s",
            &with_signature(&example::other_s(signature)),
            BODY,
        ),
        rejected(
            "signature_by_other_key",
            By::Anyone,
            "signed by another key under this kid",
            &with_signature(&sign(&second, &structure("Signature1", &[&header, b"", BODY]))),
            BODY,
        ),
        rejected(
            "signature_over_null",
            By::KeyHolder,
            "signed with null for the payload",
            &with_signature(&over_null),
            BODY,
        ),
        rejected(
            "signature_over_nothing",
            By::KeyHolder,
            "signed with an empty payload",
            &s_of(&header_s(), b"").encode(),
            BODY,
        ),
        rejected(
            "body_as_external_data",
            By::KeyHolder,
            "signed with the body as external data",
            &with_signature(&sign(&example::producer(), &structure("Signature1", &[&header, BODY, b""]))),
            BODY,
        ),
        rejected(
            "confusion_public_key_as_mac_key",
            By::Anyone,
            "HMAC with the public point of an ES256 key, under its kid",
            &public_as_mac,
            BODY,
        ),
    ]
}

fn policy() -> Vec<File> {
    let of_s = |name, by, expect, note| refused(name, by, expect, note, &s(), BODY);
    vec![
        of_s("body_over_the_policy", By::KeyHolder, "too-large", "one byte more than the policy allows")
            .policy("max-body", "51")
            .producer(),
        of_s(
            "suite_s_not_allowed",
            By::KeyHolder,
            "suite-not-allowed",
            "the policy allows every other suite",
        )
        .policy("suites", "M E SE SP")
        .producer(),
        of_s("key_unknown", By::Anyone, "unknown-key", "no record at all"),
        of_s("key_disabled", By::KeyHolder, "key-not-valid", "revoked").producer().line("disabled", "yes"),
        of_s("audience_other_queue", By::Broker, "wrong-audience", "taken from another queue")
            .audience("prod/low")
            .producer(),
        of_s("time_expired", By::Broker, "expired", "the first second after expiry and tolerance")
            .now("1763754660")
            .producer(),
        of_s("replay_finished", By::Broker, "replayed", "has run to its end")
            .policy("before", "finished")
            .producer(),
        of_s("replay_conflict", By::Broker, "conflict", "the attached form of the same task was seen")
            .policy("before", "other")
            .producer(),
    ]
}

/// Every file of the area.
pub(super) fn files() -> Vec<File> {
    [valid(), forms(), content(), policy()].concat()
}
