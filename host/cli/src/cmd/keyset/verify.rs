//! `taskseal keyset verify`: verifies a signed keyset as a host does.

use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use taskseal::config::Config;
use taskseal::keys::{KeysetSettings, SignedKeyset};
use taskseal::time::unix_seconds;
use taskseal_core::keys::VerifyingKey;
use taskseal_core::keyset::signed::PinnedRoots;
use taskseal_core::name::KeysetName;

use super::draft::{KEYSET, checkpoint_path, read};
use super::sign::checkpoint;
use super::signed::{self, expiry_warning};
use crate::failure::Failure;
use crate::global::Global;
use crate::output::text;
use crate::project;
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
    /// Name of the keyset [default: that of the configuration, of the draft beside the keyset, or of keyset.toml]
    #[arg(long, requires = "roots")]
    name: Option<String>,
    /// Public key of a root, as `taskseal keyset init` printed it; may be repeated once [default: those of the configuration or of this draft]
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
pub(super) enum Pinned {
    /// By the options of a command.
    Options { name: String, roots: Vec<VerifyingKey> },
    /// By a draft on this computer.
    Draft(Box<KeysetSettings>),
    /// By the configuration of this host.
    Host(Box<SignedKeyset>),
}

impl Pinned {
    /// Returns those of the configuration of this host, or else, without `--config`, of the draft beside a signed keyset, or else of
    /// `keyset.toml` in the current folder.
    pub(super) fn found(file: &Path, global: &Global, ui: &Ui) -> Result<Self, Failure> {
        // First: a sender of a keyset can send a draft with roots too.
        let location = Config::locate(global.config.as_deref());
        let config = if location.exists() { Some(project::config(global)?) } else { None };
        if let Some(keyset) = config.and_then(|config| config.signed_keyset) {
            return Ok(Self::Host(Box::new(keyset)));
        }
        // A published or kept copy has no draft beside it: the signer verifies it in the folder of the draft.
        let drafts = [file.with_extension("toml"), PathBuf::from(KEYSET)];
        for path in drafts.iter().filter(|path| global.config.is_none() && path.exists()) {
            if let Some(settings) = read(path)?.settings() {
                ui.note(&format!("name and roots are those of {}: this host pins none", path.display()));
                return Ok(Self::Draft(Box::new(settings.clone())));
            }
        }
        Err(Failure::usage(format!("{}: the roots to verify it with are unknown", file.display()))
            .hint("name them with --name and --roots, or with --config FILE that has `roots` in [keys]"))
    }

    /// Returns the roots for the verifier.
    pub(super) fn roots(&self) -> Result<PinnedRoots<'_>, Failure> {
        let (name, roots) = match self {
            Self::Options { name, roots } => (name, roots),
            Self::Draft(settings) => return Ok(settings.pinned()),
            Self::Host(keyset) => return Ok(keyset.pinned()),
        };
        let name = KeysetName::new(name).map_err(|_| Failure::usage("the name of the keyset is not valid"));
        let wrong = || Failure::usage("expected one root, or two that differ");
        let (first, others) = roots.split_first().ok_or_else(wrong)?;
        let pinned = PinnedRoots::new(name?, *first);
        others.iter().try_fold(pinned, |pinned, other| pinned.or(*other)).map_err(|_| wrong())
    }
}

impl PinnedArgs {
    /// Returns what the options name, or else what [`Pinned::found`] does.
    pub(super) fn of(&self, file: &Path, global: &Global, ui: &Ui) -> Result<Pinned, Failure> {
        match &self.name {
            Some(name) => Ok(Pinned::Options { name: name.clone(), roots: self.roots.clone() }),
            None => Pinned::found(file, global, ui),
        }
    }
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let bytes = signed::read(&args.file)?;
    let keyset = verified(&args.file, &bytes, &args.pinned.of(&args.file, global, ui)?, ui)?;
    let members = signed::members(&keyset);
    if ui.json() { ui.object(members) } else { ui.text(&text::members(&members)) }
}

/// Verifies a keyset now, and against the checkpoint beside it if there is one.
pub(super) fn verified<'b>(
    file: &Path,
    bytes: &'b [u8],
    pinned: &Pinned,
    ui: &Ui,
) -> Result<signed::Verified<'b>, Failure> {
    let last = checkpoint::read(&checkpoint_path(file))?;
    let now = unix_seconds();
    let keyset = signed::verify(file, bytes, &pinned.roots()?, last.as_ref(), now)?;
    if let Some(warning) = expiry_warning(&keyset, now) {
        ui.warn(&warning);
    }
    Ok(keyset)
}
