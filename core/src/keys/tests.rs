//! Thumbprints, point checks, and the `Debug` output of keys.

use std::format;
use std::string::ToString;

use super::*;
use crate::Secret;
use crate::error::InvalidKey;
use crate::provider::Signer;
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
fn signatures_are_those_of_rfc_6979() {
    // Appendix A.2.5: P-256 with SHA-256, "sample" and "test".
    let scalar = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let mut key = SigningKey::from_scalar(&Secret::copy_from(&scalar.try_into().unwrap())).unwrap();
    let public = [
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    ];
    assert_eq!(key.verifying_key().to_point().as_slice(), hex(&public.concat()));

    for (message, r, s) in [
        (
            "sample",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            "test",
            "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
            "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
        ),
    ] {
        let Ok(signature) = key.sign_digest(&Sha256::digest(message).into());
        assert_eq!(signature.as_slice(), [hex(r), hex(s)].concat(), "{message}");
    }
}

#[test]
fn points_round_trip() {
    let (signing, agreement) = (signing_key(1).verifying_key(), agreement_key(2).public_key());
    assert_eq!(VerifyingKey::from_point(&signing.to_point()), Ok(signing));
    assert_eq!(AgreementPublicKey::from_point(&agreement.to_point()), Ok(agreement));
}

#[test]
fn points_off_the_curve_are_not_keys() {
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
fn scalars_out_of_range_are_not_keys() {
    let order = hex(ORDER);
    for scalar in [[0; 32], order.try_into().unwrap(), [0xff; 32]] {
        assert!(matches!(SigningKey::from_scalar(&Secret::copy_from(&scalar)), Err(InvalidKey)));
        assert!(matches!(AgreementKey::from_scalar(&Secret::copy_from(&scalar)), Err(InvalidKey)));
    }
}

#[test]
fn debug_prints_no_secret() {
    const SEED: u8 = 0x5c;
    let shown = [
        format!("{:?} {:#?}", signing_key(SEED), signing_key(SEED)),
        format!("{:?} {:#?}", agreement_key(SEED), agreement_key(SEED)),
        format!("{:?} {:#?}", Secret::copy_from(&[SEED; 32]), Secret::copy_from(&[SEED; 32])),
        format!("{:?}", HmacKey::new(KeyId::from_bytes([1; 8]), Secret::copy_from(&[SEED; 32]))),
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
    assert_eq!(format!("{:?}", mac_key(1)), "HmacKey { kid: KeyId(0101010101010101), key: Secret { .. } }");
    assert_eq!(
        format!("{:?}", encryption_key(1)),
        "EncryptionKey { kid: KeyId(0101010101010101), key: Secret { .. } }"
    );
}
