//! `taskseal explain`: every check that a worker with this configuration makes of a task, with what it finds and what it requires.

mod checks;
mod source;

use std::path::PathBuf;

use serde_json::{Value, json};
use taskseal::QueueName;
use taskseal_core::Refusal;

use self::checks::{Check, Outcome};
use self::source::Source;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::text;
use crate::project;
use crate::refusal_hint::{UNUSABLE_KEY, refusal_hint};
use crate::time_arg;
use crate::ui::Ui;

/// Show every check that a worker makes of a task, with what it finds and what it requires
///
/// The checks are in the order of the worker, which ends at the first that fails. Keys and policy come from the configuration of
/// this host, and the replay ledger is asked whether the task has run. Nothing is run or changed. Exits with 3 if a worker would not
/// run the task, except because it has run already.
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
    let has_run = checks.iter().any(|check| check.outcome == Outcome::Ran);
    let refused = checks::refused(&checks).filter(|_| !has_run);
    let next = match refused {
        Some((check, refusal)) => next_step(check, refusal),
        None if has_run => "to run it again, enqueue it with a new id".to_owned(),
        None => source.next_step(),
    };
    let ran_at = source.completed().filter(|_| has_run).flatten().map(time_arg::show);
    if ui.json() {
        let accepted = refused.is_none() && !has_run;
        ui.object(vec![
            ("queue", json!(source.queue.as_str())),
            ("accepted", json!(accepted)),
            ("refused", json!(refused.map(|(_, refusal)| refusal.code()))),
            ("unsealed", json!(accepted && checks::runs_unsealed(&checks))),
            ("has_run", json!(has_run)),
            ("ran_at", json!(ran_at)),
            ("checks", Value::Array(checks.iter().map(Check::object).collect())),
            ("next", json!(next)),
        ])?;
    } else {
        let rows: Vec<_> = checks.iter().map(Check::row).collect();
        ui.text(&text::table(["CHECK", "VERDICT", "FOUND", "REQUIRED"], &rows))?;
    }
    match refused {
        None if has_run => {
            let at = ran_at.map_or_else(String::new, |at| format!(" at {at}"));
            ui.note(&format!("it ran and succeeded{at}; a worker does not run it again: {next}"));
            Ok(())
        }
        None => {
            ui.note(&format!(
                "a worker with this configuration would run it{}: {next}",
                qualification(&checks)
            ));
            Ok(())
        }
        Some((check, refusal)) => {
            let message = format!("refused by the check {}: {refusal} ({})", check.name, refusal.code());
            Err(Failure::refused(message).hint(next))
        }
    }
}

/// Returns how a worker would run a task that no check refuses, if not as a sealed one or not for certain.
fn qualification(checks: &[Check]) -> String {
    if !checks::runs_unsealed(checks) {
        let quota = ", or put it off while the quota of its issuer is used up";
        return if checks::has_quota(checks) { quota.to_owned() } else { String::new() };
    }
    let seal = checks::first_refusal(checks).map_or_else(String::new, |(check, refusal)| {
        format!(", because its seal is refused by the check {} ({})", check.name, refusal.code())
    });
    format!(" as an unsealed task{seal}")
}

fn next_step(check: &Check, refusal: Refusal) -> String {
    match check.name {
        "rule" if refusal != Refusal::Expired => "it is put off until the policy file accepts it: `taskseal policy check` shows the rules, and \
                                                  workers load a changed file by themselves".to_owned(),
        "destroyed-key" => UNUSABLE_KEY.to_owned(),
        "mode" => "`taskseal rollout status` shows the modes; have the producer seal, or set the mode in the policy file".to_owned(),
        _ => refusal_hint(refusal).to_owned(),
    }
}
