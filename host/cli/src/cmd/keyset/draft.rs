//! The draft of a keyset and the files beside it, held by one command at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use taskseal::keys::{DraftFile, Record, default_distribution, default_longest_task};
use taskseal::time::{UnixMillis, check_release, unix_seconds};
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::{Entry, MAX_ENTRIES, VerifiedKeyset};

use super::fleet::RunningProcess;
use super::signed;
use crate::failure::Failure;

/// Default name of a draft.
pub(super) const KEYSET: &str = "keyset.toml";

/// A draft that no other command changes.
pub(super) struct Draft {
    pub(super) file: DraftFile,
    /// The present time, in seconds of Unix time.
    pub(super) now: u64,
    /// The processes that are known to run.
    pub(super) fleet: Vec<RunningProcess>,
    /// Held until the command ends.
    _lock: File,
}

/// The signed keyset beside a draft, or `None` before the first.
pub(super) type Signed<'b> = Option<Box<VerifiedKeyset<'b, MAX_ENTRIES>>>;

impl Draft {
    /// Reads a draft to change it.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let now = now()?;
        let lock = lock(path)?;
        let file = read(path)?;
        Ok(Self { file, now, fleet: Vec::new(), _lock: lock })
    }

    /// Creates a draft with this text, which is not stored yet.
    pub(super) fn create(path: &Path, text: String) -> Result<Self, Failure> {
        let now = now()?;
        let lock = lock(path)?;
        let file = DraftFile::of_text(path, text).map_err(Failure::keyring)?;
        Ok(Self { file, now, fleet: Vec::new(), _lock: lock })
    }

    /// Returns the record of a key.
    pub(super) fn record(&self, kid: KeyId) -> Result<&Record, Failure> {
        self.file.record(kid).ok_or_else(|| {
            Failure::not_found(format!("{}: no key {kid}", self.file.file().display()))
                .hint("`taskseal keyset show` lists the keys")
        })
    }

    /// Returns the time in which every verifier has fetched a new keyset, in seconds.
    pub(super) fn distribution(&self) -> u64 {
        self.file.settings().map_or(default_distribution(), |settings| settings.distribution).as_secs()
    }

    /// Returns the longest time from sealing to running, in seconds, with the skew of clocks.
    pub(super) fn acceptance(&self) -> u64 {
        let longest = self.file.settings().map_or(default_longest_task(), |settings| settings.longest_task);
        longest.as_secs() + taskseal_core::keyset::signed::ISSUE_SKEW
    }

    /// Writes the draft, unless `dry_run`.
    pub(super) fn store(&mut self, dry_run: bool) -> Result<(), Failure> {
        if dry_run {
            return Ok(());
        }
        self.file.store().map_err(Failure::file)
    }

    /// Returns the command that makes the change known to hosts.
    pub(super) fn next(&self) -> String {
        if self.file.settings().is_some() {
            return "taskseal keyset sign".to_owned();
        }
        format!("copy {} to every host", self.file.file().display())
    }
}

/// Reads a draft without changing it.
pub(super) fn read(path: &Path) -> Result<DraftFile, Failure> {
    DraftFile::read(path).map_err(Failure::keyring)
}

/// Returns the path of the signed keyset of a draft.
pub(super) fn signed_path(draft: &Path) -> PathBuf {
    draft.with_extension("cose")
}

/// Returns the path of the record of the last signed keyset of a draft.
pub(super) fn checkpoint_path(draft: &Path) -> PathBuf {
    draft.with_extension("checkpoint")
}

/// Reads the signed keyset beside a draft. `None` if the draft is not signed, or not yet.
pub(super) fn read_signed(draft: &DraftFile) -> Result<Option<Vec<u8>>, Failure> {
    match draft.settings() {
        Some(_) => signed::read_if_present(&signed_path(draft.file())),
        None => Ok(None),
    }
}

/// Verifies the signed keyset beside a draft, at any time: it may have expired.
pub(super) fn verify_signed<'b>(draft: &DraftFile, bytes: Option<&'b [u8]>) -> Result<Signed<'b>, Failure> {
    let (Some(settings), Some(bytes)) = (draft.settings(), bytes) else { return Ok(None) };
    let path = signed_path(draft.file());
    signed::verify_at_any_time(&path, bytes, &settings.pinned()).map(Some)
}

/// Returns the signed entry of a key.
pub(super) fn entry<'k>(signed: &'k Signed<'_>, kid: KeyId) -> Option<&'k Entry<'k>> {
    signed.as_ref()?.entries().iter().find(|entry| entry.kid() == kid)
}

/// Returns the present time, which must be plausible: it becomes part of the keyset.
fn now() -> Result<u64, Failure> {
    check_release(UnixMillis::now()).map_err(|error| {
        Failure::unavailable(error.to_string())
            .hint("synchronise the clock of this host, with NTP for example")
    })?;
    Ok(unix_seconds())
}

/// Locks the folder of a draft, so that no file is left behind. The lock ends with the process.
fn lock(path: &Path) -> Result<File, Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unusable = |error: std::io::Error| {
        Failure::unavailable(format!("{}: cannot be locked: {error}", folder.display()))
            .hint("create the folder first; it must be on a file system that has locks")
    };
    let file = File::open(folder).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::unavailable(format!("{}: another command changes the keyset", folder.display()))
                .hint("wait until it has ended, then run this command again"))
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}
