//! `taskseal keygen`: generates a secret key in a new file or in a token, and prints its keyset entry.

mod pair;
mod shared;

use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::ui::Ui;

/// Generate a key: the secret in a new file or a token, the keyset entry on standard output
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal keygen sign --out sign.key --issuer shop --type 'invoice:*' --audience 'prod/*' >> keyset.toml\n  taskseal keygen receive --out decrypt.key --append keyset.toml"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    purpose: Purpose,
}

#[derive(Debug, clap::Subcommand)]
enum Purpose {
    /// Generate a key that signs: for the suites sign (S), sign-encrypt (SE) and sign-encrypt-to (SP)
    #[command(
        after_help = "Example:\n  taskseal keygen sign --out sign.key --issuer shop --type 'invoice:*' --audience 'prod/*' --sign-until 365d >> keyset.toml\n  taskseal keygen sign --pkcs11 'pkcs11:token=prod;object=shop?pin-source=file:/run/pin' --issuer shop --type 'invoice:*' --audience 'prod/*' >> keyset.toml"
    )]
    Sign(Box<pair::SignArgs>),
    /// Generate a key that decrypts what is encrypted to its public key: for the suite sign-encrypt-to (SP)
    #[command(after_help = "Example:\n  taskseal keygen receive --out decrypt.key >> keyset.toml")]
    Receive(Box<pair::ReceiveArgs>),
    /// Generate a secret that both sides have: for the suites mac (M), encrypt (E) and sign-encrypt (SE)
    #[command(
        after_help = "Example:\n  taskseal keygen shared --suite sign-encrypt --out shared.key >> keyset.toml\n  taskseal keygen shared --suite mac --out mac.key --issuer shop --type 'invoice:*' --audience 'prod/*' >> keyset.toml\n  taskseal keygen shared --suite sign-encrypt --out shared.key --wrap 'pkcs11:token=prod;object=kek?pin-source=file:/run/pin' >> keyset.toml"
    )]
    Shared(Box<shared::Args>),
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    match &args.purpose {
        Purpose::Sign(args) => pair::sign(args, ui),
        Purpose::Receive(args) => pair::receive(args, ui),
        Purpose::Shared(args) => shared::run(args, ui),
    }
}

fn note_location(key: &KeySummary, ui: &Ui) {
    ui.note(&format!("generated key {} in {}", key.kid, key.location));
}
