//! The folder of a log, kept open: files are found in it whatever its name leads to later.
//!
//! Root and the user of a service share the log in a folder of that user. The user could put links in the place of files, so that root
//! would write to other files: links are never followed, and files of other users are not used.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid, fchown, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::files;
use crate::file_error::FileError;
use crate::file_security;

/// Device and number of a file.
pub(super) type FileId = (u64, u64);

/// The open folder of a log.
#[derive(Debug)]
pub(super) struct Folder {
    folder: File,
    path: PathBuf,
    id: FileId,
    /// Name of the current file.
    log: OsString,
    /// The user and the group to whom root gives what it creates.
    owner: Option<(u32, u32)>,
}

impl Folder {
    /// Opens the folder of a log, and creates it if it does not exist.
    pub(super) fn of(log: &Path) -> Result<Self, FileError> {
        let path = files::folder(log).to_owned();
        let (folder, metadata) = file_security::open_dir(&path)?;
        let owner = geteuid().is_root().then_some((metadata.uid(), metadata.gid()));
        let log = log.file_name().unwrap_or_default().to_owned();
        Ok(Self { folder, path, id: (metadata.dev(), metadata.ino()), log, owner })
    }

    /// Opens the folder of a log that exists, to read its files.
    pub(super) fn to_read(log: &Path) -> Result<Self, FileError> {
        let path = files::folder(log).to_owned();
        let unreadable = |error: io::Error| FileError::io(log, "cannot be read", &error);
        let metadata = std::fs::metadata(&path).map_err(unreadable)?;
        if geteuid().is_root() {
            return Self::of(log);
        }
        // Any other user may read what the system lets it read: a copy, or the log of a service of its group.
        let folder = File::open(&path).map_err(unreadable)?;
        let log = log.file_name().unwrap_or_default().to_owned();
        Ok(Self { folder, path, id: (metadata.dev(), metadata.ino()), log, owner: None })
    }

    /// Returns whether the path of the folder still leads to it.
    pub(super) fn is_current(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|named| (named.dev(), named.ino()) == self.id)
    }

    /// Returns the name of the current file.
    pub(super) fn log(&self) -> &OsStr {
        &self.log
    }

    /// Opens a regular file to read and to append.
    pub(super) fn open(&self, name: &OsStr) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR | OFlags::APPEND)
    }

    /// Opens a regular file to read.
    pub(super) fn open_to_read(&self, name: &OsStr) -> io::Result<File> {
        self.open_with(name, OFlags::RDONLY)
    }

    fn open_with(&self, name: &OsStr, access: OFlags) -> io::Result<File> {
        // Without NONBLOCK, a pipe without another end would block.
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.folder, name, flags, Mode::empty());
        let file = match opened {
            Err(Errno::LOOP) => return Err(Unsuitable::error(name, "is a symbolic link")),
            opened => File::from(opened?),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Unsuitable::error(name, "is not a regular file"));
        }
        match self.owner {
            Some((owner, group)) if is_left_by_root(&metadata) && owner != 0 && access != OFlags::RDONLY => {
                fchown(&file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)))?;
                Ok(file)
            }
            // A hard link to a file of root could be in its place.
            Some((owner, _)) if metadata.uid() != owner => {
                let why = format!("belongs to uid {}, and its folder to uid {owner}", metadata.uid());
                Err(Unsuitable::error(name, &why))
            }
            _ => Ok(file),
        }
    }

    /// Creates a file for the owner of the folder alone.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = File::from(openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?);
        if let Some((uid, gid)) = self.owner {
            // The service could not open it otherwise. A container may have taken this right from root.
            if let Err(error) = fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
                self.remove(name)?;
                let why = format!(
                    "cannot be given to uid {uid}, the owner of its folder: {}",
                    io::Error::from(error)
                );
                return Err(Unsuitable::error(name, &why));
            }
        }
        Ok(file)
    }

    /// Opens a file, or creates it if it does not exist.
    pub(super) fn open_or_create(&self, name: &OsStr) -> io::Result<File> {
        match self.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match self.create(name) {
            // Another process has created it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open(name),
            created => created,
        }
    }

    /// Returns the file that a name leads to; `None` if there is none.
    pub(super) fn find(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some((found.st_dev, found.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.folder, from, &self.folder, to)?)
    }

    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    /// Makes the names in the folder as durable as the content of files.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.folder.sync_all()
    }

    /// Returns the rotated files with their numbers, the oldest first.
    pub(super) fn rotated(&self) -> io::Result<Vec<(u64, OsString)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            found.extend(files::number(&self.log, name).map(|number| (number, name.to_owned())));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Returns the names of all files of the log, the oldest first.
    pub(super) fn all(&self) -> io::Result<Vec<OsString>> {
        let mut names: Vec<OsString> = self.rotated()?.into_iter().map(|(_, name)| name).collect();
        if self.find(&self.log)?.is_some() {
            names.push(self.log.clone());
        }
        Ok(names)
    }
}

/// Returns the device and the number of an open file.
pub(super) fn id(file: &File) -> io::Result<FileId> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns whether root has created the file and ended before it gave it to the owner of the folder. A file that has another name as
/// well may be any file of root.
fn is_left_by_root(metadata: &Metadata) -> bool {
    metadata.uid() == 0 && metadata.len() == 0 && metadata.nlink() == 1
}

/// Why a file cannot be one of the log.
#[derive(Debug)]
pub(super) struct Unsuitable(String);

impl Unsuitable {
    fn error(name: &OsStr, why: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, Self(format!("{} {why}", name.to_string_lossy())))
    }

    /// Returns whether this is why a file could not be opened.
    pub(super) fn is_reason_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|reason| reason.is::<Self>())
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsuitable {}
