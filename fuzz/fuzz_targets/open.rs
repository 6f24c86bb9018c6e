//! A body is shorter than its envelope, and nobody without the key makes an envelope that verifies.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use taskseal_core::keys::{SigningKey, VerifyingKey};
use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{Audience, KeyId, KeyLookup, NameSet, Policy, Secret, TimeWindow, Unverified};

static KEY: LazyLock<VerifyingKey> = LazyLock::new(|| {
    SigningKey::from_scalar(&Secret::copy_from(&[1; 32])).expect("the scalar is in range").verifying_key()
});

/// One key under every kid, so that every kid leads to the signature.
struct AnyKid;

impl KeyLookup for AnyKid {
    fn find(&self, _: KeyId) -> Option<KeyRecord<'_>> {
        let all = NameSet::ANY;
        Some(KeyRecord::new(RecordKey::Es256(&KEY)).issuers(all).types(all).audiences(all))
    }
}

fuzz_target!(|bytes: &[u8]| if let Ok(envelope) = Unverified::parse(bytes) {
    assert!(envelope.body_len() < bytes.len());
    let policy = Policy::for_tasks(Audience::new("plant-a/ingest").expect("the audience is well-formed"));
    assert!(envelope.verify(&AnyKid, &policy, &mut TimeWindow::exact(1_763_751_000)).is_err());
});
