//! The last signed keyset, which the next one continues. A lost or older copy would lead to a fork, so that it is refused.

use std::path::{Path, PathBuf};

use taskseal::keys::KeysetSettings;
use taskseal_core::keyset::signed::{Checkpoint, MAX_ENTRIES, VerifiedKeyset};

use super::{before, checkpoint};
use crate::cmd::keyset::draft::{Draft, checkpoint_path, signed_path};
use crate::cmd::keyset::signed;
use crate::failure::Failure;
use crate::ui::Ui;

/// Options for a lost record of the last signed keyset.
#[derive(Debug, clap::Args)]
pub(super) struct LastArgs {
    /// Last signed keyset, if its record or the file beside the draft is lost: a copy from a host or from where it was published
    #[arg(long, value_name = "FILE")]
    last: Option<PathBuf>,
    /// Number of the new keyset, if the last one is lost: at least two more than that of any keyset that was signed
    #[arg(long, value_name = "NUMBER", requires = "last")]
    sequence: Option<u64>,
}

/// What the next keyset continues. Both are `None` for the first one.
pub(super) struct Last<'b> {
    pub(super) checkpoint: Option<Checkpoint>,
    /// The last signed keyset, or after a crash the one before it.
    pub(super) keyset: Option<Box<VerifiedKeyset<'b, MAX_ENTRIES>>>,
}

impl LastArgs {
    /// Reads the keyset that is continued. `path` is that of the signed keyset beside the draft.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
        match &self.last {
            Some(file) => signed::read(file).map(Some),
            None => signed::read_if_present(path),
        }
    }

    /// Checks that draft, checkpoint and keyset agree on what was signed last.
    pub(super) fn find<'b>(
        &self,
        draft: &Draft,
        settings: &KeysetSettings,
        bytes: Option<&'b [u8]>,
        ui: &Ui,
    ) -> Result<Last<'b>, Failure> {
        let path = self.last.clone().unwrap_or_else(|| signed_path(draft.file.file()));
        let keyset = bytes.map(|bytes| signed::verify_at_any_time(&path, bytes, &settings.pinned()));
        let keyset = keyset.transpose()?;
        if let Some(issued_at) = keyset.as_ref().map(|keyset| keyset.issued_at()).filter(|at| *at > draft.now)
        {
            let message = format!(
                "the last keyset was issued at {}, after the time of this host",
                signed::shown(issued_at)
            );
            return Err(Failure::unavailable(message).hint("synchronise the clock of this host"));
        }
        let record = checkpoint_path(draft.file.file());
        let stored = checkpoint::read(&record)?;
        let signed = keyset.as_ref().map(|keyset| keyset.checkpoint());
        let known = settings.sequence.unwrap_or(0);
        let checkpoint = match &self.last {
            Some(_) => self.continued(stored, signed, known, ui)?,
            None => agreed(&path, &record, stored, signed, known, ui)?,
        };
        Ok(Last { checkpoint, keyset })
    }

    /// Returns the newest of what is known, or what `--sequence` states.
    fn continued(
        &self,
        stored: Option<Checkpoint>,
        signed: Option<Checkpoint>,
        known: u64,
        ui: &Ui,
    ) -> Result<Option<Checkpoint>, Failure> {
        let newest = stored.into_iter().chain(signed).max_by_key(Checkpoint::sequence);
        let Some(newest) = newest else { return Ok(None) };
        let known = known.max(newest.sequence());
        let checked = signed.map_or(0, |signed| signed.sequence());
        let forked = stored
            .zip(signed)
            .is_some_and(|(one, other)| one.sequence() == other.sequence() && one.digest() != other.digest());
        if let Some(sequence) = self.sequence {
            // A host that has the number before it would compare the digests.
            let next = before(sequence, newest.digest()).filter(|_| sequence >= known.saturating_add(2));
            let next = next.ok_or_else(|| {
                Failure::usage(format!("keysets up to number {known} were signed"))
                    .hint(format!("set --sequence to at least {}", known.saturating_add(2)))
            })?;
            ui.warn(&format!(
                "states of keys that were signed after keyset {checked} are not checked: a key that was revoked or \
                 disabled since then must be so in the draft"
            ));
            return Ok(Some(next));
        }
        // The draft is compared with the named keyset: an older one lacks what was revoked since then.
        if forked || checked < known {
            let message = format!("keyset {known} was signed, and the newest one here is {checked}");
            return Err(older(message, known));
        }
        Ok(Some(newest))
    }
}

/// Checks that the three records agree: the checkpoint, the signed keyset, and the number in the draft.
fn agreed(
    path: &Path,
    record: &Path,
    stored: Option<Checkpoint>,
    signed: Option<Checkpoint>,
    known: u64,
    ui: &Ui,
) -> Result<Option<Checkpoint>, Failure> {
    let (file, record) = (path.display(), record.display());
    let checkpoint = match (stored, signed) {
        (None, None) if known == 0 => return Ok(None),
        (None, None) => {
            return Err(lost(format!("{record} and {file} are missing, and keyset {known} was signed")));
        }
        (None, Some(signed)) => {
            return Err(lost(format!("{record} is missing, and {file} has number {}", signed.sequence())));
        }
        // A crash between the checkpoint and the first keyset. The draft gets the number after both.
        (Some(stored), None) if stored.sequence() == 1 && known == 0 => stored,
        (Some(stored), None) => {
            return Err(lost(format!("{file} is missing, and keyset {} was signed", stored.sequence())));
        }
        (Some(stored), Some(signed)) if stored == signed => stored,
        // A crash between the checkpoint and the keyset. With the number in the draft, the keyset was stored.
        (Some(stored), Some(signed))
            if signed.sequence().checked_add(1) == Some(stored.sequence()) && known < stored.sequence() =>
        {
            stored
        }
        (Some(stored), Some(signed)) => {
            let message = format!(
                "{record} has number {} and {file} has number {}: one of them is an older copy, or the history has a fork",
                stored.sequence(),
                signed.sequence()
            );
            return Err(older(message, known.max(stored.sequence()).max(signed.sequence())));
        }
    };
    if known > checkpoint.sequence() {
        let message = format!("keyset {known} was signed, and {record} has number {}", checkpoint.sequence());
        return Err(older(message, known));
    }
    if Some(checkpoint) != signed {
        ui.warn(&format!(
            "keyset {} was signed and not stored: the next number continues it",
            checkpoint.sequence()
        ));
    }
    Ok(Some(checkpoint))
}

fn lost(message: String) -> Failure {
    Failure::refused(message).hint(
        "restore the files from a backup, or name the newest signed keyset, from a host for example, with --last FILE: \
         two keysets with one number are a fork, which hosts refuse",
    )
}

fn older(message: String, known: u64) -> Failure {
    Failure::refused(message).hint(format!(
        "name the newest signed keyset, from a host for example, with --last FILE; if number {known} is lost, add \
         --sequence {}",
        known.saturating_add(2)
    ))
}
