//! PINs: read where they are kept, when they are needed, and wiped after.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cryptoki::types::AuthPin;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use crate::login::pin_source::PinSource;
use crate::sync::lock;

/// A PIN. Wiped on drop, prints nothing.
pub struct Pin(AuthPin);

/// Why there is no PIN. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The URI names no `pin-source`, and no PIN was handed over.
    #[error("the uri names no pin-source")]
    NoSource,
    /// The file, descriptor or credential cannot be read.
    #[error("the pin-source cannot be read")]
    Unreadable,
    /// The environment variable is not set.
    #[error("the environment variable of the pin-source is not set")]
    NotSet,
    /// `cred:` outside a service that systemd gave credentials to.
    #[error("CREDENTIALS_DIRECTORY is not set")]
    NoCredentials,
    /// Others than the owner may read or change the file.
    #[error("the file of the pin-source is open to others: chmod 600")]
    OpenToOthers,
    /// The file belongs to neither this user nor root.
    #[error("the file of the pin-source belongs to another user")]
    OfAnotherUser,
    /// `fd:` of a file, which would stay open to every program that this process starts.
    #[error(
        "the descriptor of the pin-source is a file, which every program started from here could read: use a pipe"
    )]
    StaysOpen,
    /// Empty, longer than 1,024 bytes, not UTF-8, or with a line break or NUL in it.
    #[error("the pin-source holds no pin")]
    NotAPin,
}

impl Pin {
    /// Takes a PIN that somebody typed.
    ///
    /// # Errors
    /// [`PinError::NotAPin`].
    pub fn new(pin: &str) -> Result<Self, PinError> {
        Self::from_bytes(pin.as_bytes())
    }

    /// Reads a PIN. One line break at its end is not part of it.
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
                // An access list for the service's user shows as permissions of the group.
                Self::from_file(&PathBuf::from(folder).join(name), 0o007)
            }
        }
    }

    fn from_file(path: &Path, forbidden: u32) -> Result<Self, PinError> {
        // Without waiting for somebody who writes into it, if it is no file at all.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|_| PinError::Unreadable)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|_| PinError::Unreadable)?;
        // Of what was opened, not of what has this name now.
        let metadata = file.metadata().map_err(|_| PinError::Unreadable)?;
        if !metadata.is_file() {
            return Err(PinError::Unreadable);
        }
        if metadata.mode() & forbidden != 0 {
            return Err(PinError::OpenToOthers);
        }
        // An owner can open it to himself at any time, and put another PIN into it until the token locks.
        if metadata.uid() != 0 && metadata.uid() != geteuid().as_raw() {
            return Err(PinError::OfAnotherUser);
        }
        Self::from_reader(file)
    }

    /// Taking it over, or marking it to be closed in programs that are started from here, would need unsafe code. So it
    /// is opened once more, and has to be something that is empty once it was read.
    fn from_descriptor(number: u32) -> Result<Self, PinError> {
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        if path.metadata().map_err(|_| PinError::Unreadable)?.is_file() {
            return Err(PinError::StaysOpen);
        }
        Self::from_reader(File::open(path).map_err(|_| PinError::Unreadable)?)
    }

    fn from_reader(file: File) -> Result<Self, PinError> {
        // As long as it may get, so that it never moves.
        let mut content = Zeroizing::new(Vec::with_capacity(MAX_LEN + 3));
        let limit = u64::try_from(MAX_LEN + 3).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut content).map_err(|_| PinError::Unreadable)?;
        let line = content.strip_suffix(b"\n").unwrap_or(&content);
        Self::from_bytes(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, PinError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PinError::NotAPin)?;
        if text.is_empty() || text.len() > MAX_LEN || text.chars().any(|c| matches!(c, '\0' | '\n' | '\r')) {
            return Err(PinError::NotAPin);
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

/// Longest PIN, bytes.
const MAX_LEN: usize = 1024;

/// Where the PIN of a token comes from at every login: recovery has to log in again.
#[derive(Debug)]
pub(crate) enum PinKeeper {
    /// Read anew each time, so that a changed PIN is taken and nothing is kept.
    Source(PinSource),
    /// Can be had only once, so that it has to be kept: typed by somebody, or read from a pipe.
    Kept(Mutex<Option<Pin>>, Option<PinSource>),
    /// There is none.
    Nothing,
}

impl PinKeeper {
    pub(crate) fn new(given: Option<Pin>, source: Option<PinSource>) -> Self {
        match (given, source) {
            (Some(pin), _) => Self::Kept(Mutex::new(Some(pin)), None),
            (None, Some(source @ PinSource::Descriptor(_))) => Self::Kept(Mutex::new(None), Some(source)),
            (None, Some(source)) => Self::Source(source),
            (None, None) => Self::Nothing,
        }
    }

    /// Does `login` with the PIN.
    pub(crate) fn with<R>(&self, login: impl FnOnce(&Pin) -> R) -> Result<R, PinError> {
        match self {
            Self::Source(source) => Pin::read(source).map(|pin| login(&pin)),
            Self::Kept(kept, source) => {
                let mut kept = lock(kept);
                if kept.is_none() {
                    *kept = Some(Pin::read(source.as_ref().ok_or(PinError::NoSource)?)?);
                }
                kept.as_ref().map(login).ok_or(PinError::NoSource)
            }
            Self::Nothing => Err(PinError::NoSource),
        }
    }

    pub(crate) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}
