//! Genuine envelopes that are accepted or refused by policy, rights, time, replay guard and available keys.

use super::claims::not_before;
use super::extension::with_extension;
use super::valid::{example_e, example_m, example_s, example_se, example_sp, result_with};
use super::{By, File, hex_of};
use crate::example::{self, sha256};
use crate::tree::{int, map};

const NOW: i64 = 1_763_751_600;

/// The example of suite S refused.
fn refused(name: &'static str, by: By, expect: &'static str, note: &'static str) -> File {
    File::refused(name, by, expect, note, &example_s())
}

/// The example of suite S accepted.
fn accepted(name: &'static str, note: &'static str) -> File {
    File::accepted(name, note, &example_s())
}

fn second_producer(file: File) -> File {
    file.es256(&example::signing_key("taskseal example second producer signing key").verifying_key())
}

fn queue() -> Vec<File> {
    let audience = |name, note, audience| {
        refused(name, By::Broker, "wrong-audience", note).audience(audience).producer()
    };
    let long_sp = File::refused(
        "body_over_the_policy_sp",
        By::KeyHolder,
        "too-large",
        "one byte more than the policy allows, encrypted",
        &example_sp(),
    );
    vec![
        audience("audience_beginning", "taken from a queue whose name is a beginning of it", "prod/critica"),
        audience("audience_case", "another case", "prod/Critical"),
        audience("audience_other_deployment", "taken from another deployment", "staging/critical"),
        audience("audience_other_queue", "taken from another queue", "prod/low"),
        accepted("body_at_the_policy", "as long as the policy allows")
            .policy("max-body", "52")
            .producer()
            .body(),
        refused("body_over_the_policy", By::KeyHolder, "too-large", "one byte more than the policy allows")
            .policy("max-body", "51")
            .producer(),
        long_sp.policy("max-body", "51").producer().worker(),
        refused("type_not_handled", By::Broker, "type-not-handled", "no handler")
            .policy("types", "report:* email:receive")
            .producer(),
    ]
}

fn suites() -> Vec<File> {
    let refused = |name, suites: &str, bytes: &[u8]| {
        let note = "the policy allows every other suite";
        File::refused(name, By::KeyHolder, "suite-not-allowed", note, bytes).policy("suites", suites)
    };
    vec![
        refused("suite_e_not_allowed", "S M SE SP", &example_e()).enc(),
        refused("suite_m_not_allowed", "S E SE SP", &example_m()).mac(),
        refused("suite_s_not_allowed", "M E SE SP", &example_s()).producer(),
        refused("suite_se_not_allowed", "S M E SP", &example_se()).producer(),
        refused("suite_sp_not_allowed", "S M E SE", &example_sp()).producer(),
    ]
}

fn keys() -> Vec<File> {
    let missing =
        |name, note, bytes: &[u8]| File::refused(name, By::KeyHolder, "no-decryption-key", note, bytes);
    let not_valid = |name, by, note, line, value: &str| {
        refused(name, by, "key-not-valid", note).producer().line(line, value)
    };
    let right = |name, expect, note, line, value: &str| {
        refused(name, By::KeyHolder, expect, note).producer().line(line, value)
    };
    vec![
        not_valid("key_disabled", By::KeyHolder, "revoked", "disabled", "yes"),
        not_valid(
            "key_no_longer_valid",
            By::Broker,
            "valid until the start of the tolerance",
            "valid-until",
            "1763751540",
        ),
        not_valid(
            "key_not_valid_yet",
            By::KeyHolder,
            "valid from one second after the tolerance",
            "valid-from",
            "1763751661",
        ),
        accepted("key_valid_from_tolerance", "valid from the end of the tolerance on")
            .producer()
            .line("valid-from", "1763751660")
            .body(),
        accepted("key_valid_until_tolerance", "valid until one second after the start of the tolerance")
            .producer()
            .line("valid-until", "1763751541")
            .body(),
        missing("key_missing_e", "verified, but the body is not for this reader", &example_e())
            .enc()
            .worker(),
        missing("key_missing_se", "no shared key", &example_se()).producer().worker(),
        missing("key_missing_sp", "no key agreement key", &example_sp()).producer().shared(),
        second_producer(refused("key_unknown", By::Anyone, "unknown-key", "no record with this kid")),
        refused("key_unknown_empty_keyset", By::Anyone, "unknown-key", "no record at all"),
        right(
            "right_audience",
            "audience-not-allowed",
            "the key may seal for other queues",
            "audiences",
            "staging/* prod/low",
        ),
        right(
            "right_issuer",
            "issuer-not-allowed",
            "the key may speak for others",
            "issuers",
            "sensor-gw-08 sensor-gw-0 sensor-gw-07x",
        ),
        right("right_issuer_none", "issuer-not-allowed", "the key may speak for nobody", "issuers", ""),
        right(
            "right_type",
            "type-not-allowed",
            "the key may seal other types",
            "types",
            "email:receive report:*",
        ),
        accepted("right_patterns", "rights by beginning")
            .producer()
            .line("issuers", "sensor-*")
            .line("types", "report:* email:*")
            .line("audiences", "prod/*")
            .body(),
    ]
}

fn kinds() -> Vec<File> {
    let worker = example::worker_signer().verifying_key();
    let result = result_with(|_| ());
    let wrong_kind = |name, by, note, bytes: &[u8]| File::refused(name, by, "wrong-kind", note, bytes);
    vec![
        wrong_kind("kind_result_as_task", By::Broker, "a result where a task is due", &result).es256(&worker),
        wrong_kind("kind_task_as_result", By::Broker, "a task where a result is due", &example_s())
            .policy("kind", "result")
            .policy("request", hex_of(&sha256(&example_s())))
            .producer(),
        wrong_kind("kind_task_by_result_key", By::KeyHolder, "a task by a key for results", &example_s())
            .producer()
            .line("record-kind", "result"),
        File::refused(
            "result_of_other_request",
            By::Broker,
            "wrong-request",
            "the result of another request",
            &result,
        )
        .policy("kind", "result")
        .policy("request", hex_of(&sha256(&example_m())))
        .es256(&worker)
        .line("record-kind", "result"),
    ]
}

fn replays() -> Vec<File> {
    let attempts = |most| with_extension(map([(8, int(most))]));
    vec![
        File::refused(
            "replay_attempts",
            By::Broker,
            "attempts-exhausted",
            "one attempt, and it was had",
            &attempts(1),
        )
        .policy("before", "admitted")
        .producer(),
        File::refused(
            "replay_attempts_none",
            By::KeyHolder,
            "attempts-exhausted",
            "no attempt allowed at all",
            &attempts(0),
        )
        .producer(),
        refused(
            "replay_conflict",
            By::KeyHolder,
            "conflict",
            "another envelope with its issuer and id was seen",
        )
        .policy("before", "other")
        .producer(),
        refused("replay_finished", By::Broker, "replayed", "has run to its end")
            .policy("before", "finished")
            .producer(),
        accepted("replay_redelivered", "seen before, not finished")
            .policy("before", "admitted")
            .producer()
            .body(),
    ]
}

fn times() -> Vec<File> {
    let expired = |name, note, now| refused(name, By::Broker, "expired", note).now(now);
    let future = |name, note, now| refused(name, By::KeyHolder, "issued-in-future", note).now(now).producer();
    let reached = not_before(NOW);
    vec![
        File::accepted("claims_not_before_reached", "not before this very second", &reached)
            .policy("skew", "0")
            .producer()
            .body(),
        expired("time_expired", "the first second after expiry and tolerance", "1763754660").producer(),
        expired("time_expired_no_skew", "the second of expiry, no tolerance", "1763754600")
            .policy("skew", "0")
            .producer(),
        expired("time_skew_is_capped", "a tolerance of an hour counts as 300 seconds", "1763754900")
            .policy("skew", "3600")
            .producer(),
        accepted("time_issued_at_tolerance", "at the end of the tolerance")
            .now("1763750940")
            .producer()
            .body(),
        future("time_issued_in_future", "one second beyond the tolerance", "1763750939"),
        accepted("time_last_second", "the last second of the tolerance").now("1763754659").producer().body(),
        accepted("time_lifetime_at_limit", "as long as allowed")
            .policy("max-lifetime", "3600")
            .producer()
            .body(),
        File::accepted("time_lifetime_from_not_before", "the lifetime counts from not-before", &reached)
            .policy("max-lifetime", "3000")
            .producer()
            .body(),
        refused("time_lifetime_too_long", By::KeyHolder, "lifetime-too-long", "one second too long")
            .policy("max-lifetime", "3599")
            .producer(),
        File::accepted("time_not_before_tolerance", "at the start of the tolerance", &not_before(NOW + 60))
            .producer()
            .body(),
        File::refused(
            "time_not_yet_valid",
            By::Broker,
            "not-yet-valid",
            "one second before the tolerance",
            &not_before(NOW + 61),
        )
        .producer(),
        expired(
            "window_inverted_expired",
            "earliest and latest exchanged: still a window",
            "1763754660 1763751600",
        )
        .producer(),
        future(
            "window_inverted_future",
            "earliest and latest exchanged: still a window",
            "1763751600 1763750939",
        ),
        accepted("window_wide_accepted", "a wide clock: every time in it would do")
            .now("1763750940 1763754659")
            .producer()
            .body(),
        expired(
            "window_wide_expired",
            "a wide clock: its latest time is past expiry",
            "1763751600 1763754660",
        )
        .producer(),
        future(
            "window_wide_future",
            "a wide clock: its earliest time is before issue",
            "1763750939 1763751600",
        ),
    ]
}

pub(super) fn files() -> Vec<File> {
    [queue(), suites(), keys(), kinds(), replays(), times()].concat()
}
