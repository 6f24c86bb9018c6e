//! Well-formed keysets that are refused: roots, names, signatures, rollback, forks, time, memory.

use super::sealed::{ISSUED_AT, Keyset, entry, es256, next_root, with, worker};
use super::valid::second;
use super::{By, File, hex_of, refused, unpinned};
use crate::example;
use crate::tree::{int, text};

fn authenticity() -> Vec<File> {
    let first = Keyset::first();
    let other = next_root();
    let flipped = {
        let mut signature = first.signature();
        signature.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
        signature
    };
    let by_another = {
        let mut keyset = Keyset::first();
        keyset.key = "taskseal example keyset root 2";
        keyset
    };
    let by_producer = Keyset::first().by("taskseal example producer signing key");
    let longer = Keyset::first().edited(|payload| payload.set(4, int(1_766_343_001)));
    let rejected = |name, note, bytes: &[u8]| refused(name, By::Anyone, "rejected", note, bytes);
    let unknown = |name, by, note, bytes: &[u8]| refused(name, by, "unknown-root", note, bytes);
    vec![
        unknown(
            "root_unknown",
            By::Anyone,
            "signed by a root that is not pinned",
            &Keyset::first().by("taskseal example keyset root 2").signed(),
        ),
        unknown(
            "root_of_a_producer",
            By::OtherKeyHolder,
            "signed by a producer whose key is in it",
            &by_producer.signed(),
        ),
        unpinned(File::refused(
            "root_unpinned",
            By::KeyHolder,
            "unknown-root",
            "the root before, where only the next one is pinned",
            &first.signed(),
        ))
        .line("root", hex_of(&other.verifying_key().to_point())),
        rejected("signature_bit_flipped", "last bit of the signature", &first.with_signature(&flipped)),
        rejected(
            "signature_high_s",
            "the other signature of the same keyset: n - s",
            &first.with_signature(&example::other_s(first.signature())),
        ),
        rejected("signature_zero", "r and s zero", &first.with_signature(&[0; 64])),
        rejected(
            "signature_by_other_key",
            "signed by another key under the kid of the root",
            &by_another.signed(),
        ),
        rejected("signature_end_changed", "a second longer", &longer.with_signature(&first.signature())),
        refused(
            "signature_of_the_other_root",
            By::OtherKeyHolder,
            "rejected",
            "two roots pinned, signed by one under the kid of the other",
            &by_another.signed(),
        )
        .line("root", hex_of(&other.verifying_key().to_point())),
        refused(
            "name_of_another",
            By::Broker,
            "wrong-name",
            "the keyset of another deployment under the same root",
            &Keyset::first().edited(|payload| payload.set(1, text("staging"))).signed(),
        ),
        refused(
            "name_beginning",
            By::Broker,
            "wrong-name",
            "a name that begins with the pinned one",
            &Keyset::first().edited(|payload| payload.set(1, text("prod2"))).signed(),
        ),
        refused(
            "root_in_keyset",
            By::KeyHolder,
            "root-in-keyset",
            "the root among the keys",
            &Keyset::of(vec![entry(es256("taskseal example keyset root"), 1)]).signed(),
        ),
        refused(
            "root_in_keyset_second",
            By::KeyHolder,
            "root-in-keyset",
            "the other pinned root among the keys, disabled",
            &Keyset::of(vec![entry(es256("taskseal example keyset root 2"), 3)]).signed(),
        )
        .line("root", hex_of(&other.verifying_key().to_point())),
    ]
}

fn history() -> Vec<File> {
    let (first, second) = (Keyset::first(), second());
    let third = Keyset::first().numbered(3, second.digest());
    let other_first = Keyset::of(vec![worker()]);
    let other_second = Keyset::first().numbered(2, other_first.digest());
    let after = |name, by, expect, note, keyset: &Keyset, checkpoint: &Keyset| {
        let file = refused(name, by, expect, note, &keyset.signed()).now("1763837400");
        file.policy("checkpoint", hex_of(&checkpoint.checkpoint()))
    };
    vec![
        after(
            "history_rolled_back",
            By::Broker,
            "rolled-back",
            "the first keyset after the second",
            &first,
            &second,
        ),
        after(
            "history_rolled_back_far",
            By::Broker,
            "rolled-back",
            "the first keyset after the third",
            &first,
            &third,
        ),
        after("history_forked_same", By::KeyHolder, "forked", "another first keyset", &other_first, &first),
        after(
            "history_forked_next",
            By::KeyHolder,
            "forked",
            "a second keyset after another first one",
            &other_second,
            &first,
        ),
        after(
            "history_rolled_back_and_expired",
            By::Broker,
            "rolled-back",
            "older and past its end: the history is looked at first",
            &first,
            &second,
        )
        .now("1766429400"),
        after(
            "history_forked_by_the_other_root",
            By::OtherKeyHolder,
            "forked",
            "another first keyset, signed by the other pinned root",
            &other_first.by("taskseal example keyset root 2"),
            &first,
        )
        .line("root", hex_of(&next_root().verifying_key().to_point())),
    ]
}

fn times() -> Vec<File> {
    let first = Keyset::first();
    let at = |name, by, expect, note, now: &str| refused(name, by, expect, note, &first.signed()).now(now);
    vec![
        at(
            "time_issued_in_future",
            By::KeyHolder,
            "issued-in-future",
            "301 seconds before it is issued",
            "1763750699",
        ),
        at(
            "time_expired",
            By::Broker,
            "expired",
            "the second of its end: newer ones are withheld",
            "1766343000",
        ),
        at(
            "window_wide_expired",
            By::Broker,
            "expired",
            "the latest time of a wide clock",
            "1763751000 1766343000",
        ),
        at(
            "window_wide_future",
            By::KeyHolder,
            "issued-in-future",
            "the earliest time of a wide clock",
            "1763750699 1763751000",
        ),
        at(
            "window_inverted_expired",
            By::Broker,
            "expired",
            "earliest and latest exchanged: still a window",
            "1766343000 1763751000",
        ),
        refused(
            "time_both",
            By::KeyHolder,
            "issued-in-future",
            "a window in which it is issued too late and past its end",
            &first.clone().edited(|payload| payload.set(ISSUED_AT, int(1_763_752_000))).signed(),
        )
        .now("1763751000 1766343000"),
    ]
}

fn sizes() -> Vec<File> {
    let first = Keyset::first();
    let mut too_large = first.signed();
    too_large.resize(65_537, 0);
    let mut largest = first.signed();
    largest.resize(65_536, 0);
    let three = Keyset::of(vec![
        worker(),
        with(entry(es256("taskseal example producer signing key"), 3), 5, int(1_763_751_600)),
    ]);
    vec![
        refused("size_65537", By::Anyone, "too-large", "one byte more than there may be", &too_large),
        refused("size_65536", By::Anyone, "malformed", "as long as may be, zeros after the keyset", &largest),
        refused(
            "capacity_too_small",
            By::KeyHolder,
            "too-many-keys",
            "two entries and memory for one",
            &three.signed(),
        )
        .policy("capacity", "1"),
    ]
}

pub(super) fn files() -> Vec<File> {
    [authenticity(), history(), times(), sizes()].concat()
}
