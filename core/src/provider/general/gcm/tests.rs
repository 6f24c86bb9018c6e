//! Associated data in one piece and in several.

use std::vec;

use super::*;

const KEY: Secret<32> = Secret::copy_from(&[0x42; 32]);
const IV: [u8; 12] = [0x24; 12];

#[test]
fn several_pieces_longer_than_the_limit_are_rejected() {
    let piece = vec![0xad; EncStructure::MAX_LEN];
    let (mut buffer, tag) = ([5; 40], [0; 16]);

    for aad in [[piece.as_slice(), &[1]], [&[1], piece.as_slice()]] {
        assert_eq!(encrypt(&KEY, &IV, &aad, &mut buffer), Err(Rejected));
        assert_eq!(decrypt(&KEY, &IV, &aad, &mut buffer, &tag), Err(Rejected));
        assert_eq!(check(&KEY, &IV, &aad, &buffer, &tag), Err(Rejected));
    }

    assert_eq!(buffer, [5; 40]);
}

#[test]
fn one_piece_may_have_any_length() {
    let piece = vec![0xad; 10 * EncStructure::MAX_LEN];
    let mut buffer = [5; 40];

    let tag = encrypt(&KEY, &IV, &[&piece], &mut buffer).unwrap();

    assert_eq!(check(&KEY, &IV, &[&piece], &buffer, &tag), Ok(()));
    assert_eq!(decrypt(&KEY, &IV, &[&piece], &mut buffer, &tag), Ok(()));
    assert_eq!(buffer, [5; 40]);
}

#[test]
fn pieces_give_the_tag_of_their_concatenation() {
    let aad = [0xad; EncStructure::MAX_LEN];
    let (mut whole, mut pieces) = ([5; 40], [5; 40]);
    let (head, tail) = aad.split_at(100);

    let expected = encrypt(&KEY, &IV, &[&aad], &mut whole);

    assert_eq!(encrypt(&KEY, &IV, &[head, &[], tail], &mut pieces), expected);
    assert_eq!(pieces, whole);
    assert_eq!(check(&KEY, &IV, &[head, &[], tail], &pieces, &expected.unwrap()), Ok(()));
}
