//! `taskseal keyset disable`: what a key sealed is no longer accepted.

use taskseal::keys::Record;
use taskseal_core::keyset::signed::KeyState;

use super::ChangeArgs;
use super::obstacle::Waiting;
use crate::cmd::keyset::draft::{Draft, Signed, read_signed, verify_signed};
use crate::failure::Failure;
use crate::ui::Ui;

pub(in crate::cmd::keyset) fn run(args: &ChangeArgs, ui: &Ui) -> Result<(), Failure> {
    let draft = args.open()?;
    let record = draft.record(args.kid)?;
    let bytes = read_signed(&draft.file)?;
    let signed = verify_signed(&draft.file, bytes.as_deref())?;
    // What cannot be disabled fails with that reason, not with one to wait.
    if record.state().can_become(KeyState::Disabled) {
        waiting(&draft, &signed, record).check(args, ui)?;
    }
    args.simple(draft, KeyState::Disabled, &[args.command("destroy")], ui)
}

/// Returns what the end of a key has to wait for: nothing that it sealed may be in transit.
pub(in crate::cmd::keyset) fn waiting<'d>(
    draft: &'d Draft,
    signed: &'d Signed<'d>,
    record: &Record,
) -> Waiting<'d> {
    let mut waiting = Waiting::new(draft, signed);
    match record.state() {
        KeyState::Primary => waiting.until_retired(record.kid(), record.accept_until()),
        KeyState::Retiring => {
            waiting.until_signed(record.kid(), &[KeyState::Retiring]);
            waiting.until_arrived(record.accept_until());
        }
        // A staged key has sealed nothing.
        _ => {}
    }
    waiting
}
