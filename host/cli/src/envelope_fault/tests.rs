//! Each fault is named with its place. Envelopes of every suite have none.

use super::*;

/// An envelope of suite S with an empty body: its claims are an empty map, which is enough for the structure.
fn envelope(header: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xd2, 0x84, 0x58, u8::try_from(header.len()).unwrap()];
    bytes.extend(header);
    bytes.extend([0xa0, 0x40, 0x58, 64]);
    bytes.extend([0; 64]);
    bytes
}

fn header() -> Vec<u8> {
    let mut bytes = vec![0xa5, 0x01, 0x26, 0x03, 0x6a];
    bytes.extend(b"text/plain");
    bytes.extend([0x04, 0x48, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0xa0, 0x10, 0x61, b't']);
    bytes
}

fn fault(bytes: &[u8]) -> (usize, String) {
    let Fault { at, problem } = check(bytes).unwrap_err();
    (at, problem)
}

#[test]
fn another_start_is_named() {
    let whole = envelope(&header());
    for (bytes, part) in [
        (whole[1..].to_vec(), "an array of 4 without a tag"),
        ([&[0xd8, 0x12], &whole[1..]].concat(), "tag 18 in two bytes, expected it in one (0xd2)"),
        ([&[0xd8, 98], &whole[1..]].concat(), "tag 98, expected"),
        ([&[0xd9, 0xd9, 0xf7], &whole[..]].concat(), "tag 55799, expected"),
        (b"d284587b0126035368656c6c6f".to_vec(), "text in hex"),
        (b"0oRYewEmA1NoZWxsbyB3b3JsZA==\n".to_vec(), "text in base64"),
        (b"{}".to_vec(), "0x7b, expected the COSE tag"),
        (Vec::new(), "the end, expected the COSE tag"),
    ] {
        let (at, problem) = fault(&bytes);
        assert!(at == 0 && problem.contains(part), "{part}: {problem}");
    }
}

#[test]
fn encoding_that_is_not_deterministic_is_named_with_its_place() {
    let whole = envelope(&header());
    let (len, header_len) = (whole.len(), header().len());
    let at_end = 4 + header_len;
    let replaced = |at: usize, old: usize, new: &[u8]| {
        let mut bytes = whole.clone();
        bytes.splice(at..at + old, new.iter().copied());
        bytes
    };
    let swapped = [b"\xa5\x03\x68textabcd\x01\x26", &header()[15..]].concat();
    for (bytes, place, part) in [
        (replaced(1, 1, &[0x9f]), 1, "an indefinite length"),
        (replaced(1, 1, &[0x98, 4]), 1, "the number 4 in 1 bytes, expected it in the first byte"),
        (replaced(2, 2, &[0x59, 0, whole[3]]), 2, "in 2 bytes, expected it in fewer bytes"),
        (replaced(len, 0, b"\n"), len, "1 bytes behind the end"),
        (whole[..len - 1].to_vec(), len - 1, "the end, expected 64 bytes"),
        (replaced(at_end, 1, &[0xa1, 0x04, 0x40]), at_end, "a map of 1 pairs, expected an empty map"),
        (replaced(at_end + 1, 1, &[0xf6]), at_end + 1, "null, expected the payload"),
        (envelope(&swapped), 15, "a key of a map"),
    ] {
        let (at, problem) = fault(&bytes);
        assert_eq!(at, place, "{part}: {problem}");
        assert!(problem.contains(part), "{part}: {problem}");
    }
}

#[test]
fn wrong_part_of_the_header_is_named_with_its_place() {
    let mut unknown = header();
    unknown[1] = 0x02;
    let mut kid = header();
    kid[16] = 0x68;
    let mut short = header();
    short[0] = 0xa4;
    short.truncate(short.len() - 3);
    for (header, place, part) in [
        (unknown, 5, "the integer 2, expected a label 1, 3, 4, 15, 16 or -95348"),
        (kid, 20, "a text of 8 bytes, expected a kid (4)"),
        (short, 4, "expected a map with the label 16 too"),
    ] {
        let (at, problem) = fault(&envelope(&header));
        assert_eq!(at, place, "{part}: {problem}");
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn numbers_of_items_and_nesting_are_bounded() {
    for bytes in
        [[&[0xd2][..], &[0x9b, 0, 0, 0, 1, 0, 0, 0, 0]].concat(), [&[0xd2][..], &[0x81; 100]].concat()]
    {
        assert!(fault(&bytes).1.contains("larger than any part of an envelope"));
    }
}

#[test]
fn envelopes_have_no_fault() {
    assert_eq!(check(&envelope(&header())), Ok(()));
}
