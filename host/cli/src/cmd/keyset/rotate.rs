//! `taskseal rotate`: takes the steps of a rotation that are due. Its state is the keyset itself, so that it can be resumed.

mod generate;
mod steps;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use taskseal::keys::{Algorithm, Record};
use taskseal_core::{KeyId, Kind};
use taskseal_hsm::KeyUri;

use self::steps::Step;
use super::change::{kid, rights};
use super::draft::{Draft, KEYSET};
use super::fleet;
use crate::failure::Failure;
use crate::global::Global;
use crate::time_arg;
use crate::trail::Trail;
use crate::ui::Ui;

/// Replace keys step by step: run it again until nothing is due
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal rotate signing --out keys/2027.key\n  taskseal rotate agreement --every 90d --dry-run"
)]
pub(crate) struct Args {
    /// Which keys: signing (of tasks), result (of results), agreement (bodies are encrypted to them), shared (HS256, A256GCM)
    #[arg(value_parser = ["signing", "result", "agreement", "shared"])]
    purpose: String,
    /// A key of the ones to rotate, if several kinds have this purpose
    #[arg(long, value_name = "KID", value_parser = kid)]
    key: Option<KeyId>,
    /// Begin a rotation only if the primary key has been in use for this time
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    every: Option<Duration>,
    /// New file in which the next key is generated [default: print the command that generates it on the host that uses it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Generate the next key pair in this token, with the label of the URI
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse, conflicts_with = "out")]
    pkcs11: Option<KeyUri>,
    /// Draft of the keyset
    #[arg(long, value_name = "FILE", default_value = KEYSET)]
    keyset: PathBuf,
    /// Print the steps that are due, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(in crate::cmd) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let mut draft = Draft::open(&args.keyset)?;
    fleet::ask_running(&mut draft, global, ui);
    let group = group(args, &draft)?;
    let trail = if args.dry_run { Trail::none(ui) } else { Trail::of_command(global, ui)? };
    let steps = steps::take(args, &mut draft, &group, &trail)?;
    if !args.dry_run {
        trail.all(steps.iter().filter_map(Step::recorded).collect(), || draft.store(false))?;
    }
    print(args, &draft, &steps, ui)
}

/// Returns whether a key has the purpose.
fn has_purpose(purpose: &str, record: &Record) -> bool {
    match (record.key().algorithm(), record.kind()) {
        (None, _) => false,
        (Some(Algorithm::EcdhEs), _) => purpose == "agreement",
        (_, Kind::Result) => purpose == "result",
        (Some(Algorithm::Es256), _) => purpose == "signing",
        _ => purpose == "shared",
    }
}

/// Returns the keys with one purpose and the same rights, which replace each other.
fn group(args: &Args, draft: &Draft) -> Result<Vec<KeyId>, Failure> {
    let identity = |record: &Record| {
        let rights = rights(record).map(|patterns| patterns.join(" "));
        (record.key().algorithm().map(Algorithm::name), record.kind() == Kind::Result, rights)
    };
    let candidates: Vec<_> =
        draft.file.records().filter(|record| has_purpose(&args.purpose, record)).collect();
    let wanted = match args.key {
        Some(kid) => Some(draft.record(kid)?),
        None => candidates.first().copied(),
    };
    let purpose = &args.purpose;
    let Some(wanted) = wanted.filter(|record| has_purpose(purpose, record)) else {
        return Err(Failure::not_found(format!(
            "{}: no such key of the purpose `{purpose}`",
            args.keyset.display()
        ))
        .hint("`taskseal keyset show` lists the keys"));
    };
    let (group, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|record| identity(record) == identity(wanted));
    if let (None, [other, ..]) = (args.key, &others[..]) {
        let message = format!(
            "keys {} and {} have this purpose and other rights or another use",
            wanted.kid(),
            other.kid()
        );
        return Err(Failure::usage(message).hint("name one with --key KID; rotate the other one separately"));
    }
    Ok(group.into_iter().map(Record::kid).collect())
}

fn print(args: &Args, draft: &Draft, steps: &[Step], ui: &Ui) -> Result<(), Failure> {
    let changes = steps.iter().any(|step| step.is_taken());
    let mut next: Vec<_> = if changes { vec![draft.next()] } else { Vec::new() };
    next.extend(steps.iter().flat_map(Step::commands));
    if ui.json() {
        let steps: Vec<_> = steps.iter().map(Step::object).collect();
        let members = vec![("steps", json!(steps)), ("dry_run", json!(args.dry_run)), ("next", json!(next))];
        return ui.object(members);
    }
    steps.iter().try_for_each(|step| ui.text(&step.line()))?;
    if steps.is_empty() {
        ui.note("nothing is due");
    }
    if !next.is_empty() {
        let prefix = if args.dry_run { "changed nothing; next would be" } else { "next" };
        ui.note(&format!("{prefix}: {}", next.join("; ")));
    }
    Ok(())
}
