//! Deterministic encoding: order, duplicates, widened heads, rules of entries, limits.

use super::*;
use crate::Kind;
use crate::cbor::head_len;
use crate::testing::hex;

fn with_entry(entry: Entry<'_>) -> KeysetRefusal {
    refused(&signed(&first(), &[entry]))
}

/// Replaces the only occurrence of `old` in a payload by `new`, and signs the result.
fn edited(payload: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..payload.len()).filter(|at| payload[*at..].starts_with(old)).collect();
    let [place] = places[..] else { panic!("{old:02x?} occurs {} times", places.len()) };
    sign(&root(), &[&payload[..place], new, &payload[place + old.len()..]].concat())
}

#[test]
fn entries_out_of_order_or_twice_are_malformed() {
    let ordered = entries();
    for index in 1..ordered.len() {
        let mut swapped = ordered.clone();
        swapped.swap(index - 1, index);
        assert_eq!(refused(&signed(&first(), &swapped)), KeysetRefusal::Malformed, "{index}");
        let mut twice = ordered.clone();
        twice.insert(index, ordered[index]);
        assert_eq!(refused(&signed(&first(), &twice)), KeysetRefusal::Malformed, "{index}");
    }
}

#[test]
fn one_point_for_two_purposes_is_malformed() {
    let both = [producer(1), recipient(1)];
    assert_eq!(both[0].kid(), both[1].kid());
    assert_eq!(refused(&signed(&first(), &both)), KeysetRefusal::Malformed);
}

#[test]
fn a_kid_for_two_shared_keys_is_malformed() {
    let [mac, gcm] = [EntryKey::Hmac256(kid(3)), EntryKey::A256Gcm(kid(3))];
    let both = [Entry::new(mac, KeyState::Primary), Entry::new(gcm, KeyState::Primary)];
    assert_eq!(refused(&signed(&first(), &both)), KeysetRefusal::Malformed);
}

/// Returns the offsets of all heads in well-formed `bytes`, without the content of strings.
fn heads(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        found.push(at);
        let extra = [0, 1, 2, 4, 8][usize::from((bytes[at] & 31).max(23) - 23)];
        let argument = match extra {
            0 => u64::from(bytes[at] & 31),
            _ => bytes[at + 1..][..extra].iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)),
        };
        assert_eq!(head_len(argument), 1 + extra);
        let string = matches!(bytes[at] >> 5, 2 | 3);
        at += 1 + extra + if string { usize::try_from(argument).unwrap() } else { 0 };
    }
    found
}

/// Returns the head at `at` with its argument in the next longer form.
fn widened(bytes: &[u8], at: usize) -> Vec<u8> {
    let (major, small) = (bytes[at] & 0xe0, bytes[at] & 31);
    let (new, old): (Vec<u8>, usize) = match small {
        0..=23 => (std::vec![major | 24, small], 1),
        24 => (std::vec![major | 25, 0, bytes[at + 1]], 2),
        25 => (std::vec![major | 26, 0, 0, bytes[at + 1], bytes[at + 2]], 3),
        _ => ([&[major | 27, 0, 0, 0, 0][..], &bytes[at + 1..at + 5]].concat(), 5),
    };
    [&bytes[..at], &new, &bytes[at + old..]].concat()
}

#[test]
fn widened_heads_are_malformed_wherever_they_are() {
    let inner = payload(&first(), &entries());
    for at in heads(&inner) {
        assert_eq!(refused(&sign(&root(), &widened(&inner, at))), KeysetRefusal::Malformed, "payload, {at}");
    }
    let outer = sign(&root(), &inner);
    for at in heads(&outer) {
        assert_eq!(refused(&widened(&outer, at)), KeysetRefusal::Malformed, "outside, {at}");
    }
    assert!(heads(&inner).len() > 60 && heads(&outer).len() == 6);
}

#[test]
fn indefinite_lengths_are_malformed() {
    let inner = payload(&first(), &entries());
    for at in heads(&inner).into_iter().filter(|at| matches!(inner[*at] >> 5, 4 | 5)) {
        let mut bytes = inner.clone();
        bytes[at] |= 31;
        assert_eq!(refused(&sign(&root(), &bytes)), KeysetRefusal::Malformed, "{at}");
    }
}

#[test]
fn bytes_after_the_keyset_or_its_payload_are_malformed() {
    let inner = payload(&first(), &entries());
    assert_eq!(refused(&[&sign(&root(), &inner)[..], &[0]].concat()), KeysetRefusal::Malformed);
    assert_eq!(refused(&sign(&root(), &[&inner[..], &[0]].concat())), KeysetRefusal::Malformed);
}

#[test]
fn another_structure_around_it_is_malformed() {
    let good = signed(&first(), &entries());
    // Tag and array: COSE_Mac0, an array of 3, no tag at all.
    for start in [&[0xd1, 0x84][..], &[0xd2, 0x83], &[0x84]] {
        assert_eq!(refused(&[start, &good[2..]].concat()), KeysetRefusal::Malformed, "{start:02x?}");
    }
    // An entry in the unprotected header: 4: h''.
    let header_end = 2 + 2 + 55;
    let unprotected = [&good[..header_end], &[0xa1, 4, 0x40], &good[header_end + 1..]].concat();
    assert_eq!((good[header_end], refused(&unprotected)), (0xa0, KeysetRefusal::Malformed));
    assert_eq!(refused(b""), KeysetRefusal::Malformed);
    assert_eq!(refused(&[0xff; 100]), KeysetRefusal::Malformed);
}

#[test]
fn another_algorithm_or_type_in_the_header_is_malformed() {
    let good = signed(&first(), &entries());
    let (algorithm, typ) = (6, 2 + 2 + 16 + "application/vnd.taskseal.".len());
    assert_eq!((good[algorithm], good[typ]), (0x26, b'k'));
    for (at, value) in [(algorithm, 0x27), (algorithm, 5), (typ, b'K')] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(refused(&bytes), KeysetRefusal::Malformed, "{at}");
    }
}

#[test]
fn heads_that_break_a_rule_are_malformed() {
    let good = first();
    let digest = Some([7; 32]);
    let bad = [
        Head { sequence: 0, ..good },
        Head { sequence: 0, previous: digest, ..good },
        Head { sequence: 1, previous: digest, ..good },
        Head { sequence: 2, previous: None, ..good },
        Head { sequence: MAX_SEQUENCE, previous: digest, ..good },
        Head { not_after: good.issued_at, ..good },
        Head { not_after: good.issued_at - 1, ..good },
        Head { not_after: crate::claims::MAX_TIME, ..good },
    ];
    for head in bad {
        assert_eq!(refused(&signed(&head, &entries())), KeysetRefusal::Malformed, "{head:?}");
    }
    let last = Head { sequence: MAX_SEQUENCE - 1, previous: digest, ..good };
    assert_eq!(accepted(&signed(&last, &entries())).sequence(), MAX_SEQUENCE - 1);
}

#[test]
fn invalid_names_are_malformed() {
    let good = payload(&first(), &entries());
    for name in [&b"\x60"[..], b"\x65pla t", b"\x65pl\xc3\xa4n", b"\x65pla\nt", b"\x45plant", b"\x65pl\xffnt"]
    {
        assert_eq!(refused(&edited(&good, b"\x65plant", name)), KeysetRefusal::Malformed, "{name:02x?}");
    }
    let [most, more] = [64, 65].map(|len| [&[0x78, len][..], &[b'a'; 65][..usize::from(len)]].concat());
    assert_eq!(refused(&edited(&good, b"\x65plant", &more)), KeysetRefusal::Malformed);
    assert_eq!(refused(&edited(&good, b"\x65plant", &most)), KeysetRefusal::WrongName);
}

#[test]
fn destroyed_keys_and_only_they_are_tombstones() {
    for state in KeyState::ALL.into_iter().filter(|state| *state != KeyState::Destroyed) {
        let entry = Entry::tombstone(kid(5)).state(state).accept_until(NOW + DAY);
        assert_eq!(with_entry(entry), KeysetRefusal::Malformed, "{state}");
        let entry = Entry { accept_until: None, ..entry };
        assert_eq!(with_entry(entry), KeysetRefusal::Malformed, "{state}");
    }
    let keys = [producer(1), recipient(2), Entry::new(EntryKey::Hmac256(kid(3)), KeyState::Primary)];
    for entry in keys {
        assert_eq!(with_entry(entry.state(KeyState::Destroyed)), KeysetRefusal::Malformed);
    }
}

#[test]
fn tombstones_have_a_kid_only() {
    let bare = Entry::tombstone(kid(5));
    for entry in [bare.use_from(NOW), bare.sign_until(NOW), bare.accept_until(NOW), bare.role(rights())] {
        assert_eq!(with_entry(entry), KeysetRefusal::Malformed, "{entry:?}");
    }
    assert_eq!(accepted(&signed(&first(), &[bare])).entries(), [bare]);
}

#[test]
fn a_key_agreement_key_may_have_a_role() {
    let entry = recipient(2).role(rights().kind(Kind::Result));
    assert_eq!(accepted(&signed(&first(), &[entry])).entries(), [entry]);
}

#[test]
fn a_role_without_members_is_malformed() {
    assert_eq!(with_entry(producer(1).role(Role::new())), KeysetRefusal::Malformed);
}

#[test]
fn a_default_that_is_written_out_is_malformed() {
    let entry = [producer(1).role(Role::new().kind(Kind::Result))];
    let good = payload(&first(), &entry);
    let role = [6, 0xa1, 1, 1];
    for bad in [&[6, 0xa1, 1, 0][..], &[6, 0xa1, 1, 2], &[6, 0xa1, 2, 0x60], &[6, 0xa2, 1, 1, 2, 0x60]] {
        assert_eq!(refused(&edited(&good, &role, bad)), KeysetRefusal::Malformed, "{bad:02x?}");
    }
    assert_eq!(accepted(&sign(&root(), &good)).entries(), entry);
}

#[test]
fn unknown_members_are_malformed() {
    let entry = [producer(1).role(Role::new().kind(Kind::Result))];
    let good = payload(&first(), &entry);
    let bad = edited(&good, &[6, 0xa1, 1, 1], &[6, 0xa2, 1, 1, 5, 0x61, b'a']);
    assert_eq!(refused(&bad), KeysetRefusal::Malformed);
    // A seventh member of the entry instead of the role.
    assert_eq!(refused(&edited(&good, &[6, 0xa1, 1, 1], &[7, 0])), KeysetRefusal::Malformed);
    let state = [2, KeyState::Primary.code(), 6].map(|byte| u8::try_from(byte).unwrap());
    assert_eq!(refused(&edited(&good, &state, &[2, 6, 6])), KeysetRefusal::Malformed);
}

#[test]
fn sets_of_patterns_have_one_encoding() {
    let long = "a".repeat(129);
    let many = ["abcdefg"; 65].join(" ");
    assert_eq!(many.len(), 519);
    for set in [" ", " a", "a ", "a  b", "a\tb", "a\u{e4}", "a\n", "\u{7f}", &long, &many] {
        let role = rights().issuers(NameSet::new(set));
        assert_eq!(with_entry(producer(1).role(role)), KeysetRefusal::Malformed, "{set:?}");
    }
    let (long, many) = ("a".repeat(128), ["abcdefg"; 64].join(" "));
    for set in ["*", "a", "a b", "b a", "email:* report:build", &long, &many] {
        let entry = producer(1).role(rights().issuers(NameSet::new(set)));
        assert_eq!(accepted(&signed(&first(), &[entry])).entries(), [entry]);
    }
}

#[test]
fn a_retiring_key_without_an_end_is_malformed() {
    assert_eq!(with_entry(producer(1).state(KeyState::Retiring)), KeysetRefusal::Malformed);
}

#[test]
fn times_in_the_wrong_order_or_too_late_are_malformed() {
    let key = producer(1);
    let late = crate::claims::MAX_TIME;
    let bad = [
        key.use_from(20).sign_until(20),
        key.use_from(20).accept_until(20),
        key.use_from(21).sign_until(20),
        key.sign_until(21).accept_until(20),
        key.use_from(late),
        key.sign_until(late),
        key.accept_until(late),
    ];
    for entry in bad {
        assert_eq!(with_entry(entry), KeysetRefusal::Malformed, "{entry:?}");
    }
    let good = [
        key.use_from(19).sign_until(20).accept_until(20),
        key.use_from(late - 1),
        key.sign_until(late - 1),
        key.accept_until(late - 1),
    ];
    for entry in good {
        assert_eq!(accepted(&signed(&first(), &[entry])).entries(), [entry]);
    }
}

#[test]
fn points_off_the_curve_are_malformed() {
    for entry in [producer(1), recipient(2)] {
        let good = payload(&first(), &[entry]);
        let (EntryKey::Es256(_) | EntryKey::Agreement(_)) = entry.key else { panic!("a public key") };
        let point = good.windows(3).position(|window| window == [0x21, 0x58, 0x20]).unwrap() + 3;
        for (at, mask) in [(0, 0x80), (31, 1), (35, 0x80), (66, 1)] {
            let mut bytes = good.clone();
            bytes[point + at] ^= mask;
            assert_eq!(refused(&sign(&root(), &bytes)), KeysetRefusal::Malformed, "{at}");
        }
        // The identity has no coordinates; zeros are the closest encoding. Coordinates must be less than p.
        for filler in [0, 0xff] {
            let mut bytes = good.clone();
            bytes[point..point + 32].fill(filler);
            bytes[point + 35..point + 67].fill(filler);
            assert_eq!(refused(&sign(&root(), &bytes)), KeysetRefusal::Malformed, "{filler}");
        }
    }
}

#[test]
fn keys_of_another_type_curve_or_algorithm_are_malformed() {
    let (signing, shared) =
        (producer(1), Entry::new(EntryKey::Hmac256(kid(3)), KeyState::Primary).role(rights()));
    let cases = [
        (signing, "a5010203262001", "a5010103262001"),
        (signing, "a5010203262001", "a5010203272001"),
        (signing, "a5010203262001", "a5010203262002"),
        (signing, "a5010203262001", "a5010220010326"),
        (shared, "a3010402480303030303030303 0305", "a3010302480303030303030303 0305"),
        (shared, "a3010402480303030303030303 0305", "a3010402480303030303030303 0304"),
        (shared, "a3010402480303030303030303 0305", "a3010403050248 0303030303030303"),
        (shared, "a3010402480303030303030303 0305", "a30104024703030303030303 0305"),
        // With its secret, which a keyset never contains.
        (shared, "a3010402480303030303030303 0305", "a4010402480303030303030303 0305 2041ff"),
        (shared, "a3010402480303030303030303 0305", "a2010402480303030303030303"),
    ];
    for (entry, old, new) in cases {
        let bytes = edited(&payload(&first(), &[entry]), &hex(old), &hex(new));
        assert_eq!(refused(&bytes), KeysetRefusal::Malformed, "{new}");
    }
}

#[test]
fn a_keyset_has_1_to_256_entries() {
    let many: Vec<Entry<'_>> = (0..257_u64)
        .map(|n| Entry::new(EntryKey::Hmac256(KeyId::from_bytes(n.to_be_bytes())), KeyState::Primary))
        .collect();
    assert_eq!(refused(&signed(&first(), &[])), KeysetRefusal::Malformed);
    assert_eq!(refused(&signed(&first(), &many)), KeysetRefusal::Malformed);
    let most = signed(&first(), &many[..MAX_ENTRIES]);
    let keyset: VerifiedKeyset<'_, MAX_ENTRIES> =
        UnverifiedKeyset::parse(&most).unwrap().verify(&roots(), None, &mut TimeWindow::exact(NOW)).unwrap();
    assert_eq!(keyset.entries().len(), 256);
}

#[test]
fn a_keyset_has_65536_bytes_at_most() {
    assert_eq!(refused(&std::vec![0xd2; MAX_KEYSET + 1]), KeysetRefusal::TooLarge);
    assert_eq!(refused(&std::vec![0xd2; MAX_KEYSET]), KeysetRefusal::Malformed);
}

#[test]
fn keysets_round_trip() {
    let bytes = signed(&first(), &entries());
    let keyset = accepted(&bytes);
    assert_eq!(keyset.entries(), entries());
    assert_eq!((keyset.name(), keyset.sequence(), keyset.root()), (name(), 1, root().verifying_key().kid()));
    assert_eq!((keyset.issued_at(), keyset.not_after()), (NOW, NOW + 30 * DAY));
}
