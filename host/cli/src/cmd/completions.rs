//! `taskseal completions`: a script with which a shell completes commands and options.

use clap_complete::Shell;

use crate::failure::Failure;
use crate::ui::Ui;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal completions bash > ~/.local/share/bash-completion/completions/taskseal"
)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut grammar: clap::Command, ui: &Ui) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut grammar, "taskseal", &mut script);
    ui.data(&script)
}
