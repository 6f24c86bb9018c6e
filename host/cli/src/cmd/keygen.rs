//! `taskseal keygen`: generates a secret key in a new file or in a token, and prints its keyset entry.

mod pair;
mod shared;

use crate::failure::Failure;
use crate::global::Global;
use crate::key_summary::KeySummary;
use crate::trail::Trail;
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
    #[command(
        after_help = "Example:\n  taskseal keygen receive --out decrypt.key --issuer '*' --type '*' --audience 'prod/*' >> keyset.toml\n  taskseal keygen receive --use result --out result.key --issuer shop --type '*' --audience 'prod/*' >> keyset.toml"
    )]
    Receive(Box<pair::ReceiveArgs>),
    /// Generate a secret that both sides have: for the suites mac (M), encrypt (E) and sign-encrypt (SE)
    #[command(
        after_help = "Example:\n  taskseal keygen shared --suite sign-encrypt --out shared.key >> keyset.toml\n  taskseal keygen shared --suite mac --out mac.key --issuer shop --type 'invoice:*' --audience 'prod/*' >> keyset.toml\n  taskseal keygen shared --suite sign-encrypt --out shared.key --wrap 'pkcs11:token=prod;object=kek?pin-source=file:/run/pin' >> keyset.toml"
    )]
    Shared(Box<shared::Args>),
    /// Generate a key that signs checkpoints of the audit log, and nothing else
    ///
    /// Prints the public key, which verifies the log. The key has no entry in a keyset.
    #[command(after_help = "Example:\n  taskseal keygen audit --out keys/audit.key")]
    Audit(Box<pair::AuditArgs>),
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let trail = Trail::of_command(global, ui)?;
    match &args.purpose {
        Purpose::Sign(args) => pair::sign(args, &trail, ui),
        Purpose::Receive(args) => pair::receive(args, &trail, ui),
        Purpose::Shared(args) => shared::run(args, &trail, ui),
        Purpose::Audit(args) => pair::audit(args, &trail, ui),
    }
}

fn note_location(key: &KeySummary, ui: &Ui) {
    ui.note(&format!("generated key {} in {}", key.kid, key.location));
}
