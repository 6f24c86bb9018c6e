//! The audit log of a host: what workers and operators do, one JSON object on each line.
//!
//! Each line contains the SHA-256 of the line before. Checkpoints under an ES256 key state which lines the log has. Processes of a host
//! append to one file under a lock. The guide is `host/docs/audit.md`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64ct::{Base64UrlUnpadded, Encoding};
use taskseal_core::keys::{POINT_LEN, VerifyingKey};

use self::checkpoint::CheckpointKey;
use self::folder::{Folder, Unsuitable};
use self::lock_file::LockFile;
use self::writer::Writer;
use crate::file_error::FileError;
use crate::keys::{KeyError, KeyStores};
use crate::lock::lock;
use crate::time::UnixMillis;

mod actor;
mod checkpoint;
mod event;
mod files;
mod folder;
mod line;
mod line_reader;
mod lock_file;
mod log_files;
mod names;
mod recorder;
mod refusals;
mod removal;
mod seen;
mod settings;
mod tail;
mod verify;
mod writer;

pub use self::event::{
    AuditEvent, KeyChange, KeysetChange, LedgerChange, OperatorAction, QuarantineChange, QueueChange, Step,
    TaskChange,
};
pub use self::log_files::LogFiles;
pub(crate) use self::recorder::Recorder;
pub use self::settings::AuditSettings;
pub use self::verify::{Fault, FaultKind, MAX_FAULTS, Report, verify};

/// The audit log of a host, open to append.
pub struct AuditLog {
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    folder: Arc<Folder>,
    lock: LockFile,
    writer: Writer,
}

impl AuditLog {
    /// Opens the log of a host for a program of this name. The first line is written with the first event.
    ///
    /// # Errors
    /// [`FileError`] if the folder of the log cannot be created, or if other users than its owner and root can write in it. Its owner is
    /// this user or root, or any user if this is root.
    pub fn open(settings: &AuditSettings, stores: &KeyStores, program: &str) -> Result<Self, FileError> {
        let folder = Arc::new(Folder::of(&settings.file)?);
        let lock = LockFile::of(&folder);
        let writer = Writer::new(settings.clone(), stores.clone(), program, Arc::clone(&folder));
        Ok(Self { file: settings.file.clone(), state: Mutex::new(State { folder, lock, writer }) })
    }

    /// Records an event. Its line is on the disk when this returns. It may block.
    ///
    /// # Errors
    /// [`FileError`] if the log cannot be written: nothing was recorded.
    pub fn record(&self, event: AuditEvent) -> Result<(), FileError> {
        self.append(&[(UnixMillis::now(), event)])
    }

    /// Records events with their times, in this order.
    ///
    /// # Errors
    /// [`FileError`] if the log cannot be written: the events after a rotation of the file were not recorded.
    pub fn append(&self, events: &[(UnixMillis, AuditEvent)]) -> Result<(), FileError> {
        self.append_counted(events).1
    }

    /// Records events as [`append`](Self::append). Returns how many of them, the first ones, are recorded: also beside an error.
    pub(crate) fn append_counted(
        &self,
        events: &[(UnixMillis, AuditEvent)],
    ) -> (usize, Result<(), FileError>) {
        let mut written = 0;
        let appended = self.locked(|writer| writer.append(events, &mut written));
        (written, appended)
    }

    /// Signs a checkpoint if there are new lines: if one is due, or `always`. Returns whether it has.
    ///
    /// # Errors
    /// [`FileError`] if the log cannot be read, or if `always` and the key cannot be used.
    pub fn checkpoint(&self, always: bool) -> Result<bool, FileError> {
        self.locked(|writer| writer.refresh_and_checkpoint(always))
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Writer) -> io::Result<T>) -> Result<T, FileError> {
        let mut state = lock(&self.state);
        if !state.folder.is_current() {
            // It was moved or replaced: other processes use the one that has its name now.
            let folder = Arc::new(Folder::of(&self.file)?);
            state.lock = LockFile::of(&folder);
            state.writer.move_to(Arc::clone(&folder));
            state.folder = folder;
        }
        let State { folder, lock, writer } = &mut *state;
        let done = lock.lock(folder).and_then(|_locked| work(writer));
        done.map_err(|error| not_written(&self.file, &error))
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Checks that the log of a host can be opened, without creating anything.
///
/// # Errors
/// [`FileError`] if other users can write in its folder, or if the current file is not a file of its owner.
pub fn check(settings: &AuditSettings) -> Result<(), FileError> {
    if !files::folder(&settings.file).exists() {
        return Ok(());
    }
    let folder = Folder::of(&settings.file)?;
    match folder.open(folder.log()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_written(&settings.file, &error)),
        _ => Ok(()),
    }
}

fn not_written(log: &Path, error: &io::Error) -> FileError {
    let fault = FileError::io(log, "the audit log cannot be written", error);
    if Unsuitable::is_reason_of(error) || error.kind() == io::ErrorKind::PermissionDenied {
        let hint = "all files of the log must be regular files of the user who owns their folder; \
                    only that user and root, with CAP_CHOWN, can write them";
        return fault.hint(hint);
    }
    fault
}

/// Parses the public key of an ES256 key in the notation of keyset files: base64url of the uncompressed point.
#[must_use]
pub fn parse_public_key(text: &str) -> Option<VerifyingKey> {
    let mut point = [0; POINT_LEN];
    let decoded = Base64UrlUnpadded::decode(text, &mut point).ok()?;
    if decoded.len() != POINT_LEN {
        return None;
    }
    VerifyingKey::from_point(&point).ok()
}

/// Returns the public key of the key that signs checkpoints; `None` if there is none, or if the key is kept elsewhere.
///
/// # Errors
/// [`KeyError`] if the key cannot be opened.
pub fn own_public_key(
    settings: &AuditSettings,
    stores: &KeyStores,
) -> Result<Option<VerifyingKey>, KeyError> {
    let Some(key) = &settings.key else { return Ok(None) };
    Ok(CheckpointKey::open(key, stores)?.public())
}
