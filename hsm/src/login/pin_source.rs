//! Where a PIN is read. A URI never contains the PIN itself.

use std::path::PathBuf;
use std::str::FromStr;

/// The `pin-source` of a URI (RFC 7512 section 2.4): the place from which the PIN is read when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinSource {
    /// `file:PATH`: the content of a file that only its owner can read.
    File(PathBuf),
    /// `env:NAME`: an environment variable.
    Environment(String),
    /// `fd:N`: an open file descriptor.
    Descriptor(u32),
    /// `cred:NAME`: a systemd credential.
    Credential(String),
}

/// The error of a text that is not a [`PinSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pin-source must start with file:, env:, fd: or cred:")]
#[non_exhaustive]
pub struct InvalidPinSource;

/// Parses the decoded value of `pin-source`. A bare absolute path is a file. A command (`|…`) is refused: a URI must
/// not be able to run a program.
impl FromStr for PinSource {
    type Err = InvalidPinSource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().any(char::is_control) {
            return Err(InvalidPinSource);
        }
        parse(text).ok_or(InvalidPinSource)
    }
}

fn parse(text: &str) -> Option<PinSource> {
    if text.starts_with('/') {
        return Some(PinSource::File(PathBuf::from(text)));
    }
    let (scheme, rest) = text.split_once(':')?;
    match scheme {
        "file" => {
            // RFC 8089: the path may follow an empty authority.
            let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
            (path.starts_with('/') && !path.starts_with("//")).then(|| PinSource::File(PathBuf::from(path)))
        }
        "env" => is_name(rest).then(|| PinSource::Environment(rest.to_owned())),
        "cred" => (is_name(rest) && !rest.starts_with('.')).then(|| PinSource::Credential(rest.to_owned())),
        "fd" => {
            let number = rest.parse().ok()?;
            // A number has one accepted spelling.
            (u32::to_string(&number) == rest).then_some(PinSource::Descriptor(number))
        }
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(allowed)
}
