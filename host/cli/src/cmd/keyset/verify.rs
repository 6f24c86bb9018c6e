//! `taskseal keyset verify`: verifies a signed keyset as a host does.

use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use taskseal::keys::KeysetSettings;
use taskseal::time::unix_seconds;
use taskseal_core::keys::VerifyingKey;
use taskseal_core::keyset::signed::{MAX_KEYSET, PinnedRoots};
use taskseal_core::name::KeysetName;

use super::draft::{checkpoint_path, read};
use super::sign::checkpoint;
use super::signed::{self, expiry_warning};
use crate::failure::Failure;
use crate::output::text;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Signed keyset
    #[arg(value_name = "FILE", default_value = "keyset.cose")]
    file: PathBuf,
    #[command(flatten)]
    pinned: PinnedArgs,
}

/// What a keyset is verified with.
#[derive(Debug, clap::Args)]
pub(super) struct PinnedArgs {
    /// Name of the keyset [default: that of the draft beside the keyset]
    #[arg(long, requires = "roots")]
    name: Option<String>,
    /// Public key of a root, as `taskseal keyset init` printed it; may be repeated once [default: those of the draft]
    #[arg(long, value_name = "PUBLIC", value_parser = root, requires = "name")]
    roots: Vec<VerifyingKey>,
}

fn root(text: &str) -> Result<VerifyingKey, String> {
    let invalid = || "expected the public key of a root, 87 characters".to_owned();
    let mut point = [0; taskseal_core::keys::POINT_LEN];
    let decoded = Base64UrlUnpadded::decode(text, &mut point).map_err(|_| invalid())?.len();
    if decoded != point.len() {
        return Err(invalid());
    }
    VerifyingKey::from_point(&point).map_err(|_| invalid())
}

/// Name and roots that are pinned.
pub(super) struct Pinned {
    name: String,
    roots: Vec<VerifyingKey>,
}

impl Pinned {
    /// Returns those of the draft beside a signed keyset.
    pub(super) fn beside(file: &Path) -> Result<Self, Failure> {
        let draft = file.with_extension("toml");
        let hint = "name them with --name and --roots";
        if !draft.exists() {
            return Err(Failure::usage(format!(
                "{}: the roots to verify it with are unknown",
                file.display()
            ))
            .hint(hint));
        }
        let draft = read(&draft)?;
        let Some(KeysetSettings { name, roots, .. }) = draft.settings().cloned() else {
            return Err(
                Failure::usage(format!("{}: has no table [keyset]", draft.file().display())).hint(hint)
            );
        };
        Ok(Self { name, roots })
    }

    /// Returns the roots for the verifier.
    pub(super) fn roots(&self) -> Result<PinnedRoots<'_>, Failure> {
        let name =
            KeysetName::new(&self.name).map_err(|_| Failure::usage("the name of the keyset is not valid"));
        let wrong = || Failure::usage("expected one root, or two that differ");
        let (first, others) = self.roots.split_first().ok_or_else(wrong)?;
        let pinned = PinnedRoots::new(name?, *first);
        match others {
            [] => Ok(pinned),
            [second] => pinned.or(*second).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl PinnedArgs {
    /// Returns what the options name, or else what the draft beside the keyset does.
    pub(super) fn of(&self, file: &Path) -> Result<Pinned, Failure> {
        match &self.name {
            Some(name) => Ok(Pinned { name: name.clone(), roots: self.roots.clone() }),
            None => Pinned::beside(file),
        }
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let bytes = signed::read(&args.file)?;
    let keyset = verified(&args.file, &bytes, &args.pinned, ui)?;
    let members = signed::members(&keyset);
    if ui.json() { ui.object(members) } else { ui.text(&text::members(&members)) }
}

/// Verifies a keyset now, and against the checkpoint beside it if there is one.
pub(super) fn verified<'b>(
    file: &Path,
    bytes: &'b [u8],
    pinned: &PinnedArgs,
    ui: &Ui,
) -> Result<signed::Verified<'b>, Failure> {
    debug_assert!(bytes.len() <= MAX_KEYSET + 1);
    let last = checkpoint::read(&checkpoint_path(file))?;
    let now = unix_seconds();
    let keyset = signed::verify(file, bytes, &pinned.of(file)?.roots()?, last.as_ref(), now)?;
    if let Some(warning) = expiry_warning(&keyset, now) {
        ui.warn(&warning);
    }
    Ok(keyset)
}
