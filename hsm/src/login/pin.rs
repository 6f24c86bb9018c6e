//! PINs: read when they are needed, and wiped afterwards.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cryptoki::types::AuthPin;
use rustix::fs::OFlags;
use rustix::process::{getegid, geteuid, getgroups};
use zeroize::Zeroizing;

use super::pin_source::PinSource;

/// A PIN. Wiped on drop, redacted in `Debug`.
pub struct Pin(AuthPin, PinMark);

/// A keyed hash of a PIN, by which this process recognises an equal one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PinMark(u64);

impl PinMark {
    fn of(pin: &[u8]) -> Self {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        Self(KEY.get_or_init(RandomState::new).hash_one(pin))
    }
}

/// The reason why there is no PIN. Contains no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The URI has no `pin-source`, and the settings have no PIN.
    #[error("the URI has no pin-source")]
    NoSource,
    /// The file, descriptor or credential cannot be read.
    #[error("the pin-source cannot be read")]
    Unreadable,
    /// The environment variable is not set.
    #[error("the environment variable of the pin-source is not set")]
    NotSet,
    /// The source is `cred:`, and systemd has passed no credentials to this process.
    #[error("CREDENTIALS_DIRECTORY is not set")]
    NoCredentials,
    /// The file is accessible to other users than its owner and root, and, if it belongs to root, the groups of root and this
    /// user.
    #[error("the file of the pin-source is accessible to other users")]
    InsecurePermissions,
    /// The file belongs to neither this user nor root.
    #[error("the file of the pin-source belongs to another user")]
    WrongOwner,
    /// The source is `fd:` and refers to a file, which every child process inherits and can read.
    #[error("the descriptor of the pin-source is a file, which every child process could read: use a pipe")]
    InheritedFile,
    /// The PIN is empty, longer than 1,024 bytes, not UTF-8, or contains NUL.
    #[error("the pin-source does not contain a valid PIN: it is empty, too long, or not UTF-8")]
    Invalid,
    /// A byte order mark begins the PIN.
    #[error("a byte order mark begins the PIN")]
    ByteOrderMark,
    /// The PIN is UTF-16.
    #[error("the PIN is UTF-16; expected UTF-8")]
    Utf16,
    /// The PIN contains a line break, besides the one at its end.
    #[error("the PIN contains a line break besides the one at its end")]
    LineBreak,
    /// A blank begins or ends the PIN.
    #[error("a blank begins or ends the PIN")]
    Blank,
}

impl Pin {
    /// Creates a PIN from text, such as one entered by a user.
    ///
    /// # Errors
    /// [`PinError::Invalid`].
    pub fn new(pin: &str) -> Result<Self, PinError> {
        Self::from_bytes(pin.as_bytes())
    }

    /// Reads a PIN. One line break at the end is not part of it. A PIN that begins or ends with a blank is accepted from an
    /// environment variable only.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn read(source: &PinSource) -> Result<Self, PinError> {
        match source {
            PinSource::File(path) => Self::from_file(path, false),
            PinSource::Environment(name) => {
                let value = std::env::var_os(name).ok_or(PinError::NotSet)?;
                let value = Zeroizing::new(value.into_encoded_bytes());
                Self::from_bytes(&value)
            }
            PinSource::Descriptor(number) => Self::from_descriptor(*number),
            PinSource::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(PinError::NoCredentials)?;
                Self::from_file(&PathBuf::from(folder).join(name), true)
            }
        }
    }

    fn from_file(path: &Path, is_credential: bool) -> Result<Self, PinError> {
        // Opening a FIFO must not wait for a writer.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|_| PinError::Unreadable)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|_| PinError::Unreadable)?;
        // The metadata of the open file, because the path may name another file by now.
        let metadata = file.metadata().map_err(|_| PinError::Unreadable)?;
        if !metadata.is_file() {
            return Err(PinError::Unreadable);
        }
        // The group of root, because systemd passes credentials with an access control list, which appears as permissions of
        // the group. The group of a file of this user is often one of all users, which only the user database would tell.
        let mode = metadata.mode();
        let is_for_group = is_own_group(metadata.gid()) && group_may_read(is_credential, metadata.uid());
        if mode & 0o037 != 0 || (mode & 0o040 != 0 && !is_for_group) {
            return Err(PinError::InsecurePermissions);
        }
        // An owner can change the permissions at any time, and write wrong PINs until the token locks.
        if metadata.uid() != 0 && metadata.uid() != geteuid().as_raw() {
            return Err(PinError::WrongOwner);
        }
        Self::from_reader(file)
    }

    /// Opens the descriptor again, because taking it over or setting `FD_CLOEXEC` would need unsafe code. Only a source
    /// that is empty after reading is accepted, since child processes inherit the descriptor.
    fn from_descriptor(number: u32) -> Result<Self, PinError> {
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        if path.metadata().map_err(|_| PinError::Unreadable)?.is_file() {
            return Err(PinError::InheritedFile);
        }
        Self::from_reader(File::open(path).map_err(|_| PinError::Unreadable)?)
    }

    fn from_reader(file: File) -> Result<Self, PinError> {
        // Allocated at its maximum size: a reallocation would leave a copy of the PIN.
        let mut content = Zeroizing::new(Vec::with_capacity(MAX_LEN + 3));
        let limit = u64::try_from(MAX_LEN + 3).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut content).map_err(|_| PinError::Unreadable)?;
        let line = content.strip_suffix(b"\n").unwrap_or(&content);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Refused before the token sees it: each wrong PIN costs an attempt.
        if [[0xff, 0xfe], [0xfe, 0xff]].iter().any(|mark| line.starts_with(mark)) {
            return Err(PinError::Utf16);
        }
        if line.starts_with("\u{feff}".as_bytes()) {
            return Err(PinError::ByteOrderMark);
        }
        if line.first().is_some_and(is_blank) || line.last().is_some_and(is_blank) {
            return Err(PinError::Blank);
        }
        Self::from_bytes(line)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, PinError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PinError::Invalid)?;
        if text.is_empty() || text.len() > MAX_LEN || text.contains('\0') {
            return Err(PinError::Invalid);
        }
        if text.contains(['\n', '\r']) {
            return Err(PinError::LineBreak);
        }
        Ok(Self(AuthPin::new(text.into()), PinMark::of(bytes)))
    }

    pub(crate) const fn secret(&self) -> &AuthPin {
        &self.0
    }

    /// Returns the mark by which a refused PIN is recognised.
    pub(crate) const fn mark(&self) -> PinMark {
        self.1
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").finish_non_exhaustive()
    }
}

const fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Returns whether a group of this user may read a file of `owner`, which is root or this user. The mode of a credential was set on
/// purpose: without access control lists, the service manager gives it to the user of the service.
const fn group_may_read(is_credential: bool, owner: u32) -> bool {
    is_credential || owner == 0
}

/// Returns whether the group is that of root or one of this user.
fn is_own_group(group: u32) -> bool {
    let in_groups = || getgroups().is_ok_and(|all| all.iter().any(|own| own.as_raw() == group));
    group == 0 || group == getegid().as_raw() || in_groups()
}

/// Maximum length of a PIN, in bytes.
const MAX_LEN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_group_may_read_credentials_and_files_of_root_only() {
        assert!(!group_may_read(false, 1000));
        assert!(group_may_read(false, 0) && group_may_read(true, 0) && group_may_read(true, 1000));
    }
}
