//! `taskseal keygen shared`: symmetric keys, in a file.

use std::path::PathBuf;

use taskseal::audit::KeyChange;
use taskseal::keys::Algorithm;
use taskseal::keys::pkcs11::{MODULE_VARIABLE, PIN_SOURCE_VARIABLE};
use taskseal_core::Suite;
use taskseal_hsm::KeyUri;

use super::note_location;
use crate::entry_args::{EntryArgs, Rights, RightsArgs};
use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::trail::Trail;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the key is for: mac (M) authenticates, encrypt (E) encrypts and authenticates, sign-encrypt (SE) encrypts
    /// inside a signature and authenticates nothing
    #[arg(long, value_parser = suite)]
    suite: Suite,
    /// File of the secret key, which must not exist; give it to the other side. A token reveals no secret, so that a shared
    /// key is never generated in one
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Key of a token that wraps the file, which cannot be read without it; `taskseal token wrapping-key` generates one
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse)]
    wrap: Option<KeyUri>,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    entry: EntryArgs,
}

fn suite(name: &str) -> Result<Suite, String> {
    match Suite::from_name(name) {
        Some(suite @ (Suite::M | Suite::E | Suite::Se)) => Ok(suite),
        Some(Suite::S) => Err("a key that signs is not shared: use `taskseal keygen sign`".to_owned()),
        Some(Suite::Sp) => {
            Err("this suite has two key pairs: use `taskseal keygen sign` and `taskseal keygen receive`"
                .to_owned())
        }
        _ => Err("expected mac (M), encrypt (E) or sign-encrypt (SE)".to_owned()),
    }
}

pub(super) fn run(args: &Args, trail: &Trail, ui: &Ui) -> Result<(), Failure> {
    let rights = args.rights()?;
    args.entry.check()?;
    let algorithm = if args.suite == Suite::M { Algorithm::Hs256 } else { Algorithm::A256Gcm };
    let key = trail.key(KeyChange::Generate, args.out.display().to_string(), || {
        KeySummary::in_new_file(&args.out, algorithm, &args.entry.purpose(), args.wrap.as_ref())
    })?;
    note_location(&key, ui);
    note_wrapping(args.wrap.as_ref(), ui);
    args.entry.finish(&key, rights, ui)
}

impl Args {
    /// Returns the rights of the entry. A key that encrypts inside a signature has none: verifiers would accept it as one
    /// that authenticates.
    fn rights(&self) -> Result<Option<Rights>, Failure> {
        if self.suite != Suite::Se {
            return self.rights.required().map(Some);
        }
        self.rights.refused("a key of suite SE")?;
        Ok(None)
    }
}

pub(super) fn note_wrapping(wrapping_key: Option<&KeyUri>, ui: &Ui) {
    if wrapping_key.is_some() {
        ui.note(&format!("reading it requires the token, {MODULE_VARIABLE} and {PIN_SOURCE_VARIABLE}"));
    }
}
