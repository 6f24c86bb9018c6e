//! `taskseal keyset activate`: a staged key seals, and the key that it replaces retires.

use taskseal::keys::Record;
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use super::obstacle::Waiting;
use super::{ChangeArgs, arrival, changed, kid, not_allowed, retire_now, same_purpose};
use crate::cmd::keyset::draft::{Draft, read_signed, verify_signed};
use crate::failure::Failure;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(in crate::cmd::keyset) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Primary key that retires [default: the one with the same purpose and rights]
    #[arg(long, value_name = "KID", value_parser = kid)]
    replaces: Option<KeyId>,
    /// Let the key seal beside those with the same purpose and rights; none retires
    #[arg(long, conflicts_with = "replaces")]
    beside: bool,
}

pub(in crate::cmd::keyset) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let change = &args.change;
    let mut draft = change.open()?;
    let record = draft.record(change.kid)?;
    if !matches!(record.state(), KeyState::Staged | KeyState::Retiring) {
        return Err(not_allowed(change.kid, record.state(), KeyState::Primary));
    }
    let old = replaced(args, &draft, record)?;
    check(change, &draft, record, ui)?;
    let (now, arrival) = (draft.now, arrival(&draft));
    let was_retiring = record.state() == KeyState::Retiring;
    let mut changes = vec![changed(&mut draft, change.kid, KeyState::Primary, |times| {
        // A rotation that is reverted: the times of its retirement no longer apply.
        if was_retiring {
            (times.sign_until, times.accept_until) = (None, None);
        }
        times.use_from = times.use_from.or(Some(now));
    })?];
    if let Some(old) = old {
        let retired = changed(&mut draft, old, KeyState::Retiring, |times| retire_now(times, now, arrival))?;
        changes.push(retired);
    }
    change.finish(&mut draft, &changes, &[], ui)
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

fn check(args: &ChangeArgs, draft: &Draft, record: &Record, ui: &Ui) -> Result<(), Failure> {
    // Every verifier has known a retiring key since it was primary.
    if record.state() == KeyState::Retiring {
        return Ok(());
    }
    let bytes = read_signed(&draft.file)?;
    let signed = verify_signed(&draft.file, bytes.as_deref())?;
    let mut waiting = Waiting::new(draft, &signed);
    waiting.until_signed(args.kid, &[KeyState::Staged]);
    waiting.until_distributed(args.kid, record.since());
    waiting.until_fetched();
    waiting.check(args, ui)
}
