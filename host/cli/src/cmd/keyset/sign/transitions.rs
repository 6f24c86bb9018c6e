//! Compares the draft with the last signed keyset: which states changed, and whether each change is allowed.

use taskseal::keys::Record;
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::{BuildError, Entry, KeyState, MAX_ENTRIES, VerifiedKeyset};

use crate::cmd::keyset::draft::Draft;
use crate::failure::Failure;

/// Checks every change since the last signed keyset, and returns the keys whose state changed or that are new.
pub(super) fn check(
    draft: &Draft,
    last: Option<&VerifiedKeyset<'_, MAX_ENTRIES>>,
) -> Result<Vec<KeyId>, Failure> {
    let entries = last.map_or(&[][..], VerifiedKeyset::entries);
    if let Some(gone) =
        entries.iter().find(|entry| draft.file.record(entry.kid()).is_none() && !is_removable(entry))
    {
        let kid = gone.kid();
        return Err(Failure::usage(format!(
            "key {kid} was removed and is {} in the signed keyset",
            gone.state
        ))
        .hint("put its entry back; `taskseal keyset disable`, `destroy` and `remove` end a key"));
    }
    let mut changed = Vec::new();
    for record in draft.file.records() {
        match entries.iter().find(|entry| entry.kid() == record.kid()) {
            None => changed.push(record.kid()),
            Some(before) => {
                check_change(draft, last, before, record)?;
                if before.state != record.state() {
                    changed.push(record.kid());
                }
            }
        }
    }
    Ok(changed)
}

const fn is_removable(entry: &Entry<'_>) -> bool {
    matches!(entry.state, KeyState::Destroyed)
}

/// The signer checks transitions: a verifier may have missed keysets.
fn check_change(
    draft: &Draft,
    last: Option<&VerifiedKeyset<'_, MAX_ENTRIES>>,
    before: &Entry<'_>,
    record: &Record,
) -> Result<(), Failure> {
    let (kid, from, to) = (record.kid(), before.state, record.state());
    let Some(last) = last else { return Ok(()) };
    // The draft of core has the rules; its times play no part here.
    let mut next = last
        .draft(draft.now, draft.now.saturating_add(1))
        .map_err(|error| Failure::usage(format!("the keyset cannot be continued: {error}")))?;
    match next.replace(record.to_entry()) {
        Ok(()) => Ok(()),
        Err(BuildError::StateNotAllowed) => {
            Err(Failure::usage(format!("key {kid} is {from} in the signed keyset and cannot become {to}"))
                .hint(
                    "sign the states in between, each in its own keyset: `taskseal keyset show keyset.cose`",
                ))
        }
        Err(BuildError::KeyChanged) => {
            Err(Failure::usage(format!("the key or the purpose of {kid} differs from the signed keyset"))
                .hint("put its entry back, and add another key instead"))
        }
        Err(error) => {
            Err(Failure::usage(format!("key {kid} cannot be signed: {error}")).hint("correct its entry"))
        }
    }
}
