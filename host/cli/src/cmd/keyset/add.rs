//! `taskseal keyset add`: entries that `taskseal keygen` printed become part of the draft.

use std::path::PathBuf;

use serde_json::json;
use taskseal::keys::{DraftFile, Record, StateChange};
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use super::draft::{Draft, KEYSET};
use crate::failure::Failure;
use crate::file_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File with entries that `taskseal keygen` printed; - is standard input
    #[arg(value_name = "FILE")]
    entries: PathBuf,
    /// Whether the keys are only made known to verifiers for now (staged), or seal at once (primary)
    #[arg(long, value_name = "STATE", default_value = "staged", value_parser = ["staged", "primary"])]
    state: String,
    /// Draft of the keyset
    #[arg(long, value_name = "FILE", default_value = KEYSET)]
    keyset: PathBuf,
    /// Print what would be added, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Maximum length of the entries, in bytes.
const MAX_ENTRIES_LEN: usize = 1 << 20;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let mut draft = Draft::open(&args.keyset)?;
    let text = file_arg::read(&args.entries, MAX_ENTRIES_LEN)?;
    let text = String::from_utf8(text.to_vec())
        .map_err(|_| Failure::usage(format!("{}: not UTF-8", args.entries.display())))?;
    let mut added = DraftFile::of_text(&args.entries, text).map_err(Failure::keyring)?;
    let state = if args.state == "primary" { KeyState::Primary } else { KeyState::Staged };
    let kids = kids(&draft, &added, args)?;
    for kid in &kids {
        let change = added.record(*kid).map(|record| entered(record, state, draft.now));
        change.map_or(Ok(()), |change| added.change(*kid, &change)).map_err(Failure::keyring)?;
    }
    draft.file.append(added.text()).map_err(Failure::keyring)?;
    if state == KeyState::Primary && draft.file.settings().is_some_and(|settings| settings.sequence.is_some())
    {
        ui.warn("hosts that have not fetched the next keyset will refuse what these keys seal; staged keys avoid that");
    }
    draft.store(args.dry_run)?;
    print(args, &draft, &kids, state, ui)
}

fn kids(draft: &Draft, added: &DraftFile, args: &Args) -> Result<Vec<KeyId>, Failure> {
    let fault = |message: String, hint: &str| Err(Failure::usage(message).hint(hint));
    let file = args.entries.display();
    if added.settings().is_some() {
        return fault(format!("{file}: has a table [keyset]"), "name a file with [[key]] entries only");
    }
    let kids: Vec<_> = added.records().map(Record::kid).collect();
    if kids.is_empty() {
        return fault(format!("{file}: has no entries"), "`taskseal keygen` prints entries");
    }
    let roots = draft.file.settings().map_or(&[][..], |settings| settings.roots.as_slice());
    if let Some(root) = roots.iter().find(|root| kids.contains(&root.kid())) {
        return fault(
            format!("{file}: key {} is a root", root.kid()),
            "generate another key: a root signs keysets only",
        );
    }
    Ok(kids)
}

fn entered(record: &Record, state: KeyState, now: u64) -> StateChange {
    StateChange {
        state,
        since: now,
        use_from: record.use_from(),
        sign_until: record.sign_until(),
        accept_until: record.accept_until(),
    }
}

fn print(args: &Args, draft: &Draft, kids: &[KeyId], state: KeyState, ui: &Ui) -> Result<(), Failure> {
    let next = draft.next();
    if ui.json() {
        let kids: Vec<_> = kids.iter().map(KeyId::to_string).collect();
        return ui.object(vec![
            ("added", json!(kids)),
            ("state", json!(state.name())),
            ("dry_run", json!(args.dry_run)),
            ("next", json!([next])),
        ]);
    }
    for kid in kids {
        ui.text(&format!("{kid}  {state}\n"))?;
    }
    ui.note(&format!("{}: {next}", if args.dry_run { "changed nothing; next would be" } else { "next" }));
    Ok(())
}
