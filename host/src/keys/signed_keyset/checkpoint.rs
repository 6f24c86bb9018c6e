//! The record of the newest keyset that this host has used, in the folder of state. It prevents rollback, also after a restart.
//!
//! Three files: the lock of those who read and change the record, the record, and a copy of the keyset. The copy is written
//! last. A copy without a record therefore means that the record is lost, and is not a first start.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use taskseal_core::keyset::signed::{Checkpoint, KeysetRefusal, MAX_KEYSET};

use super::error::KeysetError;
use crate::file_error::FileError;
use crate::file_security;
use crate::file_watch;
use crate::keys::error::KeyringError;

const LOCK: &str = "keyset-lock";
const RECORD: &str = "keyset-checkpoint";
const COPY: &str = "keyset-copy.cose";
const FIRST_LINE: &str = "taskseal keyset checkpoint 1";
/// A record is shorter than this, in bytes.
const MAX_RECORD: u64 = 512;

/// Whether a keyset is recorded before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recording {
    /// It is recorded.
    Durable,
    /// Nothing is written: for checks whose keys seal and open nothing.
    Omitted,
}

/// The folder of the record, locked against other processes.
#[derive(Debug)]
pub(super) struct Recorder<'d> {
    dir: &'d Path,
    name: &'d str,
    recording: Recording,
    /// What is recorded.
    recorded: Option<Checkpoint>,
    /// The newest keyset that this host, or this process, has used.
    last: Option<Checkpoint>,
    /// Held until the record is stored. `None` if this user cannot create it: then nothing can be stored either.
    _lock: Option<File>,
}

impl<'d> Recorder<'d> {
    /// Locks the folder and reads the record of the keyset called `name`. `floor` is the newest keyset that this process has used:
    /// it replaces a record that is older, or lost.
    pub(super) fn open(
        dir: &'d Path,
        name: &'d str,
        recording: Recording,
        floor: Option<Checkpoint>,
    ) -> Result<Self, KeysetError> {
        if recording == Recording::Durable {
            let made = file_security::create_dir(dir).and_then(|()| file_security::check_dir(dir));
            made.map_err(|error| unavailable(dir, &error))?;
        }
        let lock = lock(&dir.join(LOCK), recording)?;
        let recorded = read(&dir.join(RECORD), name)?;
        if let (Some(recorded), Some(floor)) = (&recorded, &floor)
            && recorded.sequence() == floor.sequence()
            && recorded != floor
        {
            // Another process uses the other one. Neither replaces the record of the other.
            let detail = format!("this process has used another keyset {}", floor.sequence());
            let place = dir.join(RECORD).display().to_string();
            return Err(KeysetError::refused(&place, KeysetRefusal::Forked, &detail));
        }
        let newer =
            |recorded: &Checkpoint| floor.as_ref().is_none_or(|floor| floor.sequence() < recorded.sequence());
        let last = recorded.filter(newer).or(floor);
        let recorder = Self { dir, name, recording, recorded, last, _lock: lock };
        match recorder.last {
            None if recorder.path(COPY).exists() => {
                Err(KeysetError::checkpoint_missing(&recorder.path(RECORD), &recorder.path(COPY)))
            }
            _ => Ok(recorder),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns the newest keyset that this host has used.
    pub(super) const fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Returns the path of the copy of the newest keyset.
    pub(super) fn copy_name(&self) -> String {
        self.path(COPY).display().to_string()
    }

    /// Returns the copy of the newest keyset.
    pub(super) fn copy(&self) -> Result<Option<Vec<u8>>, KeyringError> {
        match file_security::read_unguarded(&self.path(COPY), MAX_KEYSET as u64) {
            Ok(copy) => Ok(Some(copy)),
            Err(error) if error.io == Some(io::ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores the record of a keyset, then a copy of it.
    pub(super) fn store(&self, checkpoint: &Checkpoint, keyset: &[u8]) -> Result<(), KeysetError> {
        if self.recording == Recording::Omitted {
            return Ok(());
        }
        if self.recorded != Some(*checkpoint) {
            self.write(RECORD, text(self.name, checkpoint).as_bytes())?;
        }
        let is_stored = self.copy().is_ok_and(|copy| copy.as_deref() == Some(keyset));
        if is_stored { Ok(()) } else { self.write(COPY, keyset) }
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), KeysetError> {
        let path = self.path(name);
        let written = file_security::replace_durably(&path, content, 0o600);
        written.map_err(|error| unavailable(&path, &error))?;
        // The lock is held: no other process has replaced it since.
        file_watch::record_written(&path);
        Ok(())
    }
}

fn unavailable(path: &Path, error: &FileError) -> KeysetError {
    KeysetError::checkpoint_unavailable(path, &error.message)
}

/// Locks the file at `path` until the result is dropped.
fn lock(path: &Path, recording: Recording) -> Result<Option<File>, KeysetError> {
    let opened = match recording {
        Recording::Durable => {
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
        }
        Recording::Omitted => File::open(path),
    };
    let file = match opened {
        Ok(file) => file,
        // A user who may only read compares with the record. If it has to be changed, that fails.
        Err(error) if recording == Recording::Omitted || is_read_only(&error) => return Ok(None),
        Err(error) => return Err(unavailable(path, &FileError::io(path, "cannot be opened", &error))),
    };
    file.lock().map_err(|error| unavailable(path, &FileError::io(path, "cannot be locked", &error)))?;
    Ok(Some(file))
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Reads a record; `None` if there is none.
fn read(path: &Path, name: &str) -> Result<Option<Checkpoint>, KeysetError> {
    let text = match file_security::read_guarded(path, MAX_RECORD) {
        Ok(text) => text,
        Err(error) => {
            return match error.io {
                Some(io::ErrorKind::NotFound) => Ok(None),
                Some(_) => Err(unavailable(path, &error)),
                None => Err(KeysetError::checkpoint_damaged(path, &error.message)),
            };
        }
    };
    let damaged = || KeysetError::checkpoint_damaged(path, "is not the checkpoint of a keyset");
    let (stated, checkpoint) = parse(&text).ok_or_else(damaged)?;
    if stated == name {
        Ok(Some(checkpoint))
    } else {
        Err(KeysetError::checkpoint_of_another(path, stated, name))
    }
}

fn text(name: &str, checkpoint: &Checkpoint) -> String {
    let digest = base16ct::lower::encode_string(checkpoint.digest());
    format!("{FIRST_LINE}\nname {name}\nsequence {}\ndigest {digest}\n", checkpoint.sequence())
}

/// Parses a record to the letter: an erased, cut off or edited one is none.
fn parse(content: &str) -> Option<(&str, Checkpoint)> {
    let mut lines = content.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?.lines();
    let name = lines.next()?.strip_prefix("name ")?;
    let sequence: u64 = lines.next()?.strip_prefix("sequence ")?.parse().ok()?;
    let digest = lines.next()?.strip_prefix("digest ")?;
    let mut bytes = [0; Checkpoint::LEN];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&sequence.to_be_bytes());
    if digest.len() != 2 * tail.len() {
        return None;
    }
    base16ct::lower::decode(digest, tail).ok()?;
    let checkpoint = Checkpoint::from_bytes(&bytes).ok()?;
    (text(name, &checkpoint) == content).then_some((name, checkpoint))
}
