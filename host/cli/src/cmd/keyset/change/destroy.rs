//! `taskseal keyset destroy`: a disabled or revoked key is reduced to its kid.

use taskseal::keys::Record;
use taskseal_core::keyset::signed::KeyState;

use super::obstacle::Waiting;
use super::{ChangeArgs, changed, not_allowed};
use crate::cmd::keyset::draft::{Draft, Signed, read_signed, verify_signed};
use crate::cmd::keyset::fleet;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

pub(in crate::cmd::keyset) fn run(args: &ChangeArgs, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let mut draft = args.open()?;
    fleet::ask_running(&mut draft, global, ui);
    let record = draft.record(args.kid)?;
    let state = record.state();
    if !matches!(state, KeyState::Disabled | KeyState::Compromised) {
        return Err(not_allowed(args.kid, state, KeyState::Destroyed));
    }
    let bytes = read_signed(&draft.file)?;
    let signed = verify_signed(&draft.file, bytes.as_deref())?;
    waiting(&draft, &signed, record).check(args, ui)?;
    let change = changed(&mut draft, args.kid, KeyState::Destroyed, |_| {})?;
    let more = ["erase its private key on every host that has it".to_owned(), args.command("remove")];
    args.finish(&mut draft, &[change], &more, ui)
}

/// Returns what the destruction of a key has to wait for.
pub(in crate::cmd::keyset) fn waiting<'d>(
    draft: &'d Draft,
    signed: &'d Signed<'d>,
    record: &Record,
) -> Waiting<'d> {
    let state = record.state();
    // A revoked key is accepted nowhere, whatever its times say.
    let accepted = record.accept_until().filter(|_| state == KeyState::Disabled);
    let mut waiting = Waiting::new(draft, signed);
    waiting.until_signed(record.kid(), &[state]);
    waiting.until_distributed(record.kid(), record.since().max(accepted));
    waiting.until_fetched();
    waiting
}
