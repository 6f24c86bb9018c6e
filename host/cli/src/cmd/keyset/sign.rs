//! `taskseal keyset sign`: makes the signed keyset from the draft, with the next sequence number.

pub(super) mod checkpoint;
mod last;
mod transitions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use taskseal::file_security;
use taskseal::keys::{KeysetSettings, Record};
use taskseal_core::Signer;
use taskseal_core::keyset::signed::{BuildError, Checkpoint, KeysetDraft, MAX_ENTRIES};
use taskseal_core::name::KeysetName;

use self::last::{Last, LastArgs};
use super::draft::{Draft, KEYSET, checkpoint_path, signed_path};
use super::root::RootKey;
use super::signed;
use crate::failure::Failure;
use crate::output::text;
use crate::time_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File or token URI of a root key
    #[arg(long, value_name = "FILE|URI")]
    root: String,
    /// Draft of the keyset
    #[arg(long, value_name = "FILE", default_value = KEYSET)]
    keyset: PathBuf,
    /// Time for which the keyset is in force [default: `lifetime` of the draft]
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    lifetime: Option<Duration>,
    #[command(flatten)]
    last: LastArgs,
    /// Sign and verify, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let mut draft = Draft::open(&args.keyset)?;
    let settings = settings(&draft)?;
    let (path, checkpoint) = (signed_path(&args.keyset), checkpoint_path(&args.keyset));
    let bytes = args.last.read(&path)?;
    let last = args.last.find(&draft, &settings, bytes.as_deref(), ui)?;
    let changed = transitions::check(&draft, last.keyset.as_deref())?;
    let mut root = root(args, &settings)?;
    let mut buffer = vec![0; taskseal_core::keyset::signed::MAX_KEYSET];
    let signed = sign(args, &draft, &settings, &last, &mut root, &mut buffer)?;
    let pinned = settings.pinned();
    let keyset = signed::verify(&path, signed, &pinned, last.checkpoint.as_ref(), draft.now)?;
    if !args.dry_run {
        // Before the keyset itself: after a crash in between, the next keyset continues from the checkpoint, and no number is
        // signed twice. `since` first of all: it may be too late, and must not be too early.
        for kid in changed {
            draft.file.set_since(kid, draft.now).map_err(Failure::keyring)?;
        }
        draft.store(false)?;
        checkpoint::write(&checkpoint, &keyset.checkpoint())?;
        file_security::replace_durably(&path, signed, 0o644).map_err(Failure::file)?;
        draft.file.set_sequence(keyset.sequence()).map_err(Failure::keyring)?;
        draft.store(false)?;
    }
    print(args, &path, &keyset, ui)
}

fn settings(draft: &Draft) -> Result<KeysetSettings, Failure> {
    draft.file.settings().cloned().ok_or_else(|| {
        Failure::usage(format!(
            "{}: has no table [keyset]: hosts read it unsigned",
            draft.file.file().display()
        ))
        .hint("`taskseal keyset init --name NAME --root FILE` adds it")
    })
}

fn root(args: &Args, settings: &KeysetSettings) -> Result<RootKey, Failure> {
    let root = RootKey::open(&args.root)?;
    if settings.pinned().find(root.kid()).is_none() {
        let roots: Vec<_> = settings.roots.iter().map(|root| root.kid().to_string()).collect();
        return Err(Failure::usage(format!(
            "key {} is not a root of this keyset, whose roots are {}",
            root.kid(),
            roots.join(" and ")
        ))
        .hint(
            "name the file or URI of a root; a new root is pinned on every host first, then added to `roots`",
        ));
    }
    Ok(root)
}

fn sign<'b>(
    args: &Args,
    draft: &Draft,
    settings: &KeysetSettings,
    last: &Last<'_>,
    root: &mut RootKey,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Failure> {
    let lifetime = args.lifetime.unwrap_or(settings.lifetime);
    if lifetime <= settings.distribution {
        return Err(Failure::usage("the keyset would expire before every host has fetched it")
            .hint("set --lifetime, or `lifetime` of the draft, to more than `distribution`"));
    }
    let not_after = draft.now.saturating_add(lifetime.as_secs());
    let name = KeysetName::new(&settings.name).map_err(|error| Failure::usage(error.to_string()))?;
    let new = match &last.checkpoint {
        Some(last) => KeysetDraft::<MAX_ENTRIES>::after(last, name, draft.now, not_after),
        None => KeysetDraft::first(name, draft.now, not_after),
    };
    let mut new = new.map_err(|error| unsigned(&args.keyset, &error))?;
    for record in draft.file.records() {
        new.insert(record.to_entry()).map_err(|error| unsigned_key(record, &error))?;
    }
    new.sign(root, buffer).map_err(|error| match error {
        BuildError::Signer(error) => {
            Failure::unavailable(format!("the root did not sign: {error}")).hint("run the command again")
        }
        error => unsigned(&args.keyset, &error),
    })
}

fn unsigned(file: &Path, error: &impl std::fmt::Display) -> Failure {
    let failure = Failure::usage(format!("{}: cannot be signed: {error}", file.display()));
    failure.hint("`taskseal keyset show` shows the draft")
}

fn unsigned_key(record: &Record, error: &BuildError) -> Failure {
    let failure = Failure::usage(format!("key {} cannot be signed: {error}", record.kid()));
    match error {
        BuildError::Full => failure.hint("remove destroyed keys: `taskseal keyset remove KID`"),
        _ => failure.hint("correct its entry"),
    }
}

fn print(args: &Args, path: &Path, keyset: &signed::Verified<'_>, ui: &Ui) -> Result<(), Failure> {
    let mut members = signed::members(keyset);
    members.insert(0, ("file", json!(path.to_string_lossy())));
    members.push(("keys", json!(keyset.entries().len())));
    if ui.json() {
        members.push(("dry_run", json!(args.dry_run)));
        members.push(("next", json!(["taskseal keyset publish"])));
        return ui.object(members);
    }
    ui.text(&text::members(&members))?;
    ui.note(if args.dry_run { "wrote nothing" } else { "next: taskseal keyset publish" });
    Ok(())
}

/// Returns the checkpoint before a keyset with this number, for a number that no signed keyset has.
fn before(sequence: u64, digest: &[u8; 32]) -> Option<Checkpoint> {
    let mut bytes = [0; Checkpoint::LEN];
    let (number, rest) = bytes.split_at_mut(8);
    number.copy_from_slice(&sequence.checked_sub(1)?.to_be_bytes());
    rest.copy_from_slice(digest);
    Checkpoint::from_bytes(&bytes).ok()
}
