//! `taskseal rollout`: which task types are sealed, and which modes may become stricter or looser.

mod status;

use serde_json::json;
use taskseal::audit::OperatorAction;
use taskseal::config::Config;
use taskseal::policy::Mode;

use crate::failure::Failure;
use crate::global::Global;
use crate::project;
use crate::session::setup_failure;
use crate::trail::Trail;
use crate::ui::Ui;

/// Show which task types are sealed, and allow a looser mode
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal rollout status")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show for each task type with a rule how many tasks are sealed, and whether "enforce" would refuse any
    ///
    /// The workers of this host have counted; those of other hosts count there. SAFE is yes if sealed tasks were accepted, and
    /// none was unsealed or refused within the time of --quiet-for.
    #[command(after_help = "Example:\n  taskseal rollout status --quiet-for 7d")]
    Status(status::Args),
    /// Let workers start with a looser mode of a task type than they have used
    ///
    /// Give the type as the policy file names it, then change its mode there and restart the workers.
    #[command(after_help = "Example:\n  taskseal rollout loosen 'email:*'")]
    Loosen(Loosen),
}

#[derive(Debug, clap::Args)]
struct Loosen {
    /// A task type, or a prefix of task types followed by `*`, as in the policy file
    #[arg(value_name = "TYPE")]
    pattern: String,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    match &args.command {
        Command::Status(args) => {
            check_file(&config)?;
            status::run(&config, args, ui)
        }
        Command::Loosen(Loosen { pattern }) => loosen(&config, pattern, ui),
    }
}

fn check_file(config: &Config) -> Result<(), Failure> {
    if config.policy.file.is_some() {
        return Ok(());
    }
    let error = taskseal::FileError::new(&config.file, "no policy file: every task must be sealed");
    Err(Failure::config(error.hint("name one with `file` in [policy]")))
}

fn loosen(config: &Config, pattern: &str, ui: &Ui) -> Result<(), Failure> {
    if !taskseal::keys::is_pattern(pattern) {
        return Err(Failure::usage(format!("`{pattern}` is not a task type or prefix"))
            .hint("give it as the policy file names it, such as 'email:*'"));
    }
    check_file(config)?;
    let rollout = config.open_rollout().map_err(|error| setup_failure(config, error))?;
    let trail = Trail::open(config, ui)?;
    let action = trail.begin(OperatorAction::LoosenMode { task_type: pattern.to_owned() })?;
    let recorded =
        action.end(rollout.loosen(pattern).map_err(|error| setup_failure(config, error.into())))?;
    let strictest = recorded.iter().map(|(_, mode)| *mode).max();
    if ui.json() {
        return ui.object(vec![("type", json!(pattern)), ("was", json!(strictest.map(Mode::name)))]);
    }
    ui.note(&match strictest {
        Some(mode) => {
            format!("workers of this host may start with a looser mode of {pattern} than \"{mode}\"")
        }
        None => format!("workers of this host have not used a mode of {pattern}: any is accepted"),
    });
    Ok(())
}
