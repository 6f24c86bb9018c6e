//! Asks before many things are changed.

use std::io::{self, IsTerminal};

use crate::failure::Failure;
use crate::ui::Ui;

/// Asks on a terminal whether `count` things are to be changed, as `question` says. Elsewhere `--yes` must be given.
///
/// # Errors
/// Exit code 2 without a terminal and `--yes`, 1 if the answer is not yes.
pub(crate) fn confirm(question: &str, count: usize, yes: bool, ui: &Ui) -> Result<(), Failure> {
    if count == 0 || yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(
            Failure::usage(format!("{count} match, and none was changed")).hint("add --yes to change them")
        );
    }
    ui.note(&format!("{question}? [y/N]"));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::new("nothing was changed")) }
}
