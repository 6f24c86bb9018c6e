//! `taskseal keyset activate`: a staged key seals, and the key that it replaces retires.

use taskseal::keys::Record;
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use super::obstacle::Waiting;
use super::{ChangeArgs, Changed, arrival, changed, kid, not_allowed, retire_now, same_purpose};
use crate::cmd::keyset::draft::{Draft, Signed, read_signed, verify_signed};
use crate::cmd::keyset::fleet;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(in crate::cmd::keyset) struct Args {
    #[command(flatten)]
    pub(in crate::cmd::keyset) change: ChangeArgs,
    /// Primary key that retires [default: the one with the same purpose and rights]
    #[arg(long, value_name = "KID", value_parser = kid)]
    replaces: Option<KeyId>,
    /// Let the key seal beside those with the same purpose and rights; none retires
    #[arg(long, conflicts_with = "replaces")]
    beside: bool,
}

pub(in crate::cmd::keyset) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let change = &args.change;
    let mut draft = change.open()?;
    fleet::ask_running(&mut draft, global, ui);
    let record = draft.record(change.kid)?;
    if !matches!(record.state(), KeyState::Staged | KeyState::Retiring) {
        return Err(not_allowed(change.kid, record.state(), KeyState::Primary));
    }
    let old = replaced(args, &draft, record)?;
    let bytes = read_signed(&draft.file)?;
    let signed = verify_signed(&draft.file, bytes.as_deref())?;
    waiting(&draft, &signed, record).check(change, ui)?;
    let changes = activate(&mut draft, change.kid, old)?;
    change.finish(&mut draft, &changes, &[], ui)
}

/// Makes a key primary. `old` retires.
pub(in crate::cmd::keyset) fn activate(
    draft: &mut Draft,
    kid: KeyId,
    old: Option<KeyId>,
) -> Result<Vec<Changed>, Failure> {
    let (now, arrival) = (draft.now, arrival(draft));
    let was_retiring = draft.record(kid)?.state() == KeyState::Retiring;
    let mut changes = vec![changed(draft, kid, KeyState::Primary, |times| {
        // A rotation that is reverted: the times of its retirement no longer apply.
        if was_retiring {
            (times.sign_until, times.accept_until) = (None, None);
        }
        times.use_from = times.use_from.or(Some(now));
    })?];
    if let Some(old) = old {
        changes.push(changed(draft, old, KeyState::Retiring, |times| retire_now(times, now, arrival))?);
    }
    Ok(changes)
}

/// Returns the key that retires.
fn replaced(args: &Args, draft: &Draft, record: &Record) -> Result<Option<KeyId>, Failure> {
    if args.beside {
        return Ok(None);
    }
    if let Some(old) = args.replaces {
        let state = draft.record(old)?.state();
        return if state == KeyState::Primary {
            Ok(Some(old))
        } else {
            Err(not_allowed(old, state, KeyState::Retiring))
        };
    }
    predecessor(draft, record)
}

/// Returns the primary key with the same purpose and rights, which a key replaces.
pub(in crate::cmd::keyset) fn predecessor(draft: &Draft, record: &Record) -> Result<Option<KeyId>, Failure> {
    let others = same_purpose(draft, record);
    if others.len() > 1 {
        let others: Vec<_> = others.iter().map(KeyId::to_string).collect();
        return Err(Failure::usage(format!(
            "several primary keys have the purpose and rights of key {}: {}",
            record.kid(),
            others.join(", ")
        ))
        .hint("name the one that retires with --replaces KID, or use --beside"));
    }
    Ok(others.first().copied())
}

/// Returns what the activation of a key has to wait for.
pub(in crate::cmd::keyset) fn waiting<'d>(
    draft: &'d Draft,
    signed: &'d Signed<'d>,
    record: &Record,
) -> Waiting<'d> {
    let mut waiting = Waiting::new(draft, signed);
    if record.state() == KeyState::Retiring {
        waiting.until_signed(record.kid(), &[KeyState::Retiring, KeyState::Primary]);
        // Every verifier has known a key that retired since it was primary. For a key that was enabled, some still refuse it.
        if record.sign_until().is_none() {
            waiting.until_distributed(record.kid(), record.since());
            waiting.until_fetched();
        }
    } else {
        waiting.until_signed(record.kid(), &[KeyState::Staged]);
        waiting.until_distributed(record.kid(), record.since());
        waiting.until_fetched();
    }
    waiting
}
