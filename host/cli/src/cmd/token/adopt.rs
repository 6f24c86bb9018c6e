//! `taskseal token adopt`: prints the keyset entry of a key pair that another program generated in a token.

use taskseal_hsm::KeyUri;

use crate::entry_args::{EntryArgs, RightsArgs};
use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key pair, named by `id` or `object`
    #[arg(value_name = "URI", value_parser = KeyUri::parse)]
    uri: KeyUri,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    entry: EntryArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    args.entry.check()?;
    let key = KeySummary::of_token(&args.uri)?;
    let rights = args.rights.of(key.algorithm)?;
    ui.note(&format!("in a configuration, use \"{}\" in the place of a key file", key.location));
    args.entry.finish(&key, rights, ui)
}
