//! Keysets that are accepted: the worked example, every state and kind of key, and the limits.

use super::sealed::{
    END, ISSUED_AT, Keyset, NOW, SEQUENCE, entry, es256, named, next_root, role, root, with, worker,
};
use super::{File, accepted, hex_of};
use crate::tree::{Node, bytes, int, map, text};

const PRODUCER: &str = "9ffa76fec6561675";
const DAY: i64 = 86_400;

/// The second keyset of the worked example, a day after the first.
pub(super) fn second() -> Keyset {
    let now = 1_763_751_000 + DAY;
    let primary = entry(es256("taskseal example producer signing key 2"), 1);
    let retiring = entry(es256("taskseal example producer signing key"), 2);
    let tombstone = entry(map([(2, bytes(b"mac\0\0\0\0\x01"))]), 4);
    let retiring = with(with(retiring, 4, int(now)), 5, int(now + 8 * DAY));
    let entries = vec![
        with(with(primary, 3, int(now)), 6, role()),
        worker(),
        entry(named(b"enc\0\0\0\0\x01", 3), 0),
        tombstone,
        with(retiring, 6, role()),
    ];
    Keyset::of(entries).numbered(2, Keyset::first().digest()).edited(|payload| {
        payload.set(ISSUED_AT, int(now));
        payload.set(END, int(now + 30 * DAY));
    })
}

/// The entries of `count` shared keys.
pub(super) fn shared_keys(count: u64) -> Vec<Node> {
    (0..count).map(|kid| entry(named(&kid.to_be_bytes(), 3), 1)).collect()
}

fn states() -> Vec<File> {
    let one = |name, note, keyset: Keyset, seals, decrypts, records| {
        accepted(name, note, &keyset).yields(&keyset, seals, decrypts, records)
    };
    let signing = |state| with(entry(es256("taskseal example producer signing key"), state), 6, role());
    let retiring = || with(entry(es256("taskseal example producer signing key"), 2), 5, int(1_763_751_600));
    let agreement = |state: i64| {
        let mut entry = worker();
        entry.set(2, int(state));
        Keyset::of(vec![entry])
    };
    // Retiring, so that it is encrypted to no more.
    let ending = |time| {
        let mut entry = worker();
        entry.set(2, int(2));
        Keyset::of(vec![with(entry, 5, int(time))])
    };
    let encryption = |role: Option<Node>| {
        let key = entry(named(b"enc\0\0\0\0\x01", 3), 1);
        Keyset::of(vec![role.into_iter().fold(key, |key, role| with(key, 6, role))])
    };
    let timed = |label, time| {
        let key = entry(es256("taskseal example producer signing key"), 1);
        Keyset::of(vec![with(with(key, label, int(time)), 6, role())])
    };
    let now = 1_763_751_000;
    vec![
        one("state_staged", "seals nothing yet", Keyset::of(vec![signing(0)]), "", "", PRODUCER),
        one("state_primary", "seals", Keyset::of(vec![signing(1)]), PRODUCER, "", PRODUCER),
        one(
            "state_retiring",
            "seals no more",
            Keyset::of(vec![with(retiring(), 6, role())]),
            "",
            "",
            PRODUCER,
        ),
        one("state_disabled", "a record that refuses", Keyset::of(vec![signing(3)]), "", "", PRODUCER),
        one("state_compromised", "a record that refuses", Keyset::of(vec![signing(5)]), "", "", PRODUCER),
        one("agreement_primary", "is encrypted to, and decrypts", agreement(1), WORKER, WORKER, ""),
        one("agreement_staged", "decrypts already", agreement(0), "", WORKER, ""),
        one(
            "agreement_accept_until_not_reached",
            "decrypts until the next second",
            ending(now + 1),
            "",
            WORKER,
            "",
        ),
        one("agreement_accept_until_reached", "decrypts until this very second", ending(now), "", "", ""),
        one("agreement_disabled", "decrypts no more", agreement(3), "", "", ""),
        one("agreement_compromised", "decrypts no more", agreement(5), "", "", ""),
        one("encryption_without_role", "decrypts inside SE", encryption(None), ENCRYPTION, ENCRYPTION, ""),
        one(
            "encryption_with_role",
            "suite E, and its secret is not at hand",
            encryption(Some(role())),
            ENCRYPTION,
            "",
            "",
        ),
        one("use_from_reached", "seals from this very second", timed(3, now), PRODUCER, "", PRODUCER),
        one("use_from_not_reached", "seals from the next second", timed(3, now + 1), "", "", PRODUCER),
        one(
            "sign_until_not_reached",
            "seals until the next second",
            timed(4, now + 1),
            PRODUCER,
            "",
            PRODUCER,
        ),
        one("sign_until_reached", "seals until this very second", timed(4, now), "", "", PRODUCER),
        one("accept_until_reached", "is past its acceptance: seals no more", timed(5, now), "", "", PRODUCER),
        one(
            "role_absent",
            "a key without rights",
            Keyset::of(vec![entry(es256("taskseal example producer signing key"), 1)]),
            PRODUCER,
            "",
            PRODUCER,
        ),
    ]
}

const WORKER: &str = "5587cfa588c35f20";
const ENCRYPTION: &str = "656e630000000001";

fn limits() -> Vec<File> {
    let first = Keyset::first();
    let last_number = Keyset::first().numbered((1 << 53) - 1, [7; 32]);
    let long_name: String = "n".repeat(64);
    let named_long = Keyset::first().edited(|payload| payload.set(1, text(&long_name)));
    let full = Keyset::of(shared_keys(256));
    let kids = (0..256).map(|kid: u64| format!("{kid:016x}")).collect::<Vec<_>>().join(" ");
    let of_first = |file: File| file.yields(&Keyset::first(), PRODUCER, "", PRODUCER);
    let other = next_root().verifying_key();
    let by_next = Keyset::first().by("taskseal example keyset root 2");
    vec![
        of_first(
            accepted("issued_at_tolerance", "300 seconds before it is issued", &first).now("1763750700"),
        ),
        of_first(accepted("last_second", "the last second in which it is good", &first).now("1766342999")),
        of_first(
            accepted("window_wide", "every time of a wide clock would do", &first)
                .now("1763750700 1766342999"),
        ),
        accepted("sequence_last", "the greatest sequence number", &last_number).yields(
            &last_number,
            PRODUCER,
            "",
            PRODUCER,
        ),
        File::accepted("name_of_64", "the longest name", &named_long.signed())
            .without_audience()
            .now(NOW.to_string())
            .policy("name", long_name)
            .line("root", hex_of(&root().verifying_key().to_point()))
            .yields(&named_long, PRODUCER, "", PRODUCER),
        accepted("entries_256", "as many entries as there may be", &full).yields(&full, &kids, &kids, ""),
        of_first(
            accepted("capacity_just_enough", "two entries and memory for two", &first)
                .policy("capacity", "2"),
        ),
        of_first(
            accepted("two_roots_first", "two roots pinned, signed by the first", &first)
                .line("root", hex_of(&other.to_point())),
        ),
        of_first(
            accepted("two_roots_second", "two roots pinned, signed by the second", &by_next)
                .line("root", hex_of(&other.to_point())),
        ),
    ]
}

pub(super) fn files() -> Vec<File> {
    let (first, second) = (Keyset::first(), second());
    let later = second.clone().edited(|payload| payload.set(SEQUENCE, int(9)));
    let of_second = |file: File, keyset: &Keyset| {
        file.now("1763837400").yields(
            keyset,
            &second_seals(),
            "5587cfa588c35f20 656e630000000001",
            &second_records(),
        )
    };
    let checkpoint = hex_of(&first.checkpoint());
    let examples = vec![
        accepted("example_1", "the first keyset", &first).yields(&first, PRODUCER, "", PRODUCER),
        of_second(
            accepted("example_2", "the second keyset, after the first", &second)
                .policy("checkpoint", checkpoint.clone()),
            &second,
        ),
        of_second(accepted("history_none", "the second keyset, without a checkpoint", &second), &second),
        of_second(
            accepted("history_same", "the same keyset once more", &second)
                .policy("checkpoint", hex_of(&second.checkpoint())),
            &second,
        ),
        of_second(
            accepted("history_missed", "the ninth keyset after the first: seven were missed", &later)
                .policy("checkpoint", checkpoint),
            &later,
        ),
    ];
    [examples, states(), limits()].concat()
}

fn next_kid() -> String {
    crate::example::signing_key("taskseal example producer signing key 2").verifying_key().kid().to_string()
}

fn second_seals() -> String {
    sorted([next_kid(), WORKER.to_owned()])
}

fn second_records() -> String {
    sorted([next_kid(), PRODUCER.to_owned()])
}

fn sorted(mut kids: [String; 2]) -> String {
    kids.sort();
    kids.join(" ")
}
