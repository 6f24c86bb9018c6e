//! Nobody without a root makes a keyset that verifies, and no keyset is the beginning of another.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use taskseal_core::keys::{SigningKey, VerifyingKey};
use taskseal_core::keyset::signed::{KeysetRefusal, Roots, UnverifiedKeyset, VerifiedKeyset};
use taskseal_core::name::KeysetName;
use taskseal_core::{Secret, TimeWindow};

static ROOT: LazyLock<VerifyingKey> = LazyLock::new(|| {
    SigningKey::from_scalar(&Secret::copy_from(&[1; 32])).expect("the scalar is in range").verifying_key()
});

fuzz_target!(|bytes: &[u8]| if let Ok(keyset) = UnverifiedKeyset::parse(bytes) {
    let roots = Roots::new(KeysetName::new("plant-a").expect("the name is well-formed"), *ROOT);
    let verified: Result<VerifiedKeyset<'_, 256>, _> =
        keyset.verify(&roots, None, &mut TimeWindow::exact(1_763_751_000));
    let refusal = verified.expect_err("a signature without the root");
    assert!(matches!(refusal, KeysetRefusal::UnknownRoot | KeysetRefusal::Rejected));
    assert!(bytes.split_last().is_some_and(|(_, rest)| UnverifiedKeyset::parse(rest).is_err()));
});
