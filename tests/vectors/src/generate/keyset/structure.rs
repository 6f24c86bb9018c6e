//! Malformed keysets: each violates one rule of the structure and is correctly signed by the root.

use super::refused;
use super::sealed::{
    END, ENTRIES, ISSUED_AT, KEYSET, Keyset, PREVIOUS, SEQUENCE, ec2, entry, es256, named, producer, role,
    shared_mac, with, worker,
};
use super::valid::shared_keys;
use super::{By, File};
use crate::cose::{ALG, KID, TASK, TYP};
use crate::example::{self, hex};
use crate::tree::{NULL, Node, bytes, int, map, text};

fn malformed(name: &'static str, note: &'static str, keyset: &Keyset) -> File {
    refused(name, By::KeyHolder, "malformed", note, &keyset.signed())
}

/// The first keyset of the example with another payload.
fn edited(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Node)) -> File {
    malformed(name, note, &Keyset::first().edited(edit))
}

/// A keyset of one entry.
fn only(name: &'static str, note: &'static str, entry: Node) -> File {
    malformed(name, note, &Keyset::of(vec![entry]))
}

/// The producer's entry edited.
fn producer_edited(name: &'static str, note: &'static str, edit: impl FnOnce(&mut Node)) -> File {
    let mut entry = producer();
    edit(&mut entry);
    only(name, note, entry)
}

fn frames() -> Vec<File> {
    let anyone = |name, note, bytes: &[u8]| refused(name, By::Anyone, "malformed", note, bytes);
    let with_item = |position: usize, item: Node| {
        let mut tree = Keyset::first().tree();
        *tree.items().get_mut(position).expect("four items") = item;
        tree.encode()
    };
    let signed = Keyset::first().signed();
    let header = |name, note, edit: fn(&mut Node)| {
        let mut keyset = Keyset::first();
        edit(&mut keyset.header);
        malformed(name, note, &keyset)
    };
    vec![
        anyone("frame_empty", "no bytes", b""),
        anyone("frame_untagged", "COSE_Sign1 without its tag", signed.get(1..).unwrap_or_default()),
        anyone("frame_truncated", "the last byte is missing", signed.split_last().expect("bytes").1),
        anyone("frame_trailing_byte", "a byte after the keyset", &[signed.clone(), vec![0]].concat()),
        anyone(
            "frame_array_widened",
            "array head in two bytes",
            &[hex("d29804"), signed.get(2..).unwrap_or_default().to_vec()].concat(),
        ),
        anyone("frame_payload_nil", "detached payload", &with_item(2, NULL)),
        anyone(
            "frame_unprotected_kid",
            "kid in the unprotected map as well",
            &with_item(1, map([(KID, bytes(&[1; 8]))])),
        ),
        anyone("frame_signature_long", "signature of 65 bytes", &with_item(3, bytes(&[1; 65]))),
        anyone("frame_envelope", "a sealed task", &crate::generate::envelope::example_s()),
        header("header_typ_of_a_task", "the typ of a task", |header| header.set(TYP, text(TASK))),
        header("header_typ_missing", "no typ", |header| drop(header.remove(TYP))),
        header("header_typ_unknown_version", "typ of a version 2", |header| {
            header.set(TYP, text(&KEYSET.replace("v1", "v2")));
        }),
        header("header_alg_esp256", "alg -9 (RFC 9864)", |header| header.set(ALG, int(-9))),
        header("header_kid_short", "kid of 7 bytes", |header| header.set(KID, bytes(&[1; 7]))),
        header("header_unknown_label", "label 6", |header| header.put_before(TYP, int(6), int(1))),
    ]
}

fn members() -> Vec<File> {
    let value = |name, note, label: i64, value| edited(name, note, move |payload| payload.set(label, value));
    vec![
        value("name_empty", "a name of no characters", 1, text("")),
        value("name_long", "a name of 65 characters", 1, text(&"n".repeat(65))),
        value("name_space", "a space in the name", 1, text("pr od")),
        value("sequence_zero", "sequence number 0", SEQUENCE, int(0)),
        malformed("sequence_2_53", "sequence number 2^53", &Keyset::first().numbered(1 << 53, [7; 32])),
        value("sequence_widened", "sequence number in two bytes", SEQUENCE, Node::Raw(hex("1801"))),
        value("issued_at_too_large", "issued at 2^40", ISSUED_AT, int(1 << 40)),
        value("not_after_equal", "ends when it is issued", END, int(1_763_751_000)),
        value("not_after_before", "ends before it is issued", END, int(1_763_750_999)),
        edited("previous_in_the_first", "a digest in the first keyset", |payload| {
            payload.put_before(ENTRIES, int(PREVIOUS), bytes(&[0; 32]));
        }),
        value("previous_missing", "no digest in the second keyset", SEQUENCE, int(2)),
        malformed("previous_short", "a digest of 31 bytes", &{
            Keyset::first().numbered(2, [0; 32]).edited(|payload| payload.set(PREVIOUS, bytes(&[0; 31])))
        }),
        edited("unknown_label", "member 7", |payload| payload.append(int(7), int(1))),
        edited("misordered", "the entries before the end", |payload| {
            let [label, entries] = payload.remove(ENTRIES);
            payload.put_before(END, label, entries);
        }),
        value("entries_none", "no entries", ENTRIES, Node::Array(Vec::new())),
        value("entries_257", "one entry more than there may be", ENTRIES, Node::Array(shared_keys(257))),
        value("entries_misordered", "kids descend", ENTRIES, Node::Array(vec![producer(), shared_mac()])),
        value("entries_duplicate", "one kid twice", ENTRIES, Node::Array(vec![shared_mac(), shared_mac()])),
        malformed("entries_one_point_twice", "one point under both algorithms", &{
            let point = example::worker().public_key().to_point();
            Keyset::of(vec![worker(), with(entry(ec2(-7, &point), 1), 6, role())])
        }),
    ]
}

fn entries() -> Vec<File> {
    let key = |name, note, edit: fn(&mut Node)| producer_edited(name, note, move |entry| edit(entry.at(1)));
    let primary = || entry(es256("taskseal example producer signing key"), 1);
    let times = |name, note, times: &[(i64, i64)]| {
        only(name, note, times.iter().fold(primary(), |entry, (label, time)| with(entry, *label, int(*time))))
    };
    let patterns =
        |name, note, patterns: &str| only(name, note, with(primary(), 6, map([(3, text(patterns))])));
    let tombstone = || entry(map([(2, bytes(b"mac\0\0\0\0\x01"))]), 4);
    let flip_last = |label: i64| {
        move |entry: &mut Node| {
            let mut coordinate = entry.at(1).at(label).string_content().expect("a coordinate");
            coordinate.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
            entry.at(1).set(label, bytes(&coordinate));
        }
    };
    vec![
        producer_edited("key_off_curve", "a point that is not on the curve", flip_last(-3)),
        key("key_zero", "a point of zeros", |key| {
            key.set(-2, bytes(&[0; 32]));
            key.set(-3, bytes(&[0; 32]));
        }),
        key("key_above_the_field", "an x above the field", |key| key.set(-2, bytes(&[0xff; 32]))),
        key("key_compressed", "y as a sign bit", |key| key.set(-3, Node::Simple(21))),
        key("key_private", "a private part", |key| key.append(int(-4), bytes(&[1; 32]))),
        key("key_p384", "another curve", |key| key.set(-1, int(2))),
        key("key_alg_eddsa", "alg -8", |key| key.set(3, int(-8))),
        key("key_with_a_kid", "a kid that is not computed", |key| {
            key.put_before(3, int(2), bytes(&hex("9ffa76fec6561675")));
        }),
        only("key_symmetric_with_secret", "a shared key with its secret", {
            let mut key = named(b"enc\0\0\0\0\x01", 3);
            key.append(int(-1), bytes(&[1; 32]));
            entry(key, 1)
        }),
        only("key_symmetric_kid_short", "a shared key whose kid has 7 bytes", entry(named(&[1; 7], 3), 1)),
        only("key_symmetric_alg_es256", "a shared key of ES256", entry(named(&[1; 8], -7), 1)),
        only("state_unknown", "state 6", entry(named(&[1; 8], 3), 6)),
        only(
            "state_destroyed_with_key",
            "destroyed, and the key is still there",
            entry(named(&[1; 8], 3), 4),
        ),
        only("tombstone_not_destroyed", "a tombstone that is disabled", entry(map([(2, bytes(&[1; 8]))]), 3)),
        only(
            "tombstone_with_time",
            "a tombstone that is accepted until",
            with(tombstone(), 5, int(1_763_751_600)),
        ),
        only("tombstone_with_role", "a tombstone with a role", with(tombstone(), 6, role())),
        only("agreement_role_empty", "an agreement key with a role of no members", {
            with(worker(), 6, Node::Map(Vec::new()))
        }),
        only(
            "agreement_role_unknown_label",
            "a fifth member of the role of an agreement key",
            with(worker(), 6, map([(5, text("x"))])),
        ),
        only(
            "retiring_without_end",
            "retiring, and no end of acceptance",
            entry(es256("taskseal example producer signing key"), 2),
        ),
        times(
            "times_use_from_sign_until",
            "used from when it no longer signs",
            &[(3, 1_763_751_000), (4, 1_763_751_000)],
        ),
        times(
            "times_sign_until_accept_until",
            "signs longer than it is accepted",
            &[(4, 1_763_751_601), (5, 1_763_751_600)],
        ),
        times(
            "times_use_from_accept_until",
            "used from when it is no longer accepted",
            &[(3, 1_763_751_600), (5, 1_763_751_600)],
        ),
        times("times_too_large", "used from 2^40", &[(3, 1 << 40)]),
        only("role_empty", "a role of no members", with(primary(), 6, Node::Map(Vec::new()))),
        only("role_kind_of_tasks", "the default kind written out", with(primary(), 6, map([(1, int(0))]))),
        only("role_unknown_label", "a fifth member of a role", with(primary(), 6, map([(5, text("x"))]))),
        patterns("patterns_empty", "patterns of no characters", ""),
        patterns("patterns_two_spaces", "two spaces between patterns", "email:*  report:*"),
        patterns("patterns_space_at_the_end", "a space after the last pattern", "email:* "),
        patterns(
            "patterns_long",
            "patterns of 513 characters",
            &["p".repeat(128), "p".repeat(128), "p".repeat(128), "p".repeat(126)].join(" "),
        ),
        patterns("pattern_long", "a pattern of 129 characters", &"p".repeat(129)),
        patterns("pattern_not_ascii", "a pattern that is not ASCII", "\u{e9}mail:*"),
        producer_edited("entry_unknown_label", "member 7 of an entry", |entry| entry.append(int(7), int(1))),
        producer_edited("entry_state_missing", "an entry without a state", |entry| drop(entry.remove(2))),
    ]
}

pub(super) fn files() -> Vec<File> {
    [frames(), members(), entries()].concat()
}
