//! Violations in the private claims of taskseal, correctly signed by the producer, and the clocks that they state.

use super::claims::with_claims;
use super::valid::{example_s, result_with};
use super::{By, File, hex_of};
use crate::cose::PRIVATE;
use crate::example::{self, sha256};
use crate::tree::{Node, bytes, int, map, text};

const CLOCK: i64 = 1;
const SEQUENCE: i64 = 2;
const SCHEMA: i64 = 3;
const TRACE: i64 = 4;
const REFERENCE: i64 = 5;
const BEACON: i64 = 6;
const TIME_TO_LIVE: i64 = 7;
const ATTEMPTS: i64 = 8;
const REQUEST: i64 = 11;

/// The example of suite S with another extension of the claims.
pub(super) fn with_extension(extension: Node) -> Vec<u8> {
    with_claims(|claims| claims.set(PRIVATE, extension))
}

/// Without times.
fn clockless(extension: Node) -> Vec<u8> {
    with_claims(|claims| {
        claims.remove(4);
        claims.remove(6);
        claims.set(PRIVATE, extension);
    })
}

fn no_clock() -> Node {
    map([(CLOCK, int(2)), (SEQUENCE, Node::Array(vec![int(3), int(4)])), (TIME_TO_LIVE, int(600))])
}

fn malformed(name: &'static str, note: &'static str, bytes: &[u8]) -> File {
    File::refused(name, By::KeyHolder, "malformed", note, bytes)
}

fn extension<const N: usize>(name: &'static str, note: &'static str, pairs: [(i64, Node); N]) -> File {
    malformed(name, note, &with_extension(map(pairs))).producer()
}

/// The example of a result whose extension is edited.
fn result(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Node)) -> File {
    malformed(name, note, &result_with(edit))
        .policy("kind", "result")
        .policy("request", hex_of(&sha256(&example_s())))
        .es256(&example::worker_signer().verifying_key())
        .line("record-kind", "result")
}

fn trace() -> Vec<u8> {
    example::hex("4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b701")
}

/// Epoch 3, counter 4, with a guard that remembers only the newest sequence.
fn sequences() -> Vec<File> {
    let task = clockless(no_clock());
    let refused = |name, expect, note, newest| {
        let file = File::refused(name, By::Broker, expect, note, &task);
        file.policy("clockless", "yes").policy("newest", newest).producer()
    };
    let accepted = |name, note, newest| {
        let file = File::accepted(name, note, &task);
        file.policy("clockless", "yes").policy("newest", newest).producer().body()
    };
    let behind = "out-of-sequence";
    vec![
        accepted("sequence_next", "one ahead of the newest", "3 3"),
        accepted("sequence_far_ahead", "an epoch ahead of the newest", "2 900"),
        accepted("sequence_63_behind", "63 behind the newest, not seen", "3 67"),
        refused("sequence_64_behind", behind, "64 behind the newest", "3 68"),
        refused("sequence_earlier_epoch", behind, "an epoch behind the newest", "4 0"),
        refused("sequence_seen", "replayed", "the newest itself, its task forgotten", "3 4"),
    ]
}

/// A task with a maximum age of 600 seconds, and a guard that has seen it before.
fn times_to_live() -> Vec<File> {
    let task = clockless(no_clock());
    let seen = |file: File, at: &str| {
        file.policy("clockless", "yes").policy("before", "admitted").policy("first-seen", at).producer()
    };
    let accepted = |name, note, at| seen(File::accepted(name, note, &task), at).body();
    let refused = |name, note, at| seen(File::refused(name, By::Broker, "expired", note, &task), at);
    vec![
        accepted("ttl_last_second", "599 seconds after the first sight", "1763751001"),
        refused("ttl_passed", "600 seconds after the first sight", "1763751000"),
        accepted("ttl_window_earliest", "the earliest reading of the clock is in time", "1763751001")
            .now("1763751600 1763752600"),
        refused("ttl_window_passed", "both readings are too late", "1763751000").now("1763751600 1763752600"),
    ]
}

pub(super) fn files() -> Vec<File> {
    [structure(), sequences(), times_to_live()].concat()
}

fn structure() -> Vec<File> {
    let beacon = with_extension(map([(CLOCK, int(1)), (BEACON, bytes(b"beacon01"))]));
    let mut short_trace = trace();
    short_trace.pop();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let sequence = |numbers: &[i64]| Node::Array(numbers.iter().map(|number| int(*number)).collect());
    vec![
        File::accepted("clock_beacon_accepted", "time counted from a beacon", &beacon)
            .policy("beacon", "yes")
            .producer()
            .body(),
        File::refused(
            "clock_beacon_not_allowed",
            By::KeyHolder,
            "clock-not-allowed",
            "a beacon clock, and the policy wants a synchronised one",
            &beacon,
        )
        .producer(),
        File::accepted(
            "clock_none_accepted",
            "no clock: no times, a sequence and a time to live",
            &clockless(no_clock()),
        )
        .policy("clockless", "yes")
        .producer()
        .body(),
        File::refused(
            "clock_none_not_allowed",
            By::KeyHolder,
            "clock-not-allowed",
            "no clock, and the policy wants one",
            &clockless(no_clock()),
        )
        .producer(),
        extension("ext_attempts_too_large", "attempts of 65536", [(ATTEMPTS, int(65536))]),
        extension(
            "ext_beacon_without_beacon_clock",
            "beacon id with a synchronised clock",
            [(BEACON, bytes(b"beacon01"))],
        ),
        malformed(
            "ext_clock_beacon_without_beacon",
            "beacon clock without a beacon id",
            &with_extension(map([(CLOCK, int(1))])),
        )
        .policy("beacon", "yes")
        .producer(),
        malformed(
            "ext_clock_none_with_times",
            "no clock, and times all the same",
            &with_extension(no_clock()),
        )
        .policy("clockless", "yes")
        .producer(),
        malformed(
            "ext_clock_none_without_sequence",
            "no clock and no sequence",
            &clockless(map([(CLOCK, int(2))])),
        )
        .producer(),
        extension("ext_clock_three", "clock 3", [(CLOCK, int(3))]),
        extension("ext_clock_zero", "the default clock written out", [(CLOCK, int(0))]),
        extension("ext_duplicate", "schema twice", [(SCHEMA, int(1)), (SCHEMA, int(1))]),
        extension("ext_empty", "an extension map of no members", []),
        extension("ext_misordered", "schema after trace", [(TRACE, bytes(&trace())), (SCHEMA, int(1))]),
        extension("ext_negative_label", "extension -1", [(-1, int(1))]),
        extension("ext_reference_empty", "reference of no characters", [(REFERENCE, text(""))]),
        extension("ext_reference_long", "reference of 65 characters", [(REFERENCE, text(&"r".repeat(65)))]),
        extension(
            "ext_request_in_task",
            "a request digest in a task",
            [(REQUEST, bytes(&sha256(&example_s())))],
        ),
        extension("ext_schema_too_large", "schema of 2^32", [(SCHEMA, int(1 << 32))]),
        extension(
            "ext_sequence_epoch_too_large",
            "boot epoch of 2^32",
            [(SEQUENCE, sequence(&[1 << 32, 0]))],
        ),
        extension("ext_sequence_of_three", "sequence of three", [(SEQUENCE, sequence(&[1, 2, 3]))]),
        extension("ext_trace_short", "trace context of 24 bytes", [(TRACE, bytes(&short_trace))]),
        extension("ext_trace_traceparent_text", "trace context as text", [(TRACE, text(traceparent))]),
        extension("ext_ttl_with_clock", "time to live with a clock", [(TIME_TO_LIVE, int(60))]),
        extension("ext_unknown_label", "extension 12", [(12, int(1))]),
        result("result_request_short", "a request digest of 31 bytes", |extension| {
            let mut digest = sha256(&example_s()).to_vec();
            digest.pop();
            extension.set(REQUEST, bytes(&digest));
        }),
        result("result_without_request", "a result that names no request", |extension| {
            *extension = map([(TRACE, bytes(&trace()))]);
        }),
    ]
}
