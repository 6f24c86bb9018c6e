use super::*;

const KEK: &str = "pkcs11:token=plant;id=%00%11%22%33%44%55%66%77";
const WRAPPED: [u8; WRAPPED_LEN] = [0xa5; WRAPPED_LEN];
const IV: [u8; IV_LEN] = [0x3c; IV_LEN];
const PLAIN: &[u8] = b"the bytes of a COSE_Key";

fn file_key() -> Secret<32> {
    Secret::copy_from(&[7; 32])
}

fn content_of(kek: &str, plain: &[u8]) -> Option<Vec<u8>> {
    encrypt(&WrappedHeader { kek, wrapped: &WRAPPED, iv: &IV }, &file_key(), plain)
}

fn content() -> Vec<u8> {
    content_of(KEK, PLAIN).unwrap()
}

fn decrypted(content: &[u8]) -> Option<Vec<u8>> {
    Parsed::parse(content)?.decrypt(&file_key()).map(|plain| plain.to_vec())
}

/// Whether content with this name is accepted; its lengths are right.
fn accepts(kek: &str) -> bool {
    Parsed::parse(&content_of(kek, PLAIN).unwrap()).is_some()
}

#[test]
fn truncated_content_is_refused() {
    let content = content();
    for len in 0..content.len() {
        assert!(decrypted(&content[..len]).is_none(), "{len} bytes");
    }
}

#[test]
fn content_with_any_bit_flipped_is_refused_even_under_the_right_file_key() {
    let content = content();
    for at in 0..content.len() {
        for bit in 0..8 {
            let mut changed = content.clone();
            changed[at] ^= 1 << bit;
            assert!(decrypted(&changed).is_none(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn content_with_a_trailing_byte_is_refused() {
    let mut content = content();
    content.push(0);
    assert!(decrypted(&content).is_none());
}

#[test]
fn content_under_another_file_key_is_refused() {
    let content = content();
    let parsed = Parsed::parse(&content).unwrap();
    assert!(parsed.decrypt(&Secret::copy_from(&[8; 32])).is_none());
}

#[test]
fn name_with_a_library_or_a_pin_source_is_refused() {
    assert!(accepts(KEK));
    for query in [
        "module-path=/tmp/evil.so",
        "module-name=evil",
        "pin-source=file:/etc/shadow",
        "pin-value=1234",
        "x-max-sessions=1",
        "x-timeout-ms=100",
        "",
    ] {
        assert!(!accepts(&format!("{KEK}?{query}")), "{query}");
    }
}

#[test]
fn name_that_is_not_canonical_or_names_no_key_is_refused() {
    for kek in [
        "pkcs11:token=plant",
        "pkcs11:id=%01;token=plant",
        "pkcs11:token=%70lant;id=%01",
        "pkcs11:token=plant;id=%0a",
        "PKCS11:token=plant;id=%01",
        "plant",
        "",
    ] {
        assert!(!accepts(kek), "{kek}");
    }
}

#[test]
fn name_of_more_than_512_bytes_is_not_written_and_not_read() {
    let of_len = |len: usize| format!("pkcs11:token={};object=k", "t".repeat(len - 22));
    assert_eq!(of_len(MAX_KEK).len(), MAX_KEK);
    assert!(accepts(&of_len(MAX_KEK)));
    assert!(content_of(&of_len(MAX_KEK + 1), PLAIN).is_none());

    let mut longer = content_of(&of_len(MAX_KEK), PLAIN).unwrap();
    longer[1..3].copy_from_slice(&513_u16.to_be_bytes());
    longer.insert(3 + "pkcs11:token=".len(), b't');
    assert!(Parsed::parse(&longer).is_none());
}

#[test]
fn ciphertext_that_is_empty_or_longer_than_any_key_is_refused() {
    let parses = |len: usize| Parsed::parse(&content_of(KEK, &vec![0; len]).unwrap()).is_some();
    assert!(!parses(0) && parses(1));
    assert!(parses(CoseKey::MAX_LEN) && !parses(CoseKey::MAX_LEN + 1));
}

#[test]
fn content_decrypts_to_what_was_encrypted_and_does_not_contain_its_bytes() {
    let content = content();
    assert_eq!(decrypted(&content).unwrap(), PLAIN);
    assert!(!content.windows(8).any(|window| window == &PLAIN[..8]));
    let longest = vec![9; CoseKey::MAX_LEN];
    assert!(content_of(KEK, &longest).unwrap().len() <= MAX_LEN);
}
