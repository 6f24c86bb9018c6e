use super::*;

/// Public on purpose.
fn secret() -> Secret<32> {
    Secret::copy_from(&[0x2a; 32])
}

fn encoded(algorithm: Algorithm) -> Zeroizing<Vec<u8>> {
    let key = SecretKey::from_secret(algorithm, KeyId::from_bytes(*b"kid-kid-"), &secret()).unwrap();
    encode(algorithm, key.kid(), key.point().as_ref(), &secret())
}

#[test]
fn no_byte_of_a_key_can_be_changed_unnoticed_but_those_of_a_symmetric_secret_and_its_kid() {
    for algorithm in Algorithm::ALL {
        let good = encoded(algorithm);
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            let free = algorithm.is_symmetric() && (good.len() - 32..good.len()).contains(&index)
                || algorithm.is_symmetric() && (5..13).contains(&index);
            assert_eq!(decode(&bad).is_ok(), free, "{algorithm}: byte {index}");
        }
    }
}

#[test]
fn shortened_and_extended_keys_are_refused() {
    for algorithm in Algorithm::ALL {
        let good = encoded(algorithm);
        for len in 0..good.len() {
            assert!(decode(&good[..len]).is_err(), "{algorithm}: {len} bytes");
        }
        let mut long = good.clone();
        long.push(0);
        assert!(decode(&long).is_err(), "{algorithm}: one byte more");
    }
}

#[test]
fn a_scalar_that_is_no_key_is_refused() {
    let good = encoded(Algorithm::Es256);
    for scalar in [[0; 32], [0xff; 32]] {
        let mut bad = good.clone();
        let at = bad.len() - 32;
        bad[at..].copy_from_slice(&scalar);
        assert!(decode(&bad).is_err());
    }
}

#[test]
fn a_signing_key_is_not_taken_for_an_agreement_key() {
    let signing = encoded(Algorithm::Es256);
    let agreement = encoded(Algorithm::EcdhEs);

    assert!(matches!(decode(&signing).unwrap().0, SecretKey::Sign(_)));
    assert!(matches!(decode(&agreement).unwrap().0, SecretKey::Agree(_)));
}

#[test]
fn decoding_gives_back_what_was_encoded() {
    for algorithm in Algorithm::ALL {
        let (key, secret) = decode(&encoded(algorithm)).unwrap();

        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(secret.as_bytes(), &[0x2a; 32]);
        assert_eq!(encode(algorithm, key.kid(), key.point().as_ref(), &secret), encoded(algorithm));
        assert!(encoded(algorithm).len() <= MAX_LEN);
    }
}

#[test]
fn a_symmetric_key_has_these_bytes() {
    let expected = [
        [0xa5, 0x01, 0x04, 0x02, 0x48].as_slice(),
        b"kid-kid-",
        &[0x03, 0x05, 0x04, 0x82, 0x09, 0x0a, 0x20, 0x58, 0x20],
        &[0x2a; 32],
    ]
    .concat();

    assert_eq!(encoded(Algorithm::Hs256).as_slice(), expected);
}
