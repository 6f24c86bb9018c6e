//! `taskseal key`: shows keys that exist, imports them from other programs and exports them.

mod describe;
mod entry;
mod export;
mod import;

use crate::failure::Failure;
use crate::global::Global;
use crate::trail::Trail;
use crate::ui::Ui;

/// Show keys that exist, import them from other programs, and export them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal key show keys/sign.key\n  taskseal key import sign --pem device.pem --issuer device-7 --type 'reading:*' --audience 'prod/*' >> keyset.toml\n  taskseal key export --pem keys/sign.key"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what a key is: purpose, algorithm, key identifier and public key
    #[command(
        after_help = "Example:\n  taskseal key show keys/sign.key\n  taskseal key show 'pkcs11:token=prod;object=shop?pin-source=file:/run/pin'"
    )]
    Show(describe::Args),
    /// Print the keyset entry of a key that exists
    #[command(
        after_help = "Example:\n  taskseal key entry keys/sign.key --issuer shop --type 'invoice:*' --audience 'prod/*' >> keyset.toml"
    )]
    Entry(Box<entry::Args>),
    /// Import a private key into a new file, or a public key into the keyset
    #[command(
        after_help = "Example:\n  taskseal key import sign --pem old.pem --out keys/sign.key --issuer shop --type 'invoice:*' --audience 'prod/*' >> keyset.toml\n  taskseal key import receive --pem worker-public.pem >> keyset.toml"
    )]
    Import(Box<import::Args>),
    /// Print the public key of a key, or write its private key to a new file
    #[command(
        after_help = "Example:\n  taskseal key export --pem keys/sign.key\n  taskseal key export --pem keys/sign.key --private --out sign.pem"
    )]
    Export(export::Args),
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    match &args.command {
        Command::Show(args) => describe::run(args, ui),
        Command::Entry(args) => entry::run(args, ui),
        Command::Import(args) => import::run(args, &Trail::of_command(global, ui)?, ui),
        Command::Export(args) => export::run(args, &Trail::of_command(global, ui)?, ui),
    }
}
