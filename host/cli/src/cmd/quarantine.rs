//! `taskseal quarantine`: what workers refused on this host, why, and what to do about it.

use std::path::PathBuf;

use serde_json::{Value, json};
use taskseal::QueueName;
use taskseal::quarantine::{Entry, EntryId, Filter, StateError};
use taskseal::setup::{self, SetupError};
use taskseal_core::{KeyId, Refusal};

use super::session::failed_setup;
use super::{explain, input, moment, show};
use crate::cli::Global;
use crate::keys;
use crate::ui::{Failure, Ui};

/// Look at refused tasks
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
    /// Only those refused for this reason
    #[arg(long)]
    code: Option<String>,
    /// Only those from this queue
    #[arg(long)]
    queue: Option<QueueName>,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The number of the entry
    number: i64,
    /// Writes the payload, as it was refused, to a new file; - is standard output
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
}

/// Entries read at once.
const PAGE: usize = 256;

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = keys::config(global)?;
    let failed = |error: StateError| failed_setup(&config, SetupError::State(error));
    let quarantine = setup::quarantine(&config).map_err(|error| failed_setup(&config, error))?;
    match &args.command {
        Command::Ls(args) => {
            if let Some(code) = args.code.as_deref().filter(|code| Refusal::from_code(code).is_none()) {
                let codes: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
                return Err(Failure::usage(format!("`{code}` is no reason"))
                    .hint(format!("one of {}", codes.join(", "))));
            }
            let filter = Filter { code: args.code.clone(), queue: args.queue.clone() };
            let mut rows = Vec::new();
            let mut offset = 0;
            loop {
                let page = quarantine.list(&filter, offset, PAGE).map_err(failed)?;
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
            if ui.json() {
                return Ok(());
            }
            ui.text(&show::table(["NUMBER", "CODE", "COUNT", "LAST SEEN", "QUEUE", "TASK"], &rows))
        }
        Command::Show(args) => {
            let found = quarantine.find(EntryId(args.number)).map_err(failed)?;
            let (entry, payload) = found.ok_or_else(|| {
                Failure::not_found(format!("no entry {}", args.number))
                    .hint("`taskseal quarantine ls` lists those there are")
            })?;
            show_entry(&entry, &payload, args, ui)
        }
    }
}

fn row(entry: &Entry) -> [String; 6] {
    [
        entry.id.0.to_string(),
        entry.code.clone(),
        entry.count.to_string(),
        moment::show(entry.last_seen_at),
        entry.queue.clone(),
        entry.task_id.clone(),
    ]
}

fn members(entry: &Entry) -> Vec<(&'static str, Value)> {
    let mut members = vec![("number", json!(entry.id.0)), ("code", json!(entry.code))];
    if let Some(refusal) = Refusal::from_code(&entry.code) {
        members.push(("meaning", json!(refusal.to_string())));
        members.push(("next_step", json!(explain::next_step(refusal))));
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
        ("digest", json!(show::hex(&entry.digest))),
        ("first_seen", json!(moment::show(entry.first_seen_at))),
        ("last_seen", json!(moment::show(entry.last_seen_at))),
        ("count", json!(entry.count)),
        ("disposition", json!(entry.disposition.as_str())),
        ("message_bytes", json!(entry.payload_len)),
    ]);
    members.retain(|(_, value)| !value.is_null());
    members
}

fn show_entry(entry: &Entry, payload: &[u8], args: &Show, ui: &Ui) -> Result<(), Failure> {
    if let Some(file) = &args.payload {
        input::write(file, payload, ui)?;
        if file.as_os_str() == "-" {
            return Ok(());
        }
    }
    if ui.json() { ui.object(members(entry)) } else { ui.text(&show::lines(&members(entry))) }
}
