//! `taskseal explain`: every check that a worker with this configuration makes of a task, with what it finds and what it requires.

mod checks;
mod source;

use std::path::PathBuf;

use serde_json::{Value, json};
use taskseal::QueueName;
use taskseal_core::Refusal;

use self::checks::Check;
use self::source::Source;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::text;
use crate::project;
use crate::refusal_hint::{UNUSABLE_KEY, refusal_hint};
use crate::ui::Ui;

/// Show every check that a worker makes of a task, with what it finds and what it requires
///
/// The checks are in the order of the worker, which ends at the first that fails. Keys and policy come from the configuration of
/// this host, and the replay ledger is asked whether the task has run. Nothing is run or changed. Exits with 3 if a worker would not
/// run the task.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal explain 7")]
pub(crate) struct Args {
    /// An envelope file, the number of a quarantine entry, or the id of a task in a queue; - is standard input
    #[arg(value_name = "ID|FILE")]
    task: PathBuf,
    /// Queue that the task was taken from [default: that of the entry; the first of the worker; search all for an id]
    #[arg(long)]
    queue: Option<QueueName>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    let source = Source::find(&config, global, &args.task, args.queue.as_ref())?;
    let checks = checks::all(&config, &source)?;
    let refused = checks::refused(&checks);
    let next = refused.map_or_else(|| source.next_step(), |(check, refusal)| next_step(check, refusal));
    if ui.json() {
        let accepted = refused.is_none();
        ui.object(vec![
            ("queue", json!(source.queue.as_str())),
            ("accepted", json!(accepted)),
            ("refused", json!(refused.map(|(_, refusal)| refusal.code()))),
            ("checks", Value::Array(checks.iter().map(Check::object).collect())),
            ("next", json!(next)),
        ])?;
    } else {
        let rows: Vec<_> = checks.iter().map(Check::row).collect();
        ui.text(&text::table(["CHECK", "VERDICT", "FOUND", "REQUIRED"], &rows))?;
    }
    match refused {
        None => {
            ui.note(&format!("a worker with this configuration would run it: {next}"));
            Ok(())
        }
        Some((check, refusal)) => {
            let message = format!("refused by the check {}: {refusal} ({})", check.name, refusal.code());
            Err(Failure::refused(message).hint(next))
        }
    }
}

fn next_step(check: &Check, refusal: Refusal) -> String {
    match check.name {
        "rule" => "`taskseal policy check` shows the rules; workers load a changed policy file by themselves".to_owned(),
        "destroyed-key" => UNUSABLE_KEY.to_owned(),
        "mode" => "`taskseal rollout status` shows the modes; have the producer seal, or set the mode in the policy file".to_owned(),
        _ => refusal_hint(refusal).to_owned(),
    }
}
