//! `taskseal key export`: the public key in PEM, or the private key in a new file.

use std::path::{Path, PathBuf};

use taskseal::audit::{KeyChange, OperatorAction};
use taskseal::file_security;
use taskseal::keys::pem::{private_to_pem, public_to_pem};

use crate::failure::Failure;
use crate::file_arg;
use crate::key_summary::KeySummary;
use crate::trail::Trail;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Secret key file, or the URI of a key pair in a token
    #[arg(value_name = "FILE|URI")]
    key: String,
    /// Export in PEM: PUBLIC KEY, or with --private PRIVATE KEY (PKCS #8)
    #[arg(long, required = true)]
    pem: bool,
    /// Export the private key, unencrypted; the new file can be read by its owner only
    #[arg(long, requires = "out")]
    private: bool,
    /// New file to write to [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, trail: &Trail, ui: &Ui) -> Result<(), Failure> {
    let out = args.out.as_deref().unwrap_or(Path::new("-"));
    if args.private {
        return private(args, out, trail, ui);
    }
    let key = KeySummary::of(&args.key)?;
    let Some(point) = key.point else {
        return Err(Failure::new(format!("{}: a symmetric key has no public key", key.location)));
    };
    file_arg::write(out, &public_to_pem(&point), ui)
}

fn private(args: &Args, out: &Path, trail: &Trail, ui: &Ui) -> Result<(), Failure> {
    if file_arg::is_standard(out) {
        return Err(Failure::usage("a private key is not printed").hint("name a new file with --out FILE"));
    }
    let Some(file) = KeySummary::file(&args.key) else {
        return Err(Failure::usage("a private key never leaves its token")
            .hint("omit --private to export its public key"));
    };
    let action = trail.begin(OperatorAction::Key {
        change: KeyChange::Export,
        kid: KeySummary::of(&args.key).ok().map(|key| key.kid.to_string()),
        place: file.display().to_string(),
    })?;
    let pem = private_to_pem(file).map_err(Failure::key);
    action.end(pem.and_then(|pem| file_security::create(out, &pem).map_err(Failure::file)))?;
    ui.note(&format!("wrote the private key to {}, unencrypted", out.display()));
    Ok(())
}
