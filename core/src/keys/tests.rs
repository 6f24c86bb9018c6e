//! Thumbprints, checked points, and what `Debug` shows of a key.

use std::format;
use std::string::ToString;

use super::*;
use crate::Secret;
use crate::error::InvalidKey;
use crate::testing::{ORDER, agreement_key, encryption_key, hex, mac_key, signing_key};

#[test]
fn the_kid_of_the_example_of_rfc_9679_is_its_thumbprint() {
    let x = hex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d");
    let y = hex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c");
    let point = point(&x.try_into().unwrap(), &y.try_into().unwrap());
    assert_eq!(VerifyingKey::from_point(&point).unwrap().kid().to_string(), "496bd8afadf307e5");
    assert_eq!(AgreementPublicKey::from_point(&point).unwrap().kid().to_string(), "496bd8afadf307e5");
}

#[test]
fn points_survive_their_encoding() {
    let (signing, agreement) = (signing_key(1).verifying_key(), agreement_key(2).public_key());
    assert_eq!(VerifyingKey::from_point(&signing.to_point()), Ok(signing));
    assert_eq!(AgreementPublicKey::from_point(&agreement.to_point()), Ok(agreement));
}

#[test]
fn points_off_the_curve_are_no_keys() {
    let good = signing_key(1).verifying_key().to_point();
    let mut bad = std::vec![[0; POINT_LEN], [4; POINT_LEN], [0xff; POINT_LEN]];
    for (index, value) in
        [(0, 0), (0, 2), (0, 3), (0, 5), (0, 6), (0, 7), (1, good[1] ^ 1), (64, good[64] ^ 1)]
    {
        let mut point = good;
        point[index] = value;
        bad.push(point);
    }
    for point in bad {
        assert_eq!(VerifyingKey::from_point(&point), Err(InvalidKey), "{:02x}", point[0]);
        assert_eq!(AgreementPublicKey::from_point(&point), Err(InvalidKey), "{:02x}", point[0]);
    }
}

#[test]
fn scalars_out_of_range_are_no_keys() {
    let order = hex(ORDER);
    for scalar in [[0; 32], order.try_into().unwrap(), [0xff; 32]] {
        assert!(matches!(SigningKey::from_scalar(&Secret::copy_from(&scalar)), Err(InvalidKey)));
        assert!(matches!(AgreementKey::from_scalar(&Secret::copy_from(&scalar)), Err(InvalidKey)));
    }
}

#[test]
fn debug_shows_nothing_secret() {
    const SEED: u8 = 0x5c;
    let shown = [
        format!("{:?} {:#?}", signing_key(SEED), signing_key(SEED)),
        format!("{:?} {:#?}", agreement_key(SEED), agreement_key(SEED)),
        format!("{:?} {:#?}", Secret::copy_from(&[SEED; 32]), Secret::copy_from(&[SEED; 32])),
        format!("{:?}", MacKey::new(KeyId::from_bytes([1; 8]), Secret::copy_from(&[SEED; 32]))),
        format!("{:?}", EncryptionKey::new(KeyId::from_bytes([1; 8]), Secret::copy_from(&[SEED; 32]))),
    ];
    for text in shown {
        // The seed is 5c in hex, 92 in decimal.
        assert!(
            !text.to_lowercase().contains("5c5c") && !text.contains("92, 92") && !text.contains("92,\n"),
            "{text}"
        );
        assert!(text.contains("..") || text.contains("kid"), "{text}");
    }
    assert_eq!(format!("{:?}", mac_key(1)), "MacKey { kid: KeyId(0101010101010101), key: Secret { .. } }");
    assert_eq!(
        format!("{:?}", encryption_key(1)),
        "EncryptionKey { kid: KeyId(0101010101010101), key: Secret { .. } }"
    );
}
