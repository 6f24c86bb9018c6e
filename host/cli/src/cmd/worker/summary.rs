//! What a worker did, printed when it ends.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taskseal::worker::Tally;
use taskseal_core::Refusal;

use crate::failure::Failure;
use crate::output::json;
use crate::ui::Ui;

/// Prints the counts: as JSON on standard output, else as a note.
pub(super) fn print(tally: &Tally, ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        let mut members = Vec::from(counts(tally).map(|(name, count)| (name, json!(count))));
        members.push(("postponed", by_code(&tally.postponed)));
        members.push(("refused", by_code(&tally.refused)));
        return ui.object(members);
    }
    ui.note(&format!("done: {}", text(tally)));
    Ok(())
}

fn text(tally: &Tally) -> String {
    let mut parts: Vec<String> = vec![format!("{} succeeded", tally.succeeded)];
    let rest = counts(tally)
        .into_iter()
        .filter(|(name, count)| *count > 0 && !matches!(*name, "started" | "succeeded"));
    parts.extend(rest.map(|(name, count)| format!("{count} {}", name.replace('_', " "))));
    for (name, counts) in [("postponed", &tally.postponed), ("refused", &tally.refused)] {
        let total: u64 = counts.values().sum();
        if total > 0 {
            let reasons: Vec<_> =
                counts.iter().map(|(refusal, count)| format!("{count} {}", refusal.code())).collect();
            parts.push(format!("{total} {name} ({})", reasons.join(", ")));
        }
    }
    parts.join(", ")
}

fn by_code(counts: &BTreeMap<Refusal, u64>) -> Value {
    json::nested(counts.iter().map(|(refusal, count)| (refusal.code(), json!(count))).collect())
}

fn counts(tally: &Tally) -> [(&'static str, u64); 16] {
    [
        ("started", tally.started),
        ("succeeded", tally.succeeded),
        ("settled_again", tally.settled_again),
        ("retried", tally.retried),
        ("archived", tally.archived),
        ("given_back", tally.given_back),
        ("lease_lost", tally.lease_lost),
        ("lock_lost", tally.lock_lost),
        ("dropped", tally.dropped),
        ("recovered", tally.recovered),
        ("trimmed", tally.trimmed),
        ("broker_failures", tally.broker_failures),
        ("evicted", tally.evicted),
        ("state_failures", tally.state_failures),
        ("key_unavailable", tally.key_unavailable),
        ("gave_up", tally.gave_up),
    ]
}
