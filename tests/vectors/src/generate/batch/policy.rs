//! Genuine batches that are accepted or refused by policy, rights, time, replay guard and available keys.

use taskseal_core::Suite;

use super::sealed::Batch;
use super::valid::as_result;
use super::{By, File, hex_of, refused};
use crate::example::{self, sha256};

pub(super) fn files() -> Vec<File> {
    let [s, se, sp] = [Suite::S, Suite::Se, Suite::Sp].map(|suite| Batch::new(suite, 5).envelope(3));
    let of_s = |name, by, expect, note| refused(name, by, expect, note, &s);
    let not_allowed =
        |name, note, bytes: &[u8]| File::refused(name, By::KeyHolder, "suite-not-allowed", note, bytes);
    let second = example::signing_key("taskseal example second producer signing key").verifying_key();
    let result = Batch::new(Suite::S, 2).with(1, super::sealed::task(Suite::S, 1, as_result)).envelope(1);
    let note = "the suite is accepted, batches are not";
    vec![
        not_allowed("policy_no_batches_s", note, &s).producer(),
        not_allowed("policy_no_batches_se", note, &se).producer().shared(),
        not_allowed("policy_no_batches_sp", note, &sp).producer().worker(),
        not_allowed("policy_no_suite", "batches are accepted, this suite is not", &s)
            .policy("suites", "M E SE SP")
            .policy("batches", "yes")
            .producer(),
        of_s("policy_body_too_long", By::KeyHolder, "too-large", "one byte more than the policy allows")
            .policy("max-body", "51")
            .producer(),
        of_s("key_unknown", By::Anyone, "unknown-key", "no record with this kid").es256(&second),
        of_s("key_disabled", By::KeyHolder, "key-not-valid", "revoked").producer().line("disabled", "yes"),
        of_s("key_no_longer_valid", By::Broker, "key-not-valid", "valid until the start of the tolerance")
            .producer()
            .line("valid-until", "1763751540"),
        of_s("key_of_another_algorithm", By::Anyone, "rejected", "an HMAC key under this kid").line(
            "hmac256",
            format!("{} {}", example::producer().verifying_key().kid(), hex_of(&sha256(b"other"))),
        ),
        of_s("right_issuer", By::KeyHolder, "issuer-not-allowed", "the key may speak for others")
            .producer()
            .line("issuers", "sensor-gw-08"),
        of_s("right_type", By::KeyHolder, "type-not-allowed", "the key may seal other types")
            .producer()
            .line("types", "report:*"),
        of_s("right_audience", By::KeyHolder, "audience-not-allowed", "the key may seal for other queues")
            .producer()
            .line("audiences", "staging/*"),
        of_s("audience_other_queue", By::Broker, "wrong-audience", "taken from another queue")
            .audience("prod/low")
            .producer(),
        of_s("type_not_handled", By::Broker, "type-not-handled", "no handler")
            .policy("types", "report:*")
            .producer(),
        of_s("time_expired", By::Broker, "expired", "the first second after expiry and tolerance")
            .now("1763754660")
            .producer(),
        of_s("time_issued_in_future", By::KeyHolder, "issued-in-future", "one second beyond the tolerance")
            .now("1763750939")
            .producer(),
        of_s("time_lifetime_too_long", By::KeyHolder, "lifetime-too-long", "one second too long")
            .policy("max-lifetime", "3599")
            .producer(),
        of_s("replay_finished", By::Broker, "replayed", "has run to its end")
            .policy("before", "finished")
            .producer(),
        of_s("replay_conflict", By::KeyHolder, "conflict", "the same task was sealed in another batch")
            .policy("before", "other")
            .producer(),
        refused("key_missing_se", By::KeyHolder, "no-decryption-key", "no shared key", &se)
            .producer()
            .worker(),
        refused("key_missing_sp", By::KeyHolder, "no-decryption-key", "no key agreement key", &sp)
            .producer()
            .shared(),
        refused(
            "purpose_shared_key_is_record",
            By::KeyHolder,
            "rejected",
            "the inner key of SE is a record for suite E: one key, one suite",
            &se,
        )
        .producer()
        .enc()
        .shared(),
        refused("kind_result_as_task", By::Broker, "wrong-kind", "a result where a task is due", &result)
            .producer(),
        refused(
            "result_of_other_request",
            By::Broker,
            "wrong-request",
            "the result of another request",
            &result,
        )
        .policy("kind", "result")
        .policy("request", hex_of(&sha256(b"another request")))
        .producer()
        .line("record-kind", "result"),
    ]
}
