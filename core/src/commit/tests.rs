//! HKDF compared with RFC 5869, the derivations compared with their definitions, and the inputs of a commitment.

use super::*;
use crate::testing::hex;

fn secret(bytes: &[u8]) -> Secret<32> {
    Secret::copy_from(&bytes.try_into().expect("32 bytes"))
}

/// RFC 5869 appendix A: IKM, salt, info, PRK, OKM.
const RFC_5869: [(&str, &str, &str, &str, &str); 3] = [
    (
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f
         303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
        "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f
         909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
        "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf
         e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09
         da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        "",
        "",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
];

#[test]
fn extract_and_expand_are_hkdf_of_rfc_5869() {
    for (ikm, salt, info, expected_prk, okm) in RFC_5869 {
        let (mut prk, mut block, mut previous) = (Secret::zeroed(), [0; 32], std::vec::Vec::new());
        extract(&hex(salt), &hex(ikm), &mut prk);

        assert_eq!(prk.as_bytes().as_slice(), hex(expected_prk));
        for (counter, expected) in (1..).zip(hex(okm).chunks(32)) {
            expand(&prk, &hex(info), counter, &previous, &mut block);
            assert_eq!(&block[..expected.len()], expected);
            previous = block.to_vec();
        }
    }
}

#[test]
fn a_missing_salt_is_thirty_two_zero_bytes() {
    let (mut zeros, mut empty) = (Secret::zeroed(), Secret::zeroed());
    extract(&[0; 32], &[1; 32], &mut zeros);
    extract(&[], &[1; 32], &mut empty);
    assert_eq!(zeros.as_bytes(), empty.as_bytes());
}

#[test]
fn the_shared_derivation_is_one_expansion_to_64_bytes() {
    // Computed with hashlib and hmac of Python: key = SHA-256("taskseal example enc key"), salt = SHA-256("salt")[..16].
    let key = secret(&sha2_of(b"taskseal example enc key"));
    let salt = sha2_of(b"salt")[..16].try_into().expect("16 bytes");
    let mut content = ContentKey::zeroed();

    content.derive_shared(&key, &salt);

    assert_eq!(content.key.as_bytes().as_slice(), hex(SHARED_KEY));
    assert_eq!(content.commit.as_slice(), hex(SHARED_COMMIT));
}

#[test]
fn the_agreed_derivation_follows_rfc_9053_with_a_separate_commitment_label() {
    let mut content = ContentKey::zeroed();

    content.derive_agreed(&secret(&[0x5a; 32]));

    assert_eq!(content.key.as_bytes().as_slice(), hex(AGREED_KEY));
    assert_eq!(content.commit.as_slice(), hex(AGREED_COMMIT));
}

#[test]
fn a_commitment_fits_one_key_and_one_salt() {
    let (key, other) = (secret(&[1; 32]), secret(&[2; 32]));
    let mut content = ContentKey::zeroed();
    content.derive_shared(&key, &[3; 16]);
    let mut salt_commit = [3; SALT_COMMIT_LEN];
    salt_commit[16..].copy_from_slice(&content.commit);

    assert_eq!(content.derive_shared_checked(&key, &salt_commit), Ok(()));
    assert_eq!(content.derive_shared_checked(&other, &salt_commit), Err(Rejected));
    for bit in 0..8 * SALT_COMMIT_LEN {
        let mut changed = salt_commit;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(content.derive_shared_checked(&key, &changed), Err(Rejected), "bit {bit}");
    }
}

#[test]
fn an_agreed_commitment_fits_one_secret() {
    let mut content = ContentKey::zeroed();
    content.derive_agreed(&secret(&[1; 32]));
    let commit = content.commit;

    assert_eq!(content.derive_agreed_checked(&secret(&[1; 32]), &commit), Ok(()));
    assert_eq!(content.derive_agreed_checked(&secret(&[2; 32]), &commit), Err(Rejected));
    let mut changed = commit;
    changed[31] ^= 1;
    assert_eq!(content.derive_agreed_checked(&secret(&[1; 32]), &changed), Err(Rejected));
}

#[test]
fn shared_and_agreed_derivations_differ() {
    let (mut shared, mut agreed) = (ContentKey::zeroed(), ContentKey::zeroed());
    shared.derive_shared(&secret(&[1; 32]), &[0; 16]);
    agreed.derive_agreed(&secret(&[1; 32]));

    let values = [*shared.key.as_bytes(), shared.commit, *agreed.key.as_bytes(), agreed.commit];
    for (index, value) in values.iter().enumerate() {
        assert!(!values[..index].contains(value));
    }
}

fn sha2_of(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    Sha256::digest(bytes).into()
}

const SHARED_KEY: &str = "ce53b14a525407240077dc41eb38f837c94caa2f021872483ea2d621439ae9fe";
const SHARED_COMMIT: &str = "4ca83af4a75e12d4d91282a2035058efcf3d1da7d8e6a544ba97a9eab79100e2";
const AGREED_KEY: &str = "3bb596d304d741f74f17538e8b16c02a65a5a245e2ff53b50a3f19f243b43346";
const AGREED_COMMIT: &str = "af8a2cdb3798e0206d0330954a638882a09831e70421984fb0bd574540e4655f";
