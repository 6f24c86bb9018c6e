//! `taskseal key entry`: prints the keyset entry of a key in a file or a token.

use crate::entry_args::{EntryArgs, RightsArgs};
use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A secret key file, or the URI of a key pair in a token
    #[arg(value_name = "FILE|URI")]
    key: String,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    entry: EntryArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    args.entry.check()?;
    let key = KeySummary::of(&args.key)?;
    let rights = args.rights.of(key.algorithm)?;
    args.entry.finish(&key, rights, ui)
}
