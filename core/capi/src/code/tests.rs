//! Every error and refusal of core has its own number and name.

use core::ffi::CStr;
use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::callbacks::SignerFailed;

fn name(code: i32) -> String {
    // SAFETY: a static text that ends in NUL.
    unsafe { CStr::from_ptr(taskseal_error_name(code)) }.to_str().unwrap().to_string()
}

#[test]
fn every_refusal_has_its_own_code_and_keeps_its_name() {
    let codes: Vec<Code> = Refusal::ALL.iter().map(|refusal| of_refusal(*refusal)).collect();

    assert!(!codes.contains(&Code::TASKSEAL_OTHER), "a refusal without a code");
    for (refusal, code) in Refusal::ALL.iter().zip(&codes) {
        assert_eq!(name(*code as i32), refusal.code());
        assert_eq!(to_refusal(*code as i32), Some(*refusal));
    }
    let distinct: BTreeSet<i32> = codes.iter().map(|code| *code as i32).collect();
    assert_eq!(distinct.len(), Refusal::ALL.len());
}

#[test]
fn every_error_of_sealing_and_opening_has_its_own_code() {
    let sealing = [
        SealError::BufferTooSmall,
        SealError::BodyTooLong,
        SealError::InconsistentClaims,
        SealError::Random,
        SealError::Signer(SignerFailed { has_no_key: false }),
        SealError::InvalidSignature,
        SealError::BatchFull,
        SealError::BatchEmpty,
    ];
    let opening = [OpenError::KeyUnavailable, OpenError::ReplayGuardUnavailable];
    let mut codes: Vec<i32> = sealing.into_iter().map(|error| of_seal(error) as i32).collect();
    codes.extend(opening.map(|error| of_open(error) as i32));
    let distinct: BTreeSet<i32> = codes.iter().copied().collect();

    assert_eq!(distinct.len(), codes.len());
    assert!(!codes.contains(&(Code::TASKSEAL_OTHER as i32)));
    assert_eq!(of_open(OpenError::BufferTooSmall), Code::TASKSEAL_BUFFER_TOO_SMALL);
}

#[test]
fn numbers_and_names_are_distinct_and_stable() {
    let numbers: BTreeSet<i32> = Code::ALL.iter().map(|code| *code as i32).collect();
    let names: BTreeSet<String> = Code::ALL.iter().map(|code| name(*code as i32)).collect();

    assert_eq!(numbers.len(), Code::ALL.len());
    assert_eq!(names.len(), Code::ALL.len());
    assert_eq!(numbers.last(), Some(&0), "errors are negative");
    for (number, expected) in [
        (-100, "unsealed"),
        (-106, "rejected"),
        (-116, "expired"),
        (-120, "replayed"),
        (-125, "no-decryption-key"),
    ] {
        assert_eq!(name(number), expected);
    }
    assert_eq!(name(-9999), "other");
    assert_eq!(name(7), "ok", "a length");
}
