//! `taskseal inspect`: what an envelope claims, without a key and without verification.

use std::path::PathBuf;

use serde_json::json;
use taskseal_core::{OpenError, Unverified};

use crate::failure::Failure;
use crate::output::{json, text};
use crate::ui::Ui;
use crate::{envelope_fault, file_arg};

/// Show what an envelope claims, unverified
///
/// Needs no key and no configuration. The output is not authenticated: any author can have written it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal inspect task.cose")]
pub(crate) struct Args {
    /// The envelope; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let bytes = file_arg::read(&args.file, file_arg::MAX_ENVELOPE)?;
    let envelope = Unverified::parse(&bytes).map_err(|error| {
        let OpenError::Refused(refusal) = error else { return Failure::new(error.to_string()) };
        Failure::refused(format!("not an envelope: {}", envelope_fault::describe(refusal, &bytes)))
            .hint("nothing was verified; `taskseal seal` creates envelopes")
    })?;
    let mut members = json::envelope(&envelope, bytes.len());
    if ui.json() {
        members.push(("unverified", json!(true)));
        return ui.object(members);
    }
    ui.text(&format!("unverified: the claims are not authenticated\n{}", text::members(&members)))
}
