//! `taskseal quarantine ls`.

use serde_json::{Map, Value, json};
use taskseal::quarantine::Entry;

use super::Store;
use super::details::members;
use super::select::Filters;
use crate::failure::Failure;
use crate::output::text;
use crate::time_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filters: Filters,
}

/// Maximum number of entries in one call.
const PAGE: usize = 256;

pub(super) fn run(store: &Store<'_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let filter = args.filters.filter()?;
    let mut rows = Vec::new();
    let mut offset = 0;
    loop {
        let page = store.call(|quarantine| quarantine.list(&filter, offset, PAGE))?;
        if page.is_empty() {
            break;
        }
        offset += page.len();
        for entry in page {
            if ui.json() {
                ui.object(members(&entry))?;
            } else {
                rows.push(row(&entry));
            }
        }
    }
    let evicted = store.call(|quarantine| quarantine.evicted())?;
    if ui.json() {
        return show_evicted_as_json(&evicted, ui);
    }
    ui.text(&text::table(["NUMBER", "CODE", "COUNT", "LAST SEEN", "STATE", "QUEUE", "TASK"], &rows))?;
    note_evicted(&evicted, ui);
    Ok(())
}

/// Prints how many entries were evicted, by code, as the last object, if there are any.
fn show_evicted_as_json(evicted: &[(String, u64)], ui: &Ui) -> Result<(), Failure> {
    if evicted.is_empty() {
        return Ok(());
    }
    let mut by_code = Map::new();
    for (code, count) in evicted {
        by_code.insert(code.clone(), json!(count));
    }
    ui.object(vec![("evicted", Value::Object(by_code))])
}

fn note_evicted(evicted: &[(String, u64)], ui: &Ui) {
    if evicted.is_empty() {
        return;
    }
    let total: u64 = evicted.iter().map(|(_, count)| count).sum();
    let by_code: Vec<_> = evicted.iter().map(|(code, count)| format!("{count} {code}")).collect();
    ui.note(&format!("evicted since the quarantine was created: {total} ({})", by_code.join(", ")));
}

fn row(entry: &Entry) -> [String; 7] {
    [
        entry.id.0.to_string(),
        entry.code.clone(),
        entry.count.to_string(),
        time_arg::known(entry.last_seen_at).unwrap_or_else(|| "-".to_owned()),
        entry.disposition.as_str().to_owned(),
        entry.queue.clone(),
        entry.task_id.clone(),
    ]
}
