//! Signed keysets, with the root's signature stubbed.

use std::sync::LazyLock;

use taskseal_core::keys::VerifyingKey;
use taskseal_core::keyset::signed::{KeysetRefusal, PinnedRoots, UnverifiedKeyset, VerifiedKeyset};
use taskseal_core::name::KeysetName;
use taskseal_core::{Audience, Issuer, KeyLookup, Kind, TaskType, TimeWindow};

use super::stub::AcceptsAll;
use crate::example::signing_key;

/// The root of the worked examples, so that its keysets are seeds.
static ROOT: LazyLock<VerifyingKey> =
    LazyLock::new(|| signing_key("taskseal example keyset root").verifying_key());

/// No keyset is the beginning of another, and none that gets past the signature does harm behind it.
pub(super) fn keyset(bytes: &[u8]) {
    let Ok(keyset) = UnverifiedKeyset::parse(bytes) else { return };
    assert!(bytes.split_last().is_some_and(|(_, rest)| UnverifiedKeyset::parse(rest).is_err()));
    let roots = PinnedRoots::new(KeysetName::new("prod").expect("a good name"), *ROOT);
    let clock = &mut TimeWindow::exact(1_763_837_400);
    let verified: Result<VerifiedKeyset<'_, 64>, KeysetRefusal> =
        keyset.verify_with(&AcceptsAll, &roots, None, clock);
    let Ok(verified) = verified else { return };
    let entries = verified.entries().len();
    assert!((1..=64).contains(&entries));
    let Ok(current) = verified.at(*clock) else { return };
    for entry in verified.entries() {
        let kid = entry.kid();
        let _ = (current.sealing_allowed(kid), current.decryption_allowed(kid), current.recipient(kid));
        assert!(current.find(kid).is_none_or(|record| record.kid() == kid));
    }
    for kind in [Kind::Task, Kind::Result] {
        let issuer = Issuer::new("sensor-gw-07").expect("a good name");
        let task_type = TaskType::new("email:deliver").expect("a good name");
        let audience = Audience::new("prod/critical").expect("a good name");
        let chosen = current.recipient_for(kind, issuer, task_type, audience);
        assert!(chosen.is_none_or(|key| current.recipient(key.kid()) == Some(key)));
    }
}
