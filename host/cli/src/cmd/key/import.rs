//! `taskseal key import`: a private key into a new file, a public key into the keyset.

use std::path::{Path, PathBuf};

use taskseal::audit::KeyChange;
use taskseal::file_security;
use taskseal::keys::pem::{PemError, PemKey};
use taskseal::keys::{Algorithm, SecretKey};

use crate::entry_args::{EntryArgs, Rights, RightsArgs};
use crate::failure::Failure;
use crate::file_arg;
use crate::key_summary::KeySummary;
use crate::trail::Trail;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    purpose: Purpose,
}

#[derive(Debug, clap::Subcommand)]
enum Purpose {
    /// Import a key that signs, and nothing else
    #[command(
        after_help = "Example:\n  taskseal key import sign --pem device.pem --issuer device-7 --type 'reading:*' --audience 'prod/*' >> keyset.toml"
    )]
    Sign(SignArgs),
    /// Import a key that decrypts what is encrypted to its public key, and nothing else
    #[command(
        after_help = "Example:\n  openssl pkey -in encrypted.pem | taskseal key import receive --pem - --out decrypt.key >> keyset.toml"
    )]
    Receive(ReceiveArgs),
}

#[derive(Debug, clap::Args)]
struct SignArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    entry: EntryArgs,
}

#[derive(Debug, clap::Args)]
struct ReceiveArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    entry: EntryArgs,
}

#[derive(Debug, clap::Args)]
struct SourceArgs {
    /// Key on P-256 in PEM: PRIVATE KEY (PKCS #8), EC PRIVATE KEY (SEC 1) or PUBLIC KEY; - is standard input
    #[arg(long, value_name = "FILE", required = true)]
    pem: PathBuf,
    /// File of the private key, which must not exist; none for a public key
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, trail: &Trail, ui: &Ui) -> Result<(), Failure> {
    match &args.purpose {
        Purpose::Sign(args) => {
            let rights = args.rights.required()?;
            import(&args.source, Algorithm::Es256, &args.entry, Some(rights), trail, ui)
        }
        Purpose::Receive(args) => import(&args.source, Algorithm::EcdhEs, &args.entry, None, trail, ui),
    }
}

fn import(
    source: &SourceArgs,
    algorithm: Algorithm,
    entry: &EntryArgs,
    rights: Option<Rights>,
    trail: &Trail,
    ui: &Ui,
) -> Result<(), Failure> {
    entry.check()?;
    let key = match (read(&source.pem)?, &source.out) {
        (PemKey::Private(scalar), Some(out)) => {
            let key = trail.key(KeyChange::Import, out.display().to_string(), || {
                let key = SecretKey::import(out, algorithm, &entry.purpose(), &scalar);
                Ok(KeySummary::of_file(&key.map_err(Failure::key)?, out))
            })?;
            ui.note(&format!("imported key {} into {}; delete the PEM file", key.kid, key.location));
            key
        }
        (PemKey::Private(_), None) => {
            return Err(
                Failure::usage("the file for the private key is missing").hint("name it with --out FILE")
            );
        }
        (PemKey::Public(point), None) => KeySummary::of_public(&point, algorithm, &source.pem)?,
        (PemKey::Public(_), Some(_)) => {
            return Err(
                Failure::usage("a public key needs no file").hint("omit --out: its keyset entry has it")
            );
        }
        _ => return Err(Failure::new("the key is of a kind that cannot be imported")),
    };
    entry.finish(&key, rights, ui)
}

/// Reads a key in PEM. A private key in a file must not be accessible to other users.
fn read(path: &Path) -> Result<PemKey, Failure> {
    let text = file_arg::read(path, file_security::MAX_LEN)?;
    let invalid = |error: PemError| Failure::new(format!("{}: {error}", path.display())).hint(error.hint);
    let key = PemKey::parse(&text).map_err(invalid)?;
    if matches!(key, PemKey::Private(_)) && !file_arg::is_standard(path) {
        file_security::read(path).map_err(Failure::file)?;
    }
    Ok(key)
}
