//! `taskseal inspect`: what an envelope claims, without a key and without believing a word.

use std::path::PathBuf;

use serde_json::json;
use taskseal_core::{OpenError, Unverified};

use super::{input, show};
use crate::ui::{Failure, Ui};

/// Show what an envelope claims, unverified
///
/// Needs no key and no configuration. Anybody can have written what is shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal inspect task.cose")]
pub(crate) struct Args {
    /// The envelope; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let bytes = input::read(&args.file, input::MAX_ENVELOPE)?;
    let envelope = Unverified::parse(&bytes).map_err(|error| {
        let OpenError::Refused(refusal) = error else { return Failure::new(error.to_string()) };
        Failure::refused(format!("no envelope: {refusal} ({})", refusal.code()))
            .hint("nothing was verified; `taskseal seal` makes envelopes")
    })?;
    let members = show::envelope(&envelope, bytes.len());
    if ui.json() {
        return ui.object(std::iter::once(("unverified", json!(true))).chain(members));
    }
    ui.text(&format!("unverified: anybody can have written this\n{}", show::lines(&members)))
}
