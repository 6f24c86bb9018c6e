//! `taskseal quarantine prune`.

use serde_json::json;
use taskseal::audit::QuarantineChange;
use taskseal::quarantine::EntryId;

use super::select::Selection;
use super::{Store, audited, not_found};
use crate::failure::Failure;
use crate::trail::{Action, Trail};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
}

/// Number of entries in one call: workers wait for it.
const BATCH: usize = 500;

pub(super) fn run(store: &Store<'_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let ids = args.selection.entries(store, "remove", ui)?;
    let trail = Trail::open(store.config, ui)?;
    let mut action = trail.begin(audited(QuarantineChange::Prune, &ids))?;
    let removed = remove(store, &ids, &mut action);
    let mut removed = action.end(removed)?;
    removed.resize(ids.len(), false);
    let count = removed.iter().filter(|removed| **removed).count();
    if ui.json() {
        ui.object(vec![("matched", json!(ids.len())), ("removed", json!(count))])?;
    } else {
        ui.text(&format!("removed: {count} of {} entries\n", ids.len()))?;
    }
    let missing = ids.iter().zip(&removed).find(|(_, removed)| !**removed);
    match missing {
        // An entry that matched may have been removed since by another process.
        Some((id, _)) if args.selection.names_entries() => Err(not_found(*id)),
        _ => Ok(()),
    }
}

/// Removes entries, and returns which of them were there.
fn remove(store: &Store<'_>, ids: &[EntryId], action: &mut Action<'_>) -> Result<Vec<bool>, Failure> {
    let mut removed = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let batch = store.call(|quarantine| quarantine.remove(batch))?;
        action.count(batch.iter().filter(|removed| **removed).count());
        removed.extend(batch);
    }
    Ok(removed)
}
