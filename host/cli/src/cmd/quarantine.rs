//! `taskseal quarantine`: what workers refused on this host, why, and what to do about it.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use taskseal::QueueName;
use taskseal::config::SetupError;
use taskseal::quarantine::{Entry, EntryId, Filter, Quarantine, StateError};
use taskseal_core::{KeyId, Refusal};

use crate::failure::Failure;
use crate::global::Global;
use crate::output::json::{Member, hex};
use crate::output::text;
use crate::refusal_hint::refusal_hint;
use crate::session::setup_failure;
use crate::ui::Ui;
use crate::{file_arg, project, time_arg};

/// Show refused tasks
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal quarantine ls --code unknown-key")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List refused tasks, oldest first
    #[command(after_help = "Example:\n  taskseal quarantine ls --code unknown-key")]
    Ls(Ls),
    /// Show why one task was refused and what to do about it
    #[command(after_help = "Example:\n  taskseal quarantine show 1 --payload refused.cose")]
    Show(Show),
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Only tasks with this refusal code
    #[arg(long)]
    code: Option<String>,
    /// Only tasks from this queue
    #[arg(long)]
    queue: Option<QueueName>,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Number of the entry
    number: i64,
    /// New file for the refused payload; - is standard output
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
}

/// Maximum number of entries in one call.
const PAGE: usize = 256;

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    let failed = |error: StateError| setup_failure(&config, SetupError::State(error));
    // Without a file, no worker has refused a task yet.
    let quarantine = config.existing_quarantine().map_err(|error| setup_failure(&config, error))?;
    match &args.command {
        Command::Ls(args) => ls(quarantine.as_ref(), &filter(args)?, ui, failed),
        Command::Show(args) => {
            let find = |quarantine: Quarantine| quarantine.find(EntryId(args.number)).map_err(failed);
            let found = quarantine.map(find).transpose()?.flatten();
            let (entry, payload) = found.ok_or_else(|| {
                Failure::not_found(format!("entry {} not found", args.number))
                    .hint("`taskseal quarantine ls` lists the entries")
            })?;
            show(&entry, &payload, args, ui)
        }
    }
}

fn filter(args: &Ls) -> Result<Filter, Failure> {
    if let Some(code) = args.code.as_deref().filter(|code| Refusal::from_code(code).is_none()) {
        let codes: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        return Err(Failure::usage(format!("`{code}` is not a refusal code"))
            .hint(format!("one of {}", codes.join(", "))));
    }
    Ok(Filter { code: args.code.clone(), queue: args.queue.clone() })
}

fn ls(
    quarantine: Option<&Quarantine>,
    filter: &Filter,
    ui: &Ui,
    failed: impl Fn(StateError) -> Failure,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut offset = 0;
    while let Some(quarantine) = quarantine {
        let page = quarantine.list(filter, offset, PAGE).map_err(&failed)?;
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
    let evicted = quarantine.map(Quarantine::evicted).transpose().map_err(&failed)?.unwrap_or_default();
    if ui.json() {
        return show_evicted_as_json(&evicted, ui);
    }
    ui.text(&text::table(["NUMBER", "CODE", "COUNT", "LAST SEEN", "QUEUE", "TASK"], &rows))?;
    note_evicted(&evicted, ui);
    Ok(())
}

/// Prints how many entries were evicted, by code, as the last object, if there are any.
fn show_evicted_as_json(evicted: &[(String, u64)], ui: &Ui) -> Result<(), Failure> {
    if evicted.is_empty() {
        return Ok(());
    }
    let by_code: Map<String, Value> =
        evicted.iter().map(|(code, count)| (code.clone(), json!(count))).collect();
    ui.object([("evicted", Value::Object(by_code))])
}

fn note_evicted(evicted: &[(String, u64)], ui: &Ui) {
    if evicted.is_empty() {
        return;
    }
    let total: u64 = evicted.iter().map(|(_, count)| count).sum();
    let by_code: Vec<_> = evicted.iter().map(|(code, count)| format!("{count} {code}")).collect();
    ui.note(&format!("evicted since the quarantine was created: {total} ({})", by_code.join(", ")));
}

fn row(entry: &Entry) -> [String; 6] {
    [
        entry.id.0.to_string(),
        entry.code.clone(),
        entry.count.to_string(),
        time_arg::known(entry.last_seen_at).unwrap_or_else(|| "-".to_owned()),
        entry.queue.clone(),
        entry.task_id.clone(),
    ]
}

fn members(entry: &Entry) -> Vec<Member> {
    let mut members = vec![("number", json!(entry.id.0)), ("code", json!(entry.code))];
    if let Some(refusal) = Refusal::from_code(&entry.code) {
        members.push(("meaning", json!(refusal.to_string())));
        members.push(("next_step", json!(refusal_hint(refusal))));
    }
    members.push(("detail", json!(entry.detail)));
    if let Some(kid) = entry.kid {
        members.push(("kid", json!(KeyId::from_bytes(kid).to_string())));
        members.push(("kid_known", json!(entry.kid_known)));
    }
    members.extend([
        ("queue", json!(entry.queue)),
        ("id", json!(entry.task_id)),
        ("unverified_type", json!(entry.unverified_type)),
        ("unverified_issuer", json!(entry.unverified_issuer)),
        ("digest", json!(hex(&entry.digest))),
        ("first_seen", json!(time_arg::known(entry.first_seen_at))),
        ("last_seen", json!(time_arg::known(entry.last_seen_at))),
        ("count", json!(entry.count)),
        ("disposition", json!(entry.disposition.as_str())),
        ("message_bytes", json!(entry.payload_len)),
    ]);
    members.retain(|(_, value)| !value.is_null());
    members
}

fn show(entry: &Entry, payload: &[u8], args: &Show, ui: &Ui) -> Result<(), Failure> {
    if let Some(file) = &args.payload {
        file_arg::write(file, payload, ui)?;
        if file_arg::is_standard(file) {
            return Ok(());
        }
    }
    if ui.json() { ui.object(members(entry)) } else { ui.text(&text::members(&members(entry))) }
}
