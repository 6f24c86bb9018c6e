//! PINs: read when they are needed, and wiped afterwards.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cryptoki::types::AuthPin;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::pin_source::PinSource;

/// A PIN. Wiped on drop, redacted in `Debug`.
pub struct Pin(AuthPin);

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
    /// Other users than the owner can read or change the file.
    #[error("the file of the pin-source is accessible to other users: chmod 600")]
    InsecurePermissions,
    /// The file belongs to neither this user nor root.
    #[error("the file of the pin-source belongs to another user")]
    WrongOwner,
    /// The source is `fd:` and refers to a file, which every child process inherits and can read.
    #[error("the descriptor of the pin-source is a file, which every child process could read: use a pipe")]
    InheritedFile,
    /// The PIN is empty, longer than 1,024 bytes, not UTF-8, or contains a line break or NUL.
    #[error("the pin-source does not contain a valid PIN")]
    Invalid,
}

impl Pin {
    /// Creates a PIN from text, such as one entered by a user.
    ///
    /// # Errors
    /// [`PinError::Invalid`].
    pub fn new(pin: &str) -> Result<Self, PinError> {
        Self::from_bytes(pin.as_bytes())
    }

    /// Reads a PIN. One line break at the end is not part of it.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn read(source: &PinSource) -> Result<Self, PinError> {
        match source {
            PinSource::File(path) => Self::from_file(path, 0o077),
            PinSource::Environment(name) => {
                let value = std::env::var_os(name).ok_or(PinError::NotSet)?;
                let value = Zeroizing::new(value.into_encoded_bytes());
                Self::from_bytes(&value)
            }
            PinSource::Descriptor(number) => Self::from_descriptor(*number),
            PinSource::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(PinError::NoCredentials)?;
                // The access control list for the user of the service appears as group permissions.
                Self::from_file(&PathBuf::from(folder).join(name), 0o007)
            }
        }
    }

    fn from_file(path: &Path, forbidden: u32) -> Result<Self, PinError> {
        // Opening a FIFO must not wait for a writer.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|_| PinError::Unreadable)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|_| PinError::Unreadable)?;
        // The metadata of the open file, because the path may name another file by now.
        let metadata = file.metadata().map_err(|_| PinError::Unreadable)?;
        if !metadata.is_file() {
            return Err(PinError::Unreadable);
        }
        if metadata.mode() & forbidden != 0 {
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
        Self::from_bytes(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, PinError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PinError::Invalid)?;
        if text.is_empty() || text.len() > MAX_LEN || text.chars().any(|c| matches!(c, '\0' | '\n' | '\r')) {
            return Err(PinError::Invalid);
        }
        Ok(Self(AuthPin::new(text.into())))
    }

    pub(crate) const fn secret(&self) -> &AuthPin {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").finish_non_exhaustive()
    }
}

/// Maximum length of a PIN, in bytes.
const MAX_LEN: usize = 1024;
